"""Whole conversations over the web: with the voice, in text, interrupted, cut off, and with a flow that was posted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.web_site import GOODBYE, GREETING, LONG, SHELF, Site, flow, site, voice, words_in
from voicebot.audio.g711 import decode
from voicebot.flow import Say
from voicebot.flow.json_form import flow_to_json
from voicebot.recording.wav import HEADER_BYTES
from voicebot.sim.brain import Says, Turn
from voicebot.sim.clock import run_virtual
from voicebot.sim.listener import Heard, Listener
from voicebot.web.client import FORMAT, Client

NEAR_MS = 20


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
            assert [kind for kind in kinds if kind in ("leg_lost", "call_taken_over")] == [
                "leg_lost",
                "call_taken_over",
            ]

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


def test_recording_holds_both_sides(tmp_path: Path) -> None:
    """Stereo, mu-law at 8 kHz, aligned to within what a client's acknowledgements tell."""
    settings = {"VOICEBOT_RECORD": "all", "VOICEBOT_STORE": f"sqlite:///{tmp_path}/calls.db"}

    async def talk() -> dict[str, Any]:
        async with site(**settings) as at:
            begun = await at.begin()
            async with Client(begun["websocket_url"], begun["ticket"]) as client:
                assert (await client.until("hello"))["recorded"]
                await client.until("heard", text=GREETING)
                client.say(voice("Hello, this is Ada."))
                await client.until("ended", reason="completed")
            return await at.report(begun["session_id"])

    report = run_virtual(talk(), limit_s=200)
    assert report["recording"]["status"] == "kept"
    (recorded,) = (tmp_path / "recordings").glob("*.wav")
    both = np.frombuffer(recorded.read_bytes()[HEADER_BYTES:], np.uint8).reshape(-1, 2)
    left, right = (_heard_on(both[:, side].tobytes()) for side in (0, 1))
    assert [one.text for one in left] == ["Hello, this is Ada."]
    assert [(one.text, one.damaged) for one in right] == [(GREETING, 0), ("Thank you, Ada. Goodbye!", 0)]
    assert right[0].end_ms < left[0].start_ms < left[0].end_ms < right[1].start_ms


def _heard_on(side: bytes) -> list[Heard]:
    listener = Listener(8_000)
    return listener.feed(decode(side)) + listener.flush()
