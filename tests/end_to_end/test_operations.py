"""What an operator does in a live call, at the instance that has it and at another one; and what they see of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from tests.redis_server import RedisServer
from voicebot.flow import Limits
from voicebot.flow.loader import FlowShelf, load_file, load_flow
from voicebot.server.app import create_app
from voicebot.server.recorded import replay_calls
from voicebot.settings import read_settings
from voicebot.sim.account import ACCOUNT_SID, AUTH_TOKEN, STREAM_SECRET
from voicebot.sim.brain import Calls, Says
from voicebot.sim.caller import Listen, Say
from voicebot.sim.clock import VirtualLoop, run_virtual
from voicebot.sim.phone import DialOutcome, Phone
from voicebot.sim.scenario import Exchange, Expected, Scenario
from voicebot.sim.stage import Stage, stage
from voicebot.sim.timeline import VerbPlayed

TOKEN = "operator-token-canary"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}
SWITCHBOARD = load_file(Path(__file__).parents[1] / "flow" / "clean_flows" / "switchboard.py").flow
FLOW = replace(
    SWITCHBOARD, opening="Workshop, good morning.", limits=Limits(silence=()), fallback=(), hours=None, closed=None
)
SHELF = FlowShelf({"switchboard": load_flow("switchboard", FLOW)})
ASKS = Says("What is it about?")
TALK = Scenario(
    "talk",
    "switchboard",
    (
        Exchange(
            Say("My name is Ada Lovelace."),
            ((Calls("record", {"name": {"value": "Ada Lovelace", "quote": "My name is Ada Lovelace"}}),), (ASKS,)),
        ),
        Exchange(Listen(300_000)),
    ),
    Expected(),
)
PATIENCE = 400  # looks, a quarter of a virtual second apart


@dataclass
class Desk:
    """Two instances on one store: one takes the calls, and the operator asks either."""

    stage: Stage
    http: aiohttp.ClientSession
    origins: dict[str, str]

    async def get(self, where: str, path: str) -> Any:
        async with self.http.get(self.origins[where] + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, where: str, path: str, **body: str) -> tuple[int, Any]:
        async with self.http.post(self.origins[where] + path, json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def until(self, where: str, call_sid: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The call as it is shown, once this holds."""
        for _ in range(PATIENCE):
            async with self.http.get(f"{self.origins[where]}/calls/{call_sid}") as answer:
                shown: dict[str, Any] = await answer.json(content_type=None)
                if answer.status == 200 and holds(shown):
                    return shown
            await asyncio.sleep(0.25)
        raise AssertionError(f"it never came to that: {shown}")

    async def in_conversation(self, where: str, phone: Phone) -> dict[str, Any]:
        return await self.until(where, phone.call_sid, lambda shown: said(shown, ASKS.text))


def said(shown: dict[str, Any], words: str) -> bool:
    return any(words in (line["text"] or "") for line in shown["transcript"])


@asynccontextmanager
async def other_instance(on_stage: Stage, port: int) -> AsyncIterator[str]:
    """Another server on the stage's store; its origin."""
    origin = f"http://127.0.0.1:{port}"
    settings = read_settings(
        None,
        OPENAI_API_KEY="sk-other",
        VOICEBOT_REALTIME_URL=on_stage.model.url,
        TWILIO_ACCOUNT_SID=ACCOUNT_SID,
        TWILIO_AUTH_TOKEN=AUTH_TOKEN,
        TWILIO_API_URL=on_stage.vendor.url,
        VOICEBOT_PUBLIC_URL=origin,
        VOICEBOT_STORE=on_stage.store_address,
        VOICEBOT_SECRET=STREAM_SECRET,
        VOICEBOT_API_TOKEN=TOKEN,
    )
    runner = web.AppRunner(await create_app(settings, shelf=SHELF, wall=on_stage.wall), shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield origin
    finally:
        await runner.cleanup()


@asynccontextmanager
async def desk(**settings: object) -> AsyncIterator[Desk]:
    brain = TALK.brain()
    given = {"VOICEBOT_API_TOKEN": TOKEN} | settings
    port = 8081 if isinstance(asyncio.get_running_loop(), VirtualLoop) else unused_port()
    async with (
        stage(SHELF, lambda: brain, default_flow="switchboard", codec="pcmu", settings=given) as on_stage,
        other_instance(on_stage, port) as other,
        aiohttp.ClientSession(headers=HOLDER) as http,
    ):
        yield Desk(on_stage, http, {"own": on_stage.public_url, "other": other})


@pytest.mark.parametrize("where", ["own", "other"])
def test_operator_speaks_notes_and_ends(where: str) -> None:
    async def play() -> None:
        async with desk() as made, asyncio.TaskGroup() as tasks:
            phone = made.stage.phone(TALK)
            calling = tasks.create_task(phone.call())
            shown = await made.in_conversation(where, phone)
            assert (shown["state"], shown["observations"]["name"]) == ("live", "Ada Lovelace")
            assert shown["targets"] == ["bench", "office"]
            path = f"/calls/{phone.call_sid}"
            words = "Our workshop closes in ten minutes."
            assert await made.post(where, f"{path}/say", text=words) == (
                202,
                {"call_sid": phone.call_sid, "accepted": True},
            )
            await made.until(where, phone.call_sid, lambda one: said(one, words))
            assert (await made.post(where, f"{path}/note", text="They are a regular."))[0] == 202
            journal = await made.get(where, f"{path}/journal?limit=2000")
            assert (await made.post(where, f"{path}/hang-up"))[0] == 202
            result = await calling
            assert words in [one.text for one in result.bot_said]
            shown = await made.until(where, phone.call_sid, lambda one: one["state"] == "ended")
            assert (shown["ended_reason"], shown["phase"]) == ("completed", "reception")
            later = await made.get(where, f"{path}/journal?limit=2000")
            assert later["entries"][: len(journal["entries"])] == journal["entries"]
            notes = [one["body"] for one in later["entries"] if one["kind"] == "note_given"]
            assert notes == [{"text": "They are a regular."}]
            status, told = await made.post(where, f"{path}/say", text="Hello?")
            assert (status, told["code"]) == (409, "over")

    run_virtual(play())


@pytest.mark.parametrize("where", ["own", "other"])
def test_operator_joins_the_caller_to_a_target(where: str) -> None:
    async def play() -> None:
        async with desk() as made, asyncio.TaskGroup() as tasks:
            phone = made.stage.phone(TALK, dial=DialOutcome(talk_s=9.0))
            calling = tasks.create_task(phone.call())
            await made.in_conversation(where, phone)
            path = f"/calls/{phone.call_sid}/transfer"
            status, told = await made.post(where, path, target="nobody")
            assert (status, told["code"]) == (422, "no_target")
            assert (await made.post(where, path, target="bench"))[0] == 202
            result = await calling
            verbs = [event.verb for event in result.events if isinstance(event, VerbPlayed)]
            assert verbs == ["Connect", "Dial", "Hangup"]
            shown = await made.until(where, phone.call_sid, lambda one: one["state"] == "ended")
            assert (shown["ended_reason"], shown["transfer"]["result"]) == ("transferred", "completed")
            (verdict,) = await replay_calls(made.stage.store_address, SHELF, [phone.call_sid], 1)
            assert (verdict.changed, verdict.note) == (False, None)

    run_virtual(play())


def test_call_is_followed_at_the_other_instance_to_its_end() -> None:
    async def play() -> None:
        async with desk() as made, asyncio.TaskGroup() as tasks:
            phone = made.stage.phone(TALK)
            tasks.create_task(phone.call())
            await made.in_conversation("other", phone)
            watching = tasks.create_task(followed(made, phone.call_sid))
            await made.post("own", f"/calls/{phone.call_sid}/hang-up")
            events = await watching
            assert events[-1] == ("", "end")
            journal = (await made.get("own", f"/calls/{phone.call_sid}/journal?limit=2000"))["entries"]
            assert events[:-1] == [(str(one["sequence"]), one["kind"]) for one in journal]
            again = await followed(made, phone.call_sid, after=str(len(journal) - 2))
            assert again == events[-3:]

    run_virtual(play())


async def followed(made: Desk, call_sid: str, after: str = "") -> list[tuple[str, str]]:
    """Ids and names of all events until the stream ends."""
    headers = {"Last-Event-ID": after} if after else {}
    async with made.http.get(f"{made.origins['other']}/calls/{call_sid}/live", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        text = (await answer.read()).decode()
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            assert json.loads(fields["data"]).get("kind", "end") == fields["event"]
            events.append((fields.get("id", ""), fields["event"]))
    return events


async def test_operator_reaches_a_call_over_redis(redis_server: RedisServer) -> None:
    """On real sockets, in real time."""
    async with desk(VOICEBOT_STORE=redis_server.address) as made, asyncio.TaskGroup() as tasks:
        phone = made.stage.phone(TALK)
        calling = tasks.create_task(phone.call())
        await made.in_conversation("other", phone)
        assert (await made.post("other", f"/calls/{phone.call_sid}/hang-up"))[0] == 202
        await calling
        shown = await made.until("other", phone.call_sid, lambda one: one["state"] == "ended")
        assert shown["ended_reason"] == "completed"
