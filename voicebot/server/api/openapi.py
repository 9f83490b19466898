"""The OpenAPI 3.1 document of endpoints, made from their models: what it says is what is read and written.

https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from voicebot.settings import SCOPES

from .endpoint import JSON, Content, Endpoint
from .problems import PROBLEM_JSON, ProblemDetails

_REF = "#/components/schemas/{model}"
_Mode = Literal["validation", "serialization"]
_Schemas = Mapping[tuple[Any, _Mode], dict[str, Any]]


def document(endpoints: Sequence[Endpoint], *, version: str, server: str = "/") -> dict[str, Any]:
    """The whole document.

    Args:
        version: of the API, which is voicebot's.
        server: the origin.
    """
    schemas, shared = models_json_schema(list(_models(endpoints)), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "voicebot", "version": version, "description": _ABOUT},
        "servers": [{"url": server}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in endpoints)],
        "paths": paths,
        "components": {
            "schemas": shared.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _TOKEN}},
        },
    }


_ABOUT = (
    "Calls as they are and were, what is done in them, the flows that they follow, and what is delivered of them. "
    "Every refusal is problem details (RFC 9457). Lists have pages: give `next` back as `cursor`."
)
_TOKEN = (
    f"A token of VOICEBOT_API_TOKEN or VOICEBOT_API_TOKENS. Scopes, each with those before it: {', '.join(SCOPES)}."
)


def _models(endpoints: Sequence[Endpoint]) -> Iterator[tuple[type[BaseModel], _Mode]]:
    yield ProblemDetails, "serialization"
    for one in endpoints:
        for model in (one.query, one.body):
            if model is not None:
                yield model, "validation"
        for content in one.answers.values():
            if content.model is not None:
                yield content.model, "serialization"


def _operation(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "responses": _responses(endpoint, schemas),
        "security": [] if endpoint.scope is None else [{"token": [endpoint.scope]}],
    }
    if parameters := list(_parameters(endpoint)):
        made["parameters"] = parameters
    if endpoint.body is not None:
        content = {JSON: {"schema": schemas[endpoint.body, "validation"]}}
        made["requestBody"] = {"required": not endpoint.body_is_optional, "content": content}
    return made


def _parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in endpoint.in_path:
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    if endpoint.query is not None:
        whole = endpoint.query.model_json_schema(ref_template=_REF)
        inlined = whole.get("$defs", {})
        for name, schema in whole.get("properties", {}).items():
            bare = {key: value for key, value in schema.items() if key not in ("description", "title")}
            yield {
                "name": name,
                "in": "query",
                "required": name in whole.get("required", ()),
                "description": schema.get("description", ""),
                "schema": _without_null(inlined.get(str(bare.get("$ref", "")).rpartition("/")[2], bare)),
            }
    for name, says in endpoint.headers.items():
        yield {"name": name, "in": "header", "required": False, "description": says, "schema": {"type": "string"}}


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What an address can hold: a parameter that is not given is left out."""
    given = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    some = [one for one in given.get("anyOf", ()) if one != {"type": "null"}]
    if len(some) == 1:
        given = {key: value for key, value in given.items() if key != "anyOf"} | some[0]
    return given


def _responses(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    found = {str(status): _response(content, schemas) for status, content in endpoint.answers.items()}
    details = {PROBLEM_JSON: {"schema": schemas[ProblemDetails, "serialization"]}}
    for status, why in sorted(refusals(endpoint).items()):
        found[str(status)] = {"description": why, "content": details}
    return found


def _response(content: Content, schemas: _Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {"description": content.says}
    if content.headers:
        made["headers"] = {
            name: {"description": says, "schema": {"type": "string"}} for name, says in content.headers.items()
        }
    if content.media_type:
        schema = schemas[content.model, "serialization"] if content.model is not None else dict(content.schema or {})
        made["content"] = {media: {"schema": schema} for media in (content.media_type, *content.others)}
    return made


def refusals(endpoint: Endpoint) -> dict[int, str]:
    """Every status from 400 on that an endpoint answers with, and why."""
    found = dict[int, str]()
    if endpoint.scope is not None:
        found |= {
            401: "No token, or a wrong one.",
            403: f"The token's scope is less than {endpoint.scope}.",
            429: "Too many requests, or wrong tokens; Retry-After says when to try again.",
            503: "The store does not answer.",
        }
    if endpoint.in_path:
        found[404] = "There is no such thing."
    if endpoint.query is not None or endpoint.body is not None:
        found[422] = "Something of the request cannot be used; `errors` lists all."
    if endpoint.body is not None:
        found |= {400: "The body is no JSON.", 413: "The body is too long.", 415: "The body is no JSON by its type."}
    return found | dict(endpoint.problems)
