"""A flow as a diagram, drawn from the same objects the engine runs; here as Mermaid text, in `svg` as an image.

Solid arrows are transitions with their guards; dotted ones are what may happen besides: a jump the caller asks for, a
rule, a silence, a phase that is stuck, a tool that failed, a transfer that nobody answers. What is open from every
phase is drawn once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from .expressions import Expression, Judged
from .lint.places import places_in
from .model import Flow, HangUp, Key, Phase, Rule, Say, To
from .plain import plain
from .ways import Way, WayKind, ways
from .ways_out import Transfer

ANYWHERE = "any phase"  # where a way starts that is open from every phase; no phase is named so


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one phase (or `ANYWHERE`) to another. `label` is its guard or its cause, empty if it always holds."""

    start: str
    end: str
    label: str
    kind: WayKind


def edges(flow: Flow) -> Iterator[Edge]:
    """Every way of a flow, in the order the engine tries them; a jump that a transition makes too is left out."""
    shown: set[Edge] = set()
    for way in ways(flow):
        start = ANYWHERE if way.start is None else way.start
        edge = Edge(start, way.end, _label(flow, way), way.kind)
        doubled = way.kind == "jump" and (start, way.end) in {(one.start, one.end) for one in shown}
        if edge not in shown and not doubled:
            shown.add(edge)
            yield edge


def _label(flow: Flow, way: Way) -> str:
    guard = "" if way.when is None else plain(way.when)
    match way.kind:
        case "transition":
            return guard
        case "jump":
            return "on request"
        case "stuck":
            return way.cause
        case "failure":
            return f"{way.cause} failed"
        case "silence":
            return f"after {way.cause} of silence"
        case "cost":
            return f"the call has cost {way.cause}"
        case "no_answer":
            return f"nobody answers at {way.cause}"
        case "key":
            return " & ".join(part for part in (f"key {way.cause}", guard) if part)
    rule = next(rule for rule in flow.rules if rule.name == way.cause)
    return " & ".join(part for part in (_event(rule), guard) if part)


def _event(rule: Rule) -> str:
    return f"key {rule.when.key}" if isinstance(rule.when, Key) else rule.when


# ---- what stands in a box -------------------------------------------------------------------------------------------


def box_lines(flow: Flow, phase: Phase) -> list[str]:
    """What a phase is about, a line each: what it finds out, what it says, what it waits for, and what it does.

    A `?` marks what is asked for only at times, `=` what is computed.
    """
    specs = [flow.specs[name] for name in flow.collected_in.get(phase.name, ()) if name in flow.specs]
    lines = [
        spec.name
        + ("?" if spec.ask.optional or spec.ask.needed_if is not None else "")
        + (", read back" if spec.ask.confirm is not None else "")
        + (", secret keys" if spec.ask.secret else ", or keys" if spec.ask.keypad is not None else "")
        for spec in specs
        if spec.ask.computed is None
    ]
    lines += [f"= {name}" for name in _computed_here(flow, phase)]
    lines += [f"says “{say.name}”" for say in phase.must_say]
    lines += [f"until {_criterion(criterion)}" for criterion in phase.success_criteria]
    if phase.commit is not None:
        lines.append(f"does {phase.commit.tool.name} once")
    if phase.limits is not None and phase.limits.exact:
        lines.append(f"lasts {phase.limits.duration:g} s")
    if isinstance(phase.end, Transfer):
        lines.append(f"rings {phase.end.to}")
    lines += [f"may ring {target}" for target in phase.may_transfer]
    return lines


def _computed_here(flow: Flow, phase: Phase) -> list[str]:
    """The computed fields that a phase hangs on."""
    expressions = [*phase.success_criteria, *(to.when for to in phase.transitions if to.when is not None)]
    named = [name for say in phase.must_say for name in places_in(say)]
    named += [name for expression in expressions for name in expression.reads()]
    named += phase.commit.tool.arguments.model_fields if phase.commit is not None else []
    return [name for name in dict.fromkeys(named) if name in flow.specs and flow.specs[name].ask.computed is not None]


def _criterion(criterion: Expression) -> str:
    return f"judged: {criterion.criterion}" if isinstance(criterion, Judged) else plain(criterion)


def anywhere_lines(flow: Flow) -> list[str]:
    """The rules that lead to no phase."""
    lines = []
    for rule in flow.rules:
        match rule.then:
            case Say(text=text):
                lines.append(f"{_event(rule)}: says “{text}”")
            case HangUp():
                lines.append(f"{_event(rule)}: hangs up")
            case To():
                continue
    return lines


# ---- Mermaid --------------------------------------------------------------------------------------------------------

# Words that Mermaid keeps for itself; phases have no capitals in their names.
_KEPT = {"end", "graph", "flowchart", "subgraph", "style", "class", "click", "default", "direction", "call", "href"}


def mermaid(flow: Flow) -> str:
    """The flow as Mermaid's `flowchart` text, to be pasted where Mermaid is drawn."""
    lines = ["flowchart TD"]
    for phase in flow.phases:
        opening, closing = ("([", "])") if phase.end is not None else ("[", "]")
        lines.append(f'    {_id(phase.name)}{opening}"{_text(phase.name, box_lines(flow, phase))}"{closing}')
    drawn = list(edges(flow))
    if anywhere_lines(flow) or any(edge.start == ANYWHERE for edge in drawn):
        lines.append(f'    {_id(ANYWHERE)}{{{{"{_text(ANYWHERE, anywhere_lines(flow))}"}}}}')
    for edge in drawn:
        arrow = "-->" if edge.kind == "transition" else "-.->"
        label = f'|"{_quoted(edge.label)}"|' if edge.label else ""
        lines.append(f"    {_id(edge.start)} {arrow}{label} {_id(edge.end)}")
    lines.append(f"    style {_id(flow.initial_phase)} stroke-width:3px")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    return "ANY" if name == ANYWHERE else name.upper() if name in _KEPT else name


def _text(name: str, lines: list[str]) -> str:
    return "<br/>".join([f"<b>{name}</b>", *map(_quoted, lines)])


def _quoted(text: str) -> str:
    return escape(text, quote=True).replace("&#x27;", "'").replace("|", "#124;").replace("\n", " ")
