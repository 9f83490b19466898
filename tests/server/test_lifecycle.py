"""The calls of a process: how many, how they end, and that each is reported once whatever happens."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import START, BreakableStore, FakeLeg, calls_over, open_sockets
from voicebot.audio.formats import AudioFormat
from voicebot.call.handlers import FAREWELL_S
from voicebot.call.ports import CallerLeft, KeyPressed
from voicebot.call.session import CallSession
from voicebot.delivery.events import Target, Targets, webhook_id
from voicebot.flow import CallControl, CallEvent, Flow, Observations, Phase, ask, handler
from voicebot.flow.handlers import Handler
from voicebot.flow.loader import LoadedFlow, load_flow
from voicebot.realtime.gate import FAILURES
from voicebot.server.lifecycle import CLAIM_LIMIT_S, END_LIMIT_S, RETURN_LIMIT_S, Calls, ModelAccess, in_background
from voicebot.sim.brain import ScriptedBrain
from voicebot.sim.clock import run_virtual
from voicebot.sim.realtime_server import API_KEY, RealtimeServer
from voicebot.store.contract import CallRecord

CRM = "https://crm.example.com/in"
NOBODY = "ws://127.0.0.1:9/v1/realtime"
MAX_CALLS = 2


class Visit(Observations):
    name: str = ask("the caller's full name")


VISIT = load_flow(
    "visit",
    Flow(
        goal="Find out who is calling.",
        observations=Visit,
        phases=[Phase("reception", instructions="Find out who is calling.")],
    ),
)


@dataclass
class House:
    """Calls over a store on disk, with what they told."""

    calls: Calls
    store: BreakableStore
    flow: LoadedFlow
    reported: list[float] = field(default_factory=list)
    opened: int = 0

    async def open(self) -> CallSession:
        """As the voice webhook does."""
        self.opened += 1
        record, is_new = await self.store.open_call(record_of(self.opened), max_calls=MAX_CALLS)
        assert is_new
        return self.calls.open(record, self.flow)

    async def report(self, number: int) -> dict[str, Any]:
        text = await self.store.report(sid(number))
        assert text is not None
        return dict(json.loads(text))


def sid(number: int) -> str:
    return f"CA{number:032x}"


def record_of(number: int) -> CallRecord:
    return CallRecord(
        sid(number), "visit", VISIT.version, "+15550123456", "+15550100000", "inbound", START, "A-000001", 1, 0
    )


@asynccontextmanager
async def house(
    folder: Path, *, url: str = NOBODY, target: str = CRM, link: str | None = None, flow: LoadedFlow = VISIT
) -> AsyncIterator[House]:
    store = await BreakableStore.open(folder / "calls.db")
    calls = calls_over(
        store,
        ModelAccess(url, lambda: API_KEY, "gpt-realtime-2.1", "gpt-transcribe", AudioFormat.PCMU_8K),
        {"visit": flow},
        targets=Targets(Target("", target, frozenset({"call.completed"})) if target else None, link),
        max_calls=MAX_CALLS,
        reported=lambda: made.reported.append(asyncio.get_running_loop().time()),
    )
    made = House(calls, store, flow)
    try:
        yield made
    finally:
        store.mend()
        await calls.end()
        await store.close()
        assert calls.count == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


def virtual(play: Callable[[], Coroutine[object, object, None]]) -> None:
    run_virtual(play(), limit_s=3600)


# ---- reports --------------------------------------------------------------------------------------------------------


def test_call_is_reported_once_with_its_delivery(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            await made.open()
            await made.calls.finished()
            assert made.reported == [pytest.approx(CLAIM_LIMIT_S)]
            report = await made.report(1)
            assert report["data"]["ended_reason"] == "never_connected"
            assert report["data"]["flow_version"] == VISIT.version
            (delivery,) = await made.store.deliveries(10)
            assert delivery.webhook_id == webhook_id(sid(1), "call.completed")
            assert (delivery.url, delivery.state) == (CRM, "pending")
            assert json.loads(delivery.body) == report
            record = await made.store.call(sid(1))
            assert record is not None and record.ended == START

    virtual(play)


def test_report_without_a_receiver_is_only_kept(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path, target="") as made:
            await made.open()
            await made.calls.finished()
            assert await made.report(1)
            assert await made.store.deliveries(10) == []

    virtual(play)


@pytest.mark.parametrize("link", [None, "https://voice.example.com"])
def test_long_transcript_goes_by_link(tmp_path: Path, link: str | None) -> None:
    async def play() -> None:
        async with house(tmp_path, link=link) as made:
            session = await made.open()
            leg = FakeLeg()
            session.attach(leg, "MZ1")
            await asyncio.sleep(0.01)
            for _ in range(400):
                leg.tell(KeyPressed("1"))
            leg.tell(CallerLeft("hangup"))
            await made.calls.finished()
            (delivery,) = await made.store.deliveries(10)
            posted, kept = json.loads(delivery.body)["data"], (await made.report(1))["data"]
            assert len(delivery.body.encode()) < 20_000
            assert posted["transcript"] is None and len(kept["transcript"]) == 400
            assert posted["transcript_url"] == (f"{link}/calls/{sid(1)}/report" if link else None)

    virtual(play)


@pytest.mark.parametrize("outage_s", [0.5, 5.0, 600.0])
def test_report_waits_for_the_store(tmp_path: Path, outage_s: float) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            session = await made.open()
            await asyncio.sleep(0.1)
            made.store.break_down()
            session.hang_up()
            await asyncio.sleep(outage_s)
            assert made.reported == []
            assert made.calls.count == 1
            made.store.mend()
            await made.calls.finished()
            assert len(made.reported) == 1
            assert made.reported[0] < outage_s + 16
            assert (await made.report(1))["data"]["ended_reason"] == "never_connected"
            kinds = [entry.kind for entry in await made.store.journal(sid(1))]
            assert kinds == ["call_opened", "call_ended"]

    virtual(play)


def test_entries_the_store_never_took_go_with_the_report(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            made.store.break_down("append")
            session = await made.open()
            session.attach(FakeLeg(), "MZ1")
            await made.calls.finished()
            journal = await made.store.journal(sid(1))
            assert [entry.sequence for entry in journal] == list(range(1, len(journal) + 1))
            assert {entry.kind for entry in journal} >= {"call_opened", "caller_connected", "model_gone", "call_ended"}
            assert (await made.report(1))["data"]["ended_reason"] == "model_failed"

    virtual(play)


def test_call_that_breaks_is_reported_as_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            session = await made.open()

            def defect(*args: object) -> list[object]:
                raise RuntimeError("a defect")

            session.core.handle = defect  # type: ignore[method-assign,assignment]
            session.attach(FakeLeg(), "MZ1")
            await made.calls.finished()
            assert (await made.report(1))["data"]["ended_reason"] == "error"
            last = (await made.store.journal(sid(1)))[-1]
            assert (last.kind, json.loads(last.body)) == ("call_ended", {"reason": "error"})

    virtual(play)
    assert [record.exc_info is not None for record in caplog.records if record.message == "the call broke"] == [True]
    assert {record.call_sid for record in caplog.records if record.message == "the call broke"} == {sid(1)}  # type: ignore[attr-defined]


def test_call_that_breaks_leaves_the_others(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made, RealtimeServer(lambda: ScriptedBrain([])) as model:
            made.calls._access = replace(made.calls._access, url=model.url)
            broken, whole = await made.open(), await made.open()
            broken.core.handle = None  # type: ignore[method-assign,assignment]
            leg = FakeLeg()
            broken.attach(FakeLeg(), "MZ1")
            whole.attach(leg, "MZ2")
            await asyncio.sleep(1)
            assert made.calls.get(sid(1)) is None
            assert made.calls.get(sid(2)) is whole
            leg.tell(CallerLeft("hangup"))
            await made.calls.finished()
            assert [(await made.report(number))["data"]["ended_reason"] for number in (1, 2)] == [
                "error",
                "caller_hung_up",
            ]

    virtual(play)


@pytest.mark.parametrize("told_after_s", [-0.001, 0.0, 0.001, 0.5])
def test_caller_whose_line_is_over_is_not_waited_for(told_after_s: float, tmp_path: Path) -> None:
    """The stream breaks and the phone line says that the call is over, in whatever order."""

    async def play() -> None:
        async with house(tmp_path) as made, RealtimeServer(lambda: ScriptedBrain([])) as model:
            made.calls._access = replace(made.calls._access, url=model.url)
            session, leg, time = await made.open(), FakeLeg(), asyncio.get_running_loop().time
            session.attach(leg, "MZ1")
            await asyncio.sleep(1)
            lost_at = time()
            if told_after_s < 0:
                made.calls.line_over(sid(1))
            leg.tell(CallerLeft("lost"))
            if told_after_s >= 0:
                await asyncio.sleep(told_after_s)
                made.calls.line_over(sid(1))
            await made.calls.finished()
            assert made.reported[0] - lost_at < RETURN_LIMIT_S / 3
            assert made.calls._lines_over == set()

    virtual(play)


def test_report_that_cannot_be_made_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            await made.open()
            made.calls._reporter._wall = None  # type: ignore[assignment]
            await made.calls.finished()
            assert made.calls.count == 0
            await asyncio.sleep(0.1)

    virtual(play)
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "a call could not be reported; its journal is kept"
    ]


# ---- handlers -------------------------------------------------------------------------------------------------------


def with_handlers(*handlers: Handler) -> LoadedFlow:
    return load_flow("visit", replace(VISIT.flow, handlers=handlers))


def test_handlers_are_told_of_the_end_beside_the_report(tmp_path: Path) -> None:
    told: list[tuple[object, float]] = []

    @handler("end")
    async def writes_down(event: CallEvent, call: CallControl) -> None:
        await asyncio.sleep(2)
        told.append((event.facts["reason"], asyncio.get_running_loop().time()))

    async def play() -> None:
        async with house(tmp_path, flow=with_handlers(writes_down)) as made:
            await made.open()
            await made.calls.finished()
            assert made.reported == [pytest.approx(CLAIM_LIMIT_S)]

    virtual(play)
    assert told == [("never_connected", pytest.approx(CLAIM_LIMIT_S + 2))]


def test_handler_that_hangs_holds_no_place(tmp_path: Path) -> None:
    @handler(timeout_s=30)
    async def hangs(event: CallEvent, call: CallControl) -> None:
        await asyncio.sleep(3600)

    async def play() -> None:
        async with house(tmp_path, flow=with_handlers(hangs)) as made:
            session = await made.open()
            await made.open()
            assert made.calls.full
            session.hang_up()
            await asyncio.sleep(0.1)
            assert len(made.reported) == 1
            assert not made.calls.full
            await made.calls.finished()
            assert asyncio.get_running_loop().time() == pytest.approx(CLAIM_LIMIT_S + FAREWELL_S, abs=0.01)

    virtual(play)


def test_end_of_the_process_is_bounded_with_handlers(tmp_path: Path) -> None:
    @handler(timeout_s=30)
    async def hangs(event: CallEvent, call: CallControl) -> None:
        await asyncio.sleep(3600)

    async def play() -> None:
        async with house(tmp_path, flow=with_handlers(hangs)) as made:
            await made.open()
            await asyncio.sleep(0.1)
            await made.calls.end()
            assert asyncio.get_running_loop().time() <= 0.11 + END_LIMIT_S
            assert len(made.reported) == 1
            await made.calls.finished()

    virtual(play)


def test_call_that_breaks_tells_its_handlers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []

    @handler("end")
    async def writes_down(event: CallEvent, call: CallControl) -> None:
        told.append(event.facts["reason"])

    async def play() -> None:
        async with house(tmp_path, flow=with_handlers(writes_down)) as made:
            session = await made.open()
            session.core.handle = None  # type: ignore[method-assign,assignment]
            session.attach(FakeLeg(), "MZ1")
            await made.calls.finished()

    virtual(play)
    assert told == ["error"]


def test_defect_of_ours_in_the_handlers_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    @handler("end")
    async def writes_down(event: CallEvent, call: CallControl) -> None:
        raise AssertionError("it was run")

    async def play() -> None:
        async with house(tmp_path, flow=with_handlers(writes_down)) as made:
            session = await made.open()
            assert session.handlers is not None
            session.handlers._engine = None  # type: ignore[assignment]
            session.hang_up()
            await made.calls.finished()
            assert len(made.reported) == 1
            await asyncio.sleep(0.1)

    virtual(play)
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "the handlers of a call broke"
    ]


# ---- the model ------------------------------------------------------------------------------------------------------


def test_warm_socket_that_no_stream_claims_is_closed(tmp_path: Path) -> None:
    async def play() -> None:
        async with RealtimeServer(lambda: ScriptedBrain([])) as model, house(tmp_path, url=model.url) as made:
            session = await made.open()
            await asyncio.sleep(1)
            assert open_sockets(model) == 1
            session.hang_up()
            await made.calls.finished()
            assert open_sockets(model) == 0

    virtual(play)


@pytest.mark.parametrize(("key", "open_to_others"), [("wrong", True), (API_KEY, False)])
def test_gate_closes_for_trouble_of_the_service_alone(tmp_path: Path, key: str, open_to_others: bool) -> None:
    async def play() -> None:
        async with RealtimeServer(lambda: ScriptedBrain([])) as model, house(tmp_path, url=model.url) as made:
            model.available = key == "wrong"
            access = made.calls._access = replace(made.calls._access, api_key=lambda: key)
            for number in range(1, 2 * FAILURES):
                session = await made.open()
                await asyncio.sleep(0.01)
                session.hang_up()
                await asyncio.sleep(0.01)
                assert (await made.report(number))["data"]["ended_reason"] == "never_connected"
            assert access.gate.admits(asyncio.get_running_loop().time()) is open_to_others

    virtual(play)


def test_key_of_the_model_shows_in_no_repr() -> None:
    access = ModelAccess(NOBODY, lambda: "sk-canary", "m", "t", AudioFormat.PCM16_24K)
    assert "canary" not in repr(access)


# ---- how many -------------------------------------------------------------------------------------------------------


def test_places_are_counted_while_calls_are_opened(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            with made.calls.place(sid(1)) as one, made.calls.place(sid(2)) as two, made.calls.place(sid(3)) as three:
                assert (one, two, three) == (True, True, False)
                assert made.calls.full
                with made.calls.place(sid(2)) as again:
                    assert again
            assert not made.calls.full
            with pytest.raises(RuntimeError), made.calls.place(sid(1)):
                raise RuntimeError
            assert not made.calls.full

    virtual(play)


def test_calls_hold_their_places_until_reported(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            first = await made.open()
            await made.open()
            assert made.calls.full
            assert made.calls.count == 2
            with made.calls.place(sid(3)) as new, made.calls.place(sid(1)) as known:
                assert (new, known) == (False, True)
            made.store.break_down("finish")
            first.hang_up()
            await asyncio.sleep(1)
            assert made.calls.full
            made.store.mend()
            await asyncio.sleep(6)
            assert not made.calls.full
            assert made.calls.count == 1

    virtual(play)


# ---- the end of the process -----------------------------------------------------------------------------------------


def test_end_reports_every_call_at_once(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            await made.open()  # waits for its stream
            talking, leg = await made.open(), FakeLeg()
            talking.attach(leg, "MZ2")
            await asyncio.sleep(0.1)
            before = asyncio.get_running_loop().time()
            await made.calls.end()
            assert asyncio.get_running_loop().time() - before < 0.1
            assert made.calls.full  # nothing is taken any more
            assert made.calls.count == 0
            reasons = {(await made.report(number))["data"]["ended_reason"] for number in (1, 2)}
            assert reasons == {"shutdown"}

    virtual(play)


def test_end_is_bounded_when_the_store_is_gone(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            await made.open()
            await asyncio.sleep(0.1)
            made.store.break_down()
            before = asyncio.get_running_loop().time()
            await made.calls.end()
            assert asyncio.get_running_loop().time() - before == pytest.approx(END_LIMIT_S)
            made.store.mend()
            await made.calls.finished()
            assert (await made.report(1))["data"]["ended_reason"] == "shutdown"

    virtual(play)


def test_finished_waits_for_all(tmp_path: Path) -> None:
    async def play() -> None:
        async with house(tmp_path) as made:
            await made.calls.finished()
            await made.open()
            await asyncio.sleep(CLAIM_LIMIT_S / 2)
            await made.open()
            await made.calls.finished()
            assert asyncio.get_running_loop().time() == pytest.approx(1.5 * CLAIM_LIMIT_S, abs=0.1)
            assert len(made.reported) == 2

    virtual(play)


# ---- beside the calls -----------------------------------------------------------------------------------------------


async def test_background_work_ends_with_its_body() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with in_background(work(), name="work"):
        await asyncio.sleep(0)
        assert not ended.is_set()
    assert ended.is_set()


async def test_background_work_that_breaks_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("a defect")

    async with in_background(work(), name="work"):
        await asyncio.sleep(0)
    assert [record.message for record in caplog.records] == ["work ended by itself"]
