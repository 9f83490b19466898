"""A session that goes on with a call, loses its model, or gives the call away: a real core between fake legs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.call.test_session import CLAIM_LIMIT_S, OPENED, settle, virtual
from tests.fakes import CALL_SID, START, FakeJournal, FakeLeg, FakeModel
from voicebot.audio.formats import AudioFormat
from voicebot.call import ports
from voicebot.call.clips import ClipCache
from voicebot.call.contact import LEAST_SHARE, RETURN_LIMIT_S
from voicebot.call.core import CallCore
from voicebot.call.entries import BotSaid, CallerConnected, Entry
from voicebot.call.past import Past
from voicebot.call.ports import (
    AppendAudio,
    CallerAudio,
    CallerLeft,
    Configure,
    InsertHeard,
    InsertNote,
    InsertSaid,
    ModelLeg,
    ModelLost,
    ModelReady,
    Reply,
)
from voicebot.call.session import HELD_COMMANDS, CallSession
from voicebot.call.statements import clip_key, ready_words
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import CallerSaid, CallerTurnTaken, PhaseEntered
from voicebot.engine.events import CallContext
from voicebot.errors import CallTakenError, ModelUnavailableError
from voicebot.flow import Flow, Limits, Observations, Phase, ask

MODEL = "m"
FORMAT = FakeLeg.audio_format
GAP_S = 2.0


class Visit(Observations):
    name: str = ask("the caller's name")


FLOW = Flow(
    goal="Find out who calls.",
    observations=Visit,
    limits=Limits(duration=7200.0, silence=()),
    phases=[Phase("reception", instructions="Ask who is calling.")],
)
TALK: tuple[Entry, ...] = (
    OPENED,
    CallerConnected("MZ1"),
    PhaseEntered("reception", None, "start"),
    BotSaid("a1", "Hello?", "Hello?", 900, 900, False, False),
    CallerTurnTaken(1, "u1"),
    CallerSaid("u1", "My name is"),
)
TOLD = [InsertSaid("Hello?"), InsertHeard("My name is")]


def past_of(*lines: Entry) -> Past:
    at_ms = 1000 * len(lines)
    return Past(tuple((1000 * n, entry) for n, entry in enumerate(lines, 1)), len(lines), at_ms + round(GAP_S * 1000))


class Call:
    """A session over a real core, whose words for need are rendered; made inside a loop."""

    def __init__(
        self,
        *models: FakeModel | ModelUnavailableError,
        past: Past | None = None,
        leg: FakeLeg | None = None,
        attempt: int = 2,
    ) -> None:
        """`models`: what each try to reach one comes to; when they are used up, each try waits for `more`."""
        self.leg, self.journal = leg or FakeLeg(), FakeJournal()
        self.models, self.tried = list(models), 0
        self.more: asyncio.Queue[FakeModel | ModelUnavailableError] = asyncio.Queue()
        clips = ClipCache()
        for say in ready_words(FLOW):
            key = clip_key(say.text, voice=FLOW.voice, language="en", model=MODEL, audio_format=FORMAT)
            clips.recall(key, b"\1" * 800)
        engine = PhaseEngine(FLOW, CallContext(CALL_SID, "+15550123456", "+15550100000", START))
        self.core = CallCore(engine, audio_format=AudioFormat(FORMAT), clips=clips, model=MODEL, past=past)
        self.session = CallSession(
            self.core,
            past or OPENED,
            call_sid=CALL_SID,
            attempt=attempt,
            store=self.journal,
            connect_model=self._reach,
            tools={},
            wall=lambda: START,
            claim_limit_s=CLAIM_LIMIT_S,
        )
        self.running = asyncio.ensure_future(self.session.run())

    async def _reach(self) -> ModelLeg:
        self.tried += 1
        outcome = self.models.pop(0) if self.models else await self.more.get()
        if isinstance(outcome, ModelUnavailableError):
            raise outcome
        return outcome

    async def connected(self) -> Call:
        assert self.session.attach(self.leg, "MZ2")
        await settle()
        return self

    def hear(self, *numbers: int) -> None:
        """The caller's audio comes, a frame each."""
        for number in numbers:
            self.leg.tell(CallerAudio(number.to_bytes(2, "big")))

    async def hung_up(self) -> None:
        self.leg.tell(CallerLeft("hangup"))
        async with asyncio.timeout(60):
            await self.running

    async def taken(self) -> None:
        """The session has ended without a word, as its call is in other hands."""
        with pytest.raises(ExceptionGroup) as raised:
            async with asyncio.timeout(1):
                await self.running
        assert raised.group_contains(CallTakenError)
        assert self.session.ended_reason is None and not self.session.let_go
        assert "call_ended" not in self.journal.kinds
        async with asyncio.timeout(0.001):
            await self.session.over()


def ready(*events: ports.ModelEvent) -> FakeModel:
    """A model whose session is configured."""
    model = FakeModel()
    model.tell(ModelReady(), *events)
    return model


def frames(model: FakeModel) -> list[int]:
    return [int.from_bytes(command.payload, "big") for command in model.sent if isinstance(command, AppendAudio)]


def bare(commands: Sequence[object]) -> list[object]:
    """What is told of the conversation."""
    return [one for one in commands if isinstance(one, (InsertSaid, InsertHeard))]


def away(*, retryable: bool = True) -> ModelUnavailableError:
    return ModelUnavailableError("the model's server answered 503", retryable=retryable)


# ---- a call that was in other hands ---------------------------------------------------------------------------------


@virtual
async def test_journal_is_gone_on_with() -> None:
    call = await Call(ready(), past=past_of(*TALK)).connected()
    await asyncio.sleep(1.5)
    await call.hung_up()
    first, *_, last = call.journal.entries
    assert (first.sequence, first.kind, first.at_ms) == (7, "call_taken_over", 8000)
    assert [entry.sequence for entry in call.journal.entries] == list(range(7, 7 + len(call.journal.entries)))
    assert 9500 <= last.at_ms <= 13_000
    assert call.journal.attempts == {2}
    assert "call_opened" not in call.journal.kinds and "phase_entered" not in call.journal.kinds


@virtual
async def test_model_is_told_before_it_hears_the_caller() -> None:
    call = await Call(past=past_of(*TALK)).connected()
    call.hear(*range(5))
    await asyncio.sleep(1)
    model = FakeModel()
    call.more.put_nowait(model)
    await settle()
    call.hear(*range(5, 8))
    await settle()
    assert model.sent == []
    model.takes_writes.clear()
    model.tell(ModelReady())
    await settle()
    call.hear(*range(8, 10))
    await settle()
    model.takes_writes.set()
    await model.sent_one(AppendAudio, 10)
    call.hear(10, 11)
    await model.sent_one(AppendAudio, 12)
    told = next(number for number, command in enumerate(model.sent) if isinstance(command, AppendAudio))
    assert isinstance(model.sent[0], Configure)
    assert bare(model.sent[:told])[:2] == TOLD
    assert any(isinstance(command, InsertNote) for command in model.sent[:told])
    assert frames(model) == list(range(12))
    await call.hung_up()


@virtual
async def test_caller_hears_of_the_return_before_there_is_a_model() -> None:
    call = await Call(past=past_of(*TALK)).connected()
    await asyncio.sleep(1)
    said = [entry for entry in call.journal.entries if entry.kind == "bot_said"]
    assert ["cut off for a moment" in entry.body for entry in said] == [True]
    model = ready()
    call.more.put_nowait(model)
    await model.sent_one(Reply)
    assert bare(model.sent)[2] == InsertSaid("Sorry, we were cut off for a moment.")
    assert len(model.of(Reply)) == 1
    await call.hung_up()


@pytest.mark.parametrize(
    ("lines", "how", "reason"),
    [
        (TALK, "nobody", "connection_lost"),
        (TALK, "hung up", "caller_hung_up"),
        (TALK[:1], "nobody", "never_connected"),
        (TALK[:1], "hung up", "never_connected"),
    ],
)
@virtual
async def test_caller_who_does_not_come_back(lines: tuple[Entry, ...], how: str, reason: str) -> None:
    call = Call(ready(), past=past_of(*lines))
    await settle()
    assert call.session.waits_for_return
    if how == "hung up":
        call.session.hang_up()
        assert call.session.ending == reason
    async with asyncio.timeout(CLAIM_LIMIT_S + 1):
        await call.running
    assert call.session.ended_reason == reason
    assert call.journal.kinds[-1] == "call_ended"


@virtual
async def test_call_that_was_never_answered_begins() -> None:
    model = ready()
    call = await Call(model, past=past_of(OPENED)).connected()
    await model.sent_one(Reply)
    assert call.core.engine.state.path == ["reception"]
    assert call.journal.kinds[0] == "call_taken_over" and "phase_entered" in call.journal.kinds
    assert not call.session.waits_for_return
    notes = [command.text for command in model.sent if isinstance(command, InsertNote)]
    assert notes == ["The caller is on the line. Greet them."]
    await call.hung_up()


# ---- a model that is lost -------------------------------------------------------------------------------------------


async def talking(*models: FakeModel | ModelUnavailableError, life_s: float | None = None) -> tuple[Call, FakeModel]:
    """A call that goes on, whose first model has told its first reply."""
    first = FakeModel()
    first.tell(ModelReady(life_s))
    call = await Call(first, *models, past=past_of(*TALK)).connected()
    await first.sent_one(Reply)
    reply_id = first.of(Reply)[-1].reply_id  # type: ignore[attr-defined]
    first.tell(
        ports.ReplyWords(reply_id, "a2", "And who are you?", final=True),
        ports.ReplyAudio(reply_id, "a2", b"\1" * 800),
        ports.ReplyAudioEnded(reply_id, "a2"),
        ports.ReplyEnded(reply_id, "completed", spoke=True),
    )
    await asyncio.sleep(1)
    return call, first


@virtual
async def test_next_model_gets_nothing_that_was_meant_for_the_last() -> None:
    """The turn ends and the model is lost at once: the reply that was asked of the lost one is not asked for twice."""
    second = ready()
    call, first = await talking(second)
    asked = len(first.of(Reply))
    first.tell(
        ports.SpeechStarted("u2", 0),
        ports.SpeechStopped("u2", 500),
        ports.TurnCommitted("u2"),
        ports.CallerTranscript("u2", "I am Ada"),
        ModelLost("the connection broke", retryable=True),
    )
    await second.sent_one(Reply)
    await asyncio.sleep(1)
    assert len(first.of(Reply)) == asked
    assert len(second.of(Reply)) == 1
    assert isinstance(second.sent[0], Configure) and isinstance(second.sent[-1], Reply)
    assert bare(second.sent)[-2:] == [InsertSaid("And who are you?"), InsertHeard("I am Ada")]
    await call.hung_up()


@virtual
async def test_conversation_is_told_once_though_a_model_is_lost_at_once() -> None:
    fleeting = FakeModel()
    fleeting.tell(ModelReady(), ModelLost("the connection broke", retryable=True))
    last = ready()
    call, first = await talking(fleeting, last)
    first.tell(ModelLost("the connection broke", retryable=True))
    await asyncio.sleep(1)
    assert call.tried == 3
    assert fleeting.sent == [] and fleeting.closed == 1
    assert bare(last.sent)[:2] == TOLD
    assert len(bare(last.sent)) == len(set(map(repr, bare(last.sent))))
    assert len(last.of(Configure)) == 1
    await call.hung_up()


@virtual
async def test_audio_waits_for_the_next_model_in_order() -> None:
    call, first = await talking()
    call.hear(*range(3))
    await first.sent_one(AppendAudio, 3)
    first.tell(ModelLost("the connection broke", retryable=True))
    await settle()
    call.hear(*range(3, 50))
    await asyncio.sleep(2)
    second = ready()
    call.more.put_nowait(second)
    await second.sent_one(AppendAudio, 47)
    assert frames(first) == [0, 1, 2]
    assert frames(second) == list(range(3, 50))
    await call.hung_up()


@virtual
async def test_audio_for_the_next_model_is_bounded() -> None:
    call, first = await talking()
    first.tell(ModelLost("the connection broke", retryable=True))
    await settle()
    call.hear(*range(HELD_COMMANDS + 300))
    await asyncio.sleep(1)
    second = ready()
    call.more.put_nowait(second)
    await second.sent_one(AppendAudio, HELD_COMMANDS)
    assert frames(second) == list(range(300, HELD_COMMANDS + 300))
    assert bare(second.sent)[:2] == TOLD
    await call.hung_up()


@virtual
async def test_model_is_tried_for_as_long_as_the_caller_waits() -> None:
    call, first = await talking(*(away() for _ in range(100)))
    before = asyncio.get_running_loop().time()
    first.tell(ModelLost("the connection broke", retryable=True))
    async with asyncio.timeout(60):
        await call.running
    assert call.session.ended_reason == "model_failed"
    assert asyncio.get_running_loop().time() - before >= RETURN_LIMIT_S
    assert call.tried > 4
    assert "something has gone wrong" in [entry for entry in call.journal.entries if entry.kind == "bot_said"][-1].body


@virtual
async def test_model_that_comes_back_late_goes_on() -> None:
    second = ready()
    call, first = await talking(*(away() for _ in range(4)), second)
    first.tell(ModelLost("the connection broke", retryable=True))
    await asyncio.sleep(RETURN_LIMIT_S)
    assert call.tried == 6
    assert bare(second.sent)[:2] == TOLD
    assert call.session.ending is None
    await call.hung_up()


@virtual
async def test_bad_key_is_not_tried_again() -> None:
    call, first = await talking(away(retryable=False))
    first.tell(ModelLost("the connection broke", retryable=True))
    async with asyncio.timeout(5):
        await call.running
    assert (call.session.ended_reason, call.tried) == ("model_failed", 2)


@virtual
async def test_session_that_ends_soon_is_closed_for_another() -> None:
    call, first = await talking(life_s=240.0)
    await asyncio.sleep(LEAST_SHARE * 240)
    assert first.closed >= 1, "before there is another"
    call.hear(1, 2, 3)
    second = ready()
    call.more.put_nowait(second)
    await second.sent_one(AppendAudio, 3)
    assert bare(second.sent)[:2] == TOLD
    await asyncio.sleep(1)
    assert call.session.ending is None and call.tried == 2
    assert second.closed == 0
    await call.hung_up()
    assert second.closed >= 1


# ---- a call that is given away, or taken ----------------------------------------------------------------------------


async def talks(call: Call) -> None:
    await call.connected()
    await asyncio.sleep(1)


async def waits(call: Call) -> None:
    await settle()


@pytest.mark.parametrize("at", [waits, talks])
@virtual
async def test_call_that_is_taken_ends_without_a_word(at: Callable[[Call], object]) -> None:
    model = ready()
    call = Call(model, past=past_of(*TALK))
    await at(call)  # type: ignore[misc]
    before = len(call.journal.entries)
    call.session.taken()
    await call.taken()
    assert len(call.journal.entries) == before
    assert model.closed == 1
    assert not call.session.attach(FakeLeg(), "MZ3")


@virtual
async def test_call_that_was_taken_before_it_ran_ends_without_a_word() -> None:
    call = Call(ready(), past=past_of(*TALK))
    call.journal.taken = True
    await call.taken()
    assert call.journal.entries == []


@virtual
async def test_write_that_is_refused_ends_the_session() -> None:
    model = ready()
    call = await Call(model, past=past_of(*TALK)).connected()
    await asyncio.sleep(1)
    call.journal.taken = True
    call.leg.tell(ports.KeyPressed("1"))
    await call.taken()
    assert model.closed == 1
    assert call.session.unwritten == []


@pytest.mark.parametrize("how", ["hand over", "stream lost"])
@virtual
async def test_call_is_let_go_with_its_last_entry_written(how: str) -> None:
    model, leg = ready(), FakeLeg()
    call = await Call(model, past=past_of(*TALK), leg=leg).connected()
    await asyncio.sleep(1)
    closing: list[list[str]] = []
    send = leg.send

    async def noting(commands: Sequence[ports.LegCommand]) -> None:
        if any(isinstance(command, ports.CloseLeg) for command in commands):
            closing.append(list(call.journal.kinds))
        await send(commands)

    leg.send = noting  # type: ignore[method-assign]
    if how == "hand over":
        call.session.hand_over()
    else:
        leg.tell(CallerLeft("lost"))
    async with asyncio.timeout(1):
        await call.running
    last = "handed_over" if how == "hand over" else "leg_lost"
    assert call.session.let_go and call.session.ended_reason is None
    assert call.session.ending is None, "it can be gone on with"
    assert call.journal.kinds[-1] == last and call.journal.entries[-1].sequence in call.journal.durable
    assert closing[0][-1] == last
    assert model.closed == 1


@virtual
async def test_call_that_waits_for_its_stream_is_handed_over() -> None:
    call = Call(ready())
    await settle()
    call.session.hand_over()
    async with asyncio.timeout(1):
        await call.running
    assert call.session.let_go and call.session.ending is None
    assert call.journal.kinds[-1] == "handed_over"
    assert not call.session.attach(FakeLeg(), "MZ2")


@virtual
async def test_leg_that_takes_no_bytes_lets_the_call_go(caplog: pytest.LogCaptureFixture) -> None:
    call = await Call(ready(), past=past_of(*TALK), leg=FakeLeg(takes=1)).connected()
    async with asyncio.timeout(5):
        await call.running
    assert call.session.let_go
    assert call.journal.kinds[-1] == "leg_lost"
    assert [record.levelno for record in caplog.records if "leg is lost" in record.message] == [logging.WARNING]


@virtual
async def test_goodbye_is_not_handed_over() -> None:
    model = ready()
    call = await Call(model, past=past_of(*TALK)).connected()
    await model.sent_one(Reply)
    reply_id = model.of(Reply)[-1].reply_id  # type: ignore[attr-defined]
    ends = ports.ToolCall("c1", "end_call", '{"reason": "caller_wants_to_stop"}')
    model.tell(ports.ReplyEnded(reply_id, "completed", (ends,), spoke=True))
    await asyncio.sleep(0.1)
    call.session.hand_over()
    await asyncio.sleep(0.1)
    assert not call.session.let_go
    assert call.session.ending == "caller_finished"
    await call.hung_up()
    assert call.session.ended_reason == "caller_finished"


@virtual
async def test_clock_of_the_core_is_the_journals() -> None:
    """However late the session begins to run: what has passed before counts once."""
    call = Call(ready(), past=replace(past_of(*TALK), at_ms=60_000))
    await asyncio.sleep(0)
    await call.connected()
    call.leg.tell(ports.KeyPressed("1"))
    await settle()
    engine, entry = call.core.engine, call.journal.entries[-1]
    assert entry.kind == "key_press"
    loop_now = asyncio.get_running_loop().time()
    started_at = loop_now - entry.at_ms / 1000 + 2.0  # the stream came two seconds into the call
    assert engine.deadline() == pytest.approx(started_at + FLOW.limits.duration, abs=0.002)
    await call.hung_up()
