"""Handlers at work in one call: what they are told, in which bounds, and what they may want."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace

import pytest

from tests.fakes import CALL_SID, START
from voicebot.call import handlers as call_handlers
from voicebot.call.author_code import GRACE_S
from voicebot.call.daemon_threads import DaemonThreads
from voicebot.call.entries import BotSaid, CallEnded, Entry, KeyPress
from voicebot.call.events import EndWanted, NoteWanted, SayWanted
from voicebot.call.handlers import BACKLOG_S, FAREWELL_S, MOST_STEERS, MOST_WAITING, CallHandlers
from voicebot.call.wishes import Wish
from voicebot.engine.entries import (
    CallerSaid,
    EvidenceWeighed,
    ObservationConfirmed,
    ObservationDeclined,
    ObservationFilled,
    ObservationRecorded,
    ObservationWithdrawn,
    PhaseEntered,
    ToolAnswered,
)
from voicebot.flow import CallControl, CallEvent, handler
from voicebot.flow.handlers import EventKind, Handler
from voicebot.sim.clock import run_virtual


@dataclass
class Call:
    """A call that has handlers; the test is its journal. Made inside a loop."""

    handlers: CallHandlers
    wishes: list[Wish] = field(default_factory=list)
    entries: int = 0

    def tell(self, *entries: Entry) -> None:
        for entry in entries:
            self.handlers.told(entry, START + timedelta(seconds=self.entries))
            self.entries += 1

    def says(self, *texts: str) -> None:
        self.tell(*(CallerSaid(f"item_{text}", text) for text in texts))


def play(story: Callable[[Call], Coroutine[object, object, None]], *handlers: Handler) -> Call:
    """Run handlers beside a story, in virtual time; the call ends with the story unless the story ended it."""

    async def run() -> Call:
        call = made(*handlers)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call.handlers.run())
            await story(call)
            call.handlers.leave()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return call

    return run_virtual(run(), limit_s=3600)


def made(*handlers: Handler) -> Call:
    engine = SimpleNamespace(
        values={"name": "Ada", "items": ["a cup"]},
        known={"name": "Ada", "items": ["a cup"]},
        outcome=lambda: "booked",
    )
    wishes: list[Wish] = []
    return Call(CallHandlers(handlers, call_sid=CALL_SID, engine=engine, wish=wishes.append), wishes)  # type: ignore[arg-type]


def now() -> float:
    return asyncio.get_running_loop().time()


class Diary:
    """A handler that writes down what it is told, and when; each event takes it `takes_s`."""

    def __init__(self, *kinds: EventKind, takes_s: float = 0.0, timeout_s: float = 5.0) -> None:
        self.told: list[CallEvent] = []
        self.at: list[float] = []
        self.done = 0

        @handler(*kinds, timeout_s=timeout_s)
        async def writes_down(event: CallEvent, call: CallControl) -> None:
            self.told.append(event)
            self.at.append(now())
            await asyncio.sleep(takes_s)
            self.done += 1

        self.handler = writes_down

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.told]

    @property
    def words(self) -> list[object]:
        return [event.facts["text"] for event in self.told if event.kind == "transcript"]


async def a_moment() -> None:
    await asyncio.sleep(0.001)


# ---- what they are told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "kind", "facts"),
    [
        (CallerSaid("i", "Hello"), "transcript", {"speaker": "caller", "text": "Hello"}),
        (
            BotSaid("i", "Good morning", "Good", 300, 900, interrupted=True, exact=False),
            "transcript",
            {"speaker": "bot", "text": "Good", "interrupted": True},
        ),
        (
            ObservationRecorded("day", "2026-03-02", "speech", "today", 1),
            "observation",
            {"name": "day", "value": "2026-03-02", "state": "recorded"},
        ),
        (ObservationDeclined("day", "no", 1), "observation", {"name": "day", "value": None, "state": "declined"}),
        (ObservationConfirmed("name", "yes", 2), "observation", {"name": "name", "value": "Ada", "state": "agreed"}),
        (
            ObservationFilled("day", "2026-03-02", "today", 1, "confirmed", 1.0),
            "observation",
            {"name": "day", "value": "2026-03-02", "state": "filled_after"},
        ),
        (
            ObservationWithdrawn("day", "contradicted"),
            "observation",
            {"name": "day", "value": None, "state": "withdrawn"},
        ),
        (
            EvidenceWeighed("name", "value", "confirmed", 1.0),
            "observation",
            {"name": "name", "value": "Ada", "state": "confirmed"},
        ),
        (PhaseEntered("bye", "order", "criteria"), "phase", {"name": "bye", "previous": "order", "cause": "criteria"}),
        (ToolAnswered("c", "look", "…", True, 12), "tool", {"tool": "look", "ok": True, "took_ms": 12}),
        (
            CallEnded("completed"),
            "end",
            {"reason": "completed", "outcome": "booked", "observations": {"name": "Ada", "items": ["a cup"]}},
        ),
    ],
)
def test_entry_becomes_an_event(entry: Entry, kind: str, facts: Mapping[str, object]) -> None:
    diary = Diary()

    async def story(call: Call) -> None:
        call.tell(entry)

    play(story, diary.handler)
    assert diary.told == [CallEvent(kind, CALL_SID, START, facts)]  # type: ignore[arg-type]


@pytest.mark.parametrize("entry", [KeyPress("1"), EvidenceWeighed("name", "value", "contradicted", 0.1)])
def test_other_entries_are_no_events(entry: Entry) -> None:
    diary = Diary()

    async def story(call: Call) -> None:
        call.tell(entry)

    play(story, diary.handler)
    assert diary.told == []


def test_handlers_are_told_in_order_one_after_another() -> None:
    told: list[tuple[str, object, float]] = []

    def named(name: str, *kinds: EventKind) -> Handler:
        async def writes_down(event: CallEvent, call: CallControl) -> None:
            told.append((name, event.facts.get("text"), now()))
            await asyncio.sleep(1)

        return handler(*kinds)(writes_down)

    async def story(call: Call) -> None:
        call.says("a", "b")
        call.tell(PhaseEntered("bye", "order", "criteria"))
        await asyncio.sleep(10)

    play(story, named("first", "transcript"), named("second", "phase"), named("third"))
    assert told == [
        ("first", "a", 0),
        ("third", "a", 1),
        ("first", "b", 2),
        ("third", "b", 3),
        ("second", None, 4),
        ("third", None, 5),
    ]


def test_each_handler_has_things_of_its_own() -> None:
    seen: list[object] = []

    @handler("observation")
    async def spoils(event: CallEvent, call: CallControl) -> None:
        seen.append((dict(event.facts), dict(call.observations)))
        event.facts["value"].append("a piano")  # type: ignore[union-attr]
        call.observations["items"].append("a piano")  # type: ignore[attr-defined]

    value = ["a cup"]

    async def story(call: Call) -> None:
        call.tell(ObservationRecorded("items", value, "speech", "a cup", 1))  # type: ignore[arg-type]

    copy = handler("observation")(spoils.function)
    play(story, spoils, copy)
    assert value == ["a cup"]
    assert len(seen) == 2 and seen[0] == seen[1]


# ---- bounds ---------------------------------------------------------------------------------------------------------


def test_oldest_events_are_dropped_when_too_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    diary = Diary("transcript", takes_s=1, timeout_s=30)

    async def story(call: Call) -> None:
        call.says("first")
        await a_moment()
        call.says(*(str(number) for number in range(MOST_WAITING + 30)))
        await asyncio.sleep(1000)

    play(story, diary.handler)
    assert diary.words == ["first", *(str(number) for number in range(30, MOST_WAITING + 30))]
    assert [record.message for record in caplog.records] == [
        f"{MOST_WAITING} events wait for the call's handlers; the oldest are dropped"
    ]


def test_slow_handler_is_given_up_for_each_event(caplog: pytest.LogCaptureFixture) -> None:
    slow, diary = Diary("transcript", takes_s=60, timeout_s=2), Diary("transcript")

    async def story(call: Call) -> None:
        call.says("a", "b")
        await asyncio.sleep(30)

    play(story, slow.handler, diary.handler)
    assert slow.at == pytest.approx([0, 2])
    assert slow.done == 0
    assert diary.at == pytest.approx([2, 4])
    assert [record.message for record in caplog.records] == [
        "handler writes_down took longer than 2.0 s over 'transcript'"
    ] * 2


def test_thread_that_is_still_at_work_gets_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In real time: a virtual clock would wait for the thread."""
    one_thread = DaemonThreads("handler", most=1)
    monkeypatch.setattr(call_handlers, "HANDLER_THREADS", one_thread)
    release, told = threading.Event(), []

    @handler("transcript", timeout_s=0.1)
    def hangs(event: CallEvent, call: CallControl) -> None:
        told.append(event.facts["text"])
        release.wait(60)

    async def story() -> None:
        progress: asyncio.Queue[object] = asyncio.Queue()

        @handler("transcript")
        async def comes_after(event: CallEvent, call: CallControl) -> None:
            progress.put_nowait(event.facts["text"])

        call = made(hangs, comes_after)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call.handlers.run())
            call.says("a", "b", "c")
            assert [await progress.get() for _ in range(3)] == ["a", "b", "c"]
            release.set()
            await asyncio.wrap_future(one_thread.submit(int))  # the thread is done with what came before
            call.says("d")
            assert await progress.get() == "d"
            call.handlers.leave()

    asyncio.run(asyncio.wait_for(story(), 30))
    assert told == ["a", "d"]
    assert caplog.text.count("handler hangs still hangs in an earlier event; it is passed over") == 1


def test_handlers_without_threads_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    threads = DaemonThreads("hung", most=1, waiting=1)
    threads.submit(release.wait, 60)
    threads.submit(release.wait, 60)
    monkeypatch.setattr(call_handlers, "HANDLER_THREADS", threads)

    @handler("transcript")
    def is_told(event: CallEvent, call: CallControl) -> None:
        raise AssertionError("it was run")

    async def story() -> None:
        call = made(is_told)
        call.says("a")
        call.handlers.leave()
        await call.handlers.run()

    asyncio.run(asyncio.wait_for(story(), 30))
    release.set()
    assert [record.message for record in caplog.records] == [
        "handler is_told was not told of 'transcript': every thread is at work"
    ]


# ---- the end --------------------------------------------------------------------------------------------------------


def test_events_that_wait_are_told_before_the_end() -> None:
    diary = Diary(takes_s=0.1)

    async def story(call: Call) -> None:
        call.says("a", "b")
        call.tell(CallEnded("caller_hung_up"))

    play(story, diary.handler)
    assert diary.kinds == ["transcript", "transcript", "end"]
    assert diary.done == 3


def test_call_that_ends_does_not_wait_for_what_waits(caplog: pytest.LogCaptureFixture) -> None:
    slow, diary = Diary("transcript", takes_s=60, timeout_s=30), Diary("end")

    async def story(call: Call) -> None:
        call.says("a", "b", "c")
        await asyncio.sleep(1)
        call.tell(CallEnded("caller_hung_up"))

    play(story, slow.handler, diary.handler)
    assert slow.words == ["a"]
    assert diary.at == pytest.approx([1 + BACKLOG_S])
    assert [record.message for record in caplog.records] == [
        "the call is over; a handler that was at work is given up",
        "the call is over; 2 events were not told to its handlers",
    ]


@pytest.mark.parametrize(("handlers", "shares"), [(1, [5.0]), (2, [2.5, 5.0]), (5, [1.0, 2.0, 3.0, 4.0, 5.0])])
def test_farewell_is_shared_among_handlers(handlers: int, shares: list[float]) -> None:
    diaries = [Diary("end", takes_s=3600, timeout_s=30) for _ in range(handlers)]

    async def story(call: Call) -> None:
        await asyncio.sleep(10)
        call.tell(CallEnded("completed"))
        async with asyncio.timeout(FAREWELL_S + 0.01):
            await asyncio.sleep(FAREWELL_S)

    play(story, *(diary.handler for diary in diaries))
    assert [diary.at[0] - 10 for diary in diaries] == pytest.approx([0.0, *shares[:-1]])


def test_farewell_is_bounded_with_handlers_that_will_not_end(caplog: pytest.LogCaptureFixture) -> None:
    async def swallows(event: CallEvent, call: CallControl) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def run() -> float:
        call = made(*(handler(timeout_s=30)(swallows) for _ in range(20)))
        call.says("a", "b")
        call.tell(CallEnded("completed"))
        await call.handlers.run()
        return now()

    assert run_virtual(run()) <= FAREWELL_S + GRACE_S
    assert "was not told of 'end': the others took all the time" in caplog.text


def test_swallowed_cancellation_ends_the_wait_all_the_same() -> None:
    async def goes_on(event: CallEvent, call: CallControl) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return

    async def story(call: Call) -> None:
        call.says("a", "b", "c")
        await asyncio.sleep(1)
        call.tell(CallEnded("completed"))

    diary = Diary()
    play(story, handler("transcript", timeout_s=30)(goes_on), diary.handler)
    assert diary.kinds == ["end"]
    assert diary.at == pytest.approx([1 + BACKLOG_S])


def test_call_whose_end_was_never_told_ends_too() -> None:
    diary = Diary()

    async def story(call: Call) -> None:
        call.says("a")
        await asyncio.sleep(5)

    play(story, diary.handler)
    assert diary.kinds == ["transcript"]


def test_cancelled_handlers_end_at_once() -> None:
    diary = Diary(takes_s=60)

    async def run() -> None:
        call = made(diary.handler)
        call.says("a")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(call.handlers.run())
            await asyncio.sleep(1)
            running.cancel()
        assert now() == pytest.approx(1)
        assert running.cancelled()
        call.tell(CallEnded("error"))  # nobody listens any more
        call.handlers.leave()

    run_virtual(run())


# ---- what they want -------------------------------------------------------------------------------------------------


def steered(steer: Callable[[CallControl], None], *, events: int = 1) -> list[Wish]:
    """What becomes of it when a handler steers at each event, on the loop and in a thread: the same."""

    @handler("transcript")
    async def steers(event: CallEvent, call: CallControl) -> None:
        steer(call)

    @handler("transcript")
    def steers_in_its_thread(event: CallEvent, call: CallControl) -> None:
        steer(call)

    async def story(call: Call) -> None:
        for number in range(events):
            call.says(str(number))
            await a_moment()

    on_loop, in_thread = play(story, steers).wishes, play(story, steers_in_its_thread).wishes
    assert on_loop == in_thread
    return on_loop


def test_handler_steers_its_call() -> None:
    def steer(call: CallControl) -> None:
        call.say(" One moment. ")
        call.note("The caller is a regular.")
        call.hang_up()

    assert steered(steer) == [SayWanted("One moment."), NoteWanted("The caller is a regular."), EndWanted()]


def test_handler_says_one_thing_for_each_event() -> None:
    def steer(call: CallControl) -> None:
        for words in ("", "a", "b"):
            call.say(words)

    assert steered(steer, events=2) == [SayWanted("a"), SayWanted("a")]


def test_handlers_steer_a_bounded_number_of_times(caplog: pytest.LogCaptureFixture) -> None:
    def steer(call: CallControl) -> None:
        call.say("Echo!")
        call.note("He said it again.")

    wishes = steered(steer, events=60)
    assert len(wishes) == MOST_STEERS
    assert caplog.text.count(f"steered it {MOST_STEERS} times") == 2  # of two calls


def test_handlers_may_always_hang_up_once() -> None:
    def steer(call: CallControl) -> None:
        for _ in range(100):
            call.note("…")
        call.hang_up()

    wishes = steered(steer, events=2)
    assert wishes[:-1] == [NoteWanted("…")] * MOST_STEERS
    assert wishes[-1] == EndWanted()


def test_nobody_steers_a_call_that_is_over() -> None:
    kept: list[CallControl] = []

    @handler()
    async def keeps(event: CallEvent, call: CallControl) -> None:
        kept.append(call)
        call.note(event.kind)

    async def story(call: Call) -> None:
        call.says("a")
        await a_moment()
        call.tell(CallEnded("completed"))

    call = play(story, keeps)
    assert call.wishes == [NoteWanted("transcript")]
    for control in kept:
        control.say("Is anybody there?")
        control.note("Is anybody there?")
        control.hang_up()
    assert len(kept) == 2
    assert call.wishes == [NoteWanted("transcript")]
