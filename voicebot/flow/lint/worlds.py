"""Every state that calls with a flow can come to, looking only at some of its fields.

A state says of each of these fields that it is not recorded, or which of its samples it holds. Whatever else decides
about a way (fields not looked at, verdicts, the author's functions) may fall out either way, so there are never too few
states, though there may be too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from ..expressions import Heard
from ..model import Phase
from ..observations import ObservationSpec
from .places import places_in
from .verdicts import Sight, can_hold, must_hold, verdicts

if TYPE_CHECKING:
    from .study import Study

_MOST_STATES = 4000
_ABSENT = -1

State = tuple[int, ...]  # for each field the number of its sample, or _ABSENT


@dataclass(frozen=True)
class World:
    """What is known of some fields, phase by phase. `states` gives those that a call can be in while in a phase."""

    study: Study
    names: tuple[str, ...]
    states: Callable[[str], Iterable[State]]

    def sights(self, phase: Phase) -> Iterator[Sight]:
        """What may be known while a call is in a phase."""
        return (self.sight(phase, state) for state in self.states(phase.name))

    def last_sights(self, phase: Phase) -> Iterator[Sight]:
        """The same once the phase has nothing more to ask for, and its statements were heard."""
        for state in self.states(phase.name):
            sight = said(phase, self.sight(phase, state))
            if nothing_missing(self.study, phase, sight):
                yield sight

    def sight(self, phase: Phase, state: State) -> Sight:
        """A state as expressions see it."""
        facts = facts_of(self.study, self.names, state)
        return Sight(facts, frozenset(self.names), self.study.possible[phase.name])


def facts_of(study: Study, names: tuple[str, ...], state: State) -> dict[str, object]:
    """The values that a state stands for."""
    return {
        name: (study.samples[name] or ())[number]
        for name, number in zip(names, state, strict=True)
        if number != _ABSENT
    }


def said(phase: Phase, sight: Sight) -> Sight:
    """The same, after the caller has heard what the phase must say."""
    return sight.with_facts({Heard.fact(say.name): True for say in phase.must_say})


def nothing_missing(study: Study, phase: Phase, sight: Sight) -> bool:
    """Whether everything may be there that a phase collects and cannot do without."""
    for name in study.flow.collected_in.get(phase.name, ()):
        spec = study.flow.specs.get(name)
        if spec is None or spec.ask.optional or not sight.missing(name):
            continue
        if spec.ask.needed_if is None or must_hold(spec.ask.needed_if, sight):
            return False
    return True


def may_be_done(study: Study, phase: Phase, sight: Sight) -> bool:
    """Whether a phase may be done at a point at which its statements have been said."""
    quoted = (name for say in phase.must_say for name in places_in(say))
    return (
        nothing_missing(study, phase, sight)
        and not any(map(sight.missing, quoted))
        and all(can_hold(criterion, sight) for criterion in phase.success_criteria)
    )


# ---- everything that is recorded and corrected in any order ---------------------------------------------------------


def corrected_world(study: Study, names: Iterable[str]) -> World:
    """The world in which callers correct and take back whatever they like: every value that a phase may know.

    Nothing comes of a function that works a field out, if it has nothing to say.
    """
    ordered = _ordered(study, names)
    known: dict[str, tuple[State, ...]] = {}

    def states(phase: str) -> tuple[State, ...]:
        if phase not in known:
            known[phase] = tuple(_all_states(study, phase, ordered)) if phase in study.reached else ()
        return known[phase]

    return World(study, ordered, states)


def _all_states(study: Study, phase: str, names: tuple[str, ...]) -> Iterator[State]:
    possible = study.possible[phase]
    ranges = [
        range(_ABSENT, len(study.samples[name] or ()) if name in possible else 0)
        if study.recordable(name)
        else range(_ABSENT, 0)
        for name in names
    ]
    for state in product(*ranges):
        yield from _worked_out(study, names, state, False)


# ---- the ways that calls come ---------------------------------------------------------------------------------------


def followed_world(study: Study, names: Iterable[str], *, surely: bool) -> World | None:
    """The world in which the way that a call has come is believed; None if it is too large to be walked through.

    Args:
        surely: a computed field has a value as soon as there can be one; else its function may also refuse.
    """
    ordered = _ordered(study, names)
    found: dict[str, set[State]] = {phase.name: set() for phase in study.flow.phases}
    world = World(study, ordered, lambda phase: found[phase])
    frontier = [(study.flow.initial_phase, state) for state in _first_states(study, ordered, surely)]
    count = 0
    while frontier:
        name, state = frontier.pop()
        if state in found[name]:
            continue
        found[name].add(state)
        if (count := count + 1) > _MOST_STATES:
            return None
        phase = study.flow.by_name[name]
        if phase.end is None:
            frontier += [(name, next_state) for next_state in _recorded(study, ordered, name, state, surely)]
            frontier += [(end, state) for end in _open_ways(study, phase, world.sight(phase, state))]
        else:  # only where nobody answers does a call go on
            frontier += [(way.end, state) for way in study.ways[name]]
    return world


def _first_states(study: Study, names: tuple[str, ...], surely: bool) -> Iterator[State]:
    """Nothing is known, but for what may be known of the caller beforehand."""
    ranges = []
    for name in names:
        given = study.flow.specs[name].ask.default_from is not None
        ranges.append(range(_ABSENT, len(study.samples[name] or ()) if given else 0))
    for state in product(*ranges):
        yield from _worked_out(study, names, state, surely)


def _recorded(study: Study, names: tuple[str, ...], phase: str, state: State, surely: bool) -> Iterator[State]:
    """The states after one more field is recorded."""
    for position, name in enumerate(names):
        if state[position] == _ABSENT and study.recordable(name) and name in study.possible[phase]:
            for number in range(len(study.samples[name] or ())):
                yield from _worked_out(study, names, _with(state, position, number), surely)


def _open_ways(study: Study, phase: Phase, sight: Sight) -> Iterator[str]:
    """The phases that a call may go to from here."""
    done = may_be_done(study, phase, heard := said(phase, sight))
    if done:
        yield from _transitions(phase, heard)
    for way in study.ways[phase.name]:
        match way.kind:
            case "transition":
                continue
            case "jump":
                if _jump_is_open(phase, way.end, sight):
                    yield way.end
            case "failure" if phase.commit is not None and way.cause == phase.commit.tool.name:
                if done:
                    yield way.end
            case _:
                if way.when is None or way.kind in ("silence", "cost") or can_hold(way.when, sight):
                    yield way.end


def _transitions(phase: Phase, sight: Sight) -> Iterator[str]:
    for to in phase.transitions:
        if to.when is None or can_hold(to.when, sight):
            yield to.phase
        if to.when is None or must_hold(to.when, sight):
            return


def _jump_is_open(phase: Phase, end: str, sight: Sight) -> bool:
    """A jump to where a transition leads too needs that one's guard."""
    guards = [to.when for to in phase.transitions if to.phase == end and to.when is not None]
    return not guards or any(can_hold(guard, sight) for guard in guards)


# ---- computed fields ------------------------------------------------------------------------------------------------


def _ordered(study: Study, names: Iterable[str]) -> tuple[str, ...]:
    """Fields in their order, each computed one after what it is computed from, as far as there is such an order."""
    wanted = [name for name in study.flow.specs if name in set(names)]
    ordered = [name for name in wanted if study.recordable(name)]
    rest = [name for name in wanted if name not in ordered]
    while rest:
        ready = [name for name in rest if not _reads(study.flow.specs[name]) & set(rest)] or rest
        ordered += ready
        rest = [name for name in rest if name not in ready]
    return tuple(ordered)


def _reads(spec: ObservationSpec) -> set[str]:
    return set() if spec.ask.computed is None else set(spec.ask.computed.reads)


def _worked_out(study: Study, names: tuple[str, ...], state: State, surely: bool) -> Iterator[State]:
    """The state with its computed fields as they may come out; `surely` there is something as soon as there can be."""
    if all(map(study.recordable, names)):
        yield state
        return
    states = [tuple(number if study.recordable(name) else _ABSENT for name, number in zip(names, state, strict=True))]
    for position, name in enumerate(names):
        if not study.recordable(name):
            states = [
                _with(before, position, number)
                for before in states
                for number in _computed_numbers(study, names, before, study.flow.specs[name], surely)
            ]
    yield from states


def _computed_numbers(
    study: Study, names: tuple[str, ...], state: State, spec: ObservationSpec, surely: bool
) -> Iterator[int]:
    """The values a computed field may have, and whether it may be without one."""
    sight = Sight(facts_of(study, names, state), frozenset(names), frozenset(study.flow.specs))
    waits = {_waits(study, spec, name, sight) for name in _reads(spec)}
    needed_if = spec.ask.needed_if
    if True not in waits and (needed_if is None or can_hold(needed_if, sight)):
        yield from range(len(study.samples[spec.name] or ()))
    if not surely or waits - {False} or not (needed_if is None or must_hold(needed_if, sight)):
        yield _ABSENT


def _waits(study: Study, spec: ObservationSpec, name: str, sight: Sight) -> bool | None:
    """Whether a computed field waits for one that it reads; None if that is open."""
    read, function = study.flow.specs.get(name), spec.ask.computed
    if name in sight.facts or read is None:
        return False
    if not sight.missing(name):
        return None
    if function is None or name not in function.optional:
        return True
    if read.ask.optional:
        return False
    left_out = frozenset({True}) if read.ask.needed_if is None else verdicts(read.ask.needed_if, sight)
    if False not in left_out:
        return True
    return False if left_out == {False} else None


def _with(state: State, position: int, number: int) -> State:
    return (*state[:position], number, *state[position + 1 :])
