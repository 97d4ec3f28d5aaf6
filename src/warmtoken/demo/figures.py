"""What is counted under load, and the latencies of single calls."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field

from warmtoken.demo.sightings import Sightings

COARSE_FROM = 10_000  # nanoseconds; slower calls are counted by the microsecond, which keeps the table small


@dataclass(slots=True)
class Figures:
    """What one worker, or all of them together, did and saw; `latencies` counts sampled hits by nanoseconds."""

    hits: int = 0
    seconds: float = 0.0
    latencies: Counter[int] = field(default_factory=Counter[int])
    sightings: Sightings = field(default_factory=Sightings)
    errors: list[str] = field(default_factory=list[str])

    def add(self, other: Figures) -> None:
        """Take in what another one counted; `seconds` are worker seconds, all added up."""
        self.hits += other.hits
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.sightings.merge(other.sightings)
        self.errors += other.errors

    def sample(self, nanoseconds: int) -> None:
        """Count one hit that was timed by itself."""
        self.hits += 1
        self.latencies[nanoseconds if nanoseconds < COARSE_FROM else nanoseconds // 1000 * 1000] += 1

    def percentile(self, share: float) -> float:
        """Return the latency, in microseconds, within which this share of the sampled hits came (nearest rank)."""
        rank, counted = math.ceil(share * self.latencies.total()), 0
        for nanoseconds in sorted(self.latencies):
            counted += self.latencies[nanoseconds]
            if counted >= rank:
                return nanoseconds / 1000
        return 0.0


def timer_cost() -> int:
    """Return how many nanoseconds two readings of the timer take with nothing between (median)."""
    clock = time.perf_counter_ns
    costs = sorted(-clock() + clock() for _ in range(2001))
    return costs[1000]
