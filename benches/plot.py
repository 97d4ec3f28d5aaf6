"""Draws lines as SVG, with as much as two plots of ours need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 190, 50, 60
FONT = 'font-family="sans-serif" font-size="12" fill="#37352f"'
COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#787774")


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: what it shows, and from where to where in pixels; `ticks` are values, the first and last its ends."""

    label: str
    ticks: Sequence[float]
    start: float
    end: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        first, last, here = (self._scaled(each) for each in (self.ticks[0], self.ticks[-1], value))
        return self.start + (self.end - self.start) * (here - first) / (last - first)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def logarithmic_plot(path: Path, title: str, x_label: str, y_label: str, series: Mapping[str, Points]) -> None:
    """Write a plot with powers of ten on both axes; all values are above 0."""
    x_values, y_values = _values(series)
    x = Axis(x_label, _powers(x_values), LEFT, WIDTH - RIGHT, logarithmic=True)
    y = Axis(y_label, _powers(y_values), HEIGHT - BOTTOM, TOP, logarithmic=True)
    path.write_text(_svg(title, x, y, series))


def linear_plot(path: Path, title: str, x_label: str, y_label: str, series: Mapping[str, Points]) -> None:
    """Write a plot with both axes from 0 on."""
    x_values, y_values = _values(series)
    x = Axis(x_label, _steps(max(x_values)), LEFT, WIDTH - RIGHT, logarithmic=False)
    y = Axis(y_label, _steps(max(y_values)), HEIGHT - BOTTOM, TOP, logarithmic=False)
    path.write_text(_svg(title, x, y, series))


def _values(series: Mapping[str, Points]) -> tuple[list[float], list[float]]:
    points = [point for line in series.values() for point in line]
    return [x for x, _ in points], [y for _, y in points]


def _powers(values: Sequence[float]) -> list[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _steps(highest: float) -> list[float]:
    size = 10.0 ** math.floor(math.log10(highest))
    step = next(size * part for part in (0.2, 0.5, 1, 2) if highest <= size * part * 6)
    return [step * i for i in range(math.ceil(highest / step) + 1)]


def _svg(title: str, x: Axis, y: Axis, series: Mapping[str, Points]) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 28, title, 'font-size="15"'),
        *(_line(x.at(tick), TOP, x.at(tick), HEIGHT - BOTTOM) for tick in x.ticks),
        *(_line(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick)) for tick in y.ticks),
        *(_text(x.at(tick), HEIGHT - BOTTOM + 18, f"{tick:,.12g}", 'text-anchor="middle"') for tick in x.ticks),
        *(_text(LEFT - 8, y.at(tick) + 4, f"{tick:,.12g}", 'text-anchor="end"') for tick in y.ticks),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, x.label, 'text-anchor="middle"'),
        _text(LEFT, TOP - 8, y.label, 'fill="#787774"'),
    ]
    for number, (name, points) in enumerate(series.items()):
        parts += _series(number, name, [(x.at(a), y.at(b)) for a, b in points])
    return "\n".join([*parts, "</svg>", ""])


def _series(number: int, name: str, points: Points) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    key = TOP + 8 + 20 * number
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in points),
        f'<rect x="{WIDTH - RIGHT + 16}" y="{key - 9}" width="12" height="12" fill="{colour}"/>',
        _text(WIDTH - RIGHT + 34, key + 1, name, ""),
    ]


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e3e2e0"/>'
