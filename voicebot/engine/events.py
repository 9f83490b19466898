"""What the engine is told, and what it wants done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from voicebot.flow.model import Say

from .entries import EndedReason, EngineEntry

# ---- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The caller is on the line."""


@dataclass(frozen=True, slots=True)
class CallerTurnEnded:
    """The caller's turn is over; its words may come later. `cut` says that `CloseTurn` ended it."""

    item_id: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class CallerTranscribed:
    """The words of the caller's turn `item_id`, whenever they come."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptMissed:
    """The words of this turn will never come."""

    item_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller pressed a key: one of 0-9 * # A-D, or `MASKED_KEY` where a call is played again."""

    digit: str


@dataclass(frozen=True, slots=True)
class SecretEntered:
    """A call is played again: a secret was entered then, or with a `problem`, something that is no value of it."""

    name: str
    problem: str


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
    """A tool of the flow came back; `output` is what the model is to read.

    `refused` says that the tool raised `ToolError`: it did nothing. `records` are observations that it hands in, by
    name, in JSON form.
    """

    call_id: str
    output: str
    ok: bool
    refused: bool = False
    records: Mapping[str, JsonValue] = field(default_factory=dict, hash=False)


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


@dataclass(frozen=True, slots=True)
class MoneySpent:
    """The model's tokens of this call have cost `usd` so far (US dollars)."""

    usd: float


@dataclass(frozen=True, slots=True)
class CallResumed:
    """The call goes on after its process was lost: what was at work then will not come back by itself."""


@dataclass(frozen=True, slots=True)
class AnalysisCame:
    """The call is over, and the model says what the caller said and nobody recorded: by field, value and quote."""

    said: Mapping[str, JsonValue] = field(hash=False)


@dataclass(frozen=True, slots=True)
class EndWanted:
    """The flow's own code wants the call to end politely."""


@dataclass(frozen=True, slots=True)
class TransferWanted:
    """Whoever operates the service wants the caller joined to the flow's target of this name."""

    target: str


EngineEvent = (
    CallStarted
    | CallerTurnEnded
    | CallerTranscribed
    | TranscriptMissed
    | KeyPressed
    | SecretEntered
    | ToolProposed
    | ResponseEnded
    | ToolFinished
    | StatementEnded
    | SilenceLasted
    | MoneySpent
    | CallResumed
    | AnalysisCame
    | EndWanted
    | TransferWanted
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
    """Run a tool of the flow and come back with `ToolFinished`. `key` is the same for every try of this use."""

    call_id: str
    tool: str
    arguments: Mapping[str, object] = field(hash=False)
    key: str = ""


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
class KeepSecret:
    """Put the value of a secret field (JSON text) into the call's vault, before it is written that it was recorded."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CloseTurn:
    """The caller's time is over: if they are speaking, their turn ends here."""


@dataclass(frozen=True, slots=True)
class Close:
    """End the call once its goodbye has been heard. `note` tells the model how to close, if it has not yet.

    `words`: exactly these are the goodbye, and the model has nothing to say.
    """

    reason: EndedReason
    note: str
    words: Say | None = None


EngineEffect = Write | Answer | RunTool | ConfigurePhase | SpeakExactly | AskReply | KeepSecret | CloseTurn | Close

# ---- what a call is about -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallContext:
    """What is known of a call before a word is spoken. `started` is aware; numbers are E.164 or None.

    `caller` is whom we speak with, also where we have called them (`outbound`); `called` is our own number. `variables`
    are what whoever had the call placed knows of it.
    """

    call_sid: str
    caller: str | None
    called: str | None
    started: datetime
    direction: Literal["inbound", "outbound"] = "inbound"
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
