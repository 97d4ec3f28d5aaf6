from __future__ import annotations

from dataclasses import replace

import pytest

from warmtoken.demo.figures import Figures
from warmtoken.demo.outcome import Outcome
from warmtoken.testing import Counters

PROVIDER = Counters(refreshes_granted=1, refreshes_refused=1, sign_ins=2)


def shared(*, hits: int = 100_000, errors: tuple[str, ...] = ()) -> Figures:
    figures = Figures(hits=hits, seconds=40.0, errors=list(errors))
    figures.sightings.see_sign_in("first", 1003, 1000.0)
    figures.sightings.see("second", 1006, 1003.0)
    figures.sightings.see_sign_in("third", 1009, 1006.0)
    return figures


def outcome() -> Outcome:
    return Outcome(4, shared(), Figures(hits=10, seconds=40.0), PROVIDER, separate_refreshes=4, sign_ins=2)


def test_all_is_well() -> None:
    assert outcome().problems() == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (replace(outcome(), shared=shared(hits=99_999)), "expected 100,000 hits at least, got 99,999"),
        (replace(outcome(), shared=shared(errors=("broken",))), "expected no error, got 1; the first: ['broken']"),
        (replace(outcome(), separate=Figures(errors=["broken"])), "expected no error, got 1; the first: ['broken']"),
        (
            replace(outcome(), provider=replace(PROVIDER, refreshes_granted=2)),
            "expected as many refreshes as expiries, got 2 and 1",
        ),
        (
            replace(outcome(), provider=replace(PROVIDER, replays_detected=1)),
            "expected no refresh token to be replayed, got 1",
        ),
        (
            replace(outcome(), provider=replace(PROVIDER, sign_ins=3)),
            "expected the provider to count 2 sign-ins, it counted 3",
        ),
    ],
)
def test_what_is_wrong_is_said(wrong: Outcome, sentence: str) -> None:
    assert wrong.problems() == [sentence]


@pytest.mark.parametrize("sign_ins", [1, 3])
def test_the_fallback_must_run_once(sign_ins: int) -> None:
    wrong = replace(outcome(), sign_ins=sign_ins, provider=replace(PROVIDER, sign_ins=sign_ins))
    assert wrong.problems() == [f"expected one interactive fallback, got {sign_ins - 1}"]


def test_a_run_without_expiries_proves_nothing() -> None:
    wrong = replace(outcome(), shared=Figures(hits=100_000), provider=replace(PROVIDER, refreshes_granted=0))
    assert wrong.problems() == ["expected tokens to expire, but none did"]


def test_rates_are_of_all_workers_together() -> None:
    assert outcome().as_json()["hits_per_second"] == 10_000
