"""The row of the table that changes while the demo runs."""

from __future__ import annotations

from warmtoken.demo.figures import Figures
from warmtoken.demo.outcome import rate
from warmtoken.demo.screen import columns

TITLES = ("elapsed", "hits/s", "hits", "p50 us", "p99 us", "expired", "refreshes", "sign-ins")
WIDTHS = (8, 12, 14, 8, 8, 9, 10, 9)
HEADER = columns(TITLES, WIDTHS)


def row(figures: Figures, *, workers: int, elapsed: float, refreshes: int, sign_ins: int) -> str:
    """Return the row for what workers have reported so far; `elapsed` is in seconds."""
    cells = (
        f"{elapsed:.1f} s",
        f"{rate(figures, workers):,.0f}",
        f"{figures.hits:,}",
        f"{figures.percentile(0.5):.3f}",
        f"{figures.percentile(0.99):.3f}",
        str(figures.sightings.expiries()),
        str(refreshes),
        str(sign_ins),
    )
    return columns(cells, WIDTHS)
