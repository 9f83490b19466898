"""The journal of a call: every kind of entry, and their form in the store.

A call is its journal: its state, its report and its live view are folds over these entries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from voicebot.engine.entries import EndedReason, EngineEntry
from voicebot.errors import JournalError


@dataclass(frozen=True, slots=True)
class CallOpened:
    """The voice webhook was answered. `flow_document` is the flow's JSON form, with which the call begins and ends.

    `variables` are what an outbound call was placed with.
    """

    flow: str
    flow_version: str
    flow_document: str
    caller: str | None
    called: str | None
    direction: Literal["inbound", "outbound"]
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)


AnsweredBy = Literal[
    "human",
    "machine_end_beep",  # an answering machine; its greeting is over, as far as that can be heard
    "machine_end_silence",
    "machine_end_other",
    "fax",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class AnswererKnown:
    """The phone line has found out who has answered our call, `took_ms` after it was answered."""

    answered_by: AnsweredBy
    took_ms: int | None

    @property
    def by_machine(self) -> bool:
        """Whether nobody is there to talk with."""
        return self.answered_by not in ("human", "unknown")

    @property
    def takes_messages(self) -> bool:
        """Whether a message can be left now."""
        return self.answered_by.startswith("machine_end")


@dataclass(frozen=True, slots=True)
class CallerConnected:
    """The caller's stream is here."""

    stream_sid: str


@dataclass(frozen=True, slots=True)
class ModelConnected:
    """The model's session is configured."""

    model: str


@dataclass(frozen=True, slots=True)
class ModelGone:
    """The model's connection is no more. `planned`: it was given up for another one, before its session ended."""

    reason: str
    retryable: bool
    planned: bool = False


@dataclass(frozen=True, slots=True)
class BotSaid:
    """The bot spoke. `heard_text` is an estimate from `heard_ms` of `sent_ms`; `exact` marks a clip."""

    item_id: str
    text: str
    heard_text: str
    heard_ms: int
    sent_ms: int
    interrupted: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class FunctionCalled:
    """The model called a function, whichever: `arguments` is its JSON text as it came, unchecked."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class FunctionAnswered:
    """What the model was answered."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class EndAsked:
    """A handler of the flow, or whoever operates the service, wants the call to end."""


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """Whoever operates the service wants the caller joined to the flow's target of this name."""

    target: str


@dataclass(frozen=True, slots=True)
class NoteGiven:
    """A handler of the flow, or whoever operates the service, told the model something."""

    text: str


@dataclass(frozen=True, slots=True)
class TextMessage:
    """A text message was sent; or it was not, and `problem` says why, with Twilio's `code` if it was refused there.

    It is a tool's, to the caller; or the `number`-th with which the flow ends its calls, `to` somebody.
    """

    text: str
    message_sid: str | None
    problem: str | None = None
    to: str | None = None
    number: int | None = None
    code: int | None = None


@dataclass(frozen=True, slots=True)
class TextMessageBegan:
    """The `number`-th message with which the flow ends its calls is about to be sent.

    `attempt_id` is of the one who sends it: whoever finds another one here does not.
    """

    number: int
    text: str
    to: str | None
    attempt_id: str


@dataclass(frozen=True, slots=True)
class CallerHummed:
    """The caller said a short word of attention while the bot went on speaking; it is no turn of theirs."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class KeyPress:
    digit: str


@dataclass(frozen=True, slots=True)
class TurnAnswered:
    """First audio of the reply to the caller's turn. `response_ms` counts from the model's end-of-speech event."""

    turn: int
    response_ms: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    code: str | None
    problem: str
    retried: bool


@dataclass(frozen=True, slots=True)
class StatementNotRendered:
    """An exact statement could not be had word for word; the model was asked to speak it instead."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class TokensSpent:
    """Usage of one reply (tokens; cached ones are part of the input). `usd`: what it cost (US dollars), if known."""

    input_text: int
    input_audio: int
    cached_text: int
    cached_audio: int
    output_text: int
    output_audio: int
    usd: float | None = None


TOKEN_KINDS = tuple(name for name in TokensSpent.__slots__ if name != "usd")


@dataclass(frozen=True, slots=True)
class CallAnalysed:
    """The model has looked back at the call, or has not: then `reason` says why, and the rest is empty.

    `arguments` is its answer in JSON text as it came: what it claims beside the summary is unchecked, and what holds of
    it follows in entries of its own.
    """

    status: Literal["done", "skipped"]
    summary: str | None = None
    arguments: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallTakenOver:
    """Another process goes on with the call: it is the `attempt`-th that has it."""

    attempt: int


@dataclass(frozen=True, slots=True)
class LegLost:
    """The caller's stream broke; the call goes on if the phone line asks for another one."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """This process stops; another one is to go on with the call."""


@dataclass(frozen=True, slots=True)
class LineClosed:
    """We are about to close the caller's stream on purpose: nobody is to go on with the call."""

    reason: EndedReason


PassingGoal = Literal["transfer", "voicemail", "queue"]


@dataclass(frozen=True, slots=True)
class PassedOn:
    """The phone line takes the caller elsewhere: the `number`-th time in this call.

    `target` is who is rung, None for a voicemail, and for the `queue`, in which the caller waits for a place. What
    comes of it is known after `limit_s` at the latest, or never.
    `name` is that of the flow's target which the conversation led to; None for a way of its `fallback`.
    """

    number: int
    to: PassingGoal
    target: str | None
    limit_s: float
    name: str | None = None


PassingStatus = Literal["completed", "busy", "no_answer", "failed", "canceled", "recorded", "empty"]


@dataclass(frozen=True, slots=True)
class PassingEnded:
    """What came of it. `completed`: somebody was reached and the talk is over; `empty`: the caller left no message.

    Of the queue: `no_answer` when its time was over, `canceled` when the caller hung up. `duration_s` is that of the
    talk, of the recording or of the wait; `recording_sid` and `recording_url` are Twilio's.
    """

    number: int
    status: PassingStatus
    duration_s: int | None = None
    recording_sid: str | None = None
    recording_url: str | None = None

    @property
    def done(self) -> bool:
        """Whether the caller was served, so that no other way is to be taken."""
        return self.status in ("completed", "recorded")


@dataclass(frozen=True, slots=True)
class LineQuality:
    """How the line was, from the caller's stream to here: measured on it, and decided by nobody.

    Of the caller's audio: how much came and was missing between what came, how loud it was while anybody was to be
    heard (dB below full scale, None if nobody was), which share of it was clipped. Of ours: how often an utterance ran
    dry, and for how long. `barge_ins_ms`: from the model's word that the caller speaks to the line's being cleared, of
    each time (the first hundred).
    """

    caller_ms: int
    gaps: int
    gap_ms: int
    level_dbov: float | None
    clipped: float
    underruns: int
    underrun_ms: int
    barge_ins_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """The call is being recorded from now on; or again, after it went to other hands. `part` counts from 1."""

    recording_id: str
    part: int


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """What a part of the recording has come to; later entries of the same part hold.

    `cut_short`: something failed, as `reason` says. `erased`: the caller has declined, and all parts are gone. `sha256`
    is that of the WAV, as it is played out.
    """

    recording_id: str
    part: int
    status: Literal["kept", "cut_short", "erased"]
    duration_ms: int = 0
    size_bytes: int = 0
    sha256: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallEnded:
    reason: EndedReason


CallEntry = (
    CallOpened
    | AnswererKnown
    | CallerConnected
    | ModelConnected
    | ModelGone
    | BotSaid
    | FunctionCalled
    | FunctionAnswered
    | CallerHummed
    | KeyPress
    | TextMessage
    | TextMessageBegan
    | NoteGiven
    | EndAsked
    | TransferAsked
    | TurnAnswered
    | ReplyFailed
    | StatementNotRendered
    | TokensSpent
    | CallAnalysed
    | CallTakenOver
    | LegLost
    | HandedOver
    | LineClosed
    | PassedOn
    | PassingEnded
    | LineQuality
    | RecordingStarted
    | RecordingEnded
    | CallEnded
)

Entry = CallEntry | EngineEntry

_KINDS: dict[str, type[Any]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in get_args(Entry)
}
_NAMES: dict[type[Any], str] = {kind: name for name, kind in _KINDS.items()}


def kind_of(entry: Entry) -> str:
    """The entry's kind as it stands in the store, as in `bot_said`."""
    return _NAMES[type(entry)]


def write_entry(entry: Entry) -> str:
    """The entry's body as JSON text."""
    return to_json(entry).decode()


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(_KINDS[kind])


def read_entry(kind: str, body: str) -> Entry:
    """An entry from the store.

    Raises:
        JournalError: the kind is unknown or the body does not fit it.
    """
    if kind not in _KINDS:
        raise JournalError(f"a journal entry has the unknown kind {kind!r}; was it written by a newer version?")
    try:
        entry: Entry = _adapter(kind).validate_json(body)
    except ValidationError as exc:
        raise JournalError(f"a journal entry of kind {kind!r} is damaged") from exc
    return entry
