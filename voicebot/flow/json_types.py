"""Types of observations as JSON Schema, and back: what lets a flow travel as JSON.

`schema_of` writes the schema of any type pydantic knows, with references resolved in place. `type_of` reads the part
of JSON Schema that those schemas use and gives a type with the same constraints; it keeps the schema it was read
from, so that writing it again gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Union
from uuid import UUID

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from pydantic import (
    AfterValidator,
    ConfigDict,
    PydanticUserError,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
    create_model,
)
from pydantic import Field as PydanticField
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import SchemaError, core_schema

from voicebot.errors import FlowError


def _e164(number: str) -> str:
    digits = re.sub(r"[\s().\-/]", "", number)
    if digits.startswith("00"):
        digits = "+" + digits[2:]
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", digits):
        raise ValueError("write the number with its country code, as in +14155550123")
    return digits


PhoneNumber = Annotated[
    str,
    AfterValidator(_e164),
    WithJsonSchema({"type": "string", "format": "phone", "description": "with country code, as in +14155550123"}),
]
"""A telephone number, kept in E.164 (`+` and up to 15 digits)."""


class _ForModels(GenerateJsonSchema):
    """Schemas that a speech model fills in: one plain type where pydantic offers a choice of spellings.

    A decimal is text, as in "12.50", so that no amount ever passes through a binary fraction.
    """

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        made: JsonSchemaValue = {"type": "string", "format": "decimal", "pattern": r"^-?\d+(\.\d+)?$"}
        for key, keyword in _DECIMAL_BOUNDS.items():
            if (bound := schema.get(key)) is not None:
                made[keyword] = float(str(bound))
        return made


_DECIMAL_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def schema_of(annotation: Any) -> dict[str, object]:
    """JSON Schema of a type, with every reference resolved in place.

    Raises:
        FlowError: there is no schema for it, or it refers to itself, which no speech model can fill in.
    """
    try:
        schema = TypeAdapter(annotation).json_schema(schema_generator=_ForModels)
    except PydanticUserError as exc:
        raise FlowError("its type has no JSON Schema", mend="use types that JSON can hold") from exc
    definitions = schema.pop("$defs", {})
    resolved: dict[str, object] = _resolved(schema, definitions, ())
    return resolved


def _resolved(node: Any, definitions: Mapping[str, Any], above: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_resolved(part, definitions, above) for part in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if reference is None:
        return {key: _resolved(part, definitions, above) for key, part in node.items()}
    name = str(reference).rsplit("/", 1)[-1]
    if name in above:
        raise FlowError(f"the type {name} refers to itself", mend="use a type without recursion")
    beside = {key: part for key, part in node.items() if key != "$ref"}
    return {**_resolved(definitions[name], definitions, (*above, name)), **beside}


# The keywords that are understood, with what each must hold.
_KEYWORDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("type", "const", "default", "examples", "items", "additionalProperties"), object),
    **dict.fromkeys(("title", "description", "format", "pattern"), str),
    **dict.fromkeys(("enum", "anyOf", "prefixItems", "required"), list),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), (int, float)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), int),
    "properties": dict,
    "uniqueItems": bool,
}
_FORMATS: dict[str, object] = {
    "date": date,
    "time": time,
    "date-time": datetime,
    "duration": timedelta,
    "uuid": UUID,
    "phone": PhoneNumber,
    "decimal": Decimal,
}


def type_of(schema: Mapping[str, Any], where: str = "schema") -> Any:
    """The type that a JSON Schema describes, with its constraints.

    Args:
        schema: the part of JSON Schema that `schema_of` writes.
        where: path of this schema inside the flow's JSON, for errors.

    Raises:
        FlowError: a keyword or a type that is not understood; unknown rules are never ignored.
    """
    kind = _plain_type(schema, where)
    try:
        TypeAdapter(kind)
    except (SchemaError, PydanticUserError) as exc:
        raise FlowError("the JSON Schema describes no type", where=where) from exc
    return Annotated[kind, WithJsonSchema(dict(schema))]


def _plain_type(schema: Any, where: str) -> Any:
    if not isinstance(schema, Mapping):
        raise FlowError(f"{schema!r} is no JSON Schema", where=where)
    for keyword, held in schema.items():
        if keyword not in _KEYWORDS:
            raise FlowError(f"JSON Schema keyword {keyword!r} is not understood", where=where)
        if not isinstance(held, _KEYWORDS[keyword]):
            raise FlowError(f"JSON Schema keyword {keyword!r} cannot be {held!r}", where=where)
    if "const" in schema or "enum" in schema:
        return _one_of([schema["const"]] if "const" in schema else schema["enum"], where)
    if "anyOf" in schema:
        parts = [_plain_type(part, f"{where}.anyOf[{n}]") for n, part in enumerate(schema["anyOf"])]
        return _union(parts, where)
    match schema.get("type"):
        case "null":
            return None
        case "boolean":
            return bool
        case "string":
            return _string(schema, where)
        case "integer":
            return Annotated[int, *_bounds(schema)] if _bounds(schema) else int
        case "number":
            return Annotated[float, *_bounds(schema)] if _bounds(schema) else float
        case "array":
            return _array(schema, where)
        case "object":
            return _object(schema, where)
    raise FlowError(f"type {schema.get('type')!r} is not understood", where=where)


def _one_of(values: list[Any], where: str) -> Any:
    if not values or not all(value is None or isinstance(value, str | int | float) for value in values):
        raise FlowError(f"{values!r} are no choices", where=where)
    return Literal[tuple(values)]


def _union(parts: list[Any], where: str) -> Any:
    if not parts:
        raise FlowError("anyOf is empty", where=where)
    return Union[tuple(parts)]  # noqa: UP007 - the members are known at run time only


def _string(schema: Mapping[str, Any], where: str) -> Any:
    if "format" in schema:
        if schema["format"] not in _FORMATS:
            raise FlowError(f"format {schema['format']!r} is not understood", where=where)
        known = _FORMATS[schema["format"]]
        return Annotated[known, *_bounds(schema)] if _bounds(schema) else known
    rules = {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"}
    given = {name: schema[keyword] for name, keyword in rules.items() if keyword in schema}
    return Annotated[str, StringConstraints(**given)] if given else str


def _bounds(schema: Mapping[str, Any]) -> list[object]:
    kinds: dict[str, Any] = {
        "minimum": Ge,
        "maximum": Le,
        "exclusiveMinimum": Gt,
        "exclusiveMaximum": Lt,
        "multipleOf": MultipleOf,
    }
    return [kind(schema[keyword]) for keyword, kind in kinds.items() if keyword in schema]


def _array(schema: Mapping[str, Any], where: str) -> Any:
    if "prefixItems" in schema:
        members = tuple(_plain_type(part, f"{where}.prefixItems[{n}]") for n, part in enumerate(schema["prefixItems"]))
        return tuple[members]  # type: ignore[valid-type]
    item = _plain_type(schema.get("items") or {"type": "string"}, f"{where}.items")
    collection: Any = (set if schema.get("uniqueItems") else list)[item]
    kinds: dict[str, Any] = {"minItems": MinLen, "maxItems": MaxLen}
    limits = [kind(schema[keyword]) for keyword, kind in kinds.items() if keyword in schema]
    return Annotated[collection, *limits] if limits else collection


def _object(schema: Mapping[str, Any], where: str) -> Any:
    if "properties" not in schema:
        values = schema.get("additionalProperties")
        return dict[str, _plain_type(values, f"{where}.*")] if isinstance(values, dict) else dict[str, Any]  # type: ignore[misc]
    required = schema.get("required", [])
    members: dict[str, Any] = {}
    for name, part in schema["properties"].items():
        kind = _plain_type(part, f"{where}.{name}")
        described = PydanticField(description=part.get("description"))
        if name not in required:
            described = PydanticField(default=part.get("default"), description=part.get("description"))
        members[name] = (kind if name in required or "default" in part else kind | None, described)
    try:
        made = create_model(str(schema.get("title", "Item")), __config__=ConfigDict(extra="forbid"), **members)
    except (PydanticUserError, TypeError, ValueError, NameError) as exc:
        raise FlowError("a property has a name that pydantic keeps for itself", where=where) from exc
    if made.model_fields.keys() != members.keys():
        raise FlowError("a property has a name that pydantic keeps for itself", where=where)
    return made
