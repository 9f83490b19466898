"""Tools: a typed function becomes what the model may call, and reads what the model sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from voicebot.errors import FlowError
from voicebot.flow import ToolContext, tool
from voicebot.flow.tools import DEFAULT_TIMEOUT_S, RESERVED, tool_output


class Table(BaseModel):
    guests: int
    outside: bool = False


@tool
def opening_hours(day: date, guests: Annotated[int, Field(ge=1, description="how many")] = 2) -> str:
    """When we are open.

    Ask before promising a table.
    """
    return f"{day}: {guests}"


@tool(timeout_s=1.5)
async def book(context: ToolContext, table: Table, notes: list[str] | None = None) -> str:
    """Book a table."""
    return f"{context.call_sid} {table.guests} {notes}"


def test_tool_is_named_and_described_by_its_function() -> None:
    assert opening_hours.name == "opening_hours"
    assert opening_hours.description == "When we are open.\n\nAsk before promising a table."
    assert (opening_hours.timeout_s, book.timeout_s) == (DEFAULT_TIMEOUT_S, 1.5)


def test_parameters_are_a_closed_schema() -> None:
    assert opening_hours.parameters == {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date", "title": "Day"},
            "guests": {"type": "integer", "minimum": 1, "default": 2, "description": "how many", "title": "Guests"},
        },
        "required": ["day"],
        "additionalProperties": False,
    }


def test_context_is_not_shown_to_the_model() -> None:
    assert book.context_parameter == "context"
    assert set(book.parameters["properties"]) == {"table", "notes"}  # type: ignore[call-overload]


def test_tool_is_still_a_function() -> None:
    assert opening_hours(date(2026, 3, 1)) == "2026-03-01: 2"


def test_tool_without_parameters_takes_nothing() -> None:
    @tool
    def ping() -> str:
        """Say whether we are there."""
        return "pong"

    assert ping.read_arguments("") == {}
    assert ping.read_arguments("{}") == {}
    with pytest.raises(ValueError, match="x: Extra inputs"):
        ping.read_arguments('{"x": 1}')


def test_arguments_become_typed_values() -> None:
    assert opening_hours.read_arguments('{"day": "2026-03-01"}') == {"day": date(2026, 3, 1), "guests": 2}
    assert book.read_arguments('{"table": {"guests": 3}}') == {"table": Table(guests=3), "notes": None}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "day: Field required"),
        ("{}", "day: Field required"),
        ("[]", "Input should be an object"),
        ("{", "Invalid JSON"),
        ('{"day": "soon"}', "day: Input should be a valid date"),
        ('{"day": "2026-03-01", "guests": 0}', "guests: Input should be greater than or equal to 1"),
        ('{"day": "2026-03-01", "smoking": true}', "smoking: Extra inputs are not permitted"),
        (r'{"day": "\ud800"}', "Invalid JSON"),
    ],
)
def test_wrong_arguments_are_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        opening_hours.read_arguments(text)
    assert "\n" not in str(raised.value)
    assert "http" not in str(raised.value)


def test_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(ValueError, match="day: ") as raised:
        opening_hours.read_arguments('{"day": "4111 1111 1111 1111"}')
    assert "4111" not in str(raised.value)


def test_only_the_first_problems_are_told() -> None:
    with pytest.raises(ValueError, match="Extra") as raised:
        opening_hours.read_arguments(json.dumps({"day": "2026-03-01"} | {f"x{n}": n for n in range(50)}))
    assert str(raised.value).count("Extra") == 5


# ---- misuse -------------------------------------------------------------------------------------------------------


def undocumented(x: int) -> int:
    return x


def untyped(x) -> None:  # type: ignore[no-untyped-def]
    """Do something."""


def many(*xs: int) -> None:
    """Do something."""


def keywords(**xs: int) -> None:
    """Do something."""


def positional(x: int, /) -> None:
    """Do something."""


def record(x: int) -> None:
    """Do something."""


def unwritable(x: Callable[[], int]) -> None:
    """Do something."""


MISUSES: list[tuple[Callable[..., object], str]] = [
    (undocumented, "the tool undocumented has no docstring"),
    (untyped, r"untyped\(x\) has no type"),
    (many, r"the tool many takes \*xs"),
    (keywords, r"the tool keywords takes \*xs"),
    (positional, r"the tool positional takes \*x"),
    (record, "a tool cannot be named record"),
]


@pytest.mark.parametrize(("function", "problem"), MISUSES, ids=lambda value: getattr(value, "__name__", ""))
def test_misuse_says_where_and_how_to_mend(function: Callable[..., object], problem: str) -> None:
    with pytest.raises(FlowError, match=problem) as raised:
        tool(function)
    assert (raised.value.where or "").startswith(f"{__file__}:")
    assert raised.value.mend


def test_type_without_schema_is_refused() -> None:
    with pytest.raises(FlowError, match="no JSON Schema"):
        tool(unwritable)


@pytest.mark.parametrize("timeout_s", [0, 0.09, 60.1, float("nan"), float("inf"), -1])
def test_time_limit_is_bounded(timeout_s: float) -> None:
    with pytest.raises(FlowError, match="time limit"):
        tool(timeout_s=timeout_s)(opening_hours.function)


def test_every_name_of_the_engine_is_reserved() -> None:
    assert {"record", "request_phase", "end_call"} <= RESERVED


# ---- output -------------------------------------------------------------------------------------------------------


@dataclass
class Quote:
    total: Decimal
    day: date


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("We are open.", "We are open."),
        ("", ""),
        (None, "null"),
        (True, "true"),
        ({"a": [1, None]}, '{"a": [1, null]}'),
        (Table(guests=2), '{"guests": 2, "outside": false}'),
        (Quote(Decimal("12.50"), date(2026, 3, 1)), '{"total": "12.50", "day": "2026-03-01"}'),
        (["più"], '["più"]'),
    ],
)
def test_output_is_text_the_model_can_read(value: Any, text: str) -> None:
    assert tool_output(value) == text


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"], {"a": "x\udfffy"}])
def test_output_can_always_be_sent(value: Any) -> None:
    assert tool_output(value).encode()
