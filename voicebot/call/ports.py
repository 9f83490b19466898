"""What a call speaks with: a caller's leg on one side, a speech model on the other.

Both sides are ports. A leg or a model is an adapter that turns its wire into the events below and the commands
below into its wire; the call core sees neither Twilio nor the Realtime API. Audio payloads are opaque bytes in the
format the leg declared (`AudioFormat`).

    caller's leg  ── CallerEvent ──▶          ── ModelCommand ──▶  model
                  ◀─ LegCommand ───  CallCore ◀─ ModelEvent ────
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from voicebot.audio.formats import AudioFormat
from voicebot.tool_schema import ToolSchema

# ---- from the caller's leg ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """Some audio of the caller, in the leg's declared format."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller pressed a key: one of 0-9 * # A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """A mark came back: the audio before it was played, or flushed by a `ClearPlayback`.

    `ago_ms`: so long ago, where the leg knows.
    """

    name: str
    ago_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """The leg ended. `reason` is `hangup` (an orderly stop) or `lost` (the socket broke)."""

    reason: Literal["hangup", "lost"]


@dataclass(frozen=True, slots=True)
class CallerWrote:
    """The caller's turn came as text: it is over, and its words are known."""

    text: str


CallerEvent = CallerAudio | KeyPressed | MarkPlayed | CallerLeft | CallerWrote

# ---- to the caller's leg ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Play this after all that was sent before. `end` says that no more of this utterance follows."""

    payload: bytes
    end: bool = False


@dataclass(frozen=True, slots=True)
class SendMark:
    """Ask to be told (`MarkPlayed`) when everything sent before has been played. At most 120 characters."""

    name: str


@dataclass(frozen=True, slots=True)
class ClearPlayback:
    """Drop everything that was sent and not yet played."""


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """End the stream; what the phone line does next is the server's word (`/twilio/after`)."""


LegCommand = PlayAudio | SendMark | ClearPlayback | CloseLeg

# ---- from the model -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelReady:
    """The session is configured; audio and replies may be asked for. `expires_in_s` is its life from now, if known."""

    expires_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller began to speak. `at_ms` counts the audio appended in this session."""

    item_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class TurnCommitted:
    """The caller's turn is over and stands in the conversation as `item_id`."""

    item_id: str


@dataclass(frozen=True, slots=True)
class CallerTranscript:
    """What the caller said in the turn `item_id`. Asynchronous: before, during or after the reply to it."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    item_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    reply_id: str


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """Audio of the assistant's item `item_id`, in order."""

    reply_id: str
    item_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ReplyAudioEnded:
    """No more audio of this item follows."""

    reply_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class ReplyWords:
    """More of the words of `item_id`; with `final`, `text` is all of them."""

    reply_id: str
    item_id: str
    text: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a function. `arguments` is the JSON text as it came, unchecked."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply; cached ones are a part of the input ones (Realtime API reference, `usage`)."""

    input_text: int = 0
    input_audio: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    output_text: int = 0
    output_audio: int = 0


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """A reply is over, whatever its outcome. `calls` holds its complete function calls, in order.

    `spoke` says whether it holds any message with words. `error_code` and `error` say why it failed or is incomplete;
    a reply that the model refused to begin ends as `failed` too. One that was cancelled too late may end `completed`.
    """

    reply_id: str
    status: Literal["completed", "cancelled", "failed", "incomplete"]
    calls: tuple[ToolCall, ...] = ()
    spoke: bool = False
    usage: Usage | None = None
    error_code: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ClipRendered:
    """An exact statement was rendered. `transcript` is what the model says that it spoke."""

    key: str
    payload: bytes
    transcript: str


@dataclass(frozen=True, slots=True)
class ClipFailed:
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Analysed:
    """The model has looked back at the call. `arguments` is the function's JSON text as it came, unchecked."""

    key: str
    arguments: str
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class AnalysisFailed:
    key: str
    reason: str
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationRejected:
    """The model refused a `Configure` twice; replies still carry their own instructions and tools."""

    reason: str


@dataclass(frozen=True, slots=True)
class ModelLost:
    """The model's connection is gone. `retryable` is False when another try cannot help."""

    reason: str
    retryable: bool


ModelEvent = (
    ModelReady
    | SpeechStarted
    | SpeechStopped
    | TurnCommitted
    | CallerTranscript
    | TranscriptFailed
    | ReplyStarted
    | ReplyAudio
    | ReplyAudioEnded
    | ReplyWords
    | ReplyEnded
    | ClipRendered
    | ClipFailed
    | Analysed
    | AnalysisFailed
    | ConfigurationRejected
    | ModelLost
)

# ---- to the model -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TurnTaking:
    """When the caller's turn is over: after a pause, or with an `eagerness`, when their words sound finished."""

    pause_ms: int = 500
    eagerness: Literal["low", "medium", "high", "auto"] | None = None


@dataclass(frozen=True, slots=True)
class Configure:
    """Instructions and tools from now on; `turns`, and the caller's `language` (ISO 639-1), only where they change."""

    instructions: str
    tools: tuple[ToolSchema, ...]
    turns: TurnTaking | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Ask for exactly one reply. It repeats instructions and tools, so it is right whether `Configure` has taken.

    While another reply is under way it waits for that one's end; a second waiting one replaces the first.
    `tool_choice` is `auto`, `none` or `required`.
    """

    reply_id: str
    instructions: str
    tools: tuple[ToolSchema, ...]
    tool_choice: Literal["auto", "none", "required"] = "auto"


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stop the reply under way, and drop one that waits. The `ReplyEnded` of each still comes."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """The caller heard `audio_end_ms` of `item_id` and no more."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class AppendAudio:
    payload: bytes


@dataclass(frozen=True, slots=True)
class CommitAudio:
    """Close the caller's turn now (no more audio comes)."""


@dataclass(frozen=True, slots=True)
class AnswerTool:
    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class InsertSaid:
    """We said this ourselves: put it into the conversation as the assistant's words."""

    text: str


@dataclass(frozen=True, slots=True)
class InsertHeard:
    """Put this into the conversation as the caller's words, in text."""

    text: str


@dataclass(frozen=True, slots=True)
class InsertCall:
    """Put a function call of the past into the conversation; its `AnswerTool` follows."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class InsertNote:
    """Tell the model something that nobody said aloud (a system item)."""

    text: str


@dataclass(frozen=True, slots=True)
class RenderClip:
    """Render exactly these words outside the conversation; answered by `ClipRendered` or `ClipFailed` with `key`."""

    key: str
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class Analyse:
    """Look back at the conversation, in text and beside it, and call `tool` once; nothing of it is heard.

    Answered by `Analysed` or `AnalysisFailed` with `key`. One at a time.
    """

    key: str
    instructions: str
    tool: ToolSchema


ModelCommand = (
    Configure
    | Reply
    | CancelReply
    | Truncate
    | AppendAudio
    | CommitAudio
    | AnswerTool
    | InsertSaid
    | InsertHeard
    | InsertCall
    | InsertNote
    | RenderClip
    | Analyse
)


@dataclass(frozen=True, slots=True)
class CallerAudioQuality:
    """How a caller's audio was, as far as it has come. `level_dbov` is None if nothing was to be heard."""

    audio_ms: int
    gaps: int
    gap_ms: int
    level_dbov: float | None
    clipped: float


# ---- the adapters -------------------------------------------------------------------------------------------------


class CallerLeg(Protocol):
    """One caller's connection. One task reads, one task at a time writes."""

    @property
    def audio_format(self) -> AudioFormat:
        """The format of payloads in both directions, which the model is asked to use."""
        ...

    @property
    def quality(self) -> CallerAudioQuality | None:
        """How the caller's audio was until now; None for a leg that does not measure it."""
        ...

    def give_audio_to(self, hear: Callable[[bytes], bool]) -> None:
        """Have the caller's audio given to `hear` in the step in which it comes, fifty times a second.

        What it does not take, by returning False, comes from `receive` as `CallerAudio`, and so does what comes before
        that was received: nothing is overtaken.
        """
        ...

    async def receive(self) -> Sequence[CallerEvent]:
        """Wait for the next events; the last one ever is `CallerLeft`. Never raises for what the peer does."""
        ...

    async def send(self, commands: Sequence[LegCommand]) -> None:
        """Write commands in order.

        Raises:
            LegLostError: the connection is gone, or does not take bytes within the write limit.
        """
        ...


class ModelLeg(Protocol):
    """One connection to a speech model. One task reads, one task at a time writes."""

    async def receive(self) -> Sequence[ModelEvent]:
        """Wait for the next events; the last one ever is `ModelLost`. Never raises for what the peer does."""
        ...

    def hear(self, payload: bytes) -> None:
        """`AppendAudio`, at once; never while a `send` is under way."""
        ...

    async def send(self, commands: Sequence[ModelCommand]) -> None:
        """Write commands in order. A lost connection is told by `receive`, not here."""
        ...

    async def close(self) -> None:
        """Close the connection; returns within two seconds, and does nothing the second time."""
        ...
