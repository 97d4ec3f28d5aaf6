"""Writes tables and durations as people read them."""

from __future__ import annotations

UNITS = ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms"))


def duration(seconds: float) -> str:
    """Return seconds with three digits and the unit that suits them."""
    factor, unit = next(((factor, unit) for limit, factor, unit in UNITS if seconds < limit), (1.0, "s"))
    amount = seconds * factor
    return f"{amount:.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"


def times(ratio: float) -> str:
    """Return a ratio with two digits, such as 3.2x, or with all before the point."""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.2g}x"


def markdown(rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table, aligned; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]
