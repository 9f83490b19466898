"""Conversations at several instances of the server: one that stops, and one that a client did not choose."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes import environment
from tests.web_site import GOODBYE, GREETING, SCRIPT, SHELF, TOKEN, Site, flow, site
from voicebot.flow.json_form import flow_to_json
from voicebot.server.app import CALLS, create_app
from voicebot.server.connections import make_runner
from voicebot.settings import read_settings
from voicebot.sim.account import AUTH_TOKEN, STREAM_SECRET
from voicebot.sim.brain import Says, ScriptedBrain, Turn, VerbatimReader
from voicebot.sim.clock import run_virtual
from voicebot.sim.fleet import fleet
from voicebot.sim.realtime_server import API_KEY
from voicebot.web.client import Client, begin

AGAIN = "Who is calling, please?"
RECEPTION = """
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ask, it

class Visit(Observations):
    name: str = ask("the caller's name")

flow = Flow(
    goal="Find out who is calling.",
    observations=Visit,
    phases=[
        Phase("reception", instructions="Ask who is calling.", observations=[it.name], transitions=[To("bye")]),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
"""


@asynccontextmanager
async def instance(at: Site, port: int, **more: object) -> AsyncIterator[web.Application]:
    """One more server on the site's store and model."""
    given: dict[str, Any] = {
        "OPENAI_API_KEY": API_KEY,
        "VOICEBOT_REALTIME_URL": at.on_stage.model.url,
        "VOICEBOT_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "VOICEBOT_STORE": at.on_stage.store_address,
        "VOICEBOT_SECRET": STREAM_SECRET,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "VOICEBOT_API_TOKEN": TOKEN,
        "VOICEBOT_SHED_LAG_MS": 0,
        **more,
    }
    app = await create_app(read_settings(None, **given), shelf=SHELF, wall=at.on_stage.wall)
    runner = make_runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield app
    finally:
        await runner.cleanup()


def elsewhere(begun: dict[str, Any], port: int) -> str:
    return f"ws://127.0.0.1:{port}/realtime/{begun['session_id']}"


def test_conversation_goes_on_when_its_instance_stops(tmp_path: Path) -> None:
    turns = (SCRIPT[0], Turn(None, ((Says(AGAIN),),)), Turn("Hello, this is Ada.", GOODBYE))

    async def talk() -> None:
        async with site(turns, VOICEBOT_STORE=f"sqlite:///{tmp_path}/calls.db") as at, instance(at, 8082):
            async with instance(at, 8081) as stops:
                begun = await begin("http://127.0.0.1:8081", TOKEN, flow="visit")
                async with Client(begun["websocket_url"], begun["ticket"], audio="none", comes_back=False) as client:
                    await client.until("heard", text=GREETING)
                    await stops[CALLS].hand_over()
                    with pytest.raises(EOFError):
                        await client.until("ended")
                assert client.close_code == 1012
            async with Client(elsewhere(begun, 8082), client.hello["ticket"], audio="none") as client:
                await client.until("hello", resumed=True)
                await client.until("heard", text=AGAIN)
                await client.write("Hello, this is Ada.")
                await client.until("ended", reason="completed")
            assert (await at.report(begun["session_id"]))["observations"] == {"name": "Ada"}

    run_virtual(talk(), limit_s=200)


def test_client_may_land_at_another_instance(tmp_path: Path) -> None:
    async def talk() -> None:
        async with (
            site(lenient=True, VOICEBOT_STORE=f"sqlite:///{tmp_path}/calls.db") as at,
            instance(at, 8081, VOICEBOT_INSTANCE="a"),
            instance(at, 8082),
        ):
            begun = await begin("http://127.0.0.1:8081", TOKEN, flow="visit")
            assert begun["websocket_url"] == elsewhere(begun, 8081) + "/a"
            async with Client(elsewhere(begun, 8082) + "/a", begun["ticket"], audio="none") as client:
                assert not (await client.until("hello"))["resumed"]
                await client.until("heard", text=GREETING)
                await client.write("Hello, this is Ada.")
                await client.until("ended", reason="completed")

    run_virtual(talk(), limit_s=200)


def test_posted_flow_goes_on_where_its_functions_are(tmp_path: Path) -> None:
    """The journal holds the flow; another instance revives it with what it has loaded itself."""
    config = json.loads(flow_to_json(flow(persona="Warm.")))
    turns = (SCRIPT[0], Turn(None, ((Says(AGAIN),),)), Turn("Hello, this is Ada.", GOODBYE))

    async def talk() -> None:
        async with site(turns, VOICEBOT_STORE=f"sqlite:///{tmp_path}/calls.db") as at, instance(at, 8082):
            async with instance(at, 8081) as stops:
                begun = await begin("http://127.0.0.1:8081", TOKEN, flow="visit", config=config)
                async with Client(begun["websocket_url"], begun["ticket"], audio="none", comes_back=False) as client:
                    await client.until("heard", text=GREETING)
                    await stops[CALLS].hand_over()
                    with pytest.raises(EOFError):
                        await client.until("ended")
            async with Client(elsewhere(begun, 8082), client.hello["ticket"], audio="none") as client:
                await client.until("heard", text=AGAIN)
                await client.write("Hello, this is Ada.")
                await client.until("ended", reason="completed")
            assert (await at.report(begun["session_id"]))["flow_version"] == begun["flow_version"]

    run_virtual(talk(), limit_s=200)


async def test_conversation_goes_on_when_its_process_is_killed(tmp_path: Path) -> None:
    """Two processes on one store, in real time."""
    (flows := tmp_path / "flows").mkdir()
    (flows / "visit.py").write_text(RECEPTION, encoding="utf-8")
    (data := tmp_path / "data").mkdir()
    turns = (SCRIPT[0], Turn(None, ((Says(AGAIN),),)), Turn("Hello, this is Ada.", GOODBYE))
    brain = VerbatimReader(ScriptedBrain(turns))
    settings = {"VOICEBOT_API_TOKEN": TOKEN}
    async with fleet(data, lambda: brain, flows=flows, environment=environment(), settings=settings) as made:
        first, second = made.instances["a"], made.instances["b"]
        begun = await begin(f"http://127.0.0.1:{first.port}", TOKEN, flow="visit")
        async with Client(elsewhere(begun, first.port), begun["ticket"], audio="none", comes_back=False) as client:
            await client.until("heard", text=GREETING)
            first.kill()
            with pytest.raises(EOFError):
                await client.until("ended")
        async with Client(elsewhere(begun, second.port), client.hello["ticket"], audio="none") as client:
            assert (await client.until("hello"))["resumed"]
            await client.until("heard", text=AGAIN)
            await client.write("Hello, this is Ada.")
            await client.until("ended", reason="completed")
        (report,) = await made.crm.wait_for(1, 60.0)
        assert json.loads(report.body)["data"]["observations"] == {"name": "Ada"}
