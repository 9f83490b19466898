"""The lean model against the vendor's own types, and by its script."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect

from voicebot.sim import g711
from voicebot.sim.load.frames import FRAME_MS, UPLINK
from voicebot.sim.load.model import Model
from voicebot.sim.load.phone import ModelFault, Phone
from voicebot.sim.load.readings import Readings
from voicebot.sim.load.target import Target

SERVER: TypeAdapter[object] = TypeAdapter(RealtimeServerEvent)
AT_ONCE_S, LIMIT_S = 0.001, 5.0
FORMAT = {"type": "audio/pcmu"}
Event = dict[str, Any]


class Talk:
    """A server's side of a session, with a phone whose frames it sends on."""

    def __init__(self, connection: ClientConnection, phone: Phone, model: Model) -> None:
        self.phone, self.model, self.events = phone, model, list[Event]()
        self._connection, self._frames = connection, 0

    async def send(self, kind: str, **fields: object) -> None:
        await self._connection.send(json.dumps({"type": kind} | fields))

    async def until(self, kind: str, *, frames: int = 0) -> Event:
        """Wait for an event; up to so many frames of the phone's audio go up meanwhile, as fast as can be."""
        for left in range(frames, -1, -1):
            while True:
                try:
                    text = await asyncio.wait_for(self._connection.recv(), AT_ONCE_S if left else LIMIT_S)
                except TimeoutError:
                    break
                event: Event = json.loads(text)
                SERVER.validate_python(event, strict=False)
                self.events.append(event)
                if event["type"] == kind:
                    return event
            await self.frame()
        raise AssertionError(f"no {kind} came, but {[event['type'] for event in self.events]}")

    async def frame(self, payload: str | None = None) -> None:
        self.phone._sent_at.append(time.perf_counter())
        spoken = UPLINK[self._frames % len(UPLINK)].split(b'"')[4].decode()
        self._frames += 1
        await self.send("input_audio_buffer.append", audio=payload or spoken)

    async def configure(self) -> None:
        instructions = f"The caller's number is {self.phone.caller}."
        audio = {"input": {"format": FORMAT}, "output": {"format": FORMAT}}
        await self.send("session.update", session={"type": "realtime", "instructions": instructions, "audio": audio})
        await self.until("session.updated")

    async def ask(self, event_id: str = "e", **response: object) -> None:
        await self.send("response.create", event_id=event_id, response=response)


@asynccontextmanager
async def talk(fault: ModelFault | None = None) -> AsyncIterator[Talk]:
    readings = Readings(recording=True)
    model = Model("pcmu", readings)
    await model.listen()
    phone = model.phone(Target("https://voice.example.com/twilio/voice"), readings, fault)
    try:
        async with connect(model.url, max_size=None, compression=None) as connection:
            yield Talk(connection, phone, model)
    finally:
        await model.close()


async def test_session_greets_and_takes_its_settings() -> None:
    async with talk() as talking:
        await talking.until("session.created")
        await talking.configure()
        assert not talking.model.readings.failures


async def test_answer_comes_when_asked_for() -> None:
    async with talk() as talking:
        await talking.configure()
        await talking.ask(metadata={"a": "b"})
        done = await talking.until("response.done", frames=400)
        assert done["response"]["status"] == "completed"
        assert done["response"]["metadata"] == {"a": "b"}
        deltas = [event["delta"] for event in talking.events if event["type"] == "response.output_audio.delta"]
        assert sum(len(base64.b64decode(delta)) for delta in deltas) == 4_000 * 8
        assert g711.decode(base64.b64decode(deltas[0])).any()
        assert not talking.model.readings.failures
        assert len(talking.model.readings.uplink_s) > 10


async def test_exact_words_are_read_aloud_beside_the_conversation() -> None:
    async with talk() as talking:
        await talking.configure()
        instructions = "Say what stands between <verbatim> and </verbatim>.\n<verbatim>One moment, please.</verbatim>"
        await talking.ask(conversation="none", input=[], instructions=instructions, metadata={"clip": "k"})
        done = await talking.until("response.done")
        (item,) = done["response"]["output"]
        assert item["content"][0]["transcript"] == "One moment, please."
        assert done["response"]["metadata"] == {"clip": "k"}
        assert "conversation.item.added" not in [event["type"] for event in talking.events]
        assert not talking.model.readings.failures


async def test_caller_speaks_after_the_answer() -> None:
    async with talk() as talking:
        await talking.configure()
        await talking.ask()
        await talking.until("input_audio_buffer.speech_started", frames=600)
        await talking.until("conversation.item.done", frames=200)
        kinds = [event["type"] for event in talking.events]
        assert kinds.index("input_audio_buffer.speech_stopped") < kinds.index("input_audio_buffer.committed")


async def test_second_response_at_once_is_refused() -> None:
    async with talk() as talking:
        await talking.configure()
        await talking.ask()
        await talking.until("response.created", frames=20)
        await talking.ask("second")
        error = await talking.until("error", frames=5)
        assert error["error"]["code"] == "conversation_already_has_active_response"
        assert talking.model.readings.failures.total() == 1


async def test_truncation_beyond_what_was_said_is_refused() -> None:
    async with talk() as talking:
        await talking.configure()
        await talking.ask()
        item_id = (await talking.until("response.done", frames=400))["response"]["output"][0]["id"]
        await talking.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=4_000)
        await talking.until("conversation.item.truncated", frames=3)
        assert not talking.model.readings.failures
        await talking.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=4_001)
        await talking.until("error", frames=3)
        assert talking.model.readings.failures.total() == 1


async def test_lost_audio_is_noticed() -> None:
    async with talk() as talking:
        await talking.configure()
        quiet = base64.b64encode(g711.encode(g711.decode(b"\xff" * 160))).decode()
        await talking.frame(quiet)  # where the loud frame should be
        await talking.ask()
        await talking.until("response.created", frames=10)
        assert dict(talking.model.readings.failures) == {"audio was lost on the way up": 1}


async def test_more_audio_than_was_sent_is_noticed() -> None:
    async with talk() as talking:
        await talking.configure()
        await talking.frame()
        await talking.frame()
        talking.phone._sent_at.pop()
        await talking.ask()
        await talking.until("response.created", frames=3)
        assert talking.model.readings.failures["more audio came up than was sent"] >= 1


async def test_model_that_refuses_says_so_and_goes() -> None:
    async with talk("refuses") as talking:
        with pytest.raises(Exception, match="received 1000"):
            await talking.configure()
        assert talking.events[-1]["error"]["code"] == "insufficient_quota"


async def test_model_that_drops_breaks_the_connection() -> None:
    async with talk("drops") as talking:
        await talking.configure()
        with pytest.raises(Exception, match=r"no close frame received|reset"):
            for _ in range(400 // FRAME_MS + 50):
                await talking.frame()
                await asyncio.sleep(0.01)


async def test_forgotten_phones_are_let_go_in_the_end() -> None:
    model = Model("pcm", Readings())
    target = Target("https://voice.example.com/twilio/voice")
    for _ in range(1_500):
        model.forget(model.phone(target, model.readings))
    assert len(model.phones) == 1_000
