"""What came of it: the two caches beside each other, what is wrong if anything, and the JSON object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warmtoken.demo.figures import Figures
from warmtoken.demo.screen import columns
from warmtoken.demo.stage import LEAST_HITS
from warmtoken.testing import Counters

WIDTHS = (28, 22, 22)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of both caches; `provider` is what the provider counted for ours, `separate_refreshes` for the other.

    `sign_ins` are those of the program that has a user, the first one included.
    """

    workers: int
    shared: Figures
    separate: Figures
    provider: Counters
    separate_refreshes: int
    sign_ins: int

    @property
    def errors(self) -> list[str]:
        """The messages of all errors."""
        return self.shared.errors + self.separate.errors

    @property
    def fallbacks(self) -> int:
        """How often the workers needed the user."""
        return self.sign_ins - 1

    def problems(self) -> list[str]:
        """Return a sentence for everything that is not as it should be."""
        expiries, refreshes = self.shared.sightings.expiries(), self.provider.refreshes_granted
        wrong = {
            f"expected no error, got {len(self.errors)}; the first: {self.errors[:1]}": bool(self.errors),
            f"expected as many refreshes as expiries, got {refreshes} and {expiries}": refreshes != expiries,
            "expected tokens to expire, but none did": expiries == 0,
            f"expected {LEAST_HITS:,} hits at least, got {self.shared.hits:,}": self.shared.hits < LEAST_HITS,
            f"expected one interactive fallback, got {self.fallbacks}": self.fallbacks != 1,
            f"expected the provider to count {self.sign_ins} sign-ins, it counted {self.provider.sign_ins}": (
                self.sign_ins != self.provider.sign_ins
            ),
            f"expected no refresh token to be replayed, got {self.provider.replays_detected}": (
                self.provider.replays_detected != 0
            ),
        }
        return [sentence for sentence, is_so in wrong.items() if is_so]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them; latencies in microseconds."""
        return {
            "workers": self.workers,
            "hits": self.shared.hits,
            "hits_per_second": round(rate(self.shared, self.workers)),
            "hit_p50_us": self.shared.percentile(0.5),
            "hit_p99_us": self.shared.percentile(0.99),
            "expiries": self.shared.sightings.expiries(),
            "refreshes": self.provider.refreshes_granted,
            "refreshes_refused": self.provider.refreshes_refused,
            "sign_ins": self.provider.sign_ins,
            "interactive_fallbacks": self.fallbacks,
            "errors": len(self.errors),
            "pure_python": {
                "hits": self.separate.hits,
                "hits_per_second": round(rate(self.separate, self.workers)),
                "hit_p50_us": self.separate.percentile(0.5),
                "hit_p99_us": self.separate.percentile(0.99),
                "refreshes": self.separate_refreshes,
            },
        }

    def comparison(self) -> list[str]:
        """Return the lines of a table with both caches."""
        ours, others = self.shared, self.separate
        rows = [
            ("", "warmtoken, shared", "dict, each its own"),
            ("hits per second", f"{rate(ours, self.workers):,.0f}", f"{rate(others, self.workers):,.0f}"),
            ("a hit, p50", f"{ours.percentile(0.5):.3f} us", f"{others.percentile(0.5):.3f} us"),
            ("a hit, p99", f"{ours.percentile(0.99):.3f} us", f"{others.percentile(0.99):.3f} us"),
            ("refreshes at the provider", str(self.provider.refreshes_granted), str(self.separate_refreshes)),
        ]
        return [row[0].ljust(WIDTHS[0]) + columns(row[1:], WIDTHS[1:]) for row in rows]


def rate(figures: Figures, workers: int) -> float:
    """Return the hits per second of all workers together."""
    return figures.hits / figures.seconds * workers if figures.seconds else 0.0
