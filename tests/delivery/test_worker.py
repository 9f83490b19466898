"""The worker, over a real store; on the virtual clock hours of retries take milliseconds."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook

from voicebot.delivery.guard import AddressGuard, read_allowed
from voicebot.delivery.keys import Keyring
from voicebot.delivery.post import WebhookPost
from voicebot.delivery.worker import LOOK_AGAIN_S, DeliveryWorker
from voicebot.errors import DeliveryError, StoreError
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.store.contract import Delivery, NewDelivery
from voicebot.store.sqlite import SqliteStore

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URL = "https://crm.example/hook"
HOUR = 3600
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()

Answer = Callable[[Delivery], int]


def virtual(test: Callable[[Path], Coroutine[object, object, None]]) -> Callable[[Path], None]:
    """Run a test on the virtual clock, which begins at `START`."""

    @functools.wraps(test)
    def run(tmp_path: Path) -> None:
        run_virtual(test(tmp_path))

    return run


def elapsed() -> float:
    return asyncio.get_running_loop().time()


class Receiver:
    """Stands for all receivers: answers as `answer` says after `takes_s`, and keeps what came when."""

    def __init__(self, answer: Answer = lambda delivery: 200, *, takes_s: Mapping[str, float] | None = None) -> None:
        self._answer, self._takes_s = answer, takes_s or {}
        self.came: list[tuple[float, str]] = []
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def __call__(self, delivery: Delivery) -> int:
        self.came.append((elapsed(), delivery.webhook_id))
        self.under_way[delivery.host] += 1
        self.most |= self.under_way
        try:
            await asyncio.sleep(self._takes_s.get(delivery.host, 0))
            return self._answer(delivery)
        finally:
            self.under_way[delivery.host] -= 1

    @property
    def times(self) -> list[float]:
        return [round(at, 3) for at, _ in self.came]


def refuse(status: int | None = 503, *, retry_after_s: float | None = None) -> Answer:
    def answer(delivery: Delivery) -> int:
        raise DeliveryError(delivery.url, f"answered {status}", status=status, retry_after_s=retry_after_s)

    return answer


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(folder / "voicebot.db")
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def posting(now: Callable[[], datetime]) -> AsyncIterator[WebhookPost]:
    post = WebhookPost(AddressGuard(read_allowed(["127.0.0.1"])), Keyring([SECRET]), now)
    try:
        yield post
    finally:
        await post.close()


async def report(store: SqliteStore, *webhook_ids: str, url: str = URL) -> None:
    now = wall_clock(START)()
    for webhook_id in webhook_ids:
        await store.enqueue(f"CA-{webhook_id}", [NewDelivery(webhook_id, url, "{}")], now)


def worker_on(store: SqliteStore, post: Receiver, *, jitter: float = 0.0, parallel: int = 32) -> DeliveryWorker:
    return DeliveryWorker(store, post, wall_clock(START), lambda: jitter, parallel=parallel)


async def work(worker: DeliveryWorker, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await worker.run()


async def states(store: SqliteStore) -> Counter[str]:
    return Counter(delivery.state for delivery in await store.deliveries(1000))


# ---- when it works ------------------------------------------------------------------------------------------------


@virtual
async def test_waiting_report_is_delivered_at_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await report(store, "msg_1", "msg_2")
        receiver = Receiver()
        await work(worker_on(store, receiver), 1)
        assert receiver.times == [0, 0]
        delivered = await store.deliveries(10, "delivered")
        assert [(one.status, one.tried) for one in delivered] == [(200, START)] * 2


@virtual
async def test_wake_delivers_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, asyncio.TaskGroup() as tasks:
        receiver = Receiver()
        worker = worker_on(store, receiver)
        running = tasks.create_task(worker.run())
        for second in (3, 7):
            await asyncio.sleep(second - elapsed())
            await report(store, f"msg_{second}")
            worker.wake()
        await asyncio.sleep(1)
        running.cancel()
        assert receiver.came == [(3, "msg_3"), (7, "msg_7")]


@virtual
async def test_report_of_dead_process_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, asyncio.TaskGroup() as tasks:
        receiver = Receiver()
        running = tasks.create_task(worker_on(store, receiver).run())
        await asyncio.sleep(1)
        await report(store, "msg_1")  # and nobody wakes the worker
        await asyncio.sleep(LOOK_AGAIN_S)
        running.cancel()
        assert len(receiver.came) == 1


@virtual
async def test_two_workers_deliver_each_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as ours, opened(tmp_path) as theirs:
        await report(ours, *(f"msg_{n}" for n in range(40)))
        receiver = Receiver(takes_s={"crm.example": 0.2})
        await asyncio.gather(work(worker_on(ours, receiver), 20), work(worker_on(theirs, receiver), 20))
        assert Counter(name for _, name in receiver.came) == {f"msg_{n}": 1 for n in range(40)}
        assert await states(ours) == {"delivered": 40}


# ---- when the receiver does not -----------------------------------------------------------------------------------


@virtual
async def test_receiver_down_an_hour_gets_everything(tmp_path: Path) -> None:
    """The whole way: signed HTTP to a receiver which answers 503 for an hour."""
    got: list[tuple[float, str]] = []

    async def receive(request: web.Request) -> web.Response:
        if elapsed() < HOUR:
            return web.Response(status=503)
        got.append((elapsed(), request.headers["webhook-id"]))
        sent_at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        signature = Webhook(SECRET).sign(got[-1][1], sent_at, await request.text())
        assert request.headers["webhook-signature"] == signature
        assert abs(sent_at - wall_clock(START)()) < timedelta(seconds=2)
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    async with TestServer(app) as server, opened(tmp_path) as store, posting(wall_clock(START)) as post:
        await report(store, *(f"msg_{n}" for n in range(25)), url=str(server.make_url("/hook")))
        await work(DeliveryWorker(store, post, wall_clock(START), lambda: 0.5), 4 * HOUR)
        assert await states(store) == {"delivered": 25}
    assert sorted(name for _, name in got) == sorted(f"msg_{n}" for n in range(25))
    assert max(at for at, _ in got) < 1.1 * (5 + 300 + 1800 + 2 * HOUR) + 60


def test_attempts_keep_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.delivery.worker.LOOK_AGAIN_S", HOUR)  # fewer steps through three days

    async def story() -> None:
        async with opened(tmp_path) as store:
            await report(store, "msg_1")
            receiver = Receiver(refuse(500))
            await work(worker_on(store, receiver), 100 * HOUR)
            gaps = [round(later - earlier, 1) for earlier, later in pairwise(receiver.times)]
            assert gaps == [5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
            (dead,) = await store.deliveries(10, "dead")
            assert (dead.attempts, dead.reason) == (10, "answered 500")

    run_virtual(story(), limit_s=200 * HOUR)


@virtual
async def test_jitter_spreads_the_attempts(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await report(store, "msg_1")
        receiver = Receiver(refuse())
        await work(worker_on(store, receiver, jitter=1.0), 400)
        assert receiver.times == [0, 5.5, 335.5]


@virtual
async def test_retry_after_is_obeyed(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await report(store, "msg_1")
        receiver = Receiver(refuse(429, retry_after_s=900))
        await work(worker_on(store, receiver), 2000)
        assert receiver.times == [0, 900, 1800]


@virtual
async def test_gone_receiver_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await report(store, "msg_1")
        receiver = Receiver(refuse(410))
        await work(worker_on(store, receiver), 10)
        await report(store, "msg_2")
        await report(store, "msg_3", url="https://other.example/")
        await work(worker_on(store, receiver), 2 * HOUR)
        assert {name for _, name in receiver.came} == {"msg_1", "msg_3"}
        assert await states(store) == {"disabled": 3}


@virtual
async def test_slow_receiver_delays_no_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await report(store, *(f"slow_{n}" for n in range(20)), url="https://slow.example/")
        await report(store, *(f"fast_{n}" for n in range(20)), url="https://fast.example/")
        receiver = Receiver(takes_s={"slow.example": 15})
        await work(worker_on(store, receiver), 1)
        assert sum(name.startswith("fast") for _, name in receiver.came) == 20
        assert receiver.most == {"slow.example": 4, "fast.example": 4}
        assert await states(store) == {"delivered": 20, "pending": 20}


@virtual
async def test_posts_under_way_are_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for n in range(30):
            await report(store, f"msg_{n}", url=f"https://crm{n}.example/")
        receiver = Receiver(takes_s={f"crm{n}.example": 1 for n in range(30)})
        await work(worker_on(store, receiver, parallel=8), 60)
        assert Counter(receiver.times) == {0: 8, 1: 8, 2: 8, 3: 6}


# ---- when we do not -----------------------------------------------------------------------------------------------


@virtual
async def test_cancelled_post_is_made_by_the_next(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await report(store, "msg_1")
        await work(worker_on(store, Receiver(takes_s={"crm.example": 10})), 1)
        receiver = Receiver()
        await work(worker_on(store, receiver), 60)
        assert receiver.times == [30]  # when the first one's lease has lapsed
        assert await states(store) == {"delivered": 1}


class FailingStore(SqliteStore):
    """A store whose outbox does not answer for a while."""

    down_until = 0.0
    forgets_until = 0.0

    async def due(self, *args: object, **kwargs: object) -> list[Delivery]:
        if elapsed() < self.down_until:
            raise StoreError("the store is down")
        return await super().due(*args, **kwargs)  # type: ignore[arg-type]

    async def delivered(self, webhook_id: str, now: datetime, status: int) -> None:
        if elapsed() < self.forgets_until:
            raise StoreError("the store is down")
        await super().delivered(webhook_id, now, status)


@virtual
async def test_worker_outlasts_its_store(tmp_path: Path) -> None:
    store = await FailingStore.open(tmp_path / "voicebot.db")
    store.down_until = 60.0
    await report(store, "msg_1")
    receiver = Receiver()
    await work(worker_on(store, receiver), 100)
    assert len(receiver.came) == 1 and 60 <= receiver.times[0] <= 70
    await store.close()


@virtual
async def test_unrecorded_delivery_is_made_again(tmp_path: Path) -> None:
    store = await FailingStore.open(tmp_path / "voicebot.db")
    store.forgets_until = 10.0
    await report(store, "msg_1")
    receiver = Receiver()
    await work(worker_on(store, receiver), 100)
    assert receiver.came == [(0, "msg_1"), (30, "msg_1")]
    assert await states(store) == {"delivered": 1}
    await store.close()


def test_defect_stops_neither_it_nor_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def stumble(delivery: Delivery) -> int:
        if delivery.webhook_id == "msg_bad" and elapsed() < 2:
            raise ZeroDivisionError
        return 200

    async def story() -> None:
        async with opened(tmp_path) as store:
            await report(store, "msg_bad", "msg_good")
            receiver = Receiver(stumble)
            await work(worker_on(store, receiver), 60)
            assert receiver.came == [(0, "msg_bad"), (0, "msg_good"), (5, "msg_bad")]
            assert await states(store) == {"delivered": 2}

    run_virtual(story())
    (defect,) = [line for line in caplog.records if line.exc_info]
    assert (defect.levelno, defect.__dict__["call_sid"]) == (logging.ERROR, "CA-msg_bad")


# ---- in real time -------------------------------------------------------------------------------------------------


async def test_report_arrives_over_real_sockets(tmp_path: Path) -> None:
    arrived: asyncio.Queue[str] = asyncio.Queue(maxsize=1)

    async def receive(request: web.Request) -> web.Response:
        Webhook(SECRET).verify(await request.read(), dict(request.headers))
        arrived.put_nowait(request.headers["webhook-id"])
        return web.Response()

    def now() -> datetime:
        return datetime.now(UTC)

    app = web.Application()
    app.router.add_post("/hook", receive)
    async with TestServer(app) as server, opened(tmp_path) as store, posting(now) as post:
        worker = DeliveryWorker(store, post, now, lambda: 0.0)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(10):
            running = tasks.create_task(worker.run())
            target = NewDelivery("msg_1", str(server.make_url("/hook")), "{}")
            await store.enqueue("CA1", [target], now())
            worker.wake()
            assert await arrived.get() == "msg_1"
            running.cancel()
