"""Tools: Python functions of the flow that the model may call, with a schema made from their types."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import to_jsonable_python

from voicebot.errors import FlowError

from .json_types import schema_of
from .source import calling_place
from .wording import Worded

DEFAULT_TIMEOUT_S = 8.0
_CODE = re.compile(r"[a-z]{2}")  # ISO 639-1
Unverified = Literal["ask", "go"]
RESERVED = frozenset({"record", "judge", "apply_rule", "request_phase", "switch_language", "end_call", "transfer_call"})


def _nobody_listens(*words: object, **values: object) -> None:
    """Where a tool is called outside of a call."""


async def _nobody_reads(text: str) -> None:
    """Where a tool is called outside of a call."""


@dataclass(frozen=True)
class ToolContext:
    """What a tool may know of the call it works for; a parameter of this type is filled in, not shown to the model.

    Attributes:
        call_sid: the call.
        idempotency_key: the same for every try of this one use of the tool, for the other side to deduplicate by.
        observations: the values so far, by name, as Python objects.
        caller: the caller's number (E.164), None when withheld.
        say: has these words spoken at once, exactly, while the tool works; may be called from a thread.
        record: hands in observations by name, as Python objects or in JSON form; they are validated and taken when the
            tool comes back. What is not valid is refused in the tool's answer.
        send_sms: sends the caller a text message from the number of ours that the call is with, to be awaited in an
            async tool: `await context.send_sms("Your table is booked.")`. Raises `ToolError` if it was not sent, with
            words for the model. In a tool that runs `once`, it is sent once.
    """

    call_sid: str
    idempotency_key: str
    observations: Mapping[str, object]
    caller: str | None
    say: Callable[[str], None] = _nobody_listens
    record: Callable[..., None] = _nobody_listens
    send_sms: Callable[[str], Awaitable[None]] = _nobody_reads


@dataclass(frozen=True)
class Tool:
    """A function the model may call. `function` is sync (run in a thread) or async."""

    name: str
    description: str
    parameters: Mapping[str, object] = field(hash=False)
    function: Callable[..., object]
    arguments: type[BaseModel]
    timeout_s: float
    context_parameter: str | None
    filler: Worded = field(default="", hash=False)

    def once(self, *, on_failure: str, idempotent: bool = False, unverified: Unverified = "ask") -> Once:
        """Have it run once in a call, whatever happens to sockets and processes meanwhile.

        Args:
            on_failure: the phase to go on in when it fails, or when nobody can say whether it has run.
            idempotent: the other side drops a repetition (by `ToolContext.idempotency_key`), so it may be tried again.
            unverified: what to do when the words it rests on cannot be compared with a transcript, as none came: `ask`
                the caller once more, and fail if their answer cannot be checked either; or `go` ahead.

        Raises:
            FlowError: there is no such thing to do.
        """
        if unverified not in get_args(Unverified):
            problem = f"what is unverified can be 'ask' or 'go', not {unverified!r}"
            raise FlowError(problem, where=calling_place(), mend='write unverified="go" to do it all the same')
        return Once(self, on_failure, idempotent, unverified)

    def read_arguments(self, text: str) -> dict[str, object]:
        """Validate the model's arguments.

        Raises:
            ValueError: in words the model can act on.
        """
        try:
            model = self.arguments.model_validate_json(text or "{}")
        except ValidationError as exc:
            raise ValueError(readable(exc)) from exc
        return {name: getattr(model, name) for name in type(model).model_fields}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as the flow's author would."""
        return self.function(*args, **kwargs)


@dataclass(frozen=True)
class Once:
    """The use of a tool that has an effect outside, as in placing an order: its intent is on disk before it runs."""

    tool: Tool
    on_failure: str
    idempotent: bool = False
    unverified: Unverified = "ask"


@overload
def tool(function: Callable[..., object], /) -> Tool: ...
@overload
def tool(*, timeout_s: float = DEFAULT_TIMEOUT_S, filler: Worded = "") -> Callable[[Callable[..., object]], Tool]: ...
def tool(
    function: Callable[..., object] | None = None, /, *, timeout_s: float = DEFAULT_TIMEOUT_S, filler: Worded = ""
) -> Tool | Callable[[Callable[..., object]], Tool]:
    """Make a typed function with a docstring into a tool.

    Args:
        timeout_s: how long a use may take (0.1 to 60 s); past it the model is told that it took too long.
        filler: exact words for the caller when it takes longer than a breath, as in "One moment, I am looking."; one
            text, or one for each language.

    Raises:
        FlowError: no docstring, an untyped parameter, `*args`, a filler that is none, or a name the engine uses itself.
    """
    if function is not None:
        return _tool(function, timeout_s, filler)
    return lambda given: _tool(given, timeout_s, filler)


def _tool(function: Callable[..., object], timeout_s: float, filler: Worded) -> Tool:
    name, place = getattr(function, "__name__", "tool"), calling_place()
    description = inspect.getdoc(function)
    if not description:
        raise FlowError(f"the tool {name} has no docstring", where=place, mend="say in it when to use the tool")
    if name in RESERVED:
        raise FlowError(f"a tool cannot be named {name}", where=place, mend=f"reserved: {', '.join(sorted(RESERVED))}")
    if not 0.1 <= timeout_s <= 60:
        raise FlowError(f"the tool {name} has a time limit of {timeout_s} s", where=place, mend="give 0.1 to 60 s")
    hints = get_type_hints(function, include_extras=True)
    members: dict[str, Any] = {}
    context_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise FlowError(f"the tool {name} takes *{parameter.name}", where=place, mend="name each parameter")
        if parameter.name not in hints:
            raise FlowError(f"{name}({parameter.name}) has no type", where=place, mend="annotate every parameter")
        if hints[parameter.name] is ToolContext:
            context_parameter = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        members[parameter.name] = (hints[parameter.name], default)
    arguments = create_model(name, __config__=ConfigDict(extra="forbid"), **members)
    schema = schema_of(arguments)
    schema.pop("title", None)
    said = filler.strip() if isinstance(filler, str) else {code: text.strip() for code, text in filler.items()}
    if not isinstance(said, str) and not (said and all(said.values()) and all(map(_CODE.fullmatch, said))):
        mend = 'give one text, or one for each language: {"en": "…", "it": "…"}'
        raise FlowError(f"the filler of {name} has a language without words", where=place, mend=mend)
    return Tool(name, description, schema, function, arguments, timeout_s, context_parameter, said)


def readable(error: ValidationError) -> str:
    """A pydantic error in one line of plain words, without the offending values."""
    parts = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(str(step) for step in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        parts.append(f"{place}: {message}" if place else message)
    return "; ".join(parts[:5])


def tool_output(value: object) -> str:
    """What a tool returned, as the text the model reads; half a surrogate pair, which cannot be sent, becomes `?`."""
    text = value if isinstance(value, str) else json.dumps(to_jsonable_python(value), ensure_ascii=False)
    return text.encode(errors="replace").decode()
