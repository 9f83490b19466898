"""Whole conversations over the web: with the voice, in text, interrupted, cut off, and with a flow that was posted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from voicebot.flow import Flow, HangUp, Number, Observations, Phase, Say, To, Transfer, ask, it, tool
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.flow.model import flow_to_json
from voicebot.sim.brain import Brain, Calls, Output, Says, ScriptedBrain, Turn, VerbatimReader
from voicebot.sim.clock import run_virtual
from voicebot.sim.listener import Listener
from voicebot.sim.scenario import noted
from voicebot.sim.speech import speak
from voicebot.sim.stage import Stage, stage
from voicebot.store.contract import StoredEntry
from voicebot.web.client import FORMAT, Client, begin

TOKEN = "the API's own token"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
NEAR_MS = 20
GREETING = "Good evening, this is the practice. Who is calling, please?"
LONG = (
    "Of course. We are open from Monday to Friday, from nine in the morning until six in the evening, "
    "and on Saturdays until noon. On Sundays there is nobody here at all."
)


class Visit(Observations):
    name: str = ask("the caller's name")


@tool
def opening_hours() -> str:
    """When the practice is open."""
    return "nine to six"


def flow(**more: Any) -> Flow:
    return Flow(
        goal="Find out who is calling.",
        observations=Visit,
        phases=[
            Phase(
                "reception",
                instructions="Ask who is calling.",
                observations=[it.name],
                tools=[opening_hours],
                transitions=[To("bye")],
            ),
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ],
        **more,
    )


VISIT = flow()
JOIN = Flow(
    goal="Join them to somebody.",
    targets={"desk": Number("+15550177")},
    phases=[Phase("human", instructions="Say that you connect them.", end=Transfer("desk"))],
)
SHELF = FlowShelf(
    {
        "visit": load_flow("visit", VISIT),
        "exact": load_flow("exact", flow(opening=Say("Hello, and welcome."))),
        "join": load_flow("join", JOIN),
    }
)
ADA = noted(name=("Ada", "this is Ada"))
GOODBYE: tuple[tuple[Output, ...], ...] = ((ADA,), (Says("Thank you, Ada. Goodbye!"),))
SCRIPT = (Turn(None, ((Says(GREETING),),)), Turn("Hello, this is Ada.", GOODBYE))


@dataclass
class Site:
    """A server at work, and what its twins saw."""

    on_stage: Stage
    brain: ScriptedBrain

    @property
    def origin(self) -> str:
        return self.on_stage.public_url

    async def begin(self, **body: Any) -> dict[str, Any]:
        return await begin(self.origin, TOKEN, **(body or {"flow": "visit"}))

    async def report(self, session_id: str) -> dict[str, Any]:
        """The report, as whoever holds the token reads it."""
        async with (
            aiohttp.ClientSession(headers=AUTH) as http,
            http.get(f"{self.origin}/calls/{session_id}/report") as answer,
        ):
            answer.raise_for_status()
            found: dict[str, Any] = (await answer.json(content_type=None))["data"]
            return found

    async def journal(self, session_id: str) -> list[StoredEntry]:
        async with self.on_stage.reading() as store:
            return await store.journal(session_id)


@asynccontextmanager
async def site(turns: Sequence[Turn] = SCRIPT, **settings: object) -> AsyncIterator[Site]:
    script = ScriptedBrain(turns)
    brain: Brain = VerbatimReader(script)
    given = {"VOICEBOT_API_TOKEN": TOKEN, **settings}
    async with stage(SHELF, lambda: brain, default_flow="visit", settings=given) as on_stage:
        yield Site(on_stage, script)
        assert on_stage.model.problems == []
    assert script.problems == []


def voice(text: str) -> bytes:
    return speak(text, FORMAT.rate_hz, voice="caller").astype("<i2").tobytes()


def words_in(audio: bytes) -> list[str]:
    """What somebody at the loudspeaker has understood."""
    import numpy as np

    listener = Listener(FORMAT.rate_hz)
    heard = listener.feed(np.frombuffer(audio, "<i2")) + listener.flush()
    return [one.text for one in heard]


@pytest.mark.parametrize("audio", ["binary", "json"])
def test_conversation_by_voice(audio: str) -> None:
    async def talk() -> None:
        async with site() as at:
            begun = await at.begin()
            async with Client(begun["websocket_url"], begun["ticket"], audio=audio) as client:
                await client.until("heard", text=GREETING, interrupted=False)
                client.say(voice("Hello, this is Ada."))
                said = await client.until("transcript", speaker="caller")
                assert said["text"] == "Hello, this is Ada."
                observed = await client.until("observation", name="name")
                assert (observed["value"], observed["status"]) == ("Ada", "filled")
                ended = await client.until("ended")
            assert ended == {"type": "ended", "reason": "completed", "outcome": None}
            assert client.close_code == 1000
            assert words_in(bytes(client.speaker.heard)) == [GREETING, "Thank you, Ada. Goodbye!"]
            report = await at.report(begun["session_id"])
            assert report["observations"] == {"name": "Ada"}
            assert report["evidence"]["name"]["state"] == "confirmed"
            assert report["line"]["caller_ms"] > 2000
            assert [one["name"] for one in report["phases"]] == ["reception", "bye"]
            assert [json.loads(one.body)["data"] for one in at.on_stage.crm.received] == [report]
            assert at.on_stage.model.sessions[0].spoken[0].audio_ms > 1000

    run_virtual(talk(), limit_s=200)


def test_conversation_in_text() -> None:
    async def talk() -> None:
        async with site() as at:
            begun = await at.begin(flow="visit", variables={"source": "chat"}, caller="+390600000009")
            async with Client(begun["websocket_url"], begun["ticket"], audio="none") as client:
                assert client.hello == {}
                hello = await client.until("hello")
                assert hello["audio"] == {"format": "pcm16", "rate_hz": 24000, "channels": 1, "form": "none"}
                await client.until("transcript", speaker="bot", text=GREETING, final=True)
                await client.write("Hello, this is Ada.")
                await client.until("progress", progress=1.0)
                await client.until("phase", name="bye")
                await client.until("ended", reason="completed")
            report = await at.report(begun["session_id"])
            assert (report["caller"], report["variables"]) == ("+390600000009", {"source": "chat"})
            assert [line["text"] for line in report["transcript"]] == [
                GREETING,
                "Hello, this is Ada.",
                "Thank you, Ada. Goodbye!",
            ]

    run_virtual(talk(), limit_s=200)


@pytest.mark.parametrize("after_ms", [900, 2350, 5000])
def test_barge_in_keeps_what_was_really_played(after_ms: int) -> None:
    turns = (
        Turn(None, ((Says(GREETING),),)),
        Turn("When are you open?", ((Says(LONG),),)),
        Turn("Thank you, this is Ada.", GOODBYE),
    )

    async def talk() -> None:
        async with site(turns) as at:
            begun = await at.begin()
            async with Client(begun["websocket_url"], begun["ticket"]) as client:
                await client.until("heard", text=GREETING)
                client.say(voice("When are you open?"))
                await client.until("transcript", speaker="bot", final=True, text=LONG)
                client.say(b"\0" * (after_ms * FORMAT.bytes_per_ms) + voice("Thank you, this is Ada."))
                heard = await client.until("heard", interrupted=True)
                await client.until("clear")
                played_ms = client.speaker.cuts[-1] - _whole_ms(at, GREETING)
                await client.until("ended", reason="completed")
            assert heard["heard_ms"] < heard["sent_ms"]
            assert abs(heard["heard_ms"] - played_ms) <= NEAR_MS
            cut = next(item for item in at.on_stage.model.sessions[0].spoken if item.meant == LONG)
            assert cut.truncated_at_ms is not None
            assert abs(cut.truncated_at_ms - played_ms) <= NEAR_MS
            assert heard["heard_text"] and LONG.startswith(heard["heard_text"].rstrip(" …"))

    run_virtual(talk(), limit_s=200)


def _whole_ms(at: Site, text: str) -> float:
    return next(item.audio_ms for item in at.on_stage.model.sessions[0].spoken if item.meant == text)


def test_conversation_goes_on_after_a_dropped_socket() -> None:
    turns = (
        Turn(None, ((Says(GREETING),),)),
        Turn(None, ((Says("Who is calling, please?"),),)),
        Turn("Hello, this is Ada.", GOODBYE),
    )

    async def talk() -> None:
        async with site(turns) as at:
            begun = await at.begin()
            async with Client(begun["websocket_url"], begun["ticket"]) as client:
                await client.until("heard", text=GREETING)
                await client.drop()
                hello = await client.until("hello", resumed=True)
                assert hello["session_id"] == begun["session_id"]
                state = await client.until("state")
                assert (state["phase"], state["observations"]["name"]["status"]) == ("reception", "unasked")
                await client.until("heard", text="Who is calling, please?")
                client.say(voice("Hello, this is Ada."))
                await client.until("ended", reason="completed")
            report = await at.report(begun["session_id"])
            assert report["observations"] == {"name": "Ada"}
            kinds = [entry.kind for entry in await at.journal(begun["session_id"])]
            assert [kind for kind in kinds if kind in ("leg_lost", "call_taken_over")] == ["leg_lost", "call_taken_over"]

    run_virtual(talk(), limit_s=200)


def test_posted_flow_is_talked_through_and_reported() -> None:
    config = json.loads(flow_to_json(flow(persona="Warm.", opening=Say("Hello from a posted flow."))))
    turns = (Turn("Hello, this is Ada.", GOODBYE),)

    async def talk() -> None:
        async with site(turns) as at:
            begun = await at.begin(flow="visit", config=config)
            assert begun["flow"] == "visit"
            assert begun["flow_version"] != SHELF.get("visit").version
            async with Client(begun["websocket_url"], begun["ticket"]) as client:
                await client.until("heard", text="Hello from a posted flow.")
                client.say(voice("Hello, this is Ada."))
                await client.until("ended", reason="completed")
            report = await at.report(begun["session_id"])
            assert (report["flow"], report["flow_version"]) == ("visit", begun["flow_version"])
            assert report["observations"] == {"name": "Ada"}

    run_virtual(talk(), limit_s=200)


def test_posted_flow_may_stand_alone_without_functions() -> None:
    bare = json.loads(flow_to_json(flow()))
    bare["phases"][0]["tools"] = []

    async def talk() -> None:
        async with site() as at:
            begun = await at.begin(config=bare)
            async with Client(begun["websocket_url"], begun["ticket"], audio="none") as client:
                await client.write("Hello, this is Ada.")
                await client.until("ended", reason="completed")
            assert (await at.report(begun["session_id"]))["flow"] == "posted"

    run_virtual(talk(), limit_s=200)


def test_transfer_is_told_to_the_client() -> None:
    turns = (Turn(None, ((Says("I connect you."),),)),)

    async def talk() -> None:
        async with site(turns) as at:
            begun = await at.begin(flow="join")
            async with Client(begun["websocket_url"], begun["ticket"]) as client:
                await client.until("transfer", target="desk")
                await client.until("ended", reason="transferred")
            assert (await at.report(begun["session_id"]))["ended_reason"] == "transferred"

    run_virtual(talk(), limit_s=200)


def test_conversation_that_nobody_joins_is_reported() -> None:
    async def wait() -> None:
        async with site(()) as at:
            begun = await at.begin()
            received = await at.on_stage.crm.wait_for(1, 120)
            assert json.loads(received[0].body)["data"]["ended_reason"] == "never_connected"
            assert json.loads(received[0].body)["data"]["call_sid"] == begun["session_id"]

    run_virtual(wait(), limit_s=200)


def test_client_that_goes_for_good_is_reported() -> None:
    async def go() -> None:
        async with site((Turn(None, ((Says(GREETING),),)),)) as at:
            begun = await at.begin()
            async with Client(begun["websocket_url"], begun["ticket"], comes_back=False) as client:
                await client.until("heard")
                await client.drop()
                with pytest.raises(EOFError):
                    await client.until("ended")
            received = await at.on_stage.crm.wait_for(1, 120)
            assert json.loads(received[0].body)["data"]["ended_reason"] == "connection_lost"

    run_virtual(go(), limit_s=200)


def test_client_that_hangs_up_is_reported() -> None:
    async def go() -> None:
        async with site((Turn(None, ((Says(GREETING),),)),)) as at:
            begun = await at.begin()
            async with Client(begun["websocket_url"], begun["ticket"]) as client:
                await client.until("heard")
            assert client.ended is not None and client.ended["reason"] == "caller_hung_up"
            assert (await at.report(begun["session_id"]))["ended_reason"] == "caller_hung_up"

    run_virtual(go(), limit_s=200)
