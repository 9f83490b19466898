"""How the server says how it is, and who may read a report."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.fakes import CALL_SID, START, BreakableStore, calls_over
from voicebot.audio.formats import AudioFormat
from voicebot.flow import Flow, Observations, Phase, ask
from voicebot.flow.loader import load_flow
from voicebot.recording.files import RecordingFolder
from voicebot.server.api.calls import CallEndpoints
from voicebot.server.api.endpoint import Gate, routes
from voicebot.server.api.operations import Operations
from voicebot.server.api.rates import Rates
from voicebot.server.api.tokens import ApiTokens, Bearer, Token
from voicebot.server.attempts import MOST_WRONG
from voicebot.server.lifecycle import Calls, ModelAccess
from voicebot.server.status_routes import StatusRoutes
from voicebot.store.contract import CallRecord

API_TOKEN = "the API's token"
RECORD = CallRecord(CALL_SID, "visit", "v1", None, None, "inbound", START, "A-000001", 1, 0)


class Visit(Observations):
    name: str = ask("the caller's full name")


VISIT = load_flow("visit", Flow(goal="g", observations=Visit, phases=[Phase("reception", instructions="Greet.")]))


@dataclass
class Site:
    """The routes on loopback."""

    client: TestClient[web.Request, web.Application]
    store: BreakableStore
    calls: Calls

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.client.get(path, headers=headers) as answer:
            return answer.status, await answer.text()

    async def readiness(self) -> tuple[int, dict[str, object]]:
        status, text = await self.get("/readyz")
        return status, json.loads(text)


@asynccontextmanager
async def site(folder: Path, api_token: str = API_TOKEN) -> AsyncIterator[Site]:
    store = await BreakableStore.open(folder / "calls.db")
    access = ModelAccess("ws://127.0.0.1:9/", lambda: "", "m", "", AudioFormat.PCMU_8K)
    calls = calls_over(store, access, {"visit": VISIT}, max_calls=1)
    app, time = web.Application(), asyncio.get_running_loop().time
    tokens = ApiTokens([Token(Bearer("admin", "admin"), api_token)], Counter(), time)
    recordings = RecordingFolder(folder / "recordings")
    operations = Operations(calls, store, lambda: START)
    of_calls = CallEndpoints(
        calls=calls, store=store, operations=operations, recordings=recordings, price=None, time=time
    )
    app.add_routes(StatusRoutes(calls=calls, store=store).routes())
    app.add_routes(routes(of_calls.endpoints(), Gate(tokens, Rates(100_000), time)))
    try:
        async with TestClient(TestServer(app)) as client:
            yield Site(client, store, calls)
    finally:
        store.mend()
        await calls.end()
        await store.close()


async def test_process_that_answers_is_healthy(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        made.store.break_down()
        made.calls.accepting = False
        assert await made.get("/healthz") == (200, '{"status": "ok"}')


async def test_ready_while_a_call_would_be_taken(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        assert await made.readiness() == (200, {"status": "ready", "problems": [], "calls": 0})


async def test_not_ready_when_full(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        await made.store.open_call(RECORD, max_calls=1)
        session = made.calls.open(RECORD, VISIT)
        assert await made.readiness() == (503, {"status": "not ready", "problems": ["full"], "calls": 1})
        session.hang_up()
        await made.calls.finished()
        assert (await made.readiness())[0] == 200


async def test_not_ready_when_late_with_its_calls(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        made.calls._overloaded = lambda: True
        assert await made.readiness() == (503, {"status": "not ready", "problems": ["lagging"], "calls": 0})


async def test_not_ready_when_draining_or_without_a_store(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        made.store.break_down()
        assert await made.readiness() == (503, {"status": "not ready", "problems": ["store"], "calls": 0})
        made.calls.accepting = False
        assert (await made.readiness())[1]["problems"] == ["draining", "store"]
        made.store.mend()
        assert await made.readiness() == (503, {"status": "not ready", "problems": ["draining"], "calls": 0})


async def test_report_is_read_with_the_token(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        path, right = f"/calls/{CALL_SID}/report", {"Authorization": f"Bearer {API_TOKEN}"}
        assert (await made.get(path, **right))[0] == 404
        await made.store.open_call(RECORD, max_calls=1)
        assert (await made.get(path, **right))[0] == 404  # it still goes on
        await made.store.finish(CALL_SID, '{"data": {"caller": "Zoë"}}', [], attempt=1, ended=START)
        assert await made.get(path, **right) == (200, '{"data": {"caller": "Zoë"}}')
        async with made.client.get(path, headers=right) as answer:
            assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {API_TOKEN}", f"Bearer {API_TOKEN}x", "Bearer ÿ"]
)
@pytest.mark.parametrize("call_sid", [CALL_SID, "nobody", "..%2F..%2Fsecret"])
async def test_report_is_closed_to_others(tmp_path: Path, given: str | None, call_sid: str) -> None:
    """Also to those who ask for a call that does not exist."""
    async with site(tmp_path) as made:
        await made.store.open_call(RECORD, max_calls=1)
        await made.store.finish(CALL_SID, "{}", [], attempt=1, ended=START)
        headers = {} if given is None else {"Authorization": given}
        status, text = await made.get(f"/calls/{call_sid}/report", **headers)
        assert (status, json.loads(text)["code"]) == (401, "token")


async def test_header_that_is_no_text_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        reader, writer = await asyncio.open_connection(made.client.host, made.client.port)
        head = f"GET /calls/{CALL_SID}/report HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
        writer.write(head + b"Authorization: Bearer \xff\xfe\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        await reader.read()
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer "}, {"Authorization": ""}])
async def test_report_is_closed_without_a_token_set(tmp_path: Path, given: dict[str, str]) -> None:
    async with site(tmp_path, api_token="") as made:
        assert (await made.get(f"/calls/{CALL_SID}/report", **given))[0] == 401


async def test_report_waits_for_a_store_that_fails(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        made.store.break_down()
        status, text = await made.get(f"/calls/{CALL_SID}/report", Authorization=f"Bearer {API_TOKEN}")
        assert (status, json.loads(text)["code"]) == (503, "store")


async def test_tokens_cannot_be_tried_one_after_the_other(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        path = f"/calls/{CALL_SID}/report"
        tried = [(await made.get(path, Authorization=f"Bearer {number}"))[0] for number in range(MOST_WRONG + 3)]
        assert tried == [401] * MOST_WRONG + [429] * 3
        assert (await made.get(path, Authorization=f"Bearer {API_TOKEN}"))[0] == 429  # who tries learns nothing
        assert (await made.get("/readyz"))[0] == 200
