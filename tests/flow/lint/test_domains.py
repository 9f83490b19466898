"""The few values that stand for all values of a field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, create_model

from voicebot.flow import Observations, PhoneNumber, ask, it
from voicebot.flow.expressions import Compare, Expression
from voicebot.flow.lint.domains import fits, in_words, json_types, samples_of
from voicebot.flow.observations import ObservationSpec, specs_of


class Mood(Enum):
    CALM = "calm"
    CROSS = "cross"


class Place(BaseModel):
    street: str


def spec_of(annotation: Any) -> ObservationSpec:
    members: Any = {"x": (annotation, ask("x"))}
    return specs_of(create_model("Seen", __base__=Observations, **members))[0]


def comparisons(*given: Expression) -> list[Compare]:
    return [one for one in given if isinstance(one, Compare)]


def shown(annotation: Any, *given: Expression) -> list[str]:
    samples = samples_of(spec_of(annotation), comparisons(*given))
    assert samples is not None
    return [in_words(sample) for sample in samples]


def spelled(value: object) -> str:
    """A parameter as a test's name shows it, the same in every process."""
    if isinstance(value, set):
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    return re.sub(r" at 0x\w+", "", str(value))


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (bool, [it.x.yes], ["True", "False"]),
        (Literal["a", "b", "c"], [it.x == "a"], ["'a'", "'b'"]),
        (Literal["a", "b", "c"], [it.x < "b", it.x == "c"], ["'a'", "'b'", "'c'"]),
        (Mood, [it.x == Mood.CALM], ["'calm'", "'cross'"]),
        (str, [it.x == "Ada"], ["'Ada'", "something else"]),
        (str, [it.x < "b"], ["'b'", "something else"]),
        (int, [it.x > 3], ["3", "4"]),
        (int, [it.x >= 3, it.x > 5], ["3", "2", "6"]),
        (Annotated[int, Field(ge=0, le=3)], [it.x > 3], ["3"]),
        (Annotated[int, Field(ge=0)], [it.x < 0], ["0"]),
        (int | None, [it.x > 3], ["None", "3", "4"]),
        (list[str], [it.x == ["a"]], ["['a']", "something else"]),
        (time | Literal["soon"], [it.x == "soon"], ["'soon'", "'12:00:00'"]),
        (int | time, [it.x == 3], ["3", "2"]),
        (date | None, [it.x.filled], ["None"]),
        (date | None, [it.x == None], ["None", "'2026-01-01'"]),  # noqa: E711
        (Place, [it.x != {"street": "a"}], ["{'street': 'a'}"]),
    ],
    ids=spelled,
)
def test_each_way_to_answer_has_one_sample(annotation: Any, given: Sequence[Expression], expected: list[str]) -> None:
    assert shown(annotation, *given) == expected


@pytest.mark.parametrize(
    ("annotation", "constant"),
    [
        (int, 3),
        (int, 2.5),
        (float, 2.5),
        (Decimal, 15),
        (Decimal, Decimal("12.50")),
        (Decimal, "12.50"),
        (Annotated[Decimal, Field(ge=0, decimal_places=2)], "0.01"),
        (date, date(2027, 1, 1)),
        (date, "2027-01-01"),
        (time, time(12)),
        (timedelta, timedelta(minutes=5)),
    ],
    ids=spelled,
)
def test_there_is_a_sample_on_both_sides_of_a_constant(annotation: Any, constant: object) -> None:
    given = comparisons(it.x < constant, it.x > constant)
    samples = samples_of(spec_of(annotation), given) or ()
    assert {one.evaluate({"x": sample}) for one in given for sample in samples} == {True, False}


def test_there_is_a_sample_between_constants() -> None:
    given = comparisons(it.x > Decimal("1.10"), it.x < Decimal("1.20"))
    samples = samples_of(spec_of(Decimal), given) or ()
    assert any(all(one.evaluate({"x": sample}) for one in given) for sample in samples)


def test_what_falls_into_many_pieces_is_not_followed() -> None:
    assert samples_of(spec_of(int), comparisons(*(it.x > number for number in range(0, 40, 3)))) is None
    assert samples_of(spec_of(int), comparisons(*(it.x > number for number in range(50)))) is None


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        (Literal["a", "b"], it.x == "c"),
        (Literal["a", "b"], it.x != "c"),
        (Literal["a", "b"], it.x < 3),
        (bool, it.x == "yes"),
        (int, it.x == "two"),
        (int, it.x == "2"),
        (int, it.x == 2.5),
        (int, it.x < "2"),
        (str, it.x == 2),
        (date, it.x == "soon"),
        (Mood, it.x == "happy"),
        (Annotated[str, Field(pattern=r"^\d+$")], it.x == "A"),
        (Annotated[str, AfterValidator(str.lower)], it.x == "Ada"),
        (PhoneNumber, it.x == "0415"),
        (list[int], it.x == "a"),
        (None, it.x < 3),
    ],
    ids=spelled,
)
def test_constant_that_a_field_cannot_be_does_not_fit(annotation: Any, given: Compare) -> None:
    assert not fits(spec_of(annotation), given)


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        (Literal["a", "b"], it.x == "a"),
        (Literal["a", "b"], it.x < "aa"),
        (bool, it.x == True),  # noqa: E712
        (int, it.x == 2.0),
        (int, it.x > 2.5),
        (Annotated[int, Field(le=8)], it.x > 8),
        (Decimal, it.x == "12.50"),
        (Decimal, it.x > 15),
        (date, it.x > "2027-01-01"),
        (Mood, it.x == "calm"),
        (Mood, it.x == Mood.CALM),
        (int | None, it.x == None),  # noqa: E711
        (time | Literal["soon"], it.x == "soon"),
        (PhoneNumber, it.x == "+14155550123"),
        (list[str], it.x == ["a"]),
        (str, it.x < "b"),
    ],
    ids=spelled,
)
def test_constant_that_a_field_can_be_fits(annotation: Any, given: Compare) -> None:
    assert fits(spec_of(annotation), given)


def broken(value: str) -> str:
    raise RuntimeError(value)


def test_validator_that_breaks_is_not_the_linters_fault() -> None:
    spec = spec_of(Annotated[str, AfterValidator(broken)])
    assert samples_of(spec, comparisons(it.x == "a")) is None
    assert fits(spec, *comparisons(it.x == "a"))


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, {"string"}),
        (int | None, {"integer", "null"}),
        (Literal["a", 1], {"string", "integer"}),
        (Mood, {"string"}),
        (list[str], {"array"}),
        (Place, {"object"}),
    ],
    ids=spelled,
)
def test_types_of_json_are_read_from_a_schema(annotation: Any, expected: set[str]) -> None:
    assert json_types(spec_of(annotation).schema) == expected
