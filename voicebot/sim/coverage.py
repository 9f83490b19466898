"""What calls have covered of a flow: every phase, way, rule, criterion and exit that some call went through.

A flow has points; a call covers some of them. Both are read from data: the points from the flow, what was covered from
the engine's entries in the call's journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from voicebot.engine.entries import (
    EngineEntry,
    PhaseCause,
    PhaseEntered,
    RuleApplied,
    SilenceNoticed,
    StatementHeard,
)
from voicebot.engine.standing import Standing
from voicebot.engine.state import EngineState, apply
from voicebot.flow.model import Flow
from voicebot.flow.ways import Way, WayKind, ways

PointKind = Literal[
    "phase",
    "transition",
    "jump",
    "criterion",
    "statement",
    "rule",
    "stuck",
    "failure",
    "silence",
    "no_answer",
    "key",
    "cost",
]

_ANY = "any phase"
_PLURAL: Mapping[PointKind, str] = {
    "phase": "phases",
    "transition": "transitions",
    "jump": "jumps",
    "criterion": "criteria",
    "statement": "statements",
    "rule": "rules",
    "key": "keys",
    "stuck": "ways out when stuck",
    "failure": "ways of failure",
    "silence": "silences",
    "no_answer": "ways back from transfers",
    "cost": "ways out of the cost",
}
_WAY_OF: Mapping[PhaseCause, WayKind] = {
    "criteria": "transition",
    "return": "transition",
    "correction": "transition",
    "jump": "jump",
    "key": "key",
    "stuck": "stuck",
    "failure": "failure",
    "no_answer": "no_answer",
    "cost": "cost",
}


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """Something of a flow that a call can cover; `name` is how it is shown."""

    kind: PointKind
    name: str


def points(flow: Flow) -> list[Point]:
    """Every point of a flow, each once, in the order of the flow."""
    found = [Point("phase", phase.name) for phase in flow.phases]
    found += [point for way in ways(flow) if (point := _point_of(way)) is not None]
    for phase in flow.phases:
        found += [Point("criterion", f"{phase.name}: {criterion!r}") for criterion in phase.success_criteria]
    found += [Point("statement", name) for name in flow.statements]
    found += [Point("rule", rule.name) for rule in flow.rules]
    found += [Point("silence", _rung(flow, number)) for number in range(len(flow.limits.silence))]
    return list(dict.fromkeys(found))


def covered(flow: Flow, decisions: Iterable[EngineEntry]) -> frozenset[Point]:
    """The points that a call with these entries covered."""
    state = EngineState(flow.initial_phase)
    standing = Standing(flow, state)
    every = set(points(flow))
    found: set[Point] = set()
    for entry in decisions:
        if isinstance(entry, PhaseEntered) and entry.previous is not None:
            found |= set(_held(standing, entry))
            kind = _WAY_OF.get(entry.cause)
            if kind is not None:
                own = Point(kind, f"{entry.previous} → {entry.phase}")
                found.add(own if own in every else Point(kind, f"{_ANY} → {entry.phase}"))
        apply(state, flow, entry, 0.0)
        match entry:
            case PhaseEntered(phase=phase):
                found.add(Point("phase", phase))
            case RuleApplied(rule=rule):
                found.add(Point("rule", rule))
            case StatementHeard(name=name):
                found.add(Point("statement", name))
            case SilenceNoticed(rung=rung):
                found.add(Point("silence", _rung(flow, rung)))
    return frozenset(found & every)


def _held(standing: Standing, left: PhaseEntered) -> Iterator[Point]:
    """The criteria that held when a phase was left because it was done."""
    if left.cause in ("criteria", "return"):
        for criterion in standing.phase.success_criteria:
            if standing.holds(criterion):
                yield Point("criterion", f"{standing.phase.name}: {criterion!r}")


def _point_of(way: Way) -> Point | None:
    """The point of a way; rules and silence are points of their own."""
    match way.kind:
        case "rule" | "silence":
            return None
        case kind:
            return Point(kind, f"{way.start or _ANY} → {way.end}")


def _rung(flow: Flow, number: int) -> str:
    rung = flow.limits.silence[number]
    return f"after {rung.delay:g} s"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What calls covered of a flow: of each kind of point, how many of how many; and what was never covered."""

    counts: Mapping[PointKind, tuple[int, int]]
    missed: tuple[Point, ...]

    def __str__(self) -> str:
        return ", ".join(f"{_PLURAL[kind]} {have}/{of}" for kind, (have, of) in self.counts.items())

    @property
    def full(self) -> bool:
        """Whether nothing is missing."""
        return not self.missed


def coverage(flow: Flow, reached: frozenset[Point]) -> Coverage:
    """Hold what was reached against all there is."""
    every = points(flow)
    kinds = dict.fromkeys(point.kind for point in every)
    counts = {
        kind: (sum(one in reached for one in every if one.kind == kind), sum(one.kind == kind for one in every))
        for kind in kinds
    }
    return Coverage(counts, tuple(one for one in every if one not in reached))
