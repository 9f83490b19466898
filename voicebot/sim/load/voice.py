"""What a session of the model sends: events in the API's form and order (Realtime API reference)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from .frames import BYTES_PER_MS, DELTA_MS, DELTAS, FORMATS
from .lean_socket import LeanSocket
from .wire import write

SPEECH_MS = 1_200
_WORDS = ("Of", " course.", " Let", " me", " see", " what", " I", " can", " do", " for", " you", " today.")


@dataclass
class Response:
    """A response under way."""

    response_id: str
    item_id: str
    metadata: object
    in_conversation: bool = True
    sent_ms: int = 0
    transcript: str = ""


class Voice:
    """
    Attributes:
        response: the one of the conversation that is under way.
        said_ms: by item, how much of it was sent.
    """

    def __init__(self, socket: LeanSocket, number: int, codec: str) -> None:
        self.response: Response | None = None
        self.said_ms: dict[str, int] = {}
        self.format = FORMATS[codec]
        self._socket, self._number = socket, number
        self._ids = count(1)
        self._last_item: str | None = None
        self._untranscribed: str | None = None
        self._deltas = DELTAS[BYTES_PER_MS[codec]]

    def new_id(self, prefix: str) -> str:
        """An id that this session has not used."""
        return f"{prefix}_{self._number:05d}{next(self._ids):016d}"

    def send(self, kind: str, **fields: object) -> None:
        """Send an event."""
        self._socket.send(write({"type": kind, "event_id": self.new_id("event")} | fields))

    def session(self, changes: dict[str, Any], expires_at: int) -> dict[str, Any]:
        """The session, with what the client has changed."""
        session = {
            "type": "realtime",
            "object": "realtime.session",
            "id": f"sess_{self._number:021d}",
            "model": "gpt-realtime-2.1",
            "output_modalities": ["audio"],
            "expires_at": expires_at,
        }
        return session | changes

    def error(self, event: dict[str, Any], code: str, message: str) -> None:
        """Refuse an event."""
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        self.send("error", error=error | {"event_id": event.get("event_id")})

    # ---- the caller's turn ------------------------------------------------------------------------------------------

    def add_item(self, item: dict[str, Any]) -> None:
        """An item stands in the conversation."""
        for kind in ("conversation.item.added", "conversation.item.done"):
            self.send(kind, previous_item_id=self._last_item, item=item)
        self._last_item = item["id"]

    def commit(self, item_id: str) -> None:
        """The caller's turn is over."""
        self.send("input_audio_buffer.committed", previous_item_id=self._last_item, item_id=item_id)
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        self.add_item(item | {"content": content})
        self._untranscribed = item_id

    def transcribe(self) -> None:
        """Say what the caller has said in the last turn, once."""
        item_id, self._untranscribed = self._untranscribed, None
        if item_id is not None:
            place = {"item_id": item_id, "content_index": 0}
            kind = "conversation.item.input_audio_transcription"
            usage = {"type": "duration", "seconds": SPEECH_MS / 1000}
            self.send(f"{kind}.delta", **place, delta="A table")
            self.send(f"{kind}.completed", **place, transcript="A table for two, please.", usage=usage)

    # ---- responses --------------------------------------------------------------------------------------------------

    def begin(self, request: dict[str, Any]) -> Response:
        """A response is under way."""
        self.response = Response(self.new_id("resp"), self.new_id("item"), request.get("metadata"))
        self.send("response.created", response=self._describe(self.response, "in_progress", []))
        return self.response

    def read_aloud(self, request: dict[str, Any], text: str) -> None:
        """A whole response outside the conversation, beside the one under way: the text, word for word."""
        metadata = request.get("metadata")
        response = Response(self.new_id("resp"), self.new_id("item"), metadata, in_conversation=False)
        self.send("response.created", response=self._describe(response, "in_progress", []))
        self.begin_message(response)
        self.delta(response, 0, text)
        self._end_message(response, "completed")

    def begin_message(self, response: Response) -> None:
        """It is a spoken one."""
        item = _message(response, "in_progress", [])
        part = {"type": "audio", "transcript": ""}
        self.send("response.output_item.added", response_id=response.response_id, output_index=0, item=item)
        if response.in_conversation:
            self.send("conversation.item.added", previous_item_id=self._last_item, item=item)
        self.send("response.content_part.added", **_place(response), part=part)

    def delta(self, response: Response, number: int, words: str | None = None) -> None:
        """A piece of it, with a word of its transcript, or those given."""
        word = _WORDS[number % len(_WORDS)] if words is None else words
        self.send("response.output_audio_transcript.delta", **_place(response), delta=word)
        self._socket.send(
            b'{"type":"response.output_audio.delta","event_id":"%b","response_id":"%b","item_id":"%b",'
            b'"output_index":0,"content_index":0,"delta":"%b"}'
            % (
                self.new_id("event").encode(),
                response.response_id.encode(),
                response.item_id.encode(),
                self._deltas[number % len(self._deltas)],
            )
        )
        response.transcript += word
        response.sent_ms += DELTA_MS
        self.said_ms[response.item_id] = response.sent_ms

    def finish(self, status: str) -> None:
        """End the spoken response under way."""
        response = self.response
        assert response is not None
        if not response.sent_ms:
            self.response = None
            self.send("response.done", response=self._describe(response, status, []))
            return
        self._end_message(response, status)

    def _end_message(self, response: Response, status: str) -> None:
        place = _place(response)
        whole = "completed" if status == "completed" else "incomplete"
        content = [{"type": "output_audio", "transcript": response.transcript}]
        part = {"type": "audio", "transcript": response.transcript}
        self.send("response.output_audio.done", **place)
        self.send("response.output_audio_transcript.done", **place, transcript=response.transcript)
        self.send("response.content_part.done", **place, part=part)
        self._end_item(response, _message(response, whole, content), status)

    def call_function(self, response: Response, name: str, arguments: str) -> None:
        """The whole response is a call of a function."""
        call_id = self.new_id("call")
        item = {"id": response.item_id, "object": "realtime.item", "type": "function_call", "call_id": call_id}
        began = item | {"status": "in_progress", "name": name, "arguments": ""}
        place = {"response_id": response.response_id, "item_id": response.item_id, "output_index": 0}
        self.send("response.output_item.added", response_id=response.response_id, output_index=0, item=began)
        self.send("conversation.item.added", previous_item_id=self._last_item, item=began)
        kind = "response.function_call_arguments"
        for start in range(0, len(arguments), 8):
            self.send(f"{kind}.delta", **place, call_id=call_id, delta=arguments[start : start + 8])
        self.send(f"{kind}.done", **place, call_id=call_id, name=name, arguments=arguments)
        self._end_item(response, item | {"status": "completed", "name": name, "arguments": arguments}, "completed")

    def _end_item(self, response: Response, item: dict[str, Any], status: str) -> None:
        self.send("response.output_item.done", response_id=response.response_id, output_index=0, item=item)
        if response.in_conversation:
            self.send("conversation.item.done", previous_item_id=self._last_item, item=item)
            self._last_item, self.response = response.item_id, None
        self.send("response.done", response=self._describe(response, status, [item]))
        limits = [{"name": "tokens", "limit": 50_000, "remaining": 49_000, "reset_seconds": 0.3}]
        self.send("rate_limits.updated", rate_limits=limits)

    def _describe(self, response: Response, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        details = {"type": "cancelled", "reason": "client_cancelled"} if status == "cancelled" else None
        return {
            "object": "realtime.response",
            "id": response.response_id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": f"conv_{self._number:021d}" if response.in_conversation else None,
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "audio": {"output": {"format": self.format, "voice": "marin"}},
            "usage": None if status == "in_progress" else _USAGE,
            "metadata": response.metadata,
        }


def _message(response: Response, status: str, content: list[dict[str, str]]) -> dict[str, Any]:
    item = {"id": response.item_id, "object": "realtime.item", "type": "message", "role": "assistant"}
    return {**item, "status": status, "content": content}


def _place(response: Response) -> dict[str, object]:
    place: dict[str, object] = {"response_id": response.response_id, "item_id": response.item_id}
    return place | {"output_index": 0, "content_index": 0}


_USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
