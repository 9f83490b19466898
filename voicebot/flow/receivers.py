"""Receivers: whom a flow tells of its calls beside the receiver of the settings, of what, and in which shape."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.dataclasses import dataclass

from voicebot.errors import FlowError
from voicebot.webhook_events import REPORT_EVENT

from .expressions import Field, read_field
from .functions import registered
from .source import calling_place, remember_place

FieldName = Annotated[str, BeforeValidator(read_field)]
ShapeFunction = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@plain_dataclass(frozen=True)
class Shape:
    """A pure function of the author's that makes a receiver's body out of an event's own (`type`, `timestamp`, `data`).

    It may return anything that JSON can hold in an object; dates and decimals become text.
    """

    name: str
    function: ShapeFunction

    def __call__(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call the function itself, as the flow's author would."""
        return self.function(event)


def shape_of(function: object) -> Shape:
    """Take a plain function for a shape.

    Raises:
        FlowError: it is no function, has no name, or is async.
    """
    place = calling_place()
    name = getattr(function, "__name__", None)
    if not callable(function) or name is None or name == "<lambda>":
        raise FlowError(f"a receiver's body {function!r} is no named function", where=place, mend="define it with def")
    if inspect.iscoroutinefunction(function):
        raise FlowError(f"a receiver's body {name} is async", where=place, mend="make it a plain function: a pure one")
    return Shape(name, function)


def _read_shape(value: object, info: ValidationInfo) -> Shape | None:
    if value is None or isinstance(value, Shape):
        return value
    if not isinstance(value, str):
        return shape_of(value)
    known = registered(info)
    if value not in known:
        raise ValueError(f"no body function is registered as {value!r}")
    return shape_of(known[value])


ShapeName = Annotated[
    Shape | None,
    PlainValidator(_read_shape),
    PlainSerializer(lambda shape: None if shape is None else shape.name, return_type=str | None),
    WithJsonSchema({"type": "string", "description": "name of a registered function that makes the body"}),
]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class Receiver:
    """An address that is told of the flow's calls by signed POST (Standard Webhooks).

    Attributes:
        name: of the receiver, one of its own within the flow.
        url: where to post to, http or https.
        events: which events it is told of; default: the report (`call.completed`).
        body: a function of the event's own body that makes the one to send; default: that body as it is.
        secret: names the secret that signs, in `VOICEBOT_RECEIVER_SECRETS`; default: the receiver's of the settings.
        bearer: names a token there for the `Authorization` header.
        secrets: the secret observations that it gets; everybody else reads `***` in their place. With a `body` of its
            own, that function reads a placeholder, and passes it on as it is.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    _: KW_ONLY
    url: str
    events: tuple[str, ...] = (REPORT_EVENT,)
    body: ShapeName = None
    secret: str = ""
    bearer: str = ""
    secrets: tuple[FieldName, ...] = ()

    def __post_init__(self) -> None:
        remember_place(self)

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            *,
            url: str,
            events: Iterable[str] = (),
            body: ShapeFunction | None = None,
            secret: str = "",
            bearer: str = "",
            secrets: Iterable[Field | str] = (),
        ) -> None: ...
