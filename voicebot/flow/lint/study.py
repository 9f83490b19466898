"""A flow as the linter studies it: its ways, who reads what, and what calls can have come by in each phase."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from types import CodeType
from typing import Literal

from ..expressions import Compare, Expression, Heard, Judged
from ..model import Flow, Phase, To
from ..observations import ObservationSpec
from ..source import place_of
from ..tools import Tool
from ..ways import Way, ways_from_anywhere, ways_of
from .domains import samples_of
from .worlds import World, corrected_world, followed_world

_MOST_COMBINATIONS = 600
_MOST_WIDER = 150

WorldKind = Literal["followed", "refusing", "corrected"]
GuardUse = Literal["criterion", "transition", "key", "needed_if", "rule", "outcome", "analysis", "sms"]


@dataclass(frozen=True, slots=True)
class Guard:
    """An expression of the flow and where it stands. `of` names the phase, key, field, rule, outcome or report."""

    expression: Expression
    use: GuardUse
    of: str
    where: str | None


class Study:
    """What the rules ask about one flow; each answer is worked out once."""

    def __init__(self, flow: Flow, day: date | None = None) -> None:
        """`day`: on which the flow is studied, if that is known."""
        self.flow, self.day = flow, day
        self._worlds: dict[tuple[frozenset[str], WorldKind], World | None] = {}

    # ---- guards ---------------------------------------------------------------------------------------------------

    @cached_property
    def guards(self) -> tuple[Guard, ...]:
        """Every expression of the flow."""
        return tuple(self._guards())

    def _guards(self) -> Iterator[Guard]:
        flow = self.flow
        for phase in flow.phases:
            for criterion in phase.success_criteria:
                yield Guard(criterion, "criterion", phase.name, place_of(phase))
            for to in phase.transitions:
                if to.when is not None:
                    yield Guard(to.when, "transition", phase.name, place_of(to) or place_of(phase))
            for key, to in phase.keys.items():
                if to.when is not None:
                    yield Guard(to.when, "key", key, place_of(to) or place_of(phase))
        for spec in flow.specs.values():
            if spec.ask.needed_if is not None:
                yield Guard(spec.ask.needed_if, "needed_if", spec.name, spec.ask.place)
        for rule in flow.rules:
            if isinstance(rule.then, To) and rule.then.when is not None:
                yield Guard(rule.then.when, "rule", rule.name, place_of(rule))
        for name, expression in flow.report.outcome.items():
            yield Guard(expression, "outcome", name, place_of(flow))
        if flow.report.analysis is not None and flow.report.analysis.when is not None:
            yield Guard(flow.report.analysis.when, "analysis", "report", place_of(flow))
        for number, sms in enumerate(flow.report.sms, 1):
            if sms.when is not None:
                yield Guard(sms.when, "sms", str(number), place_of(sms) or place_of(flow))

    @cached_property
    def _comparisons(self) -> Mapping[str, list[Compare]]:
        found: dict[str, list[Compare]] = {}
        for guard in self.guards:
            for leaf in guard.expression.leaves():
                if isinstance(leaf, Compare):
                    found.setdefault(leaf.field.name, []).append(leaf)
        return found

    @cached_property
    def samples(self) -> Mapping[str, tuple[object, ...] | None]:
        """Of each field, values that stand for all its values; None if it takes too many."""
        return {name: samples_of(spec, self._comparisons.get(name, [])) for name, spec in self.flow.specs.items()}

    # ---- ways -----------------------------------------------------------------------------------------------------

    @cached_property
    def ways(self) -> Mapping[str, tuple[Way, ...]]:
        """The ways open from each phase, transitions first."""
        return {phase.name: tuple(self._ways(phase)) for phase in self.flow.phases}

    def _ways(self, phase: Phase) -> Iterator[Way]:
        yield from ways_of(self.flow, phase)
        if phase.end is not None:
            return
        everywhere = self.flow.limits.phase
        for way in ways_from_anywhere(self.flow):
            if way.end != phase.name and (way.kind != "stuck" or self.flow.limits_of(phase) is everywhere):
                yield way

    @cached_property
    def reached(self) -> frozenset[str]:
        """The phases that some way leads to, guards not looked at."""
        reached: set[str] = set()
        frontier = [self.flow.initial_phase]
        while frontier:
            name = frontier.pop()
            if name not in reached and name in self.flow.by_name:
                reached.add(name)
                frontier += [way.end for way in self.ways[name]]
        return frozenset(reached)

    def within_reach(self, name: str, *, back_to: str) -> list[str]:
        """The phases that transitions lead through from one to another, if there is such a way."""
        frontier, found = [name], set[str]()
        while frontier:
            current = frontier.pop()
            if current not in found and current != back_to:
                found.add(current)
                frontier += [to.phase for to in self.flow.by_name[current].transitions]
        leads_back = any(to.phase == back_to for one in found for to in self.flow.by_name[one].transitions)
        return sorted(found) if leads_back else []

    # ---- what calls can have come by ------------------------------------------------------------------------------

    @cached_property
    def possible(self) -> Mapping[str, frozenset[str]]:
        """What may be known in each phase before it ends: fields, statements that were heard, verdicts in words."""
        given = {spec.name for spec in self.flow.specs.values() if spec.ask.default_from is not None}
        found = {phase.name: self._gained(phase) for phase in self.flow.phases}
        if self.flow.initial_phase in found:
            found[self.flow.initial_phase] |= given
        changed = True
        while changed:
            changed = False
            for name in self.reached:
                worked_out = self._computable(found[name])
                for end in (name, *(way.end for way in self.ways[name])):
                    if end in found and not worked_out <= found[end]:
                        found[end] |= worked_out
                        changed = True
        return {name: frozenset(known) for name, known in found.items()}

    def _gained(self, phase: Phase) -> set[str]:
        flow = self.flow
        if phase.end is not None:
            return set()
        collected = {name for name in flow.collected_in.get(phase.name, ()) if self.recordable(name)}
        asked = [*phase.success_criteria, *(to.when for to in phase.transitions if to.when is not None)]
        judged = {Judged.fact(criterion) for expression in asked for criterion in expression.judgements()}
        handed_in = {name for name in flow.specs if self.recordable(name)} if self.takes_from_tools(phase) else set()
        return collected | judged | handed_in | {Heard.fact(say.name) for say in phase.must_say}

    def recordable(self, name: str) -> bool:
        """Whether a field is one that the model or a tool may record."""
        return name in self.flow.specs and self.flow.specs[name].ask.computed is None

    def takes_from_tools(self, phase: Phase) -> bool:
        """Whether a tool of this phase may hand in observations."""
        used = [*self.flow.tools_in(phase), *([phase.commit.tool] if phase.commit is not None else [])]
        return any(map(may_record, used))

    def _computable(self, known: set[str]) -> set[str]:
        """What is known, and the computed fields that can be worked out from it."""
        found = set(known)
        computed = [spec for spec in self.flow.specs.values() if spec.ask.computed is not None]
        for _ in computed:
            found |= {spec.name for spec in computed if all(name in found for name in self.waits_for(spec))}
        return found

    def waits_for(self, spec: ObservationSpec) -> list[str]:
        """The fields that a computed one cannot do without: a default helps where the field may be left out."""
        function = spec.ask.computed
        if function is None:
            return []
        return [name for name in function.reads if name not in function.optional or not self._may_be_left_out(name)]

    def _may_be_left_out(self, name: str) -> bool:
        read = self.flow.specs.get(name)
        return read is not None and (read.ask.optional or read.ask.needed_if is not None)

    # ---- states ---------------------------------------------------------------------------------------------------

    def world(self, names: Iterable[str], kind: WorldKind = "followed", *, wider: bool = False) -> World | None:
        """Every state of these fields that calls can come to, phase by phase; None if there are too many.

        Args:
            kind: `corrected` has every correction a caller can make. In the others the way that a call has come is
                believed: after a correction the engine goes to where the answers lead. There a computed field has a
                value as soon as there can be one; in `refusing` its function may refuse the answers that it is given.
            wider: looks at the fields that guards ask for too, so that fewer ways seem open than are.
        """
        wanted = self.closed(set(names))
        if wider:
            wanted |= self._beside(wanted)
        key = (frozenset(wanted), kind)
        if key not in self._worlds:
            small = self._combinations(wanted) <= _MOST_COMBINATIONS
            self._worlds[key] = self._explored(wanted, kind) if small else None
        return self._worlds[key]

    def _explored(self, names: set[str], kind: WorldKind) -> World | None:
        if kind == "corrected":
            return corrected_world(self, names)
        return followed_world(self, names, surely=kind == "followed")

    def closed(self, names: set[str]) -> set[str]:
        """These fields and those they depend on."""
        frontier, found = list(names), set[str]()
        while frontier:
            name = frontier.pop()
            spec = self.flow.specs.get(name)
            if name in found or spec is None or self.samples[name] is None:
                continue
            found.add(name)
            frontier += [] if spec.ask.needed_if is None else spec.ask.needed_if.reads()
            frontier += () if spec.ask.computed is None else spec.ask.computed.reads
        return found

    def _beside(self, names: set[str]) -> set[str]:
        """More fields that decide about ways, as many as can be looked at."""
        found = set(names)
        for guard in self.guards:
            if guard.use in ("transition", "criterion"):
                more = found | self.closed(set(guard.expression.reads()))
                found = more if self._combinations(more) <= _MOST_WIDER else found
        return found - names

    def _combinations(self, names: set[str]) -> int:
        count = 1
        for name in names:
            count *= len(self.samples[name] or ()) + 1
        return count


def may_record(tool: Tool) -> bool:
    """Whether a tool may hand in observations: it knows the call, and its code, or what that calls, names `record`."""
    return tool.context_parameter is not None and _names_record(tool.function)


def _names_record(function: object) -> bool:
    seen: set[int] = set()
    frontier = [function]
    while frontier:
        current = frontier.pop()
        code = getattr(current, "__code__", None)
        if not isinstance(code, CodeType):
            return True  # no plain function: nobody can tell
        if id(code) in seen:
            continue
        seen.add(id(code))
        names = set(_all_names(code))
        if "record" in names:
            return True
        beside = getattr(current, "__globals__", {})
        module = beside.get("__name__")
        frontier += [
            found
            for name in names
            if getattr(found := beside.get(name), "__module__", None) == module and hasattr(found, "__code__")
        ]
    return False


def _all_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_names(constant)
