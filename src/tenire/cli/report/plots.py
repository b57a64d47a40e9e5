"""Plots as SVG text, in the page's own colours: no script, no font, nothing from elsewhere.

All of a plot's texts are escaped here, so what a caller passes may hold anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

__all__ = ["Line", "bars", "line_plot", "ticks"]

WIDTH, HEIGHT = 640, 220
_NOTHING = 1e-9
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 30


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot.

    Attributes:
        name: For the legend.
        points: ``(x, y)``, by x.
    """

    name: str
    points: Sequence[tuple[float, float]]


def ticks(most: float, *, about: int = 4) -> list[float]:
    """Return round numbers from 0 up to the first one that is not below ``most``."""
    if not most > _NOTHING:
        return [0.0, 1.0]
    rough = most / about
    unit = 10.0 ** floor(log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    return [step * number for number in range(ceil(most / step - 1e-9) + 1)]


def line_plot(lines: Sequence[Line], *, label: str, unit: str, filled: bool = False) -> str:
    """Return lines over seconds.

    Args:
        lines: At least one point in one of them.
        label: What is shown, for people who have it read to them.
        unit: Of the upright axis.
        filled: Whether the area below a line is tinted.
    """
    points = [point for line in lines for point in line.points]
    right = max((x for x, _ in points), default=0.0) or 1.0
    upright = ticks(max((y for _, y in points), default=0.0))
    high = upright[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
        return _LEFT + width * x / right, _TOP + height * (1 - y / high)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label, quote=True)}">']
    for value in upright:
        _, y = place(0, value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for value in ticks(right, about=6):
        if value <= right:
            x, _ = place(value, 0)
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{short(value)} s</text>'
            )
    for number, line in enumerate(lines):
        placed = [place(x, y) for x, y in line.points]
        if not placed:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        if filled:
            base = place(0, 0)[1]
            area = f"{placed[0][0]:.1f},{base:.1f} {path} {placed[-1][0]:.1f},{base:.1f}"
            parts.append(f'<polygon class="area c{number % 6}" points="{area}"/>')
        title = f"<title>{escape(line.name)}</title>"
        parts.append(f'<polyline class="line c{number % 6}" points="{path}">{title}</polyline>')
    parts.append("</svg>")
    return f"<figure>{''.join(parts)}{_legend(lines, unit)}</figure>"


def bars(values: Sequence[tuple[str, float, str]], *, label: str, marked: str | None = None) -> str:
    """Return bars that lie, one a line.

    Args:
        values: Name, length and the text behind it, for each.
        label: What is shown.
        marked: The name of the bar that matters most.
    """
    longest = max((value for _, value, _ in values), default=0.0) or 1.0
    rows = "".join(
        f'<div class="bar{" marked" if name == marked else ""}"><span class="name">{escape(name)}</span>'
        f'<span class="track"><span class="fill" style="width:{100 * value / longest:.1f}%"></span></span>'
        f'<span class="value">{escape(text)}</span></div>'
        for name, value, text in values
    )
    return f'<div class="bars" role="img" aria-label="{escape(label, quote=True)}">{rows}</div>'


def short(value: float) -> str:
    """Return a number for an axis: 1.5k, 20M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.3g}"


def _legend(lines: Sequence[Line], unit: str) -> str:
    keys = "".join(
        f'<span class="key"><i class="c{number % 6}"></i>{escape(line.name)}</span>'
        for number, line in enumerate(lines)
    )
    return f'<figcaption>{keys}<span class="unit">{escape(unit)}</span></figcaption>'
