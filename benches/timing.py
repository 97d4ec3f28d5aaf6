"""How a call is timed: many times between two looks at the clock, nothing subtracted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

ROUND = 0.005  # seconds; what takes 5 us or less is called 1,000 times and more in a round
MOST = 20_000  # calls in a round
PROBES = 20
WARM_UP = 3  # rounds


class Timing:
    """Times the calls of one case for one competitor, in `rounds` rounds."""

    def __init__(self, benchmark: BenchmarkFixture, competitor: str, rounds: int) -> None:
        self._benchmark = benchmark
        self._rounds = rounds
        benchmark.extra_info["competitor"] = competitor
        benchmark.extra_info["calls"] = 1

    def repeat(self, call: Callable[..., Any], *args: Any) -> Any:
        """Time one call with the same arguments again and again, and return what the last one returned."""
        iterations = self.calls_in_a_round(call, *args)
        return self._benchmark.pedantic(
            call, args=args, rounds=self._rounds, iterations=iterations, warmup_rounds=WARM_UP
        )

    def walk(self, walk: Callable[..., Any], calls: int, prepare: Callable[[], tuple[Any, ...]] | None = None) -> Any:
        """Time a function that makes `calls` calls, and return what it returned last.

        `prepare` runs before each round, unmeasured, and returns the arguments.
        """
        self._benchmark.extra_info["calls"] = calls
        setup: Callable[[], Any] | None = None if prepare is None else lambda: (prepare(), {})
        return self._benchmark.pedantic(walk, setup=setup, rounds=self._rounds, warmup_rounds=WARM_UP)

    def calls_in_a_round(self, call: Callable[..., Any], *args: Any) -> int:
        """Return how many of these calls make a round."""
        fastest = min(_seconds(call, args) for _ in range(PROBES))
        return max(1, min(MOST, int(ROUND / fastest)))


def _seconds(call: Callable[..., Any], args: tuple[Any, ...]) -> float:
    start = time.perf_counter()
    call(*args)
    return time.perf_counter() - start
