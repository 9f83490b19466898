"""The watch over calls that nobody has: instances over one store, and Twilio's REST API, on the virtual clock."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

import aiohttp
import pytest

from tests.fakes import START, BreakableStore, FakeLeg, calls_over
from voicebot.audio.formats import AudioFormat
from voicebot.call.entries import (
    CallEnded,
    CallerConnected,
    CallOpened,
    Entry,
    LegLost,
    LineClosed,
    kind_of,
    write_entry,
)
from voicebot.engine.entries import PhaseEntered
from voicebot.flow import Flow, Limits, Observations, Phase, ask
from voicebot.flow.loader import load_flow
from voicebot.server.lifecycle import CLAIM_LIMIT_S, MOST_ATTEMPTS, RETURN_LIMIT_S, Calls, ModelAccess, in_background
from voicebot.server.liveness import BEAT_S, LEASE_S
from voicebot.server.watch import ADRIFT_S, ORPHANS_EVERY, Watch
from voicebot.sim.account import ACCOUNT_SID, AUTH_TOKEN
from voicebot.sim.brain import Context, Output, Says
from voicebot.sim.call_book import CallBook, CallStatus
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.sim.realtime_server import API_KEY, RealtimeServer
from voicebot.sim.twilio_rest import RestAnswer
from voicebot.sim.twilio_rest import TwilioRest as Vendor
from voicebot.store.contract import CallRecord, StoredEntry
from voicebot.telephony.rest import TwilioRest

AFTER = "https://voice.example.com/twilio/after"
DEAD = "D-00000d"
SEEN_DEAD_S = LEASE_S + (ORPHANS_EVERY + 3) * BEAT_S  # at the latest, by whoever looks


class Visit(Observations):
    name: str = ask("the caller's full name")


VISIT = load_flow(
    "visit",
    Flow(
        goal="Find out who is calling.",
        observations=Visit,
        limits=Limits(duration=3000.0, silence=()),
        phases=[Phase("reception", instructions="Find out who is calling.")],
    ),
)
OPENED = CallOpened("visit", VISIT.version, VISIT.document, "+15550123456", "+15550100000", "inbound")
TALKING = (OPENED, CallerConnected("MZ1"), PhaseEntered("reception", None, "start"))


class Talkative:
    """A brain that always has something to say."""

    def respond(self, context: Context) -> Sequence[Output]:
        return (Says("And who is calling?"),)


@dataclass
class Line:
    """A caller who is still on the line, at Twilio."""

    call_sid: str
    status: CallStatus = "in-progress"
    parties: tuple[str, str] = ("+15550123456", "+15550100000")
    sent_to: list[str] = field(default_factory=list)
    on_sent: Callable[[], None] = lambda: None

    def go_to(self, url: str, method: str = "POST") -> None:
        self.sent_to.append(url)
        self.on_sent()

    def play(self, twiml: str) -> None:
        raise AssertionError("not asked for")

    def hang_up(self) -> None:
        raise AssertionError("not asked for")


@dataclass
class Instance:
    """One process that answers the phone, as far as the watch knows it."""

    store: BreakableStore
    calls: Calls
    watch: Watch
    reported: list[float] = field(default_factory=list)

    @property
    def owner(self) -> str:
        return self.calls.owner


@dataclass
class Fleet:
    """Instances over one store, and the account's lines."""

    folder: Path
    vendor: Vendor
    book: CallBook
    instances: list[Instance] = field(default_factory=list)

    @property
    def store(self) -> BreakableStore:
        return self.instances[0].store

    def line(self, number: int = 1) -> Line:
        """The caller is on the line."""
        line = Line(sid(number))
        self.book.enter(line)
        return line

    async def left_behind(
        self,
        *entries: Entry,
        number: int = 1,
        owner: str = DEAD,
        attempt: int = 1,
        claimed: bool = True,
        token_age_s: float = 60.0,
        beats: bool = True,
    ) -> None:
        """A call whose owner has died, with this journal; `beats`: the owner had beaten before."""
        issued_at = int(START.timestamp() + now() - token_age_s) if token_age_s >= 0 else 0
        record = CallRecord(
            sid(number),
            "visit",
            VISIT.version,
            "+15550123456",
            "+15550100000",
            "inbound",
            START,
            owner,
            attempt,
            issued_at,
            claimed,
        )
        await self.store.open_call(record, max_calls=100)
        journal = [
            StoredEntry(n, kind_of(entry), 100 * n, START + timedelta(seconds=now()), write_entry(entry))
            for n, entry in enumerate(entries, 1)
        ]
        await self.store.append(sid(number), journal, attempt=attempt, durable=True)
        if beats:
            await self.store.beat(owner)

    async def record(self, number: int = 1) -> CallRecord:
        found = await self.store.call(sid(number))
        assert found is not None
        return found

    async def reason(self, number: int = 1) -> str | None:
        """Why the call ended, as its report says; None while there is none."""
        report = await self.store.report(sid(number))
        return None if report is None else str(json.loads(report)["data"]["ended_reason"])

    @property
    def reports(self) -> int:
        return sum(len(one.reported) for one in self.instances)


def sid(number: int) -> str:
    return f"CA{number:032x}"


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def fleet(
    folder: Path,
    *,
    size: int = 2,
    account: bool = True,
    skews_s: Sequence[float] = (),
    model: str = "ws://127.0.0.1:9/v1/realtime",
    store: type[BreakableStore] = BreakableStore,
    looking: bool = True,
) -> AsyncIterator[Fleet]:
    """`skews_s`: how far each instance's clock is ahead; `looking`: the watches run."""
    book = CallBook()
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(Vendor(ACCOUNT_SID, AUTH_TOKEN, book, port=8090))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        made = Fleet(folder, vendor, book)
        for number in range(size):
            skew_s = skews_s[number] if skews_s else 0.0
            instance = await _instance(folder, number, store, http if account else None, vendor.url, model, skew_s)
            made.instances.append(instance)
            stack.push_async_callback(instance.store.close)
        for instance in made.instances:
            stack.push_async_callback(instance.calls.end)
            stack.callback(instance.store.mend)
        for instance in made.instances if looking else ():
            await stack.enter_async_context(in_background(instance.watch.run(), name=f"watch {instance.owner}"))
        yield made
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _instance(
    folder: Path,
    number: int,
    kind: type[BreakableStore],
    http: aiohttp.ClientSession | None,
    vendor_url: str,
    model: str,
    skew_s: float,
) -> Instance:
    wall = wall_clock(START + timedelta(seconds=skew_s))
    reported: list[float] = []
    store = await kind.open(folder / "calls.db")
    calls = calls_over(
        store,
        ModelAccess(model, lambda: API_KEY, "gpt-realtime-2.1", "gpt-transcribe", AudioFormat.PCMU_8K),
        {"visit": VISIT},
        owner=f"{'ABC'[number]}-00000{number}",
        max_calls=100,
        wall=wall,
        reported=lambda: reported.append(now()),
    )
    rest = None if http is None else TwilioRest(http, vendor_url, ACCOUNT_SID, AUTH_TOKEN)
    return Instance(store, calls, Watch(store, calls, calls._reporter, rest, AFTER, wall), reported)


def virtual(play: Callable[[], Coroutine[object, object, None]]) -> None:
    run_virtual(play(), limit_s=3600)


# ---- a call whose owner is dead -------------------------------------------------------------------------------------


def test_one_of_the_survivors_asks_the_call_back(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path, size=3) as made:
            line = made.line()
            await made.left_behind(*TALKING)
            await made.vendor.wait_for(1, SEEN_DEAD_S)
            await asyncio.sleep(2 * SEEN_DEAD_S)
            assert line.sent_to == [AFTER]
            record = await made.record()
            assert record.owner in {one.owner for one in made.instances}
            assert (record.attempt, record.claimed) == (2, False)
            assert made.reports == 0

    virtual(play)


def test_caller_who_does_not_come_back_is_reported_once(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            made.line()
            await made.left_behind(*TALKING)
            await asyncio.sleep(SEEN_DEAD_S + RETURN_LIMIT_S + 60)
            assert await made.reason() == "connection_lost"
            assert made.reports == 1
            assert len(made.vendor.requests) == 1

    virtual(play)


def test_caller_who_comes_back_goes_on(tmp_path: Path) -> None:
    async def play() -> None:
        async with RealtimeServer(Talkative) as model, fleet(tmp_path, model=model.url) as made:
            line, back = made.line(), made.instances[1]
            came = asyncio.Event()
            line.on_sent = came.set
            await made.left_behind(*TALKING)
            await came.wait()
            standing = await made.record()
            taken = await back.store.take_over(sid(1), standing.attempt, back.owner, token_issued_at=int(now()))
            assert taken is not None and taken.attempt == 3
            session = await back.calls.resume(taken)
            assert await back.store.claim_stream(sid(1), 3, back.owner)
            assert session.attach(FakeLeg(), "MZ2")
            await asyncio.sleep(4 * RETURN_LIMIT_S)
            assert made.reports == 0
            assert back.calls.get(sid(1)) is session and session.ending is None
            assert line.sent_to == [AFTER]

    virtual(play)


def test_call_that_has_gone_on_meanwhile_is_not_asked_back(tmp_path: Path) -> None:
    """Twilio was busy; before it is asked again, the caller has come by himself, and is not to be disturbed."""

    async def play() -> None:
        async with fleet(tmp_path) as made:
            line = made.line()
            made.vendor.answer_with(RestAnswer(503), RestAnswer(503))
            await made.left_behind(*TALKING)
            await made.vendor.wait_for(2, SEEN_DEAD_S + 1)
            standing, back = await made.record(), made.instances[1]
            assert await back.store.take_over(sid(1), standing.attempt, back.owner, token_issued_at=int(now()))
            await asyncio.sleep(ADRIFT_S / 2)
            assert line.sent_to == [] and made.reports == 0
            assert len(made.vendor.requests) == 2

    virtual(play)


def test_every_call_of_the_dead_is_asked_back(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            lines = [made.line(number) for number in range(1, 41)]
            for number in range(1, 41):
                await made.left_behind(*TALKING, number=number)
            await asyncio.sleep(2 * SEEN_DEAD_S)
            assert [len(line.sent_to) for line in lines] == [1] * 40

    virtual(play)


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        ((RestAnswer(429),), 2),
        ((RestAnswer(500), RestAnswer(503), RestAnswer(hang=True)), 4),
        ((RestAnswer(reset=True),), 2),
    ],
)
def test_vendor_in_trouble_is_asked_again(tmp_path: Path, answers: Sequence[RestAnswer], requests: int) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            line = made.line()
            made.vendor.answer_with(*answers)
            await made.left_behind(*TALKING)
            await made.vendor.wait_for(requests, 60)
            await asyncio.sleep(1)
            assert line.sent_to == [AFTER]
            assert made.reports == 0

    virtual(play)


def test_call_that_is_over_is_reported_at_once(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            await made.left_behind(*TALKING)  # nobody is on the line
            await asyncio.sleep(SEEN_DEAD_S + 0.5)
            assert await made.reason() == "connection_lost"
            assert made.reports == 1

    virtual(play)


@pytest.mark.parametrize("ended_code", [20404, 21220])
@pytest.mark.parametrize("trouble", [(), (RestAnswer(429), RestAnswer(429, retry_after="1"))])
def test_call_that_has_ended_meanwhile_is_reported_once(
    tmp_path: Path, ended_code: Literal[20404, 21220], trouble: Sequence[RestAnswer]
) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            line = made.line()
            line.status, made.vendor.ended_code = "completed", ended_code
            made.vendor.answer_with(*trouble)
            await made.left_behind(*TALKING)
            await made.vendor.wait_for(1 + len(trouble), 60)
            await asyncio.sleep(5)
            assert line.sent_to == []
            assert await made.reason() == "connection_lost"
            await asyncio.sleep(60)
            assert made.reports == 1

    virtual(play)


@pytest.mark.parametrize("trouble", ["down", "no account", "wrong token"])
def test_call_that_cannot_be_asked_back_may_come_by_itself(tmp_path: Path, trouble: str) -> None:
    async def play() -> None:
        async with fleet(tmp_path, account=trouble != "no account") as made:
            made.line()
            made.vendor.available = trouble != "down"
            if trouble == "wrong token":
                made.vendor._users = {}
            await made.left_behind(*TALKING)
            await asyncio.sleep(RETURN_LIMIT_S)
            assert made.reports == 0
            await asyncio.sleep(15)
            assert await made.reason() == "connection_lost"
            assert made.reports == 1
            tries = {"down": 4, "no account": 0, "wrong token": 1}[trouble]
            assert len(made.vendor.requests) == tries

    virtual(play)


def test_call_that_went_through_too_many_hands_is_ended(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            line = made.line()
            await made.left_behind(*TALKING, attempt=MOST_ATTEMPTS)
            await asyncio.sleep(SEEN_DEAD_S + 1)
            assert await made.reason() == "connection_lost"
            assert line.sent_to == [AFTER], "so that the caller hears how it ended"

    virtual(play)


# ---- a call that ended, or never began ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ((LineClosed("completed"),), "completed"),
        ((LineClosed("silence"),), "silence"),
        ((CallEnded("caller_hung_up"),), "caller_hung_up"),
        ((LegLost(), CallEnded("connection_lost")), "connection_lost"),
    ],
)
def test_end_that_was_written_down_is_reported(tmp_path: Path, last: tuple[Entry, ...], reason: str) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            line = made.line()
            await made.left_behind(*TALKING, *last)
            await asyncio.sleep(SEEN_DEAD_S + 0.5)
            assert await made.reason() == reason
            assert made.reports == 1
            assert (await made.record()).attempt == 1, "nobody goes on with it"
            assert line.sent_to == [AFTER], "a line that has gone dead is closed"

    virtual(play)


@pytest.mark.parametrize("skew_s", [-600.0, 0.0, 600.0])
@pytest.mark.parametrize("entries", [(), (OPENED,)], ids=["nothing written", "opened"])
def test_stream_on_its_way_to_the_dead_is_waited_for(tmp_path: Path, entries: tuple[Entry, ...], skew_s: float) -> None:
    async def play() -> None:
        async with fleet(tmp_path, skews_s=(skew_s, skew_s)) as made:
            made.line()
            await made.left_behind(*entries, claimed=False, token_age_s=0.0)
            await asyncio.sleep(CLAIM_LIMIT_S)
            assert made.reports == 0
            await asyncio.sleep(SEEN_DEAD_S + 1)
            assert await made.reason() == "never_connected"
            assert made.reports == 1
            assert made.vendor.requests == []

    virtual(play)


def test_stream_that_lands_elsewhere_is_not_reported(tmp_path: Path) -> None:
    async def play() -> None:
        async with RealtimeServer(Talkative) as model, fleet(tmp_path, model=model.url) as made:
            made.line()
            await made.left_behind(OPENED, claimed=False, token_age_s=0.0)
            await asyncio.sleep(CLAIM_LIMIT_S / 2)
            here = made.instances[0]
            record = await here.store.claim_stream(sid(1), 1, here.owner)
            assert record is not None and (record.owner, record.attempt) == (here.owner, 2)
            session = await here.calls.resume(record)
            assert session.attach(FakeLeg(), "MZ1")
            await asyncio.sleep(4 * CLAIM_LIMIT_S)
            assert made.reports == 0
            kinds = [entry.kind for entry in await here.store.journal(sid(1))]
            assert kinds.count("call_opened") == 1 and kinds.count("phase_entered") == 1

    virtual(play)


def test_journal_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            await made.left_behind(*TALKING)
            damaged = StoredEntry(9, "no_such_kind", 900, START, "{}")
            await made.store.append(sid(1), [damaged], attempt=1, durable=True)
            await asyncio.sleep(SEEN_DEAD_S + 0.5)
            assert await made.reason() == "error"
            assert made.reports == 1

    virtual(play)


# ---- who is dead ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skews_s", [(0.0, 0.0), (-900.0, 900.0), (900.0, -900.0)])
def test_call_of_a_living_instance_is_never_taken(tmp_path: Path, skews_s: tuple[float, float]) -> None:
    async def play() -> None:
        async with (
            RealtimeServer(Talkative) as model,
            fleet(tmp_path, model=model.url, skews_s=skews_s) as made,
        ):
            owner, line = made.instances[0], made.line()
            session = owner.calls.open(await opened(owner), VISIT)
            await owner.store.claim_stream(sid(1), 1, owner.owner)
            session.attach(FakeLeg(), "MZ1")
            await asyncio.sleep(60)
            assert ((await made.record()).owner, (await made.record()).attempt) == (owner.owner, 1)
            assert owner.calls.get(sid(1)) is session
            assert line.sent_to == [] and made.reports == 0

    virtual(play)


async def opened(instance: Instance, number: int = 1) -> CallRecord:
    """A call of this instance, as the webhook begins it."""
    record = CallRecord(
        sid(number), "visit", VISIT.version, "+15550123456", "+15550100000", "inbound", START, instance.owner, 1, 1
    )
    standing, is_new = await instance.store.open_call(record, max_calls=100)
    assert standing is not None and is_new
    return standing


class SlowStore(BreakableStore):
    """Every beat takes longer than a lease."""

    async def beat(self, owner: str, *, takes_calls: bool = True) -> dict[str, int]:
        await asyncio.sleep(2 * LEASE_S)
        return await super().beat(owner, takes_calls=takes_calls)


def test_slow_store_kills_nobody(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path, store=SlowStore, size=3) as made:
            await opened(made.instances[0])
            await asyncio.sleep(ADRIFT_S - 5)
            assert ((await made.record()).owner, (await made.record()).attempt) == (made.instances[0].owner, 1)
            assert made.vendor.requests == []

    virtual(play)


@pytest.mark.parametrize("methods", [("beat",), ("beats",), ()], ids=["beat", "beats", "everything"])
def test_outage_of_the_store_kills_nobody(tmp_path: Path, methods: tuple[str, ...]) -> None:
    async def play() -> None:
        async with RealtimeServer(Talkative) as model, fleet(tmp_path, model=model.url) as made:
            owner, line = made.instances[0], made.line()
            session = owner.calls.open(await opened(owner), VISIT)
            await owner.store.claim_stream(sid(1), 1, owner.owner)
            session.attach(FakeLeg(), "MZ1")
            await asyncio.sleep(5)
            for _ in range(3):
                for one in made.instances:
                    one.store.break_down(*methods)
                await asyncio.sleep(10)
                for one in reversed(made.instances):
                    one.store.mend()
                await asyncio.sleep(5)
            assert ((await made.record()).owner, (await made.record()).attempt) == (owner.owner, 1)
            assert line.sent_to == [] and made.reports == 0

    virtual(play)


def test_instance_that_loses_the_store_alone_loses_its_calls(tmp_path: Path) -> None:
    """It cannot write down what happens in them; once it can again, it learns that others have them, and is silent."""

    async def play() -> None:
        async with RealtimeServer(Talkative) as model, fleet(tmp_path, model=model.url) as made:
            lost, line, leg = made.instances[1], made.line(), FakeLeg()
            session = lost.calls.open(await opened(lost), VISIT)
            await lost.store.claim_stream(sid(1), 1, lost.owner)
            session.attach(leg, "MZ1")
            await asyncio.sleep(5)
            lost.store.break_down()
            await asyncio.sleep(SEEN_DEAD_S + 1)
            assert line.sent_to == [AFTER]
            assert (await made.record()).owner == made.instances[0].owner
            lost.store.mend()
            async with asyncio.timeout(2 * BEAT_S):
                await session.over()
            await asyncio.sleep(1)
            assert lost.calls.count == 0
            assert "call_ended" not in [entry.kind for entry in await made.store.journal(sid(1))]
            assert session.ended_reason is None and lost.reported == []

    virtual(play)


def test_owner_that_never_beat_is_found(tmp_path: Path) -> None:
    """It stopped in order with a call that it could not give away, or died before its first beat."""

    async def play() -> None:
        async with fleet(tmp_path) as made:
            line = made.line()
            await asyncio.sleep(5)
            await made.left_behind(*TALKING, beats=False)
            await asyncio.sleep(SEEN_DEAD_S + ORPHANS_EVERY * BEAT_S)
            assert line.sent_to == [AFTER]

    virtual(play)


def test_dead_instances_are_forgotten(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            await made.store.beat(DEAD)
            await asyncio.sleep(1)
            assert DEAD in await made.store.beats()
            await asyncio.sleep(SEEN_DEAD_S)
            assert set(await made.store.beats()) == {one.owner for one in made.instances}

    virtual(play)


def test_instance_that_stops_is_forgotten(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path, looking=False) as made:
            stops = made.instances[0]
            await stops.store.beat(stops.owner)
            await stops.watch.retire()
            assert await made.store.beats() == {}
            stops.store.break_down()
            await stops.watch.retire()  # nothing to be done about it

    virtual(play)


def test_calls_go_to_instances_that_take_them(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path, size=3) as made:
            asks, stops, takes = made.instances
            await made.store.beat(DEAD)
            stops.calls.accepting = False
            await asyncio.sleep(SEEN_DEAD_S)
            assert await asks.watch.others() == {takes.owner}
            asks.store.break_down("takers")
            assert await stops.watch.others() == {asks.owner, takes.owner}

    virtual(play)


# ---- our own --------------------------------------------------------------------------------------------------------


def test_session_whose_call_is_in_other_hands_ends_silently(tmp_path: Path) -> None:
    async def play() -> None:
        async with RealtimeServer(Talkative) as model, fleet(tmp_path, model=model.url) as made:
            before, after = made.instances
            session = before.calls.open(await opened(before), VISIT)
            session.attach(FakeLeg(), "MZ1")
            await asyncio.sleep(2)
            assert await after.store.take_over(sid(1), 1, after.owner, token_issued_at=int(START.timestamp()))
            async with asyncio.timeout(2 * BEAT_S):
                await session.over()
            await asyncio.sleep(0.5)
            assert before.calls.count == 0
            assert "call_ended" not in [entry.kind for entry in await made.store.journal(sid(1))]
            assert before.reported == []

    virtual(play)


def test_call_of_ours_that_nobody_is_at_work_on_is_reported(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            owner = made.instances[0]
            await made.left_behind(*TALKING, owner=owner.owner)
            await asyncio.sleep(ADRIFT_S - 2)
            assert made.reports == 0
            await asyncio.sleep(5)
            assert await made.reason() == "connection_lost"
            assert made.reports == 1

    virtual(play)


def test_call_that_waits_for_its_caller_is_not_adrift(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path) as made:
            owner = made.instances[0]
            owner.calls._awaited[sid(1)] = asyncio.Event()
            await made.left_behind(*TALKING, owner=owner.owner)
            await asyncio.sleep(2 * ADRIFT_S)
            assert made.reports == 0

    virtual(play)


def test_rescue_whose_instance_dies_is_rescued(tmp_path: Path) -> None:
    async def play() -> None:
        async with fleet(tmp_path, looking=False) as made:
            first, second = made.instances
            line = made.line()
            made.vendor.answer_with(RestAnswer(hang=True))
            await made.left_behind(*TALKING)
            async with in_background(first.watch.run(), name="watch"):
                await made.vendor.wait_for(1, SEEN_DEAD_S)
            assert ((await made.record()).owner, line.sent_to) == (first.owner, [])
            async with in_background(second.watch.run(), name="watch"):
                await made.vendor.wait_for(2, SEEN_DEAD_S)
            assert ((await made.record()).owner, line.sent_to) == (second.owner, [AFTER])
            assert (await made.record()).attempt == 3

    virtual(play)


def test_defect_met_by_one_call_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with fleet(tmp_path, size=1) as made:
            await made.left_behind(*TALKING, number=1)
            await made.left_behind(*TALKING, number=2)
            whole = made.instances[0].watch._have_back

            async def breaks(record: CallRecord) -> None:
                if record.call_sid == sid(1):
                    raise RuntimeError("a defect")
                await whole(record)

            made.instances[0].watch._have_back = breaks  # type: ignore[method-assign]
            before = await made.store.beats()
            await asyncio.sleep(SEEN_DEAD_S + 1)
            assert await made.reason(2) == "connection_lost"
            assert await made.store.beats() != before

    virtual(play)
    broken = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert {record.message for record in broken} == {"a call could not be rescued"}
    assert {record.call_sid for record in broken} == {sid(1)}  # type: ignore[attr-defined]
