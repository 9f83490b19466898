"""What stands in a flow's JSON form by its name, not as it is: tools, handlers, and the functions of observations."""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from .functions import registered
from .handlers import Handler
from .observations import Observations, read_observations, specs_of
from .tools import Once, Tool, Unverified


def _read_tool(value: object, info: ValidationInfo) -> Tool:
    if isinstance(value, Tool):
        return value
    if isinstance(value, str) and isinstance(found := registered(info).get(value), Tool):
        return found
    if callable(value):
        raise ValueError(f"{getattr(value, '__name__', value)!r} is no tool: decorate it with @tool")
    raise ValueError(f"no tool is registered as {value!r}")


_ONCE_KEYS = {"idempotent", "unverified"}


def _read_use(value: object, info: ValidationInfo) -> Tool | Once:
    match value:
        case Once():
            return value
        case {"tool": str(name), "once": True, "on_failure": str(on_failure), **rest} if set(rest) <= _ONCE_KEYS:
            unverified: Unverified = "go" if rest.get("unverified") == "go" else "ask"
            return Once(_read_tool(name, info), on_failure, rest.get("idempotent") is True, unverified)
    return _read_tool(value, info)


def _read_once(value: object, info: ValidationInfo) -> Once:
    use = _read_use(value, info)
    if isinstance(use, Once):
        return use
    raise ValueError(f"{use.name!r} has an effect that must not be repeated: write {use.name}.once(on_failure=…)")


def _write_use(use: Tool | Once) -> object:
    if isinstance(use, Tool):
        return use.name
    made = {"tool": use.tool.name, "once": True, "on_failure": use.on_failure, "idempotent": use.idempotent}
    return made if use.unverified == "ask" else made | {"unverified": use.unverified}


def _read_handler(value: object, info: ValidationInfo) -> Handler:
    if isinstance(value, Handler):
        return value
    if isinstance(value, str) and isinstance(found := registered(info).get(value), Handler):
        return found
    if callable(value):
        raise ValueError(f"{getattr(value, '__name__', value)!r} is no handler: decorate it with @handler()")
    raise ValueError(f"no handler is registered as {value!r}")


def _read_observations(value: object, info: ValidationInfo) -> type[Observations]:
    if isinstance(value, type) and issubclass(value, Observations):
        return value
    return read_observations(value, registered(info))


ToolUse = Annotated[
    Tool | Once,
    PlainValidator(_read_use),
    PlainSerializer(_write_use, return_type=object),
    WithJsonSchema({"description": "name of a registered tool, or an object for one that runs once"}),
]
OnceUse = Annotated[
    Once,
    PlainValidator(_read_once),
    PlainSerializer(_write_use, return_type=object),
    WithJsonSchema({"type": "object", "description": "a tool that runs once"}),
]
HandlerName = Annotated[
    Handler,
    PlainValidator(_read_handler),
    PlainSerializer(lambda given: given.name, return_type=str),
    WithJsonSchema({"type": "string", "description": "name of a registered handler"}),
]
ObservationsClass = Annotated[
    type[Observations],
    PlainValidator(_read_observations),
    PlainSerializer(lambda given: [spec.document() for spec in specs_of(given)], return_type=list),
    WithJsonSchema({"type": "array", "items": {"type": "object"}}),
]
