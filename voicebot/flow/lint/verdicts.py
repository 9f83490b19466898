"""What an expression may come to at a point of the call of which not everything is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from ..expressions import All, AnyOf, Compare, Expression, Filled, Heard, Holds, Judged, Not, Otherwise
from ..functions import ValueFunction
from .domains import answer

Verdicts = frozenset[bool | None]
HOLDS: Verdicts = frozenset({True})
HELD = "holds "  # before the name of an author's function, among the facts
_OPEN: Verdicts = frozenset({True, False, None})
_EITHER: Verdicts = frozenset({True, False})
_UNKNOWN: Verdicts = frozenset({None})


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known at a point of the call.

    Attributes:
        facts: values by field, statements that were heard, verdicts that were given, as the engine holds them; and what
            the author's functions say, under `verdict_of`.
        followed: the fields of which all is known: one that has no value in `facts` is not recorded.
        possible: the fields, statements and verdicts that a call can have come by up to here.
    """

    facts: Mapping[str, object]
    followed: frozenset[str]
    possible: frozenset[str]

    def with_facts(self, more: Mapping[str, object]) -> Sight:
        """The same point, with these facts."""
        return Sight({**self.facts, **more}, self.followed, self.possible)

    def missing(self, name: str) -> bool:
        """Whether a field is surely not recorded."""
        return name not in self.facts and (name in self.followed or name not in self.possible)


def verdict_of(function: ValueFunction) -> str:
    """The key under which what an author's function says stands among the facts; no field is named so."""
    return HELD + function.name


def verdicts(expression: Expression, sight: Sight) -> Verdicts:
    """Everything that an expression may come to there."""
    match expression:
        case Otherwise():
            return HOLDS
        case Filled(field=field):
            return _filled(field.name, sight)
        case Compare(field=field):
            return _compared(expression, field.name, sight)
        case Heard(name=name):
            return _given(Heard.fact(name), sight, unknown=False)
        case Judged(criterion=criterion):
            return _given(Judged.fact(criterion), sight, unknown=None)
        case Holds(function=function):
            return _held(function, sight)
        case Not(part=part):
            return frozenset(None if one is None else not one for one in verdicts(part, sight))
        case All(parts=parts):
            return _joined((verdicts(part, sight) for part in parts), decisive=False)
        case AnyOf(parts=parts):
            return _joined((verdicts(part, sight) for part in parts), decisive=True)
    return _OPEN


def can_hold(expression: Expression, sight: Sight) -> bool:
    """Whether it may be true there."""
    return True in verdicts(expression, sight)


def must_hold(expression: Expression, sight: Sight) -> bool:
    """Whether it cannot but be true there."""
    return verdicts(expression, sight) == HOLDS


def _filled(name: str, sight: Sight) -> Verdicts:
    if name in sight.facts:
        return HOLDS
    return frozenset({False}) if sight.missing(name) else _EITHER


def _compared(comparison: Compare, name: str, sight: Sight) -> Verdicts:
    if name in sight.facts:
        return frozenset({answer(comparison, sight.facts)})
    return _UNKNOWN if sight.missing(name) else _OPEN


def _given(fact: str, sight: Sight, *, unknown: bool | None) -> Verdicts:
    """Of a statement or a verdict: before it comes, its expression is `unknown`."""
    if fact in sight.facts:
        return frozenset({sight.facts[fact] is True})
    return frozenset({unknown}) if fact not in sight.possible else _EITHER | {unknown}


def _held(function: ValueFunction, sight: Sight) -> Verdicts:
    waits = [name for name in function.reads if name not in function.optional]
    if any(map(sight.missing, waits)):
        return _UNKNOWN
    said = sight.facts.get(verdict_of(function))
    found: Verdicts = _EITHER if said is None else frozenset({said is True})
    return found if all(name in sight.facts for name in waits) else found | {None}


def _joined(parts: Iterable[Verdicts], *, decisive: bool) -> Verdicts:
    """Kleene's `and` (`decisive` False) or `or` (True) over what each part may come to."""
    found: frozenset[bool | None] = frozenset({not decisive})
    for part in parts:
        found = frozenset([_kleene(one, other, decisive) for one, other in product(found, part)])
        if found == {decisive}:
            break
    return found


def _kleene(one: bool | None, other: bool | None, decisive: bool) -> bool | None:
    if one is decisive or other is decisive:
        return decisive
    return None if None in (one, other) else not decisive


# ---- what only the call can tell ------------------------------------------------------------------------------------

_MOST_CASES = 81


def imagined(expressions: Iterable[Expression], *, undecided: bool = False) -> list[dict[str, object]]:
    """Every way the verdicts in words and the author's functions of these expressions may fall out together.

    Args:
        undecided: also with verdicts that were not given yet.
    """
    choices: dict[str, tuple[bool | None, ...]] = {}
    for expression in expressions:
        verdict = (True, False, None) if undecided else (True, False)
        choices |= dict.fromkeys((Judged.fact(criterion) for criterion in expression.judgements()), verdict)
        choices |= dict.fromkeys(map(verdict_of, expression.functions()), (True, False))
    if prod(map(len, choices.values())) > _MOST_CASES:
        return [{}]  # each alone may fall out either way
    cases = (dict(zip(choices, values, strict=True)) for values in product(*choices.values()))
    return [{key: value for key, value in case.items() if value is not None} for case in cases]
