"""A flow's JSON form where some or all of its Python functions are not at hand.

In the place of each that is missing stands one that knows nothing. A guard so named holds neither way, as any guard
does that fails; a tool says that it is not available; a handler hears nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, get_args

from pydantic import BaseModel
from pydantic_core import from_json

from voicebot.errors import FlowError, ToolError

from .handlers import EventKind, Handler
from .json_form import flow_from_json
from .model import Flow
from .tools import DEFAULT_TIMEOUT_S, Tool

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def flow_alone(document: str, known: Mapping[str, Any] = _NOTHING) -> Flow:
    """Read a flow from its JSON form, with those of the functions that it names which are known.

    Args:
        known: tools, handlers and plain functions by name; one of another kind than the form means is none of them.

    Raises:
        FlowError: with the path of what is wrong inside the form.
    """
    try:
        form = from_json(document.encode())  # which refuses half a character
    except ValueError as exc:
        raise FlowError("is not JSON", where="flow JSON") from exc
    functions: dict[str, Any] = {name: _function(known.get(name), name) for name in _names(form)}
    return flow_from_json(document, functions | dict(_uses(form, known)))


def _names(node: object) -> Iterator[str]:
    """All that may be the name of a function, wherever it stands."""
    match node:
        case str() if node.isidentifier():
            yield node
        case list() | dict():
            for part in node.values() if isinstance(node, dict) else node:
                yield from _names(part)


def _uses(node: object, known: Mapping[str, Any]) -> Iterator[tuple[str, Tool | Handler]]:
    """What is named as a tool or a handler."""
    if isinstance(node, list):
        for part in node:
            yield from _uses(part, known)
    elif isinstance(node, dict):
        for key, part in node.items():
            names = [one for one in (part if isinstance(part, list) else [part]) if isinstance(one, str)]
            if key in ("tool", "tools", "tools_everywhere", "commit"):
                yield from ((name, _tool(known.get(name), name)) for name in names)
            elif key == "handlers":
                yield from ((name, _handler(known.get(name), name)) for name in names)
            yield from _uses(part, known)


class _Unknowing:
    """A function without parameters that has no answer."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self) -> NoReturn:
        raise ValueError(f"{self.__name__} is not at hand")


class _Unable(_Unknowing):
    """What a tool does that is not here."""

    def __call__(self) -> NoReturn:
        raise ToolError(f"{self.__name__} is not available any more")


class _Arguments(BaseModel, extra="forbid"):
    """Of a tool that is not here: none, so that one that was about to run is refused."""


def _function(found: object, name: str) -> object:
    return _Unknowing(name) if found is None or isinstance(found, Tool | Handler) else found


def _tool(found: object, name: str) -> Tool:
    if isinstance(found, Tool):
        return found
    takes_nothing = {"type": "object", "properties": {}}
    told = "This is not available any more."
    return Tool(name, told, takes_nothing, _Unable(name), _Arguments, DEFAULT_TIMEOUT_S, None)


def _handler(found: object, name: str) -> Handler:
    return found if isinstance(found, Handler) else Handler(name, get_args(EventKind), lambda event, call: None)
