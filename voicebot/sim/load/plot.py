"""Curves as SVG: small panels below each other over one axis, light enough for a page or a mail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, PANEL_HEIGHT = 760, 150
_LEFT, _RIGHT, _TOP, _BELOW = 70, 20, 30, 22
_HEAD, _FOOT = 40, 30
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df")
_DOTS_UP_TO = 40  # points of a curve that are marked one by one

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points from left to right."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves that share a scale. `title` carries the unit."""

    title: str
    curves: Sequence[Curve]


def curve(name: str, places: Sequence[float], values: Sequence[float | None]) -> Curve:
    """A curve of what is known."""
    return Curve(name, [(x, y) for x, y in zip(places, values, strict=True) if y is not None])


def svg(title: str, axis: str, panels: Sequence[Panel]) -> str:
    """Draw the panels that have anything to show; the scale of each begins at zero."""
    shown = [panel for panel in panels if any(one.points for one in panel.curves)]
    places = [x for panel in shown for one in panel.curves for x, _ in one.points]
    left, right = (min(places), max(places)) if places else (0.0, 1.0)
    step = _TOP + PANEL_HEIGHT + _BELOW
    height = _HEAD + step * len(shown) + _FOOT
    body = [
        f'<text x="{_LEFT}" y="24" class="title">{escape(title)}</text>',
        *(_panel(panel, _HEAD + number * step, left, right) for number, panel in enumerate(shown)),
        f'<text x="{(WIDTH + _LEFT - _RIGHT) / 2:.0f}" y="{height - 10}" class="axis">{escape(axis)}</text>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">\n'
        "<style>text{font:12px sans-serif;fill:#24292f}.title{font-size:15px;font-weight:bold}"
        ".axis,.x{text-anchor:middle}.y{text-anchor:end}.grid{stroke:#d0d7de}</style>\n"
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def ticks(most: float, count: int = 4) -> list[float]:
    """Round numbers from zero to `most` or just above it, some `count` of them."""
    if most <= 0 or not math.isfinite(most):
        return [0.0, 1.0]
    rough = most / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 2.5, 5, 10) if power * one >= rough)
    return [number * step for number in range(math.ceil(round(most / step, 9)) + 1)]


def _panel(panel: Panel, y: float, left: float, right: float) -> str:
    marks = ticks(max(value for one in panel.curves for _, value in one.points) if panel.curves else 0)
    bottom = y + _TOP + PANEL_HEIGHT
    inner = WIDTH - _LEFT - _RIGHT

    def place(point: Point) -> tuple[float, float]:
        across = (point[0] - left) / (right - left) if right > left else 0.5
        return _LEFT + inner * across, bottom - PANEL_HEIGHT * point[1] / marks[-1]

    parts = [f'<text x="{_LEFT}" y="{y + 18:.0f}">{escape(panel.title)}</text>']
    for mark in marks:
        at = place((left, mark))[1]
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" class="y">{mark:g}</text>')
    for number in range(5):
        value = left + (right - left) * number / 4
        parts.append(f'<text x="{place((value, 0))[0]:.1f}" y="{bottom + 16:.0f}" class="x">{value:.4g}</text>')
    named = [one for one in panel.curves if one.points]
    for number, one in enumerate(named):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(_line([place(point) for point in one.points], colour))
        if len(named) > 1:
            x = WIDTH - _RIGHT - 110 * (len(named) - number)
            parts.append(f'<text x="{x}" y="{y + 18:.0f}" style="fill:{colour}">{escape(one.name)}</text>')
    return "\n".join(parts)


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    return line + (dots if len(points) <= _DOTS_UP_TO else "")
