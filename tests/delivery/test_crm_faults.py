"""A CRM that is down, hangs, is gone, overloaded or redirects: the whole way, over HTTP, on the virtual clock.

The sink proves each signature by the virtual time of its arrival, so every retry is signed anew.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from tests.store.store_samples import START
from voicebot.delivery.guard import AddressGuard, read_allowed
from voicebot.delivery.keys import Keyring
from voicebot.delivery.post import WebhookPost
from voicebot.delivery.worker import DeliveryWorker
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.sim.crm import CrmAnswer, CrmSink
from voicebot.store.contract import Delivery, NewDelivery
from voicebot.store.sqlite import SqliteStore

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
BODY = '{"type": "call.completed", "timestamp": "2026-03-01T12:00:00.000Z", "data": {}}'
HOUR = 3600


@dataclass
class House:
    """A store, a worker that posts from it, and the receivers it may post to."""

    store: SqliteStore
    worker: DeliveryWorker
    crm: CrmSink

    async def report(self, *webhook_ids: str, url: str = "") -> None:
        for webhook_id in webhook_ids:
            new = NewDelivery(webhook_id, url or self.crm.url, BODY)
            await self.store.enqueue(f"CA-{webhook_id}", [new], wall_clock(START)())
        self.worker.wake()

    async def states(self) -> Counter[str]:
        return Counter(delivery.state for delivery in await self.store.deliveries(1000))

    async def one(self, webhook_id: str) -> Delivery:
        found = await self.store.delivery(webhook_id)
        assert found is not None
        return found

    def times(self, webhook_id: str) -> list[float]:
        return [round(one.at_s, 1) for one in self.crm.received if one.webhook_id == webhook_id]


@contextlib.asynccontextmanager
async def house(folder: Path, *answers: CrmAnswer, jitter: float = 0.0) -> AsyncIterator[House]:
    now = wall_clock(START)
    store = await SqliteStore.open(folder / "voicebot.db")
    post = WebhookPost(AddressGuard(read_allowed(["127.0.0.1"])), Keyring([SECRET]), now)
    worker = DeliveryWorker(store, post, now, lambda: jitter)
    try:
        async with CrmSink(SECRET, answers=answers, wall=now) as crm, asyncio.TaskGroup() as tasks:
            running = tasks.create_task(worker.run())
            yield House(store, worker, crm)
            running.cancel()
    finally:
        await post.close()
        await store.close()


def play(story: Callable[[], Coroutine[object, object, None]], limit_s: float = 200 * HOUR) -> None:
    run_virtual(story(), limit_s=limit_s)


@contextlib.asynccontextmanager
async def listening(port: int, seen: list[str]) -> AsyncIterator[None]:
    """A receiver on a port of the twin's network."""

    async def receive(request: web.Request) -> web.Response:
        seen.append(request.headers["webhook-id"])
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/in", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_everything_arrives_after_an_hour_of_503(tmp_path: Path, jitter: float) -> None:
    async def story() -> None:
        async with house(tmp_path, *[CrmAnswer(503)] * 10_000, jitter=jitter) as made:
            for number in range(50):
                await made.report(f"msg_{number}")
                await asyncio.sleep(60)
            await asyncio.sleep(max(0.0, HOUR - asyncio.get_running_loop().time()))
            made.crm.recover()
            await asyncio.sleep(3 * HOUR)
            assert await made.states() == {"delivered": 50}
            assert len(made.crm.reports()) == 50
            assert all(one.verified for one in made.crm.received)

    play(story)


def test_everything_arrives_after_an_hour_of_nobody_listening(tmp_path: Path) -> None:
    async def story() -> None:
        seen: list[str] = []
        async with house(tmp_path) as made:
            await made.report(*(f"msg_{number}" for number in range(25)), url="http://127.0.0.1:9000/in")
            await asyncio.sleep(HOUR)
            assert await made.states() == {"pending": 25}
            assert "Cannot connect to host 127.0.0.1:9000" in str((await made.one("msg_0")).reason)
            async with listening(9000, seen):
                await asyncio.sleep(3 * HOUR)
            assert await made.states() == {"delivered": 25}
            assert Counter(seen) == {f"msg_{number}": 1 for number in range(25)}

    play(story)


def test_one_that_hangs_is_left_after_15_s_and_delays_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        seen: list[str] = []
        async with house(tmp_path, *[CrmAnswer(hang=True)] * 100) as made, listening(9000, seen):
            await made.report(*(f"hung_{number}" for number in range(20)))
            await made.report(*(f"msg_{number}" for number in range(20)), url="http://127.0.0.1:9000/in")
            await asyncio.sleep(1)
            assert len(seen) == 20
            await asyncio.sleep(14.5)
            hung = await made.one("hung_0")
            assert (hung.attempts, hung.reason) == (1, "no answer within 15 s")
            assert await made.states() == {"delivered": 20, "pending": 20}
            made.crm.recover()
            await asyncio.sleep(HOUR)
            assert await made.states() == {"delivered": 40}

    play(story)


def test_one_that_is_gone_is_disabled_and_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with house(tmp_path, CrmAnswer(410)) as made:
            await made.report("msg_1")
            await asyncio.sleep(1)
            await made.report("msg_2")
            await asyncio.sleep(5 * HOUR)
            assert made.times("msg_1") == [0.0] and made.times("msg_2") == []
            assert await made.states() == {"disabled": 2}
            assert (await made.one("msg_1")).reason == "answered 410"
            assert await made.store.requeue("msg_2", wall_clock(START)())
            made.worker.wake()
            await asyncio.sleep(1)
            assert await made.states() == {"delivered": 2}

    play(story)
    (line,) = [
        one.getMessage() for one in caplog.records if "is disabled" in one.getMessage() and "receiver" in one.msg
    ]
    assert line.startswith("receiver at 127.0.0.1:") and line.endswith("voicebot deliveries retry msg_1")
    assert {one.levelno for one in caplog.records if "disabled" in one.getMessage()} == {logging.ERROR}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed_in_both_forms(tmp_path: Path, status: int, form: str) -> None:
    async def story() -> None:
        until = wall_clock(START)().replace(microsecond=0)
        wish = "900" if form == "seconds" else format_datetime(until.replace(hour=12, minute=15), usegmt=True)
        async with house(tmp_path, CrmAnswer(status, retry_after=wish)) as made:
            await made.report("msg_1")
            await asyncio.sleep(HOUR)
            assert made.times("msg_1") == [0.0, pytest.approx(900, abs=1)]
            assert await made.states() == {"delivered": 1}

    play(story)


def test_overloaded_one_gets_one_at_a_time_until_it_accepts(tmp_path: Path) -> None:
    async def story() -> None:
        busy = [CrmAnswer(429, delay_s=2.0)] * 4
        async with house(tmp_path, *busy, *[CrmAnswer(200, delay_s=2.0)] * 100) as made:
            await made.report(*(f"msg_{number}" for number in range(12)))
            await asyncio.sleep(4 * HOUR)
            assert await made.states() == {"delivered": 12}
            times = sorted(one.at_s for one in made.crm.received)
            together = [sum(at == one for one in times) for at in dict.fromkeys(times)]
            assert together[:3] == [4, 1, 4]

    play(story)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_a_failure_like_others(tmp_path: Path, status: int) -> None:
    async def story() -> None:
        seen: list[str] = []
        async with (
            house(tmp_path, *[CrmAnswer(status, location="http://127.0.0.1:9000/in")] * 100) as made,
            listening(9000, seen),
        ):
            await made.report("msg_1")
            await asyncio.sleep(400)
            assert made.times("msg_1") == [0.0, 5.0, 305.0]
            assert (seen, (await made.one("msg_1")).reason) == ([], f"answered {status}")

    play(story)


def test_one_that_never_accepts_ends_as_a_dead_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.delivery.worker.LOOK_AGAIN_S", HOUR)  # fewer steps through three days

    async def story() -> None:
        async with house(tmp_path, *[CrmAnswer(500)] * 10) as made:
            await made.report("msg_1")
            await asyncio.sleep(76 * HOUR)
            dead = await made.one("msg_1")
            assert (dead.state, dead.attempts, dead.reason, dead.due) == ("dead", 10, "answered 500", None)
            await made.store.requeue("msg_1", wall_clock(START)())
            made.worker.wake()
            await asyncio.sleep(60)
            assert await made.states() == {"delivered": 1}

    play(story)
