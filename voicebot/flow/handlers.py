"""Event handlers: functions of the flow that are told what happens in its calls, to store, forward or steer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, get_args

from pydantic import JsonValue

from voicebot.errors import FlowError

from .source import calling_place

EventKind = Literal[
    "transcript",  # who said what, as it comes: speaker, text; of the bot: interrupted
    # name, value, state: recorded, declined, agreed, confirmed, unverifiable, withdrawn or filled_after
    "observation",
    "phase",  # entered: name, previous, cause
    "tool",  # came back: tool, ok, took_ms
    "end",  # the call is over: reason, outcome, observations
]
DEFAULT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Something that happened in a call. `at` is aware UTC; `facts` is JSON, by the names that `EventKind` lists."""

    kind: EventKind
    call_sid: str
    at: datetime
    facts: Mapping[str, JsonValue]


class CallControl(Protocol):
    """How a handler steers the call it was told of. May be called from a thread; does nothing once the call is over.

    Bounded, so that a handler which answers every event cannot talk without end: one `say` for each event, and fifty
    steers in a call.
    """

    @property
    def observations(self) -> Mapping[str, object]:
        """The values as of the event, by name, as Python objects."""
        ...

    def say(self, text: str) -> None:
        """Have these words spoken, exactly."""
        ...

    def note(self, text: str) -> None:
        """Tell the model something that nobody says aloud; it is heeded from the next reply on."""
        ...

    def hang_up(self) -> None:
        """End the call politely: the model says goodbye first."""
        ...


@dataclass(frozen=True)
class Handler:
    """A function that is told of these kinds of events. It is sync (run in a thread) or async."""

    name: str
    kinds: tuple[EventKind, ...]
    function: Callable[[CallEvent, CallControl], object]
    timeout_s: float = DEFAULT_TIMEOUT_S

    def __call__(self, event: CallEvent, call: CallControl) -> object:
        """Call the function itself, as the flow's author would."""
        return self.function(event, call)


def handler(
    *kinds: EventKind, timeout_s: float = DEFAULT_TIMEOUT_S
) -> Callable[[Callable[[CallEvent, CallControl], object]], Handler]:
    """Make a function of an event and the call into a handler.

    It is never on the way of the audio: events wait for it in a bounded queue, what it raises is logged, and one that
    takes longer than `timeout_s` is given up.

    Args:
        kinds: what it is told of; default: everything.
        timeout_s: how long one event may take it (0.1 to 30 s).

    Raises:
        FlowError: an unknown kind, or a time limit out of bounds.
    """
    place = calling_place()
    known = get_args(EventKind)
    if unknown := [kind for kind in kinds if kind not in known]:
        raise FlowError(f"there are no events {unknown[0]!r}", where=place, mend=f"events: {', '.join(known)}")
    if not 0.1 <= timeout_s <= 30:
        raise FlowError(f"a handler has a time limit of {timeout_s} s", where=place, mend="give 0.1 to 30 s")

    def made(function: Callable[[CallEvent, CallControl], object]) -> Handler:
        name = getattr(function, "__name__", "")
        if not name or name == "<lambda>":
            raise FlowError("a handler has no name", where=place, mend="define it with def")
        return Handler(name, kinds or known, function, timeout_s)

    return made
