"""Points of a call at which something is decided: which there are, and how findings tell of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..expressions import Expression, Heard, Judged, Otherwise
from ..model import Phase
from .domains import in_words
from .study import Study
from .verdicts import HELD, Sight, can_hold, imagined
from .worlds import may_be_done


def talking(study: Study) -> Iterator[Phase]:
    """The phases that a call can be in and talk."""
    return (phase for phase in study.flow.phases if phase.end is None and phase.name in study.reached)


def reads_of(expressions: Iterable[Expression]) -> set[str]:
    """Every observation that some expressions depend on."""
    return {name for expression in expressions for name in expression.reads()}


def guards_of(phase: Phase) -> list[Expression]:
    """The guards of a phase's transitions, in their order."""
    return [Otherwise() if to.when is None else to.when for to in phase.transitions]


@dataclass(frozen=True, slots=True)
class FallsThrough:
    """Whether a phase may be done at a point at which none of its guards holds."""

    study: Study
    phase: Phase
    guards: Sequence[Expression]

    @property
    def expressions(self) -> list[Expression]:
        return [*self.guards, *self.phase.success_criteria]

    def __call__(self, sight: Sight) -> bool:
        return any(self.in_case(sight.with_facts(facts)) for facts in imagined(self.expressions))

    def in_case(self, sight: Sight) -> bool:
        """The same, with the verdicts and functions that the sight holds."""
        open_ways = any(can_hold(guard, sight) for guard in self.guards)
        return not open_ways and may_be_done(self.study, self.phase, sight)


def first_sight(study: Study, phase: Phase, names: set[str], found: Callable[[Sight], bool]) -> Sight | None:
    """A point at which a phase asks for nothing more, and this is so; it must be so with more fields looked at too."""
    sight = None
    for wider in (False, True):
        world = study.world(names, wider=wider)
        sight = next(filter(found, () if world is None else world.last_sights(phase)), None)
        if sight is None:
            return None
    return sight


def as_when(study: Study, sight: Sight, names: Collection[str]) -> str:
    """When a point of the call comes about, in words; only of the fields that matter."""
    said = [
        f"{name} is {in_words(sight.facts[name])}" if name in sight.facts else f"{name} is not known"
        for name in sorted(names)
        if name in sight.followed and (name not in sight.facts or len(study.samples[name] or ()) > 1)
    ]
    for fact, value in sight.facts.items():
        if fact.startswith(Judged.fact("")):
            said.append(f"{fact.removeprefix(Judged.fact(''))!r} is judged {'so' if value else 'not so'}")
        elif fact.startswith(HELD):
            said.append(f"{fact.removeprefix(HELD)} says {'yes' if value else 'no'}")
    return f", as when {' and '.join(said)}" if said else ""


def for_lack_of(study: Study, phase: Phase, expression: Expression) -> str:
    """What is missing for an expression, if something is that no call can have come by."""
    possible = study.possible[phase.name]
    if unknown := [name for name in expression.reads() if name not in possible]:
        return f": no phase up to here gives {unknown[0]!r}"
    if unsaid := [name for name in expression.statements() if Heard.fact(name) not in possible]:
        return f": no phase up to here says {unsaid[0]!r}"
    if any(Judged.fact(criterion) not in possible for criterion in expression.judgements()):
        return ": no phase up to here asks the model to judge it"
    return ""
