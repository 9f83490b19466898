"""A client of a session: drives it in its own time, keeps its events, and looks into them."""

import base64
import json
import typing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from voicebot.sim import g711
from voicebot.sim.brain import Context, Output, Says
from voicebot.sim.realtime_session import RealtimeSession
from voicebot.sim.speech import speak

Event = dict[str, typing.Any]

SAMPLES = Path(__file__).parents[1] / "samples"
RECORD = {
    "type": "function",
    "name": "record",
    "description": "Write it down.",
    "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}},
}
COMPLETED = "conversation.item.input_audio_transcription.completed"
TRANSCRIBED = {"input": {"transcription": {"model": "gpt-transcribe"}}}
OUR_TURNS = {"type": "server_vad", "silence_duration_ms": 500, "create_response": False, "interrupt_response": False}


class Replies:
    """A brain that gives these outputs, one tuple per response, and remembers what it was asked."""

    def __init__(self, *replies: Sequence[Output]) -> None:
        self.replies = list(replies)
        self.asked: list[Context] = []

    def respond(self, context: Context) -> Sequence[Output]:
        self.asked.append(context)
        return self.replies.pop(0) if self.replies else (Says("Yes."),)


class Client:
    """Drives a session in its own time and keeps every event it sends."""

    def __init__(self, *replies: Sequence[Output], **options: typing.Any) -> None:
        self.now = 1000.0
        self.brain = Replies(*replies)
        self.session = RealtimeSession(self.brain, now=self.now, unix_now=1.8e9, **options)
        self.events: list[Event] = []
        self.opening = self._take()

    def send(self, kind: str, **fields: object) -> list[Event]:
        """Send one event; what the server answers at once."""
        self.session.handle(json.dumps({"type": kind, **fields}), self.now)
        return self._take()

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass as a shell does: deadline by deadline."""
        end, start = self.now + seconds, len(self.events)
        while (deadline := self.session.deadline()) is not None and deadline <= end:
            self.session.on_deadline(deadline)
            self._take()
        self.now = end
        return self.events[start:]

    def configure(self, **settings: object) -> list[Event]:
        return self.send("session.update", session={"type": "realtime", **settings})

    def play(self, audio: np.ndarray, rate_hz: int = 24000) -> list[Event]:
        """Append audio in real time, 20 ms at once."""
        start, step = len(self.events), rate_hz // 50
        for at in range(0, len(audio), step):
            chunk = audio[at : at + step]
            payload = chunk.astype("<i2").tobytes() if rate_hz == 24000 else g711.encode(chunk)
            self.send("input_audio_buffer.append", audio=base64.b64encode(payload).decode())
            self.wait(0.02)
        return self.events[start:]

    def say(self, text: str, *, then_s: float = 0.8, rate_hz: int = 24000) -> list[Event]:
        return self.play(np.concatenate([speak(text, rate_hz), silence(then_s, rate_hz)]), rate_hz)

    def _take(self) -> list[Event]:
        taken = [json.loads(text) for text in self.session.data_to_send()]
        self.events += taken
        return taken


def silence(seconds: float, rate_hz: int = 24000) -> np.ndarray:
    return np.zeros(int(seconds * rate_hz), dtype=np.int16)


def kinds(events: Sequence[Event]) -> list[str]:
    return [event["type"] for event in events]


def only(events: Sequence[Event], kind: str) -> list[Event]:
    return [event for event in events if event["type"] == kind]


def one(events: Sequence[Event], kind: str) -> Event:
    (event,) = only(events, kind)
    return event


def error_of(events: Sequence[Event]) -> tuple[str, str | None]:
    """The code and parameter of a refusal that came alone."""
    assert kinds(events) == ["error"]
    return events[0]["error"]["code"], events[0]["error"]["param"]


def audio_of(events: Sequence[Event]) -> bytes:
    return b"".join(base64.b64decode(event["delta"]) for event in only(events, "response.output_audio.delta"))


def without_repeats(names: Sequence[str]) -> list[str]:
    """The order of event types, deltas of one kind once, transcription left out as it comes at any time."""
    return [name for name in dict.fromkeys(names) if "transcription" not in name]


_SERVER_EVENTS = {
    typing.get_args(model.model_fields["type"].annotation)[0]: model
    for model in typing.get_args(typing.get_args(RealtimeServerEvent)[0])
}
_ANY_SERVER_EVENT: TypeAdapter[object] = TypeAdapter(RealtimeServerEvent)


def check_types(events: Sequence[Event]) -> None:
    """Every event is what the vendor's own package takes it for, with no field it does not know."""
    for event in events:
        _ANY_SERVER_EVENT.validate_python(event)
        parsed = _SERVER_EVENTS[event["type"]].model_validate(event)
        assert not parsed.model_extra, event["type"]


def message(role: str, part: str, **fields: object) -> dict[str, object]:
    """A message of one part, as a client creates it."""
    return {"type": "message", "role": role, "content": [{"type": part, **fields}]}


def user_text(item_id: str) -> dict[str, object]:
    """A written message whose words are its id."""
    return message("user", "input_text", text=item_id) | {"id": item_id}


def reference_order(name: str) -> list[str]:
    """The server's event types in a sequence that the reference documents."""
    events = json.loads((SAMPLES / f"sequences/{name}.json").read_text())
    return [event["event"]["type"] for event in events if event["dir"] == "server"]


def spoken_item(client: Client, text: str = "One, two, three, four, five.") -> str:
    """The id of a message that was spoken to its end."""
    client.brain.replies.append((Says(text),))
    client.send("response.create")
    return typing.cast(str, one(client.wait(10), "response.output_item.added")["item"]["id"])
