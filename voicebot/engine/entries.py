"""What the engine writes into a call's journal. Its state is a fold over these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

PhaseCause = Literal["start", "criteria", "jump", "silence"]
EndedReason = Literal[
    "completed",  # the flow came to its end
    "caller_finished",  # the caller wanted to end it, and the bot said goodbye
    "caller_hung_up",
    "silence",
    "duration_limit",
    "model_failed",
    "connection_lost",
    "never_connected",  # the webhook was answered, but no stream came
    "shutdown",  # the server had to stop
    "error",
]


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    phase: str
    previous: str | None
    cause: PhaseCause


@dataclass(frozen=True, slots=True)
class CallerTurnTaken:
    """The caller's turn number `turn` (from 1) is over; `item_id` names it at the model's side."""

    turn: int
    item_id: str


@dataclass(frozen=True, slots=True)
class ObservationRecorded:
    """A valid value. `value` is in JSON form; `turn` is the caller's turn it was said in, 0 for a default."""

    name: str
    value: JsonValue
    kind: Literal["speech", "default"]
    quote: str
    turn: int


@dataclass(frozen=True, slots=True)
class ObservationDeclined:
    """The caller does not want to tell it."""

    name: str
    quote: str
    turn: int


@dataclass(frozen=True, slots=True)
class ProposalRefused:
    """The model proposed what does not hold. `subject` is a field or a tool; `problem` is what the model was told."""

    subject: str
    problem: str
    turn: int


@dataclass(frozen=True, slots=True)
class ToolStarted:
    call_id: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    call_id: str
    tool: str
    output: str
    ok: bool
    took_ms: int


@dataclass(frozen=True, slots=True)
class StatementBegun:
    """A statement that must be said is being said, as `text`."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class StatementHeard:
    """The caller has heard it to its end."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class StatementCut:
    """The caller has not heard it to its end; it will be said again."""

    name: str


@dataclass(frozen=True, slots=True)
class SilenceNoticed:
    """Nobody made a sound for as long as rung `rung` of the silence ladder says."""

    rung: int


@dataclass(frozen=True, slots=True)
class ClosingBegan:
    """From here the call only says goodbye."""

    reason: EndedReason


EngineEntry = (
    PhaseEntered
    | CallerTurnTaken
    | ObservationRecorded
    | ObservationDeclined
    | ProposalRefused
    | ToolStarted
    | ToolAnswered
    | StatementBegun
    | StatementHeard
    | StatementCut
    | SilenceNoticed
    | ClosingBegan
)
