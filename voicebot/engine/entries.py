"""What the engine writes into a call's journal. Its state is a fold over these and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

SECRET = "***"  # stands for the value of a secret field wherever it is not to be known
MASKED_KEY = "•"  # stands for a key that belongs to a secret

PhaseCause = Literal[
    "start",
    "criteria",  # the phase before it was done
    "return",  # back on the way after a correction; phases that were done before are passed over
    "correction",  # an earlier answer changed, and the way leads here now
    "jump",  # on the caller's request
    "rule",  # one of the flow's rules that hold everywhere
    "key",  # a key of the phase's menu
    "silence",
    "stuck",  # the phase before it reached its limits
    "failure",  # the commit before it failed
    "no_answer",  # nobody could be reached for the caller
    "cost",  # the call has cost what it may
]
EndedReason = Literal[
    "completed",  # the flow came to its end
    "caller_finished",  # the caller wanted to end it, and the bot said goodbye
    "caller_hung_up",
    "transferred",  # the caller was to be joined to a human being; the transfer's result says whether they were
    "transfer_failed",  # nobody could be reached, and there was no way back
    "silence",
    "duration_limit",
    "cost_limit",  # it has cost what it may
    "model_failed",
    "connection_lost",
    "never_connected",  # the webhook was answered, but no stream came
    "full",  # there was no place for the caller, who waited for one or left a message
    "closed",  # they called outside the flow's hours
    "voicemail",  # an answering machine took our call, and heard the flow's message if there is one
    "busy",  # of our calls, as those below: nobody has answered
    "no_answer",
    "failed",  # it could not be placed, or the number cannot be reached
    "canceled",  # it was taken back before anybody answered
    "shutdown",  # the server had to stop
    "error",
]
EvidenceKind = Literal[
    "speech",
    "keypad",  # pressed on the telephone
    "default",
    "tool",
    "computed",
    "analysis",  # said by the caller, and found when the call was over
]
EvidenceState = Literal[
    "provisional",  # the transcript of the turn is not there yet
    "confirmed",  # the caller's words, as transcribed, bear it out; or it needs no words
    "contradicted",  # they do not
    "unverifiable",  # no transcript could be had, or none that compares
]
Testimony = Literal["value", "agreement", "verdict"]  # what a quote stands for


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    phase: str
    previous: str | None
    cause: PhaseCause


@dataclass(frozen=True, slots=True)
class CallerTurnTaken:
    """The caller's turn number `turn` (from 1) is over; `item_id` names it at the model's side.

    `cut` says that their time was over: the turn belongs to the phase before.
    """

    turn: int
    item_id: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """The transcript of the caller's turn `item_id`, which may come late."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class CallerUnclear:
    """No transcript could be had for this turn."""

    item_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ObservationRecorded:
    """A valid value. `value` is in JSON form; `turn` is the caller's turn it was said in, 0 for a default.

    Of a secret field `value` is `SECRET`: the value itself is in the call's vault, under the field's name.
    """

    name: str
    value: JsonValue
    kind: EvidenceKind
    quote: str
    turn: int


@dataclass(frozen=True, slots=True)
class ObservationConfirmed:
    """The value was read back, and the caller agreed."""

    name: str
    quote: str
    turn: int


@dataclass(frozen=True, slots=True)
class ObservationDeclined:
    """The caller does not want to tell it."""

    name: str
    quote: str
    turn: int


@dataclass(frozen=True, slots=True)
class ObservationWithdrawn:
    """The value is not there any more, or the one before it is again."""

    name: str
    reason: Literal[
        "contradicted",  # nobody said it
        "not_computed",  # what it came from is gone
        "outdated",  # it was an answer about a value that has changed
    ]


@dataclass(frozen=True, slots=True)
class ObservationFilled:
    """A valid value that the caller said and nobody recorded, found when the call was over.

    `turn` is the caller's turn that bears the quote out best; `state` and `score` are final.
    """

    name: str
    value: JsonValue
    quote: str
    turn: int
    state: EvidenceState
    score: float | None


@dataclass(frozen=True, slots=True)
class JudgementMade:
    """The model's verdict on a criterion in words, with a quote of the caller."""

    criterion: str
    holds: bool
    quote: str
    turn: int


@dataclass(frozen=True, slots=True)
class EvidenceWeighed:
    """A quote was compared with what the caller was transcribed to have said. `score` is 0.0 to 1.0, None if none was.

    `subject` is a field, or a criterion for a `verdict`.
    """

    subject: str
    of: Testimony
    state: EvidenceState
    score: float | None


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """What `tool` rests on could not be compared with the caller's words: they are asked once more.

    A subject is a field, or a criterion as `judged …`.
    """

    tool: str
    subjects: tuple[str, ...]
    turn: int


@dataclass(frozen=True, slots=True)
class RuleApplied:
    """One of the flow's rules took effect; `quote` is empty for a key."""

    rule: str
    quote: str
    turn: int


@dataclass(frozen=True, slots=True)
class LanguageSwitched:
    """From here the call is in `language` (ISO 639-1), after it was in `previous`.

    `cause`: the caller asked for it or began to speak it, as the model says with `quote`; or their transcripts show it.
    """

    language: str
    previous: str
    cause: Literal["request", "detection"]
    quote: str
    turn: int


@dataclass(frozen=True, slots=True)
class KeysRefused:
    """What was pressed for a field is no value of it, or nothing was pressed in time: the `attempt`-th try is over."""

    name: str
    problem: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ProposalRefused:
    """The model proposed what does not hold. `subject` is a field or a tool; `problem` is what the model was told."""

    subject: str
    problem: str
    turn: int


@dataclass(frozen=True, slots=True)
class ToolHeld:
    """A tool that runs once waits until what it rests on is borne out. `commit` says that the engine itself runs it."""

    call_id: str
    tool: str
    arguments: str
    commit: bool


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool runs; of one that runs once this is the intent, on disk before it runs."""

    call_id: str
    tool: str
    arguments: str
    commit: bool = False


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """A tool came back. `refused` says that it did nothing; `records` are the observations it handed in."""

    call_id: str
    tool: str
    output: str
    ok: bool
    took_ms: int
    refused: bool = False
    records: Mapping[str, JsonValue] = field(default_factory=dict, hash=False)


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
class TimeRanOut:
    """A limit in time was reached: of the call, of the phase, or of waiting for evidence."""

    limit: Literal["call", "phase", "evidence"]


@dataclass(frozen=True, slots=True)
class CostReached:
    """The model's tokens have cost `usd` (US dollars), which is what the flow lets a call cost, or more."""

    usd: float


@dataclass(frozen=True, slots=True)
class TransferBegan:
    """The caller is to be joined to the flow's target of this name, which rings for `ring_s`, once they were told so.

    `brief`: whoever answers is told first who calls. `quote` is what the caller said where the model asked for it.
    """

    target: str
    brief: bool
    ring_s: float
    quote: str = ""
    turn: int = 0


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """Nobody could be reached at `target`: the conversation goes on. `result` is what the phone line says of it."""

    target: str
    result: str


@dataclass(frozen=True, slots=True)
class ClosingBegan:
    """From here the call only says goodbye."""

    reason: EndedReason


EngineEntry = (
    PhaseEntered
    | CallerTurnTaken
    | CallerSaid
    | CallerUnclear
    | ObservationRecorded
    | ObservationConfirmed
    | ObservationDeclined
    | ObservationWithdrawn
    | ObservationFilled
    | JudgementMade
    | EvidenceWeighed
    | AskedAgain
    | RuleApplied
    | LanguageSwitched
    | KeysRefused
    | ProposalRefused
    | ToolHeld
    | ToolStarted
    | ToolAnswered
    | StatementBegun
    | StatementHeard
    | StatementCut
    | SilenceNoticed
    | TimeRanOut
    | CostReached
    | TransferBegan
    | TransferFailed
    | ClosingBegan
)
