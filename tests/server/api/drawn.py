"""Requests drawn from the OpenAPI document: such as it allows, and such as nobody should send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

_TEXT = st.text(max_size=40)
_IN_PATH = st.text(st.characters(exclude_characters="{}/"), min_size=1, max_size=40).filter(
    lambda text: text.strip(".")
)
_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


@dataclass(frozen=True)
class Drawn:
    """A request, and the operation of the document that it is for."""

    method: str
    path: str
    operation: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str]
    body: bytes | None


def requests(document: Mapping[str, Any], known: Mapping[str, list[str]]) -> st.SearchStrategy[Drawn]:
    """Any request to any operation. `known`: values that exist, by the name of a path's parameter."""
    operations = [
        (method, path, one)
        for path, methods in document["paths"].items()
        for method, one in methods.items()
        if not path.endswith("/live")  # which goes on; it has tests of its own
    ]
    return st.sampled_from(operations).flatmap(
        lambda chosen: _request(document, chosen[0], chosen[1], chosen[2], known)
    )


@st.composite
def _request(
    draw: st.DrawFn,
    document: Mapping[str, Any],
    method: str,
    path: str,
    operation: Mapping[str, Any],
    known: Mapping[str, list[str]],
) -> Drawn:
    query, headers = [], dict[str, str]()
    for one in operation.get("parameters", ()):
        name, schema = one["name"], one["schema"]
        if one["in"] == "path":
            value = draw(st.sampled_from(known.get(name, ["x"])) | _IN_PATH)
            path = path.replace(f"{{{name}}}", quote(value, safe="", errors="replace"))
        elif one["in"] == "query" and draw(st.booleans()):
            query.append((name, str(draw(_of(schema, document) | _TEXT))))
        elif one["in"] == "header" and draw(st.booleans()):
            headers[name] = draw(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
    if draw(st.integers(0, 9)) == 0:
        query.append((draw(_TEXT), draw(_TEXT)))
    body = None
    if (wanted := operation.get("requestBody")) is not None:
        schema = wanted["content"]["application/json"]["schema"]
        how = draw(st.integers(0, 5))
        if how < 4:
            body = json.dumps(draw(_of(schema, document))).encode()
        elif how == 4:
            body = json.dumps(draw(_JUNK)).encode()
        else:
            body = draw(st.binary(max_size=40))
        headers["Content-Type"] = draw(st.sampled_from(["application/json"] * 9 + ["text/plain"]))
    encoded = "&".join(f"{quote(name, errors='replace')}={quote(value, errors='replace')}" for name, value in query)
    return Drawn(method.upper(), f"{path}?{encoded}" if encoded else path, operation, headers, body)


def _of(schema: Mapping[str, Any], document: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values near a schema: mostly what it allows."""
    if "$ref" in schema:
        return _of(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([_of(one, document) for one in schema["anyOf"]])
    match schema.get("type"):
        case "object":
            return _objects(schema, document)
        case "integer":
            return st.integers(schema.get("minimum", -5) - 1, schema.get("maximum", 10_000) + 1)
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "string" if schema.get("format") == "date-time":
            return st.datetimes(timezones=st.just(None) | st.timezones()).map(lambda moment: moment.isoformat())
        case "string" if str(schema.get("pattern", "")).startswith(r"^\+"):
            return st.sampled_from(["+15550123456", "+15550100000", "+390612345678", "12"])
        case "string":
            return st.text(max_size=min(schema.get("maxLength", 60), 60) + 1)
    return _JUNK


@st.composite
def _objects(draw: st.DrawFn, schema: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, one in schema.get("properties", {}).items():
        if draw(st.integers(0, 9)) < (9 if name in schema.get("required", ()) else 5):
            found[name] = draw(_of(one, document))
    if draw(st.integers(0, 9)) == 0:
        found[draw(_TEXT)] = draw(_JUNK)
    return found
