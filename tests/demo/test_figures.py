from __future__ import annotations

import pytest

from warmtoken.demo.figures import Figures, timer_cost


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.05), (0.99, 0.099), (0.991, 0.1), (1.0, 0.1), (0.001, 0.001)])
def test_percentiles_are_nearest_ranks_in_microseconds(share: float, expected: float) -> None:
    figures = Figures()
    for nanoseconds in range(100, 0, -1):
        figures.sample(nanoseconds)
    assert figures.percentile(share) == expected


def test_slow_calls_are_counted_by_the_microsecond() -> None:
    figures = Figures()
    figures.sample(9_999)
    figures.sample(123_456)
    assert dict(figures.latencies) == {9_999: 1, 123_000: 1}
    assert figures.hits == 2


def test_nothing_sampled_has_no_latency() -> None:
    assert Figures().percentile(0.5) == 0.0


def test_adding_up_takes_everything_in() -> None:
    one, other = Figures(hits=1, seconds=2.0, errors=["a"]), Figures(hits=2, seconds=3.0, errors=["b"])
    other.sample(7)
    other.sightings.see("token", 100, 97.0)
    one.add(other)
    assert (one.hits, one.seconds, one.errors, dict(one.latencies)) == (4, 5.0, ["a", "b"], {7: 1})
    assert len(one.sightings.tokens) == 1


def test_the_timer_costs_something() -> None:
    assert 0 < timer_cost() < 100_000
