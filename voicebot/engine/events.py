"""What the engine is told, and what it wants done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from voicebot.flow.model import Say

from .entries import EndedReason, EngineEntry

# ---- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The caller is on the line."""


@dataclass(frozen=True, slots=True)
class CallerTurnEnded:
    """The caller's turn is over; its words may come later."""

    item_id: str


@dataclass(frozen=True, slots=True)
class ToolProposed:
    """The model called a function; `arguments` is its JSON text, unchecked."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """All functions that one response called, in order; they are decided together."""

    calls: tuple[ToolProposed, ...]


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool of the flow came back; `output` is what the model is to read."""

    call_id: str
    output: str
    ok: bool


@dataclass(frozen=True, slots=True)
class StatementEnded:
    """A named statement is over. `complete` only if its end was heard."""

    name: str
    text: str
    complete: bool


@dataclass(frozen=True, slots=True)
class SilenceLasted:
    """Nobody made a sound for as long as rung `rung` of the silence ladder says."""

    rung: int


EngineEvent = (
    CallStarted | CallerTurnEnded | ToolProposed | ResponseEnded | ToolFinished | StatementEnded | SilenceLasted
)

# ---- effects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Write:
    """Append this to the journal."""

    entry: EngineEntry


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the model's function call."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a tool of the flow and come back with `ToolFinished`."""

    call_id: str
    tool: str
    arguments: Mapping[str, object] = field(hash=False)


@dataclass(frozen=True, slots=True)
class ConfigurePhase:
    """The phase, or what is open in it, changed: instructions and tools are to be read anew."""


@dataclass(frozen=True, slots=True)
class SpeakExactly:
    """Speak these words and no others."""

    say: Say


@dataclass(frozen=True, slots=True)
class AskReply:
    """The model is to speak now, for the reason given in `note`."""

    note: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the call once its goodbye has been heard. `note` tells the model how to close, if it has not yet."""

    reason: EndedReason
    note: str


EngineEffect = Write | Answer | RunTool | ConfigurePhase | SpeakExactly | AskReply | Close

# ---- what a call is about -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallContext:
    """What is known of a call before a word is spoken. `started` is aware; numbers are E.164 or None."""

    call_sid: str
    caller: str | None
    called: str | None
    started: datetime
