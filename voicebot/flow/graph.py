"""A flow as a diagram, drawn from the same objects the engine runs: as Mermaid text, and as SVG without any tool.

The SVG lays phases out in layers, each below all that lead to it. Solid arrows are transitions with their guards;
dotted ones are jumps a caller may ask for and ways out of silence; a way that passes over a layer runs along the right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Literal

from .model import Flow, Phase, To

EdgeKind = Literal["transition", "jump", "silence"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one phase to another. `label` is the guard, empty where it always holds."""

    start: str
    end: str
    label: str
    kind: EdgeKind


def edges(flow: Flow) -> Iterator[Edge]:
    """Every way of a flow, in the order the engine tries them; a jump that a transition makes too is left out.

    The silence ladder's ways, open from every phase, are shown from the initial one.
    """
    for phase in flow.phases:
        for to in phase.transitions:
            yield Edge(phase.name, to.phase, _guard(to), "transition")
        for target in phase.may_jump:
            if target not in {to.phase for to in phase.transitions}:
                yield Edge(phase.name, target, "on request", "jump")
    for rung in flow.limits.silence:
        if isinstance(rung.then, To):
            yield Edge(flow.initial_phase, rung.then.phase, f"after {rung.delay:g} s of silence", "silence")


def _guard(to: To) -> str:
    return "" if to.when is None else repr(to.when).replace("it.", "")


def _needs(flow: Flow, phase: Phase) -> list[str]:
    """What a phase finds out, one name each; those that depend on something are marked with `?`."""
    specs = [flow.specs[name] for name in flow.collected_in[phase.name]]
    return [spec.name + ("?" if spec.ask.optional or spec.ask.needed_if is not None else "") for spec in specs]


# ---- Mermaid --------------------------------------------------------------------------------------------------------

_ARROWS: dict[EdgeKind, str] = {"transition": "-->", "jump": "-.->", "silence": "-.->"}


def mermaid(flow: Flow) -> str:
    """The flow as Mermaid's `flowchart` text, to be pasted where Mermaid is drawn."""
    lines = ["flowchart TD"]
    for phase in flow.phases:
        text = "<br/>".join([f"<b>{phase.name}</b>", *(_quoted(name) for name in _needs(flow, phase))])
        opening, closing = ("([", "])") if phase.end is not None else ("[", "]")
        lines.append(f'    {phase.name}{opening}"{text}"{closing}')
    for edge in edges(flow):
        label = f'|"{_quoted(edge.label)}"|' if edge.label else ""
        lines.append(f"    {edge.start} {_ARROWS[edge.kind]}{label} {edge.end}")
    lines.append(f"    style {flow.initial_phase} stroke-width:3px")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return escape(text, quote=True).replace("&#x27;", "'").replace("|", "#124;")


# ---- SVG ------------------------------------------------------------------------------------------------------------

_WIDTH, _LINE, _PAD, _GAP_X, _GAP_Y, _LANE = 210, 16, 10, 60, 84, 28
_STYLE = """
.phase rect{fill:#fff;stroke:#444;rx:8}.phase.initial rect{stroke-width:3}.phase.end rect{fill:#eee;rx:24}
text{font:12px system-ui,sans-serif;fill:#222}.name{font-weight:600}
.guard{font-size:11px;fill:#555;paint-order:stroke;stroke:#fff;stroke-width:5px}
path{fill:none;stroke:#666}.jump,.silence{stroke-dasharray:4 4}
@media(prefers-color-scheme:dark){.phase rect{fill:#222;stroke:#aaa}.phase.end rect{fill:#333}text{fill:#eee}
.guard{fill:#bbb;stroke:#111}path{stroke:#999}}
"""


@dataclass(frozen=True, slots=True)
class _Box:
    name: str
    lines: tuple[str, ...]
    layer: int
    x: float
    y: float

    @property
    def height(self) -> float:
        return _PAD * 2 + _LINE * len(self.lines)

    @property
    def middle(self) -> float:
        return self.x + _WIDTH / 2


def svg(flow: Flow) -> str:
    """The flow as one self-contained SVG image; it follows the reader's light or dark setting."""
    boxes = _laid_out(flow)
    drawn, right = [], max(box.x + _WIDTH for box in boxes.values())
    lanes = 0
    for edge in edges(flow):
        if edge.start not in boxes or edge.end not in boxes:
            continue
        far = boxes[edge.end].layer != boxes[edge.start].layer + 1
        lanes += far
        drawn.append(_arrow(edge, boxes, right + _LANE * lanes if far else None))
    width = right + _LANE * (lanes + 1) + (160 if lanes else 0)
    height = max(box.y + box.height for box in boxes.values()) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(flow.goal)}</title><style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8" /></marker></defs>',
        *drawn,
        *(_drawn_box(flow, box) for box in boxes.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _laid_out(flow: Flow) -> dict[str, _Box]:
    """A place for every phase: layers from top to bottom, each centred; phases that nothing leads to come last."""
    layers = _layers(flow)
    rows: dict[int, list[Phase]] = {}
    for phase in flow.phases:
        rows.setdefault(layers[phase.name], []).append(phase)
    widest = max(len(row) for row in rows.values())
    total = widest * _WIDTH + (widest - 1) * _GAP_X
    boxes: dict[str, _Box] = {}
    y = 20.0
    for layer in sorted(rows):
        row = rows[layer]
        x = 20 + (total - len(row) * _WIDTH - (len(row) - 1) * _GAP_X) / 2
        for phase in row:
            lines = tuple(line for name in _needs(flow, phase) for line in wrap(name, 28))
            boxes[phase.name] = _Box(phase.name, (phase.name, *lines), layer, x, y)
            x += _WIDTH + _GAP_X
        y += max(boxes[phase.name].height for phase in row) + _GAP_Y
    return boxes


def _layers(flow: Flow) -> dict[str, int]:
    """Each phase one below the lowest that leads to it, ways back left out; phases that nothing leads to come last."""
    ahead: dict[str, list[str]] = {}
    for edge in edges(flow):
        if edge.kind != "silence" and edge.end in flow.by_name:
            ahead.setdefault(edge.start, []).append(edge.end)
    layers: dict[str, int] = {}

    def place(name: str, layer: int, above: tuple[str, ...]) -> None:
        if name in above or layers.get(name, -1) >= layer:
            return
        layers[name] = layer
        for following in ahead.get(name, ()):
            place(following, layer + 1, (*above, name))

    place(flow.initial_phase, 0, ())
    last = max(layers.values())
    return {phase.name: layers.get(phase.name, last + 1) for phase in flow.phases}


def _drawn_box(flow: Flow, box: _Box) -> str:
    kinds = ["phase", *(["initial"] if box.name == flow.initial_phase else [])]
    kinds += ["end"] if flow.by_name[box.name].end is not None else []
    rows = [
        f'<text class="{"name" if number == 0 else ""}" x="{box.middle:.0f}" '
        f'y="{box.y + _PAD + _LINE * (number + 0.8):.0f}" text-anchor="middle">{escape(line)}</text>'
        for number, line in enumerate(box.lines)
    ]
    frame = f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{_WIDTH}" height="{box.height:.0f}"/>'
    return f'<g class="{" ".join(kinds)}">{frame}{"".join(rows)}</g>'


def _arrow(edge: Edge, boxes: dict[str, _Box], lane: float | None) -> str:
    start, end = boxes[edge.start], boxes[edge.end]
    if lane is None:
        x0, y0, x1, y1 = start.middle, start.y + start.height, end.middle, end.y
        bend = (y1 - y0) / 2
        path = f"M{x0:.0f} {y0:.0f}C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} {x1:.0f} {y1:.0f}"
        label_x, label_y, anchor = (x0 + x1) / 2, (y0 + y1) / 2, "middle"
    else:
        y0, y1 = start.y + start.height / 2, end.y + end.height / 2 + 6
        x0, x1 = start.x + _WIDTH, end.x + _WIDTH
        path = f"M{x0:.0f} {y0:.0f}H{lane:.0f}V{y1:.0f}H{x1:.0f}"
        label_x, label_y, anchor = lane + 4, (y0 + y1) / 2, "start"
    lines = wrap(edge.label, 34)
    label = "".join(
        f'<text class="guard" x="{label_x:.0f}" y="{label_y + 13 * (number - (len(lines) - 1) / 2):.0f}" '
        f'text-anchor="{anchor}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return f'<path class="{edge.kind}" d="{path}" marker-end="url(#tip)"/>{label}'
