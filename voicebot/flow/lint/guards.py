"""Rules about guards, decided by looking at everything that calls can come to.

What can *never* be is told from a world in which callers correct whatever they like; what *may* go wrong from one in
which the way that a call has come is believed, so that neither says too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from ..expressions import Expression, Heard, Otherwise
from ..model import Phase
from ..plain import plain
from ..source import place_of
from .findings import Flaw, LintRule
from .points import FallsThrough, as_when, first_sight, for_lack_of, guards_of, reads_of, talking
from .study import Study
from .verdicts import Sight, can_hold, imagined, must_hold, verdicts
from .worlds import World, may_be_done

_APART = ("key", "rule", "outcome", "analysis", "sms")  # guards that decide apart from a phase's transitions

# ---- gaps -----------------------------------------------------------------------------------------------------------


def _gaps(study: Study) -> Iterator[Flaw]:
    for phase in talking(study):
        guards = guards_of(phase)
        if not guards or any(isinstance(guard, Otherwise) for guard in guards):
            continue
        falls = FallsThrough(study, phase, guards)
        gap = first_sight(study, phase, reads_of(falls.expressions), falls)
        if gap is not None:
            case = next(one for facts in imagined(falls.expressions) if falls.in_case(one := gap.with_facts(facts)))
            when = as_when(study, case, reads_of(guards))
            problem = f"phase {phase.name!r} may be done with no guard holding{when}"
            yield Flaw(place_of(phase), problem, "end its transitions with one without `when`")


def _shadowed(study: Study) -> Iterator[Flaw]:
    """Choices that never come to their turn, though their guards can hold."""
    for phase in talking(study):
        guards = guards_of(phase)
        for number in _never_chosen(guards, _Choices(study, phase)):
            to = phase.transitions[number]
            way = f"to {to.phase!r} by {plain(guards[number])}"
            problem = f"phase {phase.name!r} never goes {way}: an earlier way is always taken"
            yield Flaw(place_of(to) or place_of(phase), problem, "put it before the others, or leave it out")
    outcomes = study.flow.report.outcome
    for number in _never_chosen(list(outcomes.values()), _Choices(study, None)):
        name = list(outcomes)[number]
        problem = f"the outcome {name!r} never comes up: an earlier one always holds with it"
        yield Flaw(place_of(study.flow), problem, "put it before the others, or leave it out")


@dataclass(frozen=True, slots=True)
class _Choices:
    """Every point at which a first choice is made: where a phase is done, or (without one) anywhere."""

    study: Study
    phase: Phase | None

    def sights(self, expressions: Sequence[Expression]) -> Iterator[Sight] | None:
        """None if there are too many."""
        criteria = [] if self.phase is None else list(self.phase.success_criteria)
        world = self.study.world(reads_of([*expressions, *criteria]), "corrected")
        if world is None:
            return None
        cases = imagined([*expressions, *criteria], undecided=True)
        return (sight.with_facts(facts) for sight in self._points(world) for facts in cases)

    def _points(self, world: World) -> Iterator[Sight]:
        if self.phase is None:
            yield from chain.from_iterable(map(world.sights, talking(self.study)))
            return
        yield from world.last_sights(self.phase)

    def decides(self, sight: Sight) -> bool:
        return self.phase is None or may_be_done(self.study, self.phase, sight)


def _never_chosen(guards: Sequence[Expression], choices: _Choices) -> Iterator[int]:
    """The guards that can hold, but never as the first."""
    for number in range(1, len(guards)):
        sights = choices.sights(guards[: number + 1])
        if sights is None:
            continue
        holding = [sight for sight in sights if can_hold(guards[number], sight) and choices.decides(sight)]
        if holding and all(any(must_hold(one, sight) for one in guards[:number]) for sight in holding):
            yield number


def _never_holds(study: Study) -> Iterator[Flaw]:
    for phase in talking(study):
        for to in phase.transitions:
            if to.when is not None and not _holds_somewhere(_Choices(study, phase), to.when):
                because = for_lack_of(study, phase, to.when)
                problem = f"{plain(to.when)} never holds when phase {phase.name!r} is done{because}"
                yield Flaw(place_of(to) or place_of(phase), problem, "mend the guard, or leave the transition out")
    anywhere = _Choices(study, None)
    for guard in study.guards:
        if guard.use in _APART and not _holds_somewhere(anywhere, guard.expression):
            problem = f"{plain(guard.expression)} of {guard.use} {guard.of!r} never holds"
            yield Flaw(guard.where, problem, f"mend it, or leave the {guard.use} out")
        if guard.use == "needed_if" and _never_needed(study, guard.of, guard.expression):
            problem = f"{guard.of!r} is never asked for: {plain(guard.expression)} never holds where it is collected"
            yield Flaw(guard.where, problem, "collect what it depends on before it or with it")


def _holds_somewhere(choices: _Choices, expression: Expression) -> bool:
    """Whether a guard can hold at a point that decides; so it is said of one where nothing ever decides."""
    sights = choices.sights([expression])
    if sights is None:
        return True
    deciding = [sight for sight in sights if choices.decides(sight)]
    return not deciding or any(can_hold(expression, sight) for sight in deciding)


def _never_needed(study: Study, name: str, needed_if: Expression) -> bool:
    places = [phase for phase in talking(study) if name in study.flow.collected_in[phase.name]]
    world = study.world(reads_of([needed_if]), "corrected")
    if world is None or not places:
        return False
    sights = chain.from_iterable(map(world.sights, places))
    return not any(can_hold(needed_if, sight) for sight in sights)


# ---- circles --------------------------------------------------------------------------------------------------------


def _leads_back(study: Study) -> Iterator[Flaw]:
    """Ways to where everything is answered already, from where the call comes straight back."""
    for phase in talking(study):
        for number, to in enumerate(phase.transitions):
            if to.phase not in (phase.name, *_ends_of(study)) and _always_comes_back(study, phase, number):
                problem = (
                    f"phase {phase.name!r} leads to {to.phase!r}, where everything is answered already: "
                    "nothing is asked again, and the call stays where it is"
                )
                mend = "lead to a phase that asks something new; a caller who corrects an answer is taken back anyway"
                yield Flaw(place_of(to) or place_of(phase), problem, mend)


def _ends_of(study: Study) -> list[str]:
    return [phase.name for phase in study.flow.phases if phase.end is not None]


def _always_comes_back(study: Study, phase: Phase, number: int) -> bool:
    guards = guards_of(phase)
    names = reads_of([*guards, *phase.success_criteria])
    for name in study.within_reach(phase.transitions[number].phase, back_to=phase.name):
        there = study.flow.by_name[name]
        names |= {*study.flow.collected_in[name], *reads_of([*guards_of(there), *there.success_criteria])}
    world = study.world(names)
    taken = [
        sight
        for sight in (() if world is None else world.last_sights(phase))
        if may_be_done(study, phase, sight)
        and can_hold(guards[number], sight)
        and not any(must_hold(one, sight) for one in guards[:number])
    ]
    return bool(taken) and all(_comes_back(study, phase, phase.transitions[number].phase, sight) for sight in taken)


def _comes_back(study: Study, phase: Phase, name: str, sight: Sight) -> bool:
    """Whether every phase from `name` on is surely done, until the call is back in `phase`."""
    seen: set[str] = set()
    while name != phase.name:
        there = study.flow.by_name[name]
        if name in seen or not _surely_done(study, there, sight):
            return False
        seen.add(name)
        following = _surely_next(there, sight.with_facts({Heard.fact(say.name): True for say in there.must_say}))
        if following is None:
            return False
        name = following
    return True


def _surely_done(study: Study, phase: Phase, sight: Sight) -> bool:
    """Whether a phase is over as soon as it is entered: it asks for something, and has all of it."""
    limits = study.flow.limits_of(phase)
    collected = [study.flow.specs[name] for name in study.flow.collected_in[phase.name]]
    needed = [spec for spec in collected if not spec.ask.optional]
    if phase.end is not None or phase.commit is not None or (limits is not None and limits.exact):
        return False
    if not (needed or phase.success_criteria):
        return False
    for spec in needed:
        left_out = spec.ask.needed_if is not None and True not in verdicts(spec.ask.needed_if, sight)
        if spec.name not in sight.facts and not left_out:
            return False
    return all(must_hold(criterion, sight) for criterion in phase.success_criteria)


def _surely_next(phase: Phase, sight: Sight) -> str | None:
    for to, guard in zip(phase.transitions, guards_of(phase), strict=True):
        if must_hold(guard, sight):
            return to.phase
        if can_hold(guard, sight):
            return None
    return None


RULES = (
    LintRule("F007", "warning", "a phase may be done with no guard holding", _gaps, deep=True),
    LintRule("F014", "warning", "a choice never comes to its turn, as an earlier one is taken", _shadowed, deep=True),
    LintRule("F016", "warning", "a guard can never hold", _never_holds, deep=True),
    LintRule("F034", "warning", "a way leads back to where everything is answered already", _leads_back, deep=True),
)
