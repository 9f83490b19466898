"""The shell round a call: its life, its order of effects, and everything that may go wrong beside it."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime

import pytest
import uvloop

from tests.fakes import CALL_SID, START, FakeCore, FakeJournal, FakeLeg, FakeModel
from voicebot.audio.formats import AudioFormat
from voicebot.call.author_code import GRACE_S
from voicebot.call.clips import ClipCache
from voicebot.call.core import CallCore, Stage
from voicebot.call.entries import CallOpened, Entry, KeyPress, LineQuality, kind_of, read_entry
from voicebot.call.events import Effect, EndWanted, Event, Journal, NoteWanted, SayWanted, StartTool
from voicebot.call.ports import (
    AnswerTool,
    AppendAudio,
    CallerAudio,
    CallerAudioQuality,
    CallerLeft,
    CancelReply,
    ClearPlayback,
    CloseLeg,
    InsertNote,
    KeyPressed,
    LegCommand,
    ModelLeg,
    ModelLost,
    ModelReady,
    PlayAudio,
    RenderClip,
    Reply,
    ReplyAudio,
    ReplyAudioEnded,
    ReplyEnded,
    ReplyStarted,
    ReplyWords,
    SpeechStarted,
    ToolCall,
)
from voicebot.call.retry import DIALLING_S
from voicebot.call.session import HELD_COMMANDS, CallSession
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import PhaseEntered
from voicebot.engine.events import CallContext, ToolFinished
from voicebot.errors import ModelUnavailableError
from voicebot.flow import CallControl, CallEvent, Flow, Observations, Phase, ToolContext, ask, handler, tool
from voicebot.flow.handlers import Handler
from voicebot.flow.tools import Tool
from voicebot.sim.clock import run_virtual

OPENED = CallOpened("visit", "v1", "{}", "+15550123456", "+15550100000", "inbound")
CLAIM_LIMIT_S = 15.0


def virtual(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Run an async test on a virtual loop, at whose end no task may be left."""

    async def and_nothing_left(*args: object, **kwargs: object) -> None:
        await test(*args, **kwargs)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        run_virtual(and_nothing_left(*args, **kwargs), limit_s=600)

    return run


class Call:
    """A session over a core and fakes, running; made inside a loop."""

    def __init__(
        self,
        core: FakeCore | CallCore | None = None,
        *,
        tools: Sequence[Tool] = (),
        handlers: Sequence[Handler] = (),
        reaches: Sequence[FakeModel | ModelUnavailableError] | None = None,
        leg: FakeLeg | None = None,
        told: Callable[[Entry, datetime], None] | None = None,
    ) -> None:
        """`reaches`: what each try to reach the model comes to; at once its model by default."""
        self.model = FakeModel()
        self.leg = leg or FakeLeg()
        self.journal = FakeJournal()
        self.core = core if core is not None else FakeCore()
        self.tried_at: list[float] = []
        self._reaches = list(reaches) if reaches is not None else [self.model]
        self.session = CallSession(
            self.core,  # type: ignore[arg-type]
            OPENED,
            call_sid=CALL_SID,
            attempt=1,
            store=self.journal,
            connect_model=self._reach,
            tools={one.name: one for one in tools},
            handlers=handlers,
            wall=lambda: START,
            told=told,
            claim_limit_s=CLAIM_LIMIT_S,
        )
        self.running = asyncio.ensure_future(self.session.run())

    async def _reach(self) -> ModelLeg:
        self.tried_at.append(now())
        outcome = self._reaches.pop(0)
        if isinstance(outcome, ModelUnavailableError):
            raise outcome
        return outcome

    async def connected(self) -> Call:
        """With the caller's leg, and everything that follows from it done."""
        assert self.session.attach(self.leg, "MZ1")
        await settle()
        return self

    async def ended(self, within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            await self.running
        assert self.session.ended_reason is not None

    async def hung_up(self) -> None:
        self.leg.tell(CallerLeft("hangup"))
        await self.ended()

    @property
    def fake(self) -> FakeCore:
        assert isinstance(self.core, FakeCore)
        return self.core

    def finished_tools(self) -> list[ToolFinished]:
        return [event for _, event in self.fake.seen if isinstance(event, ToolFinished)]


def now() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let everything happen that needs no time."""
    await asyncio.sleep(1e-6)


def unavailable(*, retryable: bool = True) -> ModelUnavailableError:
    return ModelUnavailableError("the model's server answered 503", retryable=retryable)


# ---- life -----------------------------------------------------------------------------------------------------------


@virtual
async def test_journal_tells_the_whole_life() -> None:
    call = await Call().connected()
    assert not call.running.done()
    await call.hung_up()
    assert call.journal.kinds == ["call_opened", "caller_connected", "call_ended"]
    assert [entry.sequence for entry in call.journal.entries] == [1, 2, 3]
    assert call.journal.durable == [1, 3]
    assert call.session.ended_reason == "caller_hung_up"
    assert call.session.unwritten == []
    assert call.model.closed == 1


class SlowLeg(FakeLeg):
    """A measured leg that takes 40 ms for whatever is written to it."""

    quality = CallerAudioQuality(audio_ms=9000, gaps=2, gap_ms=80, level_dbov=-21.5, clipped=0.0)

    async def send(self, commands: Sequence[LegCommand]) -> None:
        await asyncio.sleep(0.04)
        await super().send(commands)


@virtual
async def test_line_is_measured_at_its_end() -> None:
    core = FakeCore()
    core.answers[SpeechStarted] = lambda event: [ClearPlayback()]
    call = await Call(core, leg=SlowLeg()).connected()
    core.speaker.playback.underruns, core.speaker.playback.underrun_ms = 3, 140.4
    call.model.tell(SpeechStarted("u1", 10))
    await asyncio.sleep(1)
    call.model.tell(SpeechStarted("u2", 20))
    await asyncio.sleep(1)
    await call.hung_up()
    assert call.journal.kinds == ["call_opened", "caller_connected", "line_quality", "call_ended"]
    measured = call.journal.entries[2]
    assert read_entry(measured.kind, measured.body) == LineQuality(9000, 2, 80, -21.5, 0.0, 3, 140, (40.0, 40.0))


@virtual
async def test_everybody_is_told_of_entries_as_they_are_decided() -> None:
    told: list[str] = []
    heard: list[str] = []

    @handler("phase")
    async def listens(event: CallEvent, control: CallControl) -> None:
        heard.append(event.kind)

    core = FakeCore()
    core.answers[KeyPressed] = lambda event: [Journal(PhaseEntered("bye", None, "jump"), durable=False)]
    call = await Call(core, handlers=[listens], told=lambda entry, at: told.append(kind_of(entry))).connected()
    assert call.session.handlers is not None
    telling = asyncio.ensure_future(call.session.handlers.run())
    call.leg.tell(KeyPressed("1"))
    await settle()
    await call.hung_up()
    await telling
    assert told == call.journal.kinds == ["call_opened", "caller_connected", "phase_entered", "call_ended"]
    assert heard == ["phase"]


@virtual
async def test_entries_are_timed_from_the_webhook() -> None:
    await asyncio.sleep(100)
    call = Call()
    await asyncio.sleep(1.5)
    await call.connected()
    await asyncio.sleep(2)
    await call.hung_up()
    assert [entry.at_ms for entry in call.journal.entries] == [0, 1500, 3500]


@virtual
async def test_stream_that_never_comes_ends_at_the_limit() -> None:
    call = Call()
    await call.session.over()
    assert now() == pytest.approx(CLAIM_LIMIT_S)
    await call.ended()
    assert call.session.ended_reason == "never_connected"
    assert call.model.closed == 1


@virtual
async def test_stream_may_come_at_the_last_moment() -> None:
    call = Call()
    await asyncio.sleep(CLAIM_LIMIT_S - 0.001)
    await call.connected()
    await asyncio.sleep(CLAIM_LIMIT_S)
    assert not call.running.done()
    await call.hung_up()


@virtual
async def test_phone_that_hangs_up_frees_a_waiting_call() -> None:
    call = Call()
    await settle()
    assert call.session.ending is None
    call.session.hang_up()
    assert call.session.ending == "never_connected"
    await call.ended(within_s=0.001)
    assert call.session.ended_reason == "never_connected"
    assert call.model.closed == 1


@virtual
async def test_end_of_a_waiting_call_waits_for_a_slow_write() -> None:
    call = Call()
    call.fake.answers[ModelReady] = lambda event: [InsertNote("a note")]
    await settle()
    call.model.takes_writes.clear()
    call.model.tell(ModelReady())
    await settle()
    call.session.hang_up()
    await asyncio.sleep(1)
    call.model.takes_writes.set()
    await call.ended(within_s=0.001)
    assert call.session.ended_reason == "never_connected"
    assert call.journal.kinds == ["call_opened", "call_ended"]


@virtual
async def test_phone_status_leaves_a_connected_call_alone() -> None:
    call = await Call().connected()
    call.session.hang_up()
    await asyncio.sleep(1)
    assert call.session.ending is None
    assert not call.running.done()
    await call.hung_up()


@virtual
async def test_call_takes_one_stream_only() -> None:
    call = await Call().connected()
    assert not call.session.attach(FakeLeg(), "MZ2")
    await call.hung_up()
    assert not call.session.attach(FakeLeg(), "MZ3")


@pytest.mark.parametrize("connected", [False, True])
@virtual
async def test_abandoned_call_ends_at_once(connected: bool) -> None:
    call = Call()
    await settle()
    if connected:
        await call.connected()
    call.session.abandon("shutdown")
    await call.ended(within_s=0.001)
    assert call.session.ended_reason == call.session.ending == "shutdown"
    assert call.journal.kinds[-1] == "call_ended"
    assert not call.session.attach(FakeLeg(), "MZ2")
    assert call.model.closed == 1


@virtual
async def test_call_abandoned_before_it_ran_ends() -> None:
    call = Call()
    call.session.abandon("shutdown")
    await call.ended(within_s=0.001)
    assert call.session.ended_reason == "shutdown"


@virtual
async def test_cancelled_call_closes_its_model() -> None:
    call = await Call().connected()
    call.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.running
    assert call.model.closed == 1
    async with asyncio.timeout(0.001):
        await call.session.over()


# ---- the caller's leg -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "reason"), [("hangup", "caller_hung_up"), ("lost", "connection_lost")])
@virtual
async def test_caller_who_leaves_ends_the_call(how: str, reason: str) -> None:
    call = await Call().connected()
    call.leg.tell(CallerLeft(how))  # type: ignore[arg-type]
    await call.ended(within_s=0.001)
    assert call.session.ended_reason == reason


@virtual
async def test_leg_that_takes_no_bytes_is_lost() -> None:
    call = Call(leg=FakeLeg(takes=1))
    call.fake.answers[KeyPressed] = lambda event: [PlayAudio(b"one"), PlayAudio(b"two")]
    await call.connected()
    call.leg.tell(KeyPressed("1"))
    await call.ended(within_s=0.001)
    assert call.session.ended_reason == "connection_lost"
    assert call.leg.sent == [PlayAudio(b"one")]


@virtual
async def test_caller_audio_reaches_the_model_in_order() -> None:
    call = Call()
    call.fake.answers[CallerAudio] = lambda event: [AppendAudio(event.payload)]  # type: ignore[union-attr]
    await call.connected()
    for number in range(50):
        call.leg.tell(CallerAudio(bytes([number])))
    await call.model.sent_one(AppendAudio, 50)
    assert call.model.sent == [AppendAudio(bytes([number])) for number in range(50)]
    await call.hung_up()


@virtual
async def test_audio_goes_straight_to_the_model() -> None:
    call = await Call().connected()
    for number in range(5):
        call.leg.say(bytes([number]))  # in one step: nobody is woken up
    assert call.model.sent == [AppendAudio(bytes([number])) for number in range(5)]
    assert not [event for _, event in call.fake.seen if isinstance(event, CallerAudio)]
    await call.hung_up()


@virtual
async def test_silence_goes_to_the_model_while_a_secret_is_entered() -> None:
    call = await Call().connected()
    call.fake.hushed = True
    call.leg.say(b"1234")
    call.fake.hushed = False
    call.leg.say(b"5")
    assert call.model.sent == [AppendAudio(bytes(4)), AppendAudio(b"5")]
    await call.hung_up()


@virtual
async def test_audio_is_heeded_by_who_listens_closely() -> None:
    call = await Call().connected()
    call.fake.listens_closely = True
    call.leg.say(b"1")
    await settle()
    assert [event.payload for _, event in call.fake.seen if isinstance(event, CallerAudio)] == [b"1"]
    await call.hung_up()


@virtual
async def test_audio_waits_behind_what_is_being_done() -> None:
    call = await Call().connected()
    call.fake.answers[CallerAudio] = lambda event: [AppendAudio(event.payload)]  # type: ignore[union-attr]
    call.fake.answers[SpeechStarted] = lambda event: [ClearPlayback(), CancelReply()]
    call.model.takes_writes.clear()
    call.model.tell(SpeechStarted("u1", 10))
    await settle()  # the model is being written to
    call.leg.say(b"1")
    call.leg.say(b"2")
    call.model.takes_writes.set()
    await settle()
    call.leg.say(b"3")
    await settle()
    assert call.model.sent == [CancelReply(), AppendAudio(b"1"), AppendAudio(b"2"), AppendAudio(b"3")]
    await call.hung_up()


@virtual
async def test_audio_that_nobody_hears_any_more_goes_nowhere() -> None:
    call = await Call().connected()
    call.core.stage = Stage.LEAVING
    call.leg.say(b"1")
    await settle()
    assert AppendAudio(b"1") not in call.model.sent
    call.core.stage = Stage.TALKING
    await call.hung_up()


@virtual
async def test_leg_is_closed_before_the_call_is_over() -> None:
    call = await Call().connected()
    call.session.abandon("shutdown")
    await call.session.over()
    assert call.leg.sent == [CloseLeg()]
    await call.ended()


# ---- the model ------------------------------------------------------------------------------------------------------


@virtual
async def test_model_is_tried_again_while_the_phone_rings() -> None:
    model = FakeModel()
    call = Call(reaches=[unavailable(), unavailable(), model])
    model.tell(ModelReady())
    await asyncio.sleep(2)
    assert call.tried_at == pytest.approx([0, DIALLING_S[0], sum(DIALLING_S)])
    assert [event for _, event in call.fake.seen] == [ModelReady()]
    await call.connected()
    await call.hung_up()
    assert model.closed == 1


@pytest.mark.parametrize(
    ("refusals", "tries"),
    [([unavailable()] * 3, 3), ([unavailable(), unavailable(retryable=False)], 2), ([unavailable(retryable=False)], 1)],
)
@virtual
async def test_model_that_cannot_be_had_is_lost(refusals: list[ModelUnavailableError], tries: int) -> None:
    call = Call(reaches=refusals)
    call.fake.answers[ModelLost] = lambda event: []
    await asyncio.sleep(5)
    assert len(call.tried_at) == tries
    assert [event for _, event in call.fake.seen] == [ModelLost(refusals[-1].reason, refusals[-1].retryable)]
    await call.connected()
    await call.hung_up()


@virtual
async def test_call_ends_while_the_model_is_still_tried() -> None:
    call = Call(reaches=[unavailable()] * 3)
    await asyncio.sleep(0.1)
    call.session.hang_up()
    await call.ended(within_s=0.001)
    assert len(call.tried_at) == 1


@virtual
async def test_model_that_breaks_off_is_told_and_closed() -> None:
    call = await Call().connected()
    call.model.tell(ModelLost("the connection broke", retryable=True))
    await call.ended(within_s=0.001)
    assert call.session.ended_reason == "model_failed"
    assert call.model.closed == 1


@virtual
async def test_commands_wait_for_the_model_in_order() -> None:
    """Those that come while the held ones are being written wait for them: one task writes at a time."""
    model = FakeModel()
    call = Call(reaches=[unavailable(), model])
    model.takes_writes.clear()
    call.fake.on_prepare = [RenderClip("k", "Good morning.", "en")]
    call.fake.answers[CallerAudio] = lambda event: [AppendAudio(event.payload)]  # type: ignore[union-attr]
    await call.connected()
    call.leg.tell(CallerAudio(b"0"))
    await asyncio.sleep(1)  # the model is there, and its first write under way
    for payload in (b"1", b"2"):
        call.leg.tell(CallerAudio(payload))
        await settle()
    assert model.sent == []
    model.takes_writes.set()
    await model.sent_one(AppendAudio, 3)
    call.leg.tell(CallerAudio(b"3"))
    await model.sent_one(AppendAudio, 4)
    assert model.sent == [RenderClip("k", "Good morning.", "en"), *(AppendAudio(b"%d" % n) for n in range(4))]
    await call.hung_up()


@virtual
async def test_audio_for_an_absent_model_is_bounded() -> None:
    model = FakeModel()
    call = Call(reaches=[unavailable(), model])
    call.fake.on_prepare = [RenderClip("k", "Good morning.", "en")]
    call.fake.answers[CallerAudio] = lambda event: [AppendAudio(event.payload)]  # type: ignore[union-attr]
    await call.connected()
    for number in range(HELD_COMMANDS + 500):
        call.leg.tell(CallerAudio(number.to_bytes(2, "big")))
    await asyncio.sleep(1)
    assert len(model.sent) == HELD_COMMANDS
    assert model.sent[0] == RenderClip("k", "Good morning.", "en")
    assert model.sent[-1] == AppendAudio((HELD_COMMANDS + 499).to_bytes(2, "big"))
    assert model.sent[1] == AppendAudio((501).to_bytes(2, "big"))
    await call.hung_up()


# ---- the order of effects -------------------------------------------------------------------------------------------


@virtual
async def test_effects_keep_their_order_among_many_readers() -> None:
    """Both legs, tools and the timer bring events at once; what was decided first is performed first."""
    count = 0

    def numbered(event: Event) -> list[Effect]:
        nonlocal count
        count += 1
        name = b"%d" % count
        return [PlayAudio(name), AppendAudio(name), Journal(KeyPress(str(count)), durable=count % 3 == 0)]

    @tool
    async def look() -> str:
        """Look it up."""
        await asyncio.sleep(0.01)
        return "there"

    call = Call(tools=[look])
    call.fake.answers |= dict.fromkeys((KeyPressed, ModelReady, ToolFinished), numbered)

    def on_due(at: float) -> list[Effect]:
        call.fake.due = None
        return [*numbered(ModelReady()), StartTool("c", "look", {})]

    call.fake.on_due = on_due
    await call.connected()
    for turn in range(40):
        call.fake.due = now() + 0.005
        call.leg.tell(KeyPressed("1"))
        call.model.tell(ModelReady(), ModelReady())
        call.leg.tell(KeyPressed("2"), KeyPressed("3"))
        await asyncio.sleep(0 if turn % 2 else 0.02)
    await asyncio.sleep(1)
    expected = [b"%d" % number for number in range(1, count + 1)]
    assert count > 220
    assert [command.payload for command in call.leg.sent if isinstance(command, PlayAudio)] == expected
    assert [command.payload for command in call.model.sent if isinstance(command, AppendAudio)] == expected
    digits = [json.loads(entry.body)["digit"] for entry in call.journal.entries if entry.kind == "key_press"]
    assert digits == [name.decode() for name in expected]
    assert [entry.sequence for entry in call.journal.entries] == list(range(1, len(call.journal.entries) + 1))
    await call.hung_up()


@virtual
async def test_effects_do_not_wait_for_the_audio_after_a_slow_write() -> None:
    call = Call()
    call.fake.answers[CallerAudio] = lambda event: [AppendAudio(event.payload)]  # type: ignore[union-attr]
    call.fake.answers[ModelReady] = lambda event: [PlayAudio(b"!")]
    await call.connected()
    call.model.takes_writes.clear()
    call.leg.tell(CallerAudio(b"."))
    await settle()
    call.model.tell(ModelReady())
    await settle()
    assert call.leg.sent == []
    call.model.takes_writes.set()
    await settle()
    assert call.leg.sent == [PlayAudio(b"!")]
    assert call.model.sent == [AppendAudio(b".")]
    await call.hung_up()


@virtual
async def test_journal_goes_before_what_follows_from_it() -> None:
    call = Call()
    seen: list[list[str]] = []
    call.fake.answers[KeyPressed] = lambda event: [PlayAudio(b"!"), Journal(KeyPress("1"), durable=True)]
    await call.connected()
    send = call.leg.send

    async def noting(commands: Sequence[object]) -> None:
        seen.append(list(call.journal.kinds))
        await send(commands)  # type: ignore[arg-type]

    call.leg.send = noting  # type: ignore[method-assign]
    call.leg.tell(KeyPressed("1"))
    await settle()
    assert seen[0][-1] == "key_press"
    await call.hung_up()


# ---- time -----------------------------------------------------------------------------------------------------------


@virtual
async def test_deadlines_fire_when_they_are_due() -> None:
    call = await Call().connected()
    fired: list[float] = []

    def next_due(at: float) -> list[Effect]:
        fired.append(at)
        call.fake.due = at + 1 if len(fired) < 3 else None
        return []

    call.fake.on_due = next_due
    call.fake.answers[KeyPressed] = lambda event: []
    call.fake.due = 5.0
    call.leg.tell(KeyPressed("1"))
    await asyncio.sleep(20)
    assert fired == pytest.approx([5, 6, 7])
    await call.hung_up()


def test_deadline_that_has_passed_is_one_on_any_loop() -> None:
    """uvloop gives what is due at once a handle that knows no time."""

    async def play() -> None:
        call, fired = await Call().connected(), asyncio.Event()

        def once(at: float) -> list[Effect]:
            fired.set()
            call.fake.due = None
            return []

        call.fake.on_due = once
        call.fake.answers[KeyPressed] = lambda event: []
        call.fake.due = now() - 1
        for _ in range(5):
            call.leg.tell(KeyPressed("1"))
        async with asyncio.timeout(20):
            await fired.wait()
        await call.hung_up()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


@virtual
async def test_deadline_may_move_either_way() -> None:
    call = await Call().connected()
    fired: list[float] = []

    def once(at: float) -> list[Effect]:
        fired.append(at)
        call.fake.due = None
        return []

    call.fake.on_due = once
    call.fake.answers[KeyPressed] = lambda event: []
    for due in (10.0, 3.0, 6.0):  # set, moved to the front, moved back
        call.fake.due = due
        call.leg.tell(KeyPressed("1"))
        await settle()
    await asyncio.sleep(20)
    assert fired == pytest.approx([6])
    await call.hung_up()


# ---- the store ------------------------------------------------------------------------------------------------------


@virtual
async def test_call_goes_on_without_its_store() -> None:
    call = Call()
    call.fake.answers[KeyPressed] = lambda event: [Journal(KeyPress(event.digit), durable=True), PlayAudio(b"!")]  # type: ignore[union-attr]
    await call.connected()
    call.journal.down = True
    for digit in "12":
        call.leg.tell(KeyPressed(digit))
        await settle()
    call.journal.down = False
    call.leg.tell(KeyPressed("3"))
    await settle()
    assert [command for command in call.leg.sent if isinstance(command, PlayAudio)] == [PlayAudio(b"!")] * 3
    await call.hung_up()
    assert [entry.sequence for entry in call.session.unwritten] == [3, 4]
    assert [entry.sequence for entry in call.journal.entries] == [1, 2, 5, 6]


@virtual
async def test_call_without_a_store_from_the_start() -> None:
    call = Call()
    call.journal.down = True
    await call.connected()
    await call.hung_up()
    assert [entry.kind for entry in call.session.unwritten] == ["call_opened", "caller_connected", "call_ended"]
    assert [entry.sequence for entry in call.session.unwritten] == [1, 2, 3]


# ---- tools ----------------------------------------------------------------------------------------------------------


@tool
async def greets(name: str) -> str:
    """Greet by name."""
    return f"Hello {name}"


@tool
def adds(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


@tool
def tells(context: ToolContext, what: str) -> list[object]:
    """Tell what is known."""
    return [what, context.call_sid, context.idempotency_key, dict(context.observations), context.caller]


@tool
async def breaks() -> str:
    """Break."""
    raise ZeroDivisionError("a secret of the caller's")


@tool
def breaks_in_its_thread() -> str:
    """Break, in a thread."""
    raise ValueError("a secret of the caller's")


@tool
async def exits() -> str:
    """Leave the program."""
    raise SystemExit(3)


@tool
def exits_in_its_thread() -> str:
    """Leave the program, from a thread."""
    raise SystemExit(3)


@tool
async def cancels_itself() -> str:
    """Await something that was cancelled."""
    raise asyncio.CancelledError


@tool
async def has_no_json() -> object:
    """Return what cannot be written."""
    return object()


@tool(timeout_s=2.0)
async def dawdles() -> str:
    """Take for ever."""
    await asyncio.sleep(3600)
    return "late"


@tool
async def times_out_inside() -> str:
    """Meet a time-out of its own."""
    raise TimeoutError


TOOLS = (
    greets,
    adds,
    tells,
    breaks,
    breaks_in_its_thread,
    exits,
    exits_in_its_thread,
    cancels_itself,
    has_no_json,
    dawdles,
    times_out_inside,
)


@pytest.mark.parametrize(
    ("name", "arguments", "output"),
    [
        ("greets", {"name": "Ada"}, "Hello Ada"),
        ("adds", {"a": 1, "b": 2}, '{"sum": 3}'),
        ("tells", {"what": "x"}, f'["x", "{CALL_SID}", "{CALL_SID}:c1", {{"name": "Ada"}}, "+15550123456"]'),
    ],
)
@virtual
async def test_tool_answers_the_model(name: str, arguments: Mapping[str, object], output: str) -> None:
    call = Call(tools=TOOLS)
    call.fake.on_connect = [StartTool("c1", name, arguments, f"{CALL_SID}:c1")]
    await call.connected()
    await asyncio.sleep(1)
    assert call.finished_tools() == [ToolFinished("c1", output, ok=True)]
    await call.hung_up()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("breaks", "failed (ZeroDivisionError)"),
        ("breaks_in_its_thread", "failed (ValueError)"),
        ("exits", "failed (SystemExit)"),
        ("exits_in_its_thread", "failed (SystemExit)"),
        ("cancels_itself", "was cancelled"),
        ("has_no_json", "failed (PydanticSerializationError)"),
        ("dawdles", "took too long"),
        ("times_out_inside", "took too long"),
    ],
)
@virtual
async def test_tool_that_fails_is_told_in_words(name: str, words: str, caplog: pytest.LogCaptureFixture) -> None:
    call = Call(tools=TOOLS)
    call.fake.on_connect = [StartTool("c1", name, {})]
    await call.connected()
    await asyncio.sleep(3)
    (finished,) = call.finished_tools()
    assert not finished.ok
    assert finished.output.startswith(f"{name} {words}")
    assert "secret" not in finished.output + caplog.text
    assert not call.running.done()
    await call.hung_up()


@virtual
async def test_slow_tool_holds_nothing_up() -> None:
    call = Call(tools=TOOLS)
    call.fake.on_connect = [StartTool("c1", "dawdles", {}), StartTool("c2", "greets", {"name": "Ada"})]
    call.fake.answers[KeyPressed] = lambda event: [PlayAudio(b"!")]
    await call.connected()
    call.leg.tell(KeyPressed("1"))
    await settle()
    assert call.leg.sent == [PlayAudio(b"!")]
    assert [finished.call_id for finished in call.finished_tools()] == ["c2"]
    await asyncio.sleep(2.5)
    assert [finished.call_id for finished in call.finished_tools()] == ["c2", "c1"]
    await call.hung_up()


@virtual
async def test_tool_at_work_ends_with_the_call() -> None:
    cancelled = []

    @tool
    async def waits() -> str:
        """Wait."""
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(now())
        return ""

    call = Call(tools=[waits])
    call.fake.on_connect = [StartTool("c1", "waits", {})]
    await call.connected()
    await asyncio.sleep(1)
    await call.hung_up()
    assert cancelled == pytest.approx([1], abs=0.01)
    assert call.finished_tools() == []


@tool
async def says_at_once(context: ToolContext) -> str:
    """Say something, and be done before anybody has heard it."""
    context.say("One moment.")
    return "done"


@tool
async def says_and_waits(context: ToolContext) -> str:
    """Say something while it works."""
    context.say("One moment.")
    await asyncio.sleep(1)
    return "done"


@tool
def says_in_its_thread(context: ToolContext) -> str:
    """Say something from its thread."""
    context.say("One moment.")
    return "done"


@pytest.mark.parametrize("says", [says_at_once, says_and_waits, says_in_its_thread])
@virtual
async def test_words_of_a_tool_come_before_its_answer(says: Tool) -> None:
    call = Call(tools=[says])
    call.fake.on_connect = [StartTool("c1", says.name, {})]
    await call.connected()
    await asyncio.sleep(2)
    seen = [event for _, event in call.fake.seen]
    assert seen == [SayWanted("One moment."), ToolFinished("c1", "done", ok=True)]
    assert call.fake.seen[0][0] == pytest.approx(0, abs=0.01)
    await call.hung_up()


@virtual
async def test_tool_that_heeds_nothing_does_not_hold_the_end_up() -> None:
    @tool(timeout_s=60)
    async def swallows() -> str:
        """Go on, whatever comes."""
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    call = Call(tools=[swallows])
    call.fake.on_connect = [StartTool("c1", "swallows", {})]
    await call.connected()
    call.leg.tell(CallerLeft("hangup"))
    await call.ended(within_s=GRACE_S + 0.01)


async def test_tool_that_hangs_in_its_thread_is_given_up() -> None:
    """In real time: a virtual clock would wait for the thread."""
    release = threading.Event()

    @tool(timeout_s=0.1)
    def hangs() -> str:
        """Hang."""
        release.wait(10)
        return "late"

    call = Call(tools=[hangs])
    call.fake.on_connect = [StartTool("c1", "hangs", {})]
    call.fake.answers[ToolFinished] = lambda event: call.fake.end("completed")
    try:
        await call.connected()
        await call.ended(within_s=5)
        assert call.finished_tools()[0].output.startswith("hangs took too long")
    finally:
        release.set()


# ---- handlers -------------------------------------------------------------------------------------------------------


@virtual
async def test_handlers_hear_the_journal_and_steer_the_call() -> None:
    told: list[CallEvent] = []

    @handler("phase", "end")
    async def steers(event: CallEvent, call: CallControl) -> None:
        told.append(event)
        call.say("Welcome.")
        call.note("The caller is a regular.")
        call.hang_up()

    call = Call(handlers=[steers])
    call.fake.engine.known = {"name": "Ada"}
    call.fake.engine.outcome = lambda: None
    entered = PhaseEntered("order", None, "start")
    call.fake.answers[KeyPressed] = lambda event: [Journal(entered, durable=True), PlayAudio(b"!")]
    assert call.session.handlers is not None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call.session.handlers.run())
        await call.connected()
        call.leg.tell(KeyPressed("1"))
        await asyncio.sleep(1)
        wishes = [event for _, event in call.fake.seen[1:]]
        assert wishes == [SayWanted("Welcome."), NoteWanted("The caller is a regular."), EndWanted()]
        await call.hung_up()
    assert [event.facts for event in told] == [
        {"name": "order", "previous": None, "cause": "start"},
        {"reason": "caller_hung_up", "outcome": None, "observations": {"name": "Ada"}},
    ]
    assert call.fake.seen[-1][1] == CallerLeft("hangup")


@virtual
async def test_call_that_broke_tells_its_handlers() -> None:
    told: list[CallEvent] = []

    @handler("end")
    async def writes_down(event: CallEvent, call: CallControl) -> None:
        told.append(event)

    call = await Call(handlers=[writes_down]).connected()
    call.fake.engine.known, call.fake.engine.outcome = {}, lambda: None
    call.fake.answers[KeyPressed] = fail
    call.leg.tell(KeyPressed("1"))
    await broken(call)
    call.session.failed()
    assert call.session.handlers is not None
    await call.session.handlers.run()
    assert [event.facts["reason"] for event in told] == ["error"]


@virtual
async def test_call_without_handlers_has_none_to_run() -> None:
    call = await Call().connected()
    assert call.session.handlers is None
    await call.hung_up()


# ---- errors of ours -------------------------------------------------------------------------------------------------


def fail(event: Event) -> list[Effect]:
    raise RuntimeError("a defect")


async def broken(call: Call) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await call.running
    assert raised.group_contains(RuntimeError, match="a defect")
    async with asyncio.timeout(0.001):
        await call.session.over()


@pytest.mark.parametrize("side", ["caller", "model", "tool", "timer"])
@virtual
async def test_defect_ends_the_call_and_closes_everything(side: str) -> None:
    call = Call(tools=TOOLS)
    call.fake.answers |= dict.fromkeys((KeyPressed, ModelReady, ToolFinished), fail)
    call.fake.on_due = lambda at: fail(ModelReady())
    await call.connected()
    match side:
        case "caller":
            call.leg.tell(KeyPressed("1"))
        case "model":
            call.model.tell(ModelReady())
        case "tool":
            call.fake.answers[CallerAudio] = lambda event: [StartTool("c1", "greets", {"name": "Ada"})]
            call.leg.tell(CallerAudio(b"."))
        case "timer":
            call.fake.due = 1.0
            call.fake.answers[CallerAudio] = lambda event: []
            call.leg.tell(CallerAudio(b"."), CallerAudio(b"."))
    await broken(call)
    assert call.model.closed == 1
    call.session.failed()
    assert call.session.ended_reason == call.session.ending == "error"
    assert [(entry.kind, entry.body) for entry in call.session.unwritten] == [("call_ended", '{"reason":"error"}')]
    assert call.session.unwritten[0].sequence == len(call.journal.entries) + 1


@virtual
async def test_defect_after_the_end_changes_no_reason() -> None:
    class BreaksOnClose(FakeModel):
        async def close(self) -> None:
            raise RuntimeError("a defect")

    call = await Call(reaches=[BreaksOnClose()]).connected()
    call.leg.tell(CallerLeft("hangup"))
    with pytest.raises(RuntimeError, match="a defect"):
        await call.running
    call.session.failed()
    assert call.session.ended_reason == "caller_hung_up"
    assert call.session.unwritten == []


# ---- with the real core ---------------------------------------------------------------------------------------------


class Order(Observations):
    dish: str = ask("what they would like")


def real_core(*tools: Tool, passes_on: bool = False) -> CallCore:
    flow = Flow(
        goal="Take an order.",
        observations=Order,
        phases=[Phase("order", instructions="Take the order.", tools=list(tools))],
    )
    context = CallContext(CALL_SID, "+15550123456", "+15550100000", START)
    return CallCore(
        PhaseEngine(flow, context),
        audio_format=AudioFormat.PCMU_8K,
        clips=ClipCache(),
        model="m",
        passes_on=passes_on,
    )


async def says(model: FakeModel, reply_id: str, item_id: str, text: str) -> None:
    model.tell(ReplyStarted(reply_id))
    model.tell(ReplyWords(reply_id, item_id, text, final=True), ReplyAudio(reply_id, item_id, bytes(800)))
    model.tell(ReplyAudioEnded(reply_id, item_id), ReplyEnded(reply_id, "completed", spoke=True))


@virtual
async def test_tool_goes_through_core_and_back() -> None:
    call = await Call(real_core(adds), tools=[adds]).connected()
    first = await call.model.sent_one(Reply)
    assert isinstance(first, Reply)
    wanted = ToolCall("c1", "adds", '{"a": 20, "b": 22}')
    call.model.tell(ReplyStarted(first.reply_id), ReplyEnded(first.reply_id, "completed", calls=(wanted,)))
    assert await call.model.sent_one(AnswerTool) == AnswerTool("c1", '{"sum": 42}')
    second = await call.model.sent_one(Reply, 2)
    assert isinstance(second, Reply)
    await says(call.model, second.reply_id, "item_1", "That makes forty-two.")
    await asyncio.sleep(1)
    call.leg.tell(CallerLeft("hangup"))
    await call.ended()
    assert call.session.ended_reason == "caller_hung_up"
    assert [kind for kind in call.journal.kinds if kind in ("tool_started", "tool_answered", "bot_said")] == [
        "tool_started",
        "tool_answered",
        "bot_said",
    ]


@virtual
async def test_unreachable_model_ends_a_real_call_as_failed() -> None:
    call = Call(real_core(), reaches=[unavailable()] * 3)
    await asyncio.sleep(2)
    assert not call.running.done()  # the stream may still come, and then the caller hears a sentence
    await call.connected()
    await call.ended(within_s=5)
    assert call.session.ended_reason == call.session.ending == "model_failed"
    assert call.journal.kinds.count("model_gone") == 1
    assert CloseLeg() in call.leg.sent


@virtual
async def test_real_call_greets_before_anybody_speaks() -> None:
    call = await Call(real_core()).connected()
    reply = await call.model.sent_one(Reply)
    assert isinstance(reply, Reply)
    assert call.model.of(InsertNote)
    await says(call.model, reply.reply_id, "item_1", "Good evening!")
    await asyncio.sleep(1)
    assert any(isinstance(command, PlayAudio) for command in call.leg.sent)
    await call.hung_up()
    assert json.loads(next(e.body for e in call.journal.entries if e.kind == "bot_said"))["text"] == "Good evening!"


@virtual
async def test_handlers_hear_of_the_end_where_the_phone_line_goes_on() -> None:
    told: list[str] = []

    @handler("end")
    def note(event: CallEvent, control: CallControl) -> None:
        told.append(str(event.facts["reason"]))

    call = Call(real_core(passes_on=True), reaches=[unavailable()] * 3, handlers=[note])
    assert call.session.handlers is not None
    handlers = asyncio.create_task(call.session.handlers.run())
    await asyncio.sleep(2)
    await call.connected()
    async with asyncio.timeout(5):
        await call.running
    await handlers
    assert told == ["model_failed"]
    assert (call.session.ended_reason, call.session.ending, call.session.let_go) == (None, "model_failed", True)
    assert "line_closed" in call.journal.kinds and "call_ended" not in call.journal.kinds
