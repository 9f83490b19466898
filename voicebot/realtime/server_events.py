"""Server events of the Realtime API: JSON text in, frozen values out.

Only the events a call acts on are read. Others, documented or not, are None: the API adds events without notice
(Realtime API reference: "ignore unknown types"). The beta names that some Azure deployments still send are read as
their GA names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from voicebot import base64_codec
from voicebot.call.ports import ToolCall, Usage
from voicebot.errors import RealtimeEventError
from voicebot.json_codec import loads

ResponseStatus = Literal["completed", "cancelled", "failed", "incomplete"]


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """`session.created`. `expires_at` is unix seconds, when the server tells it."""

    session_id: str
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    """`session.updated`. It does not say which update it answers; answers come in order."""

    expires_at: float | None


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """`input_audio_buffer.speech_started`. The time counts audio appended in this session."""

    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """`input_audio_buffer.speech_stopped`."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class BufferCommitted:
    """`input_audio_buffer.committed`: the user's audio became the item `item_id`."""

    item_id: str


@dataclass(frozen=True, slots=True)
class TranscriptionCompleted:
    """`conversation.item.input_audio_transcription.completed`."""

    item_id: str
    transcript: str


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    """`conversation.item.input_audio_transcription.failed`. `reason` is the error's code, else its type."""

    item_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    """`response.created`. `in_conversation` is False for an out-of-band response (`conversation_id` is null)."""

    response_id: str
    metadata: Mapping[str, str] = field(hash=False)
    in_conversation: bool


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """`response.done`, sent whatever the outcome, never with audio.

    `calls` are the complete function calls in output order. `words` are the transcripts and texts of its messages,
    joined by a space. `error_code` is set when it failed, and holds the reason when it is incomplete.
    """

    response_id: str
    metadata: Mapping[str, str] = field(hash=False)
    status: ResponseStatus
    calls: tuple[ToolCall, ...]
    words: str
    usage: Usage | None
    error_code: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class OutputAudioDelta:
    """`response.output_audio.delta`, decoded from base64."""

    response_id: str
    item_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutputAudioDone:
    """`response.output_audio.done`: no more audio of this item."""

    response_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class OutputTranscriptDelta:
    """`response.output_audio_transcript.delta`, or `response.output_text.delta` of a message that is not spoken."""

    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class OutputTranscriptDone:
    """`response.output_audio_transcript.done` or `response.output_text.done`: all the words of the item."""

    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """`error`. `event_id` is that of the client event it answers, when the server knows it."""

    kind: str
    code: str | None
    message: str
    param: str | None
    event_id: str | None

    @property
    def reason(self) -> str:
        """The code, or the type of an error that has none."""
        return self.code or self.kind


ServerEvent = (
    SessionCreated
    | SessionUpdated
    | SpeechStarted
    | SpeechStopped
    | BufferCommitted
    | TranscriptionCompleted
    | TranscriptionFailed
    | ResponseCreated
    | ResponseDone
    | OutputAudioDelta
    | OutputAudioDone
    | OutputTranscriptDelta
    | OutputTranscriptDone
    | ErrorReported
)

_GA_NAMES = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
}


def parse(text: str | bytes) -> ServerEvent | None:
    """Read one event; None for a type that is not used here.

    Raises:
        RealtimeEventError: the text is not JSON, or lacks a documented field of its type.
    """
    try:
        event = loads(text)
    except ValueError as exc:
        raise RealtimeEventError("event is not valid JSON") from exc
    if not isinstance(event, dict):
        raise RealtimeEventError("event is not an object")
    kind = _text(event, "type")
    return _read(_GA_NAMES.get(kind, kind), event)


def _read(kind: str, event: dict[str, object]) -> ServerEvent | None:
    match kind:  # the hot ones first
        case "response.output_audio.delta":
            return OutputAudioDelta(_text(event, "response_id"), _text(event, "item_id"), _audio(event, "delta"))
        case "response.output_audio_transcript.delta":
            return OutputTranscriptDelta(_text(event, "response_id"), _text(event, "item_id"), _text(event, "delta"))
        case "response.output_audio.done":
            return OutputAudioDone(_text(event, "response_id"), _text(event, "item_id"))
        case "response.output_audio_transcript.done":
            words = _text(event, "transcript")
            return OutputTranscriptDone(_text(event, "response_id"), _text(event, "item_id"), words)
        case "response.output_text.delta":
            return OutputTranscriptDelta(_text(event, "response_id"), _text(event, "item_id"), _text(event, "delta"))
        case "response.output_text.done":
            return OutputTranscriptDone(_text(event, "response_id"), _text(event, "item_id"), _text(event, "text"))
        case "response.created":
            return _response_created(_fields(event, "response"))
        case "response.done":
            return _response_done(_fields(event, "response"))
        case "input_audio_buffer.speech_started":
            return SpeechStarted(_text(event, "item_id"), _whole(event, "audio_start_ms"))
        case "input_audio_buffer.speech_stopped":
            return SpeechStopped(_text(event, "item_id"), _whole(event, "audio_end_ms"))
        case "input_audio_buffer.committed":
            return BufferCommitted(_text(event, "item_id"))
        case "conversation.item.input_audio_transcription.completed":
            return TranscriptionCompleted(_text(event, "item_id"), _text(event, "transcript"))
        case "conversation.item.input_audio_transcription.failed":
            return TranscriptionFailed(_text(event, "item_id"), _error(_fields(event, "error")).reason)
        case "session.created":
            session = _fields(event, "session")
            return SessionCreated(_optional_text(session, "id") or "", _expiry(session))
        case "session.updated":
            return SessionUpdated(_expiry(_fields(event, "session")))
        case "error":
            return _error(_fields(event, "error"))
        case _:
            return None


def _response_created(response: dict[str, object]) -> ResponseCreated:
    # A server that leaves conversation_id out has only the default conversation.
    in_conversation = response.get("conversation_id", "") is not None
    return ResponseCreated(_text(response, "id"), _metadata(response), in_conversation)


def _response_done(response: dict[str, object]) -> ResponseDone:
    status = _status(response)
    output = [item for item in _list(response, "output") if isinstance(item, dict)]
    error_code, error = _failure(response, status)
    return ResponseDone(
        response_id=_text(response, "id"),
        metadata=_metadata(response),
        status=status,
        calls=tuple(_calls(output, status)),
        words=" ".join(_words(output)),
        usage=_usage(response.get("usage")),
        error_code=error_code,
        error=error,
    )


def _status(response: dict[str, object]) -> ResponseStatus:
    match response.get("status"):
        case "completed":
            return "completed"
        case "cancelled":
            return "cancelled"
        case "incomplete":
            return "incomplete"
        case _:  # a done response of a status unknown to us gave no reply that can be relied on
            return "failed"


def _failure(response: dict[str, object], status: ResponseStatus) -> tuple[str | None, str | None]:
    if status not in ("failed", "incomplete"):
        return None, None
    details = response.get("status_details")
    if not isinstance(details, dict):
        return status, None
    error = details.get("error")
    if not isinstance(error, dict):
        return _optional_text(details, "reason") or status, None
    code = _optional_text(error, "code") or _optional_text(error, "type")
    return code or status, _optional_text(error, "message")


def _calls(output: list[dict[str, object]], status: ResponseStatus) -> list[ToolCall]:
    calls = []
    for item in output:
        whole = item.get("status", status) == "completed"
        match item:
            case {"type": "function_call", "call_id": str(call_id), "name": str(name), "arguments": str(text)} if whole:
                calls.append(ToolCall(call_id, name, text))
    return calls


def _words(output: list[dict[str, object]]) -> list[str]:
    words = []
    for item in output:
        if item.get("type") != "message":
            continue
        for part in _list(item, "content"):
            match part:
                case {"transcript": str(text)} | {"text": str(text)} if text:
                    words.append(text)
    return words


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    inputs = _sub(usage, "input_token_details")
    cached = _sub(inputs, "cached_tokens_details")
    outputs = _sub(usage, "output_token_details")
    return Usage(
        input_text=_count(inputs, "text_tokens"),
        input_audio=_count(inputs, "audio_tokens"),
        # Without details the cached ones are taken for text: the instructions and tools lead every request.
        cached_text=_count(cached, "text_tokens") if cached else _count(inputs, "cached_tokens"),
        cached_audio=_count(cached, "audio_tokens"),
        output_text=_count(outputs, "text_tokens"),
        output_audio=_count(outputs, "audio_tokens"),
    )


def _error(error: dict[str, object]) -> ErrorReported:
    return ErrorReported(
        kind=_optional_text(error, "type") or "error",
        code=_optional_text(error, "code"),
        message=_optional_text(error, "message") or "",
        param=_optional_text(error, "param"),
        event_id=_optional_text(error, "event_id"),
    )


def _metadata(response: dict[str, object]) -> dict[str, str]:
    metadata = response.get("metadata")
    if not isinstance(metadata, dict):
        return {}
    return {name: value for name, value in metadata.items() if isinstance(value, str)}


def _expiry(session: dict[str, object]) -> float | None:
    expires_at = session.get("expires_at")
    if isinstance(expires_at, int | float) and not isinstance(expires_at, bool) and 0 < expires_at < 1e12:
        return float(expires_at)
    return None


# ---- fields ---------------------------------------------------------------------------------------------------------


def _text(event: dict[str, object], name: str) -> str:
    value = event.get(name)
    if isinstance(value, str):
        return value
    raise RealtimeEventError(f"{_kind(event)} has no text {name!r}")


def _optional_text(event: dict[str, object], name: str) -> str | None:
    value = event.get(name)
    return value if isinstance(value, str) else None


def _whole(event: dict[str, object], name: str) -> int:
    value = event.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return int(value)
    raise RealtimeEventError(f"{_kind(event)} has no number {name!r}")


def _count(details: dict[str, object], name: str) -> int:
    value = details.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _audio(event: dict[str, object], name: str) -> bytes:
    try:
        return base64_codec.decode(_text(event, name))
    except ValueError as exc:
        raise RealtimeEventError(f"{_kind(event)} has no base64 in {name!r}") from exc


def _fields(event: dict[str, object], name: str) -> dict[str, object]:
    value = event.get(name)
    if isinstance(value, dict):
        return value
    raise RealtimeEventError(f"{_kind(event)} has no object {name!r}")


def _sub(event: dict[str, object], name: str) -> dict[str, object]:
    value = event.get(name)
    return value if isinstance(value, dict) else {}


def _list(event: dict[str, object], name: str) -> list[object]:
    value = event.get(name)
    return value if isinstance(value, list) else []


def _kind(event: dict[str, object]) -> str:
    kind = event.get("type")
    return kind[:80] if isinstance(kind, str) else "event"
