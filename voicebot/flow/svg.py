"""A flow's diagram as one self-contained SVG image, laid out without any tool.

Phases stand in layers, each below those whose transitions lead to it. A transition to the next layer is a curve. Every
other way leaves its box downwards, runs between the layers to a lane at the right, and comes in from above, so that
no arrow crosses a box; ways of one kind to one phase share a lane.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from textwrap import wrap

from .graph import ANYWHERE, Edge, anywhere_lines, box_lines, edges
from .model import Flow

_WIDTH, _LINE, _PAD, _GAP_X, _LANE, _MARGIN = 216, 16, 10, 44, 16, 20
_LINE_LABEL, _TRACK, _PORT = 13, 14, 14
_FREE = 58  # height of a gap between layers that nothing runs along
_WRAP, _WRAP_LABEL = 32, 30  # characters
_STYLE = """
.phase rect{fill:#fff;stroke:#444;rx:8}.phase.initial rect{stroke-width:3}.phase.end rect{fill:#eee;rx:18}
.phase.anywhere rect{fill:none;stroke-dasharray:2 3}
text{font:12px system-ui,sans-serif;fill:#222}.name{font-weight:600}
.guard{font-size:11px;fill:#555;paint-order:stroke;stroke:#fff;stroke-width:4px}
path{fill:none;stroke:#666}.jump,.rule,.silence{stroke-dasharray:2 4}.stuck{stroke-dasharray:7 4;stroke:#a60}
.failure{stroke-dasharray:7 4;stroke:#b00}
@media(prefers-color-scheme:dark){.phase rect{fill:#222;stroke:#aaa}.phase.end rect{fill:#333}text{fill:#eee}
.guard{fill:#bbb;stroke:#111}path{stroke:#999}.stuck{stroke:#d92}.failure{stroke:#f66}}
"""


@dataclass(frozen=True, slots=True)
class _Box:
    """A phase with its place. `layer` counts from the top."""

    name: str
    lines: tuple[str, ...]
    layer: int
    x: float = 0.0
    y: float = 0.0

    @property
    def height(self) -> float:
        return _PAD * 2 + _LINE * len(self.lines)

    @property
    def middle(self) -> float:
        return self.x + _WIDTH / 2


@dataclass(frozen=True, slots=True)
class _Route:
    """Ways of one kind to one phase that are not just one layer down: they share a lane and come in together.

    `lane` counts from the innermost; a track counts lines of text downwards in the gap below a layer (-1: above all).
    """

    edges: tuple[Edge, ...]
    lane: int
    entry: int
    exits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything in its place. `floors` has for each layer where the gap below it begins (-1: above all)."""

    boxes: Mapping[str, _Box]
    routes: Sequence[_Route]
    near: Sequence[Edge]
    floors: Mapping[int, float]
    right: float
    height: float

    def lane_x(self, route: _Route) -> float:
        return self.right + _LANE * route.lane

    def exit(self, route: _Route, start: str) -> tuple[float, float]:
        """Where a way turns from its box towards the lane."""
        box = self.boxes[start]
        before = [one for one in self.routes if start in one.exits and one.lane < route.lane]
        x = box.x + _WIDTH - _PORT * (1 + len(before) % 6)
        return x, self.floors[box.layer] + _TRACK * route.exits[start]

    def entry(self, route: _Route) -> tuple[float, float]:
        """Where a way turns from the lane towards its phase."""
        box = self.boxes[route.edges[0].end]
        before = [one for one in self.routes if one.edges[0].end == box.name and one.lane < route.lane]
        x = box.x + _WIDTH - _PORT * (1 + len(before) % 6)
        return x, self.floors[box.layer - 1] + _TRACK * route.entry


def svg(flow: Flow) -> str:
    """The flow as an image; it follows the reader's light or dark setting."""
    plan = _planned(flow)
    width = plan.right + _LANE * (len(plan.routes) + 1) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {plan.height:.0f}" role="img">',
        f"<title>{escape(flow.goal)}</title><style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8" /></marker></defs>',
        *(_curve(edge, plan) for edge in plan.near),
        *(line for route in plan.routes for line in _lane(route, plan)),
        *(_drawn_box(flow, box) for box in plan.boxes.values()),
        *(_curve_label(edge, plan) for edge in plan.near),
        *(_exit_label(edge, route, plan) for route in plan.routes for edge in route.edges),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


# ---- layers ---------------------------------------------------------------------------------------------------------


def _unplaced(flow: Flow) -> dict[str, _Box]:
    """A box for every phase, and one for what is open from all of them, each with its layer."""
    drawn = list(edges(flow))
    layers = _layers(flow, drawn)
    boxes = {
        phase.name: _Box(phase.name, _lines(phase.name, box_lines(flow, phase)), layers[phase.name])
        for phase in flow.phases
    }
    rules = anywhere_lines(flow)
    if rules or any(edge.start == ANYWHERE for edge in drawn):
        boxes[ANYWHERE] = _Box(ANYWHERE, _lines(ANYWHERE, rules), 0)
    return boxes


def _lines(name: str, lines: Sequence[str]) -> tuple[str, ...]:
    return (*wrap(name, _WRAP), *(part for line in lines for part in wrap(line, _WRAP)))


def _layers(flow: Flow, drawn: Sequence[Edge]) -> dict[str, int]:
    """Each phase one below the lowest whose transitions lead to it, ways back left out; then what else is led to."""
    layers = dict.fromkeys([flow.initial_phase] if flow.initial_phase in flow.by_name else list(flow.by_name)[:1], 0)
    for kinds in (("transition",), ("transition", "jump", "stuck", "failure")):
        ahead: dict[str, list[str]] = {}
        for edge in drawn:
            if edge.kind in kinds and edge.end in flow.by_name and edge.start != ANYWHERE:
                ahead.setdefault(edge.start, []).append(edge.end)
        for name in _downwards(ahead, list(layers)):
            for following in ahead.get(name, ()):
                if following not in layers:
                    layers[following] = layers[name] + 1
        if kinds == ("transition",):
            layers = _longest(ahead, layers)
    last = max(layers.values(), default=0)
    return {name: layers.get(name, last + 1) for name in flow.by_name}


def _longest(ahead: Mapping[str, Sequence[str]], found: Mapping[str, int]) -> dict[str, int]:
    """The length of the longest way to each, along an order in which every way but those back goes on."""
    order = _downwards(ahead, list(found)[:1])
    position = {name: number for number, name in enumerate(order)}
    layers = dict.fromkeys(order, 0)
    for name in order:
        for following in ahead.get(name, ()):
            if position[following] > position[name]:
                layers[following] = max(layers[following], layers[name] + 1)
    return layers


def _downwards(ahead: Mapping[str, Sequence[str]], starts: Sequence[str]) -> list[str]:
    """Every name that is led to, each before those that it leads to, but for ways back (reversed depth-first order)."""
    finished: list[str] = []
    seen: set[str] = set()
    stack = [(name, iter(ahead.get(name, ()))) for name in reversed(starts)]
    seen |= set(starts)
    while stack:
        name, following = stack[-1]
        fresh = next((one for one in following if one not in seen), None)
        if fresh is None:
            finished.append(name)
            stack.pop()
        else:
            seen.add(fresh)
            stack.append((fresh, iter(ahead.get(fresh, ()))))
    return finished[::-1]


# ---- places ---------------------------------------------------------------------------------------------------------


def _planned(flow: Flow) -> _Plan:
    boxes = _unplaced(flow)
    drawn = [edge for edge in edges(flow) if edge.start in boxes and edge.end in boxes]
    near = _near(drawn, boxes)
    routes, tracks = _routes([edge for edge in drawn if edge not in near], boxes)
    rows = _rows(boxes, near)
    widest = max(len(row) for row in rows)
    total = widest * _WIDTH + (widest - 1) * _GAP_X
    placed: dict[str, _Box] = {}
    floors = {-1: _MARGIN * 0.5}
    y = float(_MARGIN + _TRACK * tracks.get(-1, 0))
    for layer, row in enumerate(rows):
        x = _MARGIN + (total - len(row) * _WIDTH - (len(row) - 1) * _GAP_X) / 2
        for name in row:
            placed[name] = replace(boxes[name], x=x, y=y)
            x += _WIDTH + _GAP_X
        floors[layer] = y + max((placed[name].height for name in row), default=0.0)
        y = floors[layer] + _FREE + _TRACK * tracks.get(layer, 0)
    last = len(rows) - 1
    height = floors[last] + _MARGIN + _TRACK * tracks.get(last, 0)
    in_order = {name: placed[name] for name in boxes}
    return _Plan(in_order, routes, near, floors, _MARGIN + total, height)


def _near(drawn: Sequence[Edge], boxes: Mapping[str, _Box]) -> list[Edge]:
    """The ways that lead one layer down, one for each pair of phases."""
    found: dict[tuple[str, str], Edge] = {}
    for edge in drawn:
        if edge.start != ANYWHERE and boxes[edge.end].layer == boxes[edge.start].layer + 1:
            found.setdefault((edge.start, edge.end), edge)
    return list(found.values())


def _routes(far: Sequence[Edge], boxes: Mapping[str, _Box]) -> tuple[list[_Route], dict[int, int]]:
    """Ways that take a lane, the shortest innermost; and how many tracks they take in the gap below each layer."""
    shared: dict[tuple[str, str, str], list[Edge]] = {}
    for edge in far:
        shared.setdefault((edge.end, edge.kind, edge.label), []).append(edge)
    tracks: dict[int, int] = {}
    routes = []
    for lane, group in enumerate(sorted(shared.values(), key=lambda group: _span(group, boxes)), start=1):
        exits = {}
        for edge in group:
            layer = boxes[edge.start].layer
            exits[edge.start] = tracks[layer] = tracks.get(layer, 0) + max(1, len(_label_lines(edge)))
        above = boxes[group[0].end].layer - 1
        tracks[above] = tracks.get(above, 0) + 1
        routes.append(_Route(tuple(group), lane, tracks[above], exits))
    return routes, tracks


def _span(group: Sequence[Edge], boxes: Mapping[str, _Box]) -> int:
    end = boxes[group[0].end].layer
    return max(abs(end - boxes[edge.start].layer) for edge in group)


def _rows(boxes: Mapping[str, _Box], near: Sequence[Edge]) -> list[list[str]]:
    """The boxes of each layer, each as near as can be to those that lead to it; what nothing leads to stands right."""
    rows: list[list[str]] = [[] for _ in range(max(box.layer for box in boxes.values()) + 1)]
    for name, box in boxes.items():
        rows[box.layer].append(name)
    for above, row in pairwise(rows):
        places = {name: number / max(1, len(above) - 1) for number, name in enumerate(above)}
        leading = {name: [places[edge.start] for edge in near if edge.end == name] for name in row}
        row.sort(key=lambda name: sum(leading[name]) / len(leading[name]) if leading[name] else 1.0)
    return rows


# ---- drawing --------------------------------------------------------------------------------------------------------


def _drawn_box(flow: Flow, box: _Box) -> str:
    phase = flow.by_name.get(box.name)
    kinds = ["phase", *(["initial"] if box.name == flow.initial_phase else [])]
    kinds += ["anywhere"] if phase is None else ["end"] if phase.end is not None else []
    rows = [
        f'<text class="{"name" if number == 0 else ""}" x="{box.middle:.0f}" '
        f'y="{box.y + _PAD + _LINE * (number + 0.8):.0f}" text-anchor="middle">{escape(line)}</text>'
        for number, line in enumerate(box.lines)
    ]
    frame = f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{_WIDTH}" height="{box.height:.0f}"/>'
    return f'<g class="{" ".join(kinds)}">{frame}{"".join(rows)}</g>'


def _path(edge: Edge, path: str, *, tip: bool, start: str = "") -> str:
    """A line of a way; `start` marks the one that stands for the way from there."""
    named = f' data-start="{escape(start)}" data-end="{escape(edge.end)}"' if start else ""
    arrow = ' marker-end="url(#tip)"' if tip else ""
    return f'<path class="{edge.kind}" d="{path}"{named}{arrow}/>'


def _curve(edge: Edge, plan: _Plan) -> str:
    start, end = plan.boxes[edge.start], plan.boxes[edge.end]
    x0, y0, x1, y1 = start.middle, start.y + start.height, end.middle, end.y
    bend = (y1 - y0) / 2
    path = f"M{x0:.0f} {y0:.0f}C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} {x1:.0f} {y1:.0f}"
    return _path(edge, path, tip=True, start=edge.start)


def _lane(route: _Route, plan: _Plan) -> Iterator[str]:
    """From each box to the lane, along the lane, and from it into the phase."""
    edge, lane = route.edges[0], plan.lane_x(route)
    x, y = plan.entry(route)
    joins = [y]
    for one in route.edges:
        box = plan.boxes[one.start]
        exit_x, exit_y = plan.exit(route, one.start)
        joins.append(exit_y)
        path = f"M{exit_x:.0f} {box.y + box.height:.0f}V{exit_y:.0f}H{lane:.0f}"
        yield _path(one, path, tip=False, start=one.start)
    yield _path(edge, f"M{lane:.0f} {min(joins):.0f}V{max(joins):.0f}", tip=False)
    yield _path(edge, f"M{lane:.0f} {y:.0f}H{x:.0f}V{plan.boxes[edge.end].y:.0f}", tip=True)


def _label_lines(edge: Edge) -> list[str]:
    return wrap(edge.label, _WRAP_LABEL)


def _curve_label(edge: Edge, plan: _Plan) -> str:
    """Three quarters down the curve, where ways from one box have parted."""
    start, end = plan.boxes[edge.start], plan.boxes[edge.end]
    x = start.middle * 0.16 + end.middle * 0.84
    y = end.y - (end.y - start.y - start.height) * 0.3
    lines = _label_lines(edge)
    return _label(lines, x, y - _LINE_LABEL * (len(lines) - 1), "middle")


def _exit_label(edge: Edge, route: _Route, plan: _Plan) -> str:
    """On the line that leaves the box: to its right, or to its left if the lanes are there."""
    x, y = plan.exit(route, edge.start)
    lines = _label_lines(edge)
    outermost = plan.boxes[edge.start].x + _WIDTH >= plan.right - 1
    top = y - 4 - _LINE_LABEL * (len(lines) - 1)
    return _label(lines, x - 5, top, "end") if outermost else _label(lines, x + 5, top, "start")


def _label(lines: Sequence[str], x: float, y: float, anchor: str) -> str:
    rows = enumerate(map(escape, lines))
    return "".join(
        f'<text class="guard" x="{x:.0f}" y="{y + _LINE_LABEL * number:.0f}" text-anchor="{anchor}">{line}</text>'
        for number, line in rows
    )
