"""The values a field can have, reduced to a few samples: one for each way it can answer the flow's comparisons.

Choices (truth values, literals, enums) are all there are. Of numbers, dates and times there is a sample at every
constant that they are compared with, on both sides of it, and at the bounds of the type. Of text and of everything else
there are the constants, and one sample that stands for all the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain, pairwise

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from voicebot.errors import FunctionFailedError

from ..expressions import Compare
from ..observations import ObservationSpec

MOST_SAMPLES = 12  # a field that falls into more pieces is not followed
_MOST_CONSTANTS = 24
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class _Rest:
    """Stands for every value that no comparison names."""

    def __repr__(self) -> str:
        return "something else"


class _RestOfText(str):
    """The same among texts, so that it has a place in their order."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "something else"


def samples_of(spec: ObservationSpec, comparisons: Sequence[Compare]) -> tuple[object, ...] | None:
    """Values that stand for all values of a field; None if it takes too many of them.

    Args:
        comparisons: every comparison of this field in the flow.
    """
    constants = [comparison.value for comparison in comparisons]
    if len(constants) > _MOST_CONSTANTS:
        return None
    kept: dict[tuple[bool | None, ...], object] = {}
    try:
        for value in _candidates(spec, constants):
            answers = tuple(answer(comparison, {spec.name: value}) for comparison in comparisons)
            kept.setdefault(answers, value)
    except FunctionFailedError:
        return None
    return tuple(kept.values()) if len(kept) <= MOST_SAMPLES else None


def answer(comparison: Compare, facts: Mapping[str, object]) -> bool | None:
    """What a comparison comes to; None also where the author's types cannot be compared at all."""
    try:
        return comparison.evaluate(facts)
    except (TypeError, ValueError, ArithmeticError):
        return None


def fits(spec: ObservationSpec, comparison: Compare) -> bool:
    """Whether the constant is one that the field could be equal to, or that has a place in the order of its values."""
    try:
        values = list(_candidates(spec, [comparison.value]))
    except FunctionFailedError:
        return True
    answers = {answer(comparison, {spec.name: value}) for value in values}
    if comparison.operator in ("==", "!="):
        return (comparison.operator == "==") in answers
    return answers != {None} or any(isinstance(value, _Rest) for value in values)


def has_json_form(value: object) -> bool:
    """Whether a constant can stand in a flow's JSON form."""
    try:
        to_jsonable_python(value)
    except (PydanticSerializationError, ValueError):
        return False
    return True


def in_words(value: object) -> str:
    """A sample as a finding shows it."""
    return repr(value) if isinstance(value, _Rest | _RestOfText) else repr(to_jsonable_python(value))


def takes(spec: ObservationSpec, value: object) -> bool:
    """Whether a field can hold a value.

    Raises:
        FunctionFailedError: a validator of the author broke.
    """
    return any(True for _ in _valid(spec, value))


_JSON_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (type(None), "null"),
)


def json_types(schema: Mapping[str, object]) -> set[str]:
    """The types of JSON that values of a schema have, as far as it says."""
    found: set[str] = set()
    for part in _parts(schema):
        for choice in _choices(part) or ():
            found |= {name for kind, name in _JSON_TYPES if type(choice) is kind}
        if isinstance(kind := part.get("type"), str):
            found.add(kind)
    return found


# ---- candidates -----------------------------------------------------------------------------------------------------


def _candidates(spec: ObservationSpec, constants: Sequence[object]) -> Iterator[object]:
    """Values of the field's type that may answer its comparisons differently."""
    parts = list(_parts(spec.schema))
    for part in parts:
        for choice in _choices(part) or ():
            yield from _valid_json(spec, choice)
    named = [typed for constant in constants for typed in _valid(spec, constant)]
    yield from named
    open_parts = [part for part in parts if _choices(part) is None]
    if not open_parts:
        return
    for point in _numbers(constants, open_parts):
        yield from _valid_number(spec, point)
    for typed in named:
        for value in _neighbours(typed):
            yield from _valid(spec, value)
    yield from _rest(spec, open_parts, named)


def _rest(
    spec: ObservationSpec, open_parts: Iterable[Mapping[str, object]], named: Sequence[object]
) -> Iterator[object]:
    """What stands for all other values; an ordered type has samples on all sides, and needs one only if it has none."""
    for part in open_parts:
        if part.get("type") == "string" and part.get("format") not in _ORDERED_FORMATS:
            yield _RestOfText("\U0010ffff")
            yield _RestOfText("")
        elif not _ordered(part):
            yield _Rest()
        elif not any(isinstance(value, _kinds(part)) and not isinstance(value, bool) for value in named):
            some = [value for value in _SOME_ORDERED if isinstance(value, _kinds(part))]
            yield next(chain.from_iterable(_valid(spec, value) for value in some), _Rest())


_NOON = datetime.combine(date(2026, 1, 1), time(12))
_SOME_ORDERED = (0, 1, _NOON.date(), _NOON, _NOON.replace(tzinfo=UTC), time(12), timedelta(0))
_ORDERED_FORMATS: dict[object, tuple[type, ...]] = {
    "date": (date,),
    "time": (time,),
    "date-time": (datetime,),
    "duration": (timedelta,),
    "decimal": (int, float, Decimal),
}


def _kinds(part: Mapping[str, object]) -> tuple[type, ...]:
    """The Python types of a type that has an order."""
    return _ORDERED_FORMATS.get(part.get("format"), (int, float, Decimal))


def _parts(schema: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The members of a union, or the type itself."""
    members = schema.get("anyOf")
    if not isinstance(members, list):
        yield schema
        return
    for member in members:
        yield from _parts(member)


def _choices(part: Mapping[str, object]) -> list[object] | None:
    """All values of a type that has few of them."""
    if "const" in part:
        return [part["const"]]
    if isinstance(found := part.get("enum"), list):
        return found
    choices: dict[object, list[object]] = {"boolean": [True, False], "null": [None]}
    return choices.get(part.get("type"))


def _ordered(part: Mapping[str, object]) -> bool:
    return part.get("type") in ("integer", "number") or part.get("format") in _ORDERED_FORMATS


def _numbers(constants: Iterable[object], parts: Iterable[Mapping[str, object]]) -> list[Decimal]:
    """Every number that is named, the numbers around it, and those half-way to the next."""
    named = [*constants, *(part[bound] for part in parts for bound in _BOUNDS if bound in part)]
    points = sorted({found for value in named if (found := _decimal(value)) is not None})
    around = {near for point in points for near in (point - 1, point, point + 1, point.__floor__(), point.__ceil__())}
    halfway = {(low + high) / 2 for low, high in pairwise(points)}
    return sorted({Decimal(value) for value in around | halfway})


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 30 else None


def _neighbours(value: object) -> Iterator[object]:
    """The values next to a date, a time or a length of time, where there are any."""
    step = timedelta(days=1) if isinstance(value, date) else timedelta(seconds=1)
    try:
        if isinstance(value, date | timedelta):
            yield value - step
            yield value + step
        elif isinstance(value, time):
            for moved in (datetime.combine(date(2000, 1, 2), value) + sign * step for sign in (-1, 1)):
                if moved.date() == date(2000, 1, 2):
                    yield moved.timetz()
    except OverflowError:  # the first or the last there is
        return


def _valid_number(spec: ObservationSpec, number: Decimal) -> Iterator[object]:
    whole = number == number.to_integral_value()
    for form in (int(number) if whole else number, number, float(number)):
        if found := list(_valid(spec, form)):
            yield from found
            return


def _valid_json(spec: ObservationSpec, value: object) -> Iterator[object]:
    yield from _validated(spec, lambda: spec.adapter.validate_json(json.dumps(value)))


def _valid(spec: ObservationSpec, value: object) -> Iterator[object]:
    """The value as the field would hold it, if it can."""
    yield from _validated(spec, lambda: spec.adapter.validate_python(value))


def _validated(spec: ObservationSpec, validate: Callable[[], object]) -> Iterator[object]:
    try:
        typed = validate()
    except ValidationError:
        return
    except Exception as exc:
        raise FunctionFailedError(f"a validator of {spec.name} failed ({type(exc).__name__})") from exc
    yield typed
