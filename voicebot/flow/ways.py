"""Every way from one phase of a flow to another: what the linter walks and the diagram draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .expressions import Expression
from .model import Flow, Phase, PhaseLimits, To
from .source import place_of
from .tools import Once
from .ways_out import Transfer

WayKind = Literal[
    "transition",  # the phase is done, and the guard holds
    "jump",  # the caller asks for it
    "stuck",  # the limits of the phase are reached
    "failure",  # a tool that runs once failed
    "rule",  # one of the flow's rules
    "no_answer",  # nobody could be reached for the caller
    "key",  # a key of the phase's menu
    "silence",  # a rung of the silence ladder
    "cost",  # the call has cost what it may
]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the phase `end`.

    Attributes:
        start: the phase it leaves; None if it is open from every phase that does not end the call.
        when: its guard, if it has one.
        cause: of a rule its name, of a failure the tool's, of limits when, of silence how long, of a cost how much, of
            a key which, of a transfer that nobody answers its target; else empty.
        where: `file:line` at which it is written.
    """

    start: str | None
    end: str
    kind: WayKind
    when: Expression | None = None
    cause: str = ""
    where: str | None = None


def ways(flow: Flow) -> Iterator[Way]:
    """Every way of a flow, in the order it is written; limits of all phases, rules, silence and cost come last."""
    for phase in flow.phases:
        yield from ways_of(flow, phase)
    yield from ways_from_anywhere(flow)


def ways_of(flow: Flow, phase: Phase) -> Iterator[Way]:
    """The ways that only this phase has, transitions first, in the order the engine tries them."""
    name, place = phase.name, place_of(phase)
    for to in phase.transitions:
        yield Way(name, to.phase, "transition", to.when, where=place_of(to) or place)
    for key, to in phase.keys.items():
        yield Way(name, to.phase, "key", to.when, key, place_of(to) or place)
    for target in phase.may_jump:
        yield Way(name, target, "jump", where=place)
    if phase.limits is not None:
        yield Way(name, phase.limits.then, "stuck", cause=_bound(phase.limits), where=place)
    for use in (*phase.tools, phase.commit):
        if isinstance(use, Once):
            yield Way(name, use.on_failure, "failure", cause=use.tool.name, where=place)
    for target in dict.fromkeys(targets_of(phase)):
        if target in flow.targets and (back := flow.targets[target].no_answer):
            yield Way(name, back, "no_answer", cause=target, where=place_of(flow.targets[target]) or place)


def targets_of(phase: Phase) -> Iterator[str]:
    """The targets that may be rung from a phase."""
    if isinstance(phase.end, Transfer):
        yield phase.end.to
    yield from phase.may_transfer


def ways_from_anywhere(flow: Flow) -> Iterator[Way]:
    """The ways that are open from every phase that does not end the call."""
    limits, place = flow.limits.phase, place_of(flow)
    if limits is not None:
        yield Way(None, limits.then, "stuck", cause=_bound(limits), where=place)
    for use in flow.tools_everywhere:
        if isinstance(use, Once):
            yield Way(None, use.on_failure, "failure", cause=use.tool.name, where=place)
    for rule in flow.rules:
        if isinstance(rule.then, To):
            yield Way(None, rule.then.phase, "rule", rule.then.when, rule.name, place_of(rule))
    for rung in flow.limits.silence:
        if isinstance(rung.then, To):
            yield Way(None, rung.then.phase, "silence", cause=f"{rung.delay:g} s", where=place)
    if isinstance(flow.limits.cost_way, To):
        yield Way(None, flow.limits.cost_way.phase, "cost", cause=f"${flow.limits.cost_usd:g}", where=place)


def _bound(limits: PhaseLimits) -> str:
    if limits.exact:
        return f"not done in {limits.duration:g} s"
    turns = [f"{limits.turns} turns"] if limits.turns is not None else []
    return "stuck for " + " or ".join([*turns, *([f"{limits.duration:g} s"] if limits.duration is not None else [])])
