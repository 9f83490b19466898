"""Rules about the end of a phase: that it can be done, and does not wait for what nobody is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from ..expressions import Expression
from ..model import Phase
from ..plain import plain
from ..source import place_of
from .findings import Flaw, LintRule
from .places import places_in
from .points import as_when, first_sight, for_lack_of, reads_of, talking
from .study import Study
from .verdicts import Sight, can_hold, imagined

# ---- a phase that can never be done ---------------------------------------------------------------------------------


def _never_done(study: Study) -> Iterator[Flaw]:
    for phase in talking(study):
        for problem in chain(_out_of_reach(study, phase), _never_satisfied(study, phase)):
            mend = "collect what it waits for in this phase or before it, or leave it out"
            yield Flaw(place_of(phase), f"phase {phase.name!r} can never be done: {problem}", mend)
            break  # one is enough


def _out_of_reach(study: Study, phase: Phase) -> Iterator[str]:
    """What the phase cannot do without, and no call can have come by."""
    flow, possible = study.flow, study.possible[phase.name]
    for name in flow.collected_in[phase.name]:
        spec = flow.specs[name]
        if name not in possible and not spec.ask.optional and spec.ask.needed_if is None:
            yield f"{name!r} is computed from what no phase up to here collects"
    for say in phase.must_say:
        for name in places_in(say):
            if name not in possible:
                yield f"it must say {say.name!r}, but no phase up to here gives {name!r}"
    for name in _needed_arguments(phase):
        if name not in possible:
            yield f"its commit takes {name!r}, but no phase up to here gives it"


def _needed_arguments(phase: Phase) -> list[str]:
    """The observations that a commit cannot do without."""
    members = {} if phase.commit is None else phase.commit.tool.arguments.model_fields
    return [name for name, member in members.items() if member.is_required()]


def _never_satisfied(study: Study, phase: Phase) -> Iterator[str]:
    for criterion in phase.success_criteria:
        if not _may_hold_at_last(study, phase, [criterion]):
            yield f"{plain(criterion)} never holds here{for_lack_of(study, phase, criterion)}"
    if len(phase.success_criteria) > 1 and not _may_hold_at_last(study, phase, phase.success_criteria):
        yield "its criteria never hold together"


def _may_hold_at_last(study: Study, phase: Phase, criteria: Sequence[Expression]) -> bool:
    world = study.world(reads_of(criteria), "corrected")
    if world is None:
        return True
    return any(
        all(can_hold(criterion, sight.with_facts(facts)) for criterion in criteria)
        for sight in world.last_sights(phase)
        for facts in imagined(criteria)
    )


# ---- a phase that may wait for ever ---------------------------------------------------------------------------------


def _waits_in_vain(study: Study) -> Iterator[Flaw]:
    for phase in talking(study):
        exact = phase.limits is not None and phase.limits.exact
        if exact or study.takes_from_tools(phase):
            continue  # its time comes to an end, or a tool may hand in what is missing
        for what, name, names, sight in chain(_quoted_in_vain(study, phase), _criteria_in_vain(study, phase)):
            when = as_when(study, sight, names - {name})
            problem = f"phase {phase.name!r} cannot be done without {name!r}, which need not be there{when}: {what}"
            mend = f"collect {name!r} in this phase as required, or do without it"
            yield Flaw(place_of(phase), problem, mend)


InVain = tuple[str, str, set[str], Sight]  # what waits, for which field, on which fields that hangs, and when


def _quoted_in_vain(study: Study, phase: Phase) -> Iterator[InVain]:
    """Values that a statement or the commit needs, and that need not be there when all the rest is."""
    wanted = {name: f"it must say {say.name!r}, which quotes it" for say in phase.must_say for name in places_in(say)}
    wanted |= dict.fromkeys(_needed_arguments(phase), "its commit fails without it")
    for name, what in wanted.items():
        if name in study.possible[phase.name]:
            names = study.closed({name})
            sight = first_sight(study, phase, {name}, _IsMissing(name))
            if sight is not None:
                yield what, name, names, sight


def _criteria_in_vain(study: Study, phase: Phase) -> Iterator[InVain]:
    """Fields that only a criterion asks for."""
    for criterion in phase.success_criteria:
        names = study.closed(set(criterion.reads()))
        for name in dict.fromkeys(criterion.reads()):
            if (sight := first_sight(study, phase, names, _HoldsOnlyWith(study, criterion, name))) is not None:
                yield f"it waits for {plain(criterion)}", name, names, sight


@dataclass(frozen=True, slots=True)
class _IsMissing:
    """Whether a field is not recorded at a point."""

    name: str

    def __call__(self, sight: Sight) -> bool:
        return sight.missing(self.name)


@dataclass(frozen=True, slots=True)
class _HoldsOnlyWith:
    """Whether a criterion cannot hold at a point for want of one field."""

    study: Study
    criterion: Expression
    name: str

    def __call__(self, sight: Sight) -> bool:
        if self.name not in sight.possible or not sight.missing(self.name) or can_hold(self.criterion, sight):
            return False
        values = self.study.samples[self.name] or ()
        return any(can_hold(self.criterion, sight.with_facts({self.name: value})) for value in values)


RULES = (
    LintRule("F017", "error", "a phase can never be done", _never_done, deep=True),
    LintRule("F018", "warning", "a phase may wait for what nobody has to tell", _waits_in_vain, deep=True),
)
