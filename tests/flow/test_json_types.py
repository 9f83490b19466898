"""Types as JSON Schema and back: the same values are valid on both sides."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from voicebot.errors import FlowError
from voicebot.flow import PhoneNumber
from voicebot.flow.json_types import schema_of, type_of


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dish: str = Field(description="as on the menu", min_length=1)
    count: Annotated[int, Field(ge=1, le=20)] = 1
    note: str | None = None


# A type, values that are valid for it, values that are not; all in JSON form.
TYPES: list[tuple[Any, list[object], list[object]]] = [
    (str, ["", "x"], [1, None, ["x"]]),
    (bool, [True, False], [1, "true", None]),
    (int, [0, -3, 10**12], ["7", 1.5, True, None]),
    (float, [0, 1.5, -2], ["1.5", True, None]),
    (Decimal, ["12.50", "-3"], ["x", "", None, True]),
    (date, ["2026-03-01"], ["2026-02-30", "tomorrow", 5]),
    (time, ["09:30", "09:30:15"], ["25:00", "noon"]),
    (datetime, ["2026-03-01T09:30:00Z"], ["2026-03-01T25:00:00Z", "soon"]),
    (timedelta, ["PT15M"], ["a quarter"]),
    (UUID, ["12345678-1234-5678-1234-567812345678"], ["1234"]),
    (PhoneNumber, ["+14155550123", "+1 (415) 555-0123", "00 39 06 1234567"], ["12", "+0123456789", "call me", 1]),
    (Size, ["small"], ["medium", None]),
    (Literal["a", 2, None], ["a", 2, None], ["b", 3]),
    (Literal["only"], ["only"], ["other"]),
    (str | None, ["x", None], [1]),
    (int | str, [1, "x"], [None, 1.5]),
    (list[str], [[], ["x"]], ["x", [1], None]),
    (set[int], [[1, 2]], [["x"]]),
    (tuple[int, str], [[1, "x"]], [[1], ["x", 1], [1, "x", 2]]),
    (dict[str, int], [{}, {"a": 1}], [{"a": "x"}, []]),
    (dict[str, Any], [{"a": [1]}], [[]]),
    (Annotated[str, Field(min_length=2, max_length=3, pattern="^[a-z]+$")], ["ab"], ["a", "abcd", "AB"]),
    (Annotated[int, Field(ge=1, lt=5, multiple_of=2)], [2, 4], [0, 3, 6]),
    (Annotated[float, Field(gt=0, le=1)], [0.1, 1], [0, 1.01]),
    (Annotated[Decimal, Field(ge=Decimal("0.5"))], ["0.50"], ["0.49"]),
    (Annotated[list[str], Field(min_length=1, max_length=2)], [["a"]], [[], ["a", "b", "c"]]),
    (
        Item,
        [{"dish": "Margherita"}, {"dish": "x", "count": 2, "note": None}],
        [{}, {"dish": ""}, {"dish": "x", "c": 1}],
    ),
    (list[Item], [[{"dish": "x", "count": 20}]], [[{"dish": "x", "count": 21}], [{"count": 1}]]),
]


def valid(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("kind", "good", "bad"), TYPES, ids=lambda value: str(value)[:40])
def test_type_from_its_schema_takes_the_same_values(kind: Any, good: list[object], bad: list[object]) -> None:
    back = type_of(schema_of(kind))
    for value in good:
        assert valid(kind, value)
        assert valid(back, value)
    for value in bad:
        assert not valid(kind, value)
        assert not valid(back, value)


@pytest.mark.parametrize(("kind", "good", "bad"), TYPES, ids=lambda value: str(value)[:40])
def test_schema_is_kept_word_for_word(kind: Any, good: list[object], bad: list[object]) -> None:
    schema = schema_of(kind)
    assert schema_of(type_of(schema)) == schema
    assert "$ref" not in json.dumps(schema)
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("kind", "good", "bad"), TYPES, ids=lambda value: str(value)[:40])
def test_values_fit_the_schema(kind: Any, good: list[object], bad: list[object]) -> None:
    adapter = TypeAdapter(kind)
    for value in good:
        written = adapter.dump_python(adapter.validate_json(json.dumps(value), strict=True), mode="json")
        jsonschema.validate(written, schema_of(kind))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("+1 415 555 0123", "+14155550123"),
        ("+1 (415) 555-0123", "+14155550123"),
        ("0039.06.1234567", "+39061234567"),
        ("+39/06/1234567", "+39061234567"),
    ],
)
def test_phone_number_is_kept_in_e164(said: str, kept: str) -> None:
    assert TypeAdapter(PhoneNumber).validate_python(said) == kept


@pytest.mark.parametrize(
    "said", ["", "415 555 0123", "+0 415 555", "+1", "+1234567890123456", "+1415555O123", "+1٢٣٤٥٦٧٨"]
)
def test_number_without_country_code_is_refused(said: str) -> None:
    with pytest.raises(ValidationError, match="country code"):
        TypeAdapter(PhoneNumber).validate_python(said)


class Node(BaseModel):
    next: Node | None = None


def test_recursive_type_is_refused() -> None:
    with pytest.raises(FlowError, match="Node refers to itself"):
        schema_of(Node)


def test_type_without_schema_is_refused() -> None:
    with pytest.raises(FlowError, match="no JSON Schema"):
        schema_of(Callable[[], int])
    with pytest.raises(FlowError, match="no JSON Schema"):
        schema_of(type("Plain", (), {}))


def test_same_type_twice_is_no_recursion() -> None:
    class Pair(BaseModel):
        first: Item
        second: Item

    properties: Any = schema_of(Pair)["properties"]
    assert properties["first"]["properties"] == properties["second"]["properties"]


def test_optional_member_reads_back_with_its_default() -> None:
    kind = type_of(schema_of(Item))
    item: Any = TypeAdapter(kind).validate_python({"dish": "x"})
    assert (item.dish, item.count, item.note) == ("x", 1, None)


def test_member_without_default_may_be_left_out() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    item: Any = TypeAdapter(type_of(schema)).validate_python({})
    assert item.a is None


def test_array_of_anything_is_an_array_of_texts() -> None:
    assert valid(type_of({"type": "array"}), ["x"])


BROKEN: list[tuple[object, str]] = [
    ({"type": "string", "contentEncoding": "base64"}, "'contentEncoding' is not understood"),
    ({"type": "string", "format": "email"}, "format 'email' is not understood"),
    ({"type": ["string", "null"]}, "is not understood"),
    ({}, "type None is not understood"),
    ({"type": "file"}, "type 'file' is not understood"),
    ({"oneOf": []}, "'oneOf' is not understood"),
    ({"anyOf": []}, "anyOf is empty"),
    ({"anyOf": [3]}, "3 is no JSON Schema"),
    ({"anyOf": {"type": "string"}}, "'anyOf' cannot be"),
    ({"enum": []}, "no choices"),
    ({"enum": [[1]]}, "no choices"),
    ({"const": {"a": 1}}, "no choices"),
    ({"enum": "abc"}, "'enum' cannot be"),
    ({"type": "string", "pattern": "("}, "describes no type"),
    ({"type": "string", "pattern": 3}, "'pattern' cannot be 3"),
    ({"type": "string", "format": ["date"]}, "'format' cannot be"),
    ({"type": "integer", "minimum": "x"}, "'minimum' cannot be"),
    ({"type": "array", "minItems": "1"}, "'minItems' cannot be"),
    ({"type": "array", "items": True}, "True is no JSON Schema"),
    ({"type": "array", "items": {"type": "?"}}, r"schema.items: type '\?'"),
    ({"type": "array", "prefixItems": [{"type": "?"}]}, r"schema.prefixItems\[0\]: type"),
    ({"anyOf": [{"type": "null"}, {"type": "?"}]}, r"schema.anyOf\[1\]: type"),
    ({"type": "object", "additionalProperties": {"type": "?"}}, r"schema.\*: type"),
    ({"type": "object", "properties": {"a": {"type": "?"}}}, "schema.a: type"),
    ({"type": "object", "properties": [1]}, "'properties' cannot be"),
    ({"type": "object", "properties": {"a": {"type": "string"}}, "required": "a"}, "'required' cannot be"),
    ({"type": "object", "properties": {"_a": {"type": "string"}}}, "keeps for itself"),
    ({"type": "object", "properties": {"model_config": {"type": "string"}}, "required": ["model_config"]}, "itself"),
    ({"type": "object", "title": 3, "properties": {}}, "'title' cannot be 3"),
]


@pytest.mark.parametrize(("schema", "problem"), BROKEN, ids=lambda value: str(value)[:50])
def test_schema_that_is_not_understood_is_refused(schema: Any, problem: str) -> None:
    with pytest.raises(FlowError, match=problem):
        type_of(schema)


KEYWORDS = [
    *("type", "format", "enum", "const", "anyOf", "items", "properties", "required", "minimum", "maxLength"),
    *("pattern", "minItems", "uniqueItems", "prefixItems", "additionalProperties", "default", "title", "a"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["string", "a", "date", "^[", "object", "array"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYWORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["type", "anyOf", "enum", "properties", "items", "pattern"]), JSON, max_size=4))
def test_any_document_is_a_type_or_a_flow_error(document: dict[str, Any]) -> None:
    try:
        TypeAdapter(type_of(document))
    except FlowError as exc:
        assert exc.where is not None
        assert exc.where.startswith("schema")
