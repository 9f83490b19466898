"""The thin shell round a call: reads both legs, keeps the deadlines, and performs what the core decides.

One reader per leg, one timer and one task per running tool; all of them belong to one task group, whose body follows
the caller. Effects are performed by one task at a time in the order they were decided, by whichever reader brought
the event, so that in the common case no other task has to wake up. The caller's audio needs no task at all: it is
given to the model in the step in which it comes, unless something is being done that it must not overtake.

The flow's handlers are told of every journal entry as it is decided. Their own task is not of this group, since the
call does not wait for them: whoever runs the session runs `handlers` beside it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import cast, get_args

from voicebot.engine.entries import EndedReason
from voicebot.errors import CallTakenError, LegLostError, ModelUnavailableError
from voicebot.flow.handlers import Handler
from voicebot.flow.tools import Tool
from voicebot.log_events import named
from voicebot.store.contract import StoredEntry

from .core import CallCore, Stage
from .entries import AnswererKnown, CallEnded, CallOpened, Entry, LineQuality
from .events import (
    AnswererFound,
    Effect,
    Event,
    Finish,
    Journal,
    KeepSecret,
    LetGo,
    MessageTold,
    ReconnectModel,
    SayWanted,
    StartTool,
)
from .handlers import CallHandlers
from .journal import CallJournal, JournalStore, Line
from .messages import Messages, Send
from .past import Past
from .ports import AppendAudio, CallerLeft, CallerLeg, ClearPlayback, LegCommand, ModelCommand, ModelLeg, ModelLost
from .recording import CallRecording
from .retry import retry_delay_s
from .secrets import CallSecrets
from .tool_run import run_tool
from .wishes import Wish, Wishes

log = logging.getLogger(__name__)

MOST_BARGE_INS = 100  # whose delay is noted
HELD_COMMANDS = 1500  # for a model that is not connected yet; audio past it is dropped, oldest first
_LEG = frozenset(get_args(LegCommand))
_MODEL = frozenset(get_args(ModelCommand))
_WRITTEN = _LEG | _MODEL | {Line}


class CallSession:
    """One call at work. `run` is the call's life here; `attach` gives it the caller's leg."""

    def __init__(
        self,
        core: CallCore,
        begins: CallOpened | Past,
        *,
        call_sid: str,
        attempt: int = 1,
        store: JournalStore,
        connect_model: Callable[[], Awaitable[ModelLeg]],
        tools: Mapping[str, Tool],
        handlers: Sequence[Handler] = (),
        wall: Callable[[], datetime],
        jitter: Callable[[], float] = lambda: 0.0,
        told: Callable[[Entry, datetime], None] | None = None,
        stored: Callable[[StoredEntry], None] | None = None,
        recording: CallRecording | None = None,
        secrets: CallSecrets | None = None,
        claim_limit_s: float,
        send: Send | None = None,
    ) -> None:
        """
        Args:
            begins: how the call begins; or what has happened in it before, which the core knows.
            attempt: with which this process holds the call.
            connect_model: opens the model's leg; raises `ModelUnavailableError`.
            tools: the flow's tools by name.
            handlers: of the flow; `handlers.run` is to be run beside the session.
            wall: the time of day, aware UTC.
            jitter: a random number from 0 to 1, as `random.random`.
            told: of every journal entry as it is decided; it must not wait.
            stored: told of every journal entry once the store has it; it must not wait.
            recording: of this call; it taps the leg by itself.
            secrets: where what the caller enters in secret goes; without it, nowhere.
            claim_limit_s: how long the call waits for the caller's leg after the webhook.
            send: sends text messages.
        """
        self.core, self.call_sid, self.attempt = core, call_sid, attempt
        self.ended_reason: EndedReason | None = None
        self.let_go = False  # the call is not over, and nothing more of it happens here
        self._begins, self._connect_model, self._jitter, self._wall = begins, connect_model, jitter, wall
        self._past = begins if isinstance(begins, Past) else None
        self._tools, self._claim_limit_s = tools, claim_limit_s
        self._secrets = secrets
        self._time = asyncio.get_running_loop().time
        self._made_at = self._time()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # asked of us, as uvloop's handles of what is due at once have no `when()`
        self._timer_due = asyncio.Event()
        self._wishes = wishes = Wishes(self._timer_due.set)
        self._messages = Messages(core.engine.context, send, lambda sent: wishes.add(MessageTold(sent)))
        self.handlers: CallHandlers | None = None
        if handlers:
            self.handlers = CallHandlers(handlers, call_sid=call_sid, engine=core.engine, wish=self._wishes.add)
        self.recording, self._noted = recording, list[Entry]()  # what is to be written down of it
        if recording is not None:
            recording.give_notes_to(self._note)
        self._journal = CallJournal(
            call_sid,
            store,
            wall,
            told,
            stored=stored,
            attempt=attempt,
            past=self._past,
            last_words=self._line_quality,
        )
        for one in (recording, self.handlers):
            if one is not None:
                self._journal.tell(one.told)
        self._tasks: asyncio.TaskGroup | None = None
        self._leg: CallerLeg | None = None
        self._stream_sid = ""
        self._barge_ins_ms: list[float] = []
        self._clears: list[float] = []  # when what was decided came that has the line cleared, which is not done yet
        self._leg_came = asyncio.Event()
        self._reached: ModelLeg | None = None  # closed at the end, whatever happens
        self._model: ModelLeg | None = None  # the same, once it has what was held for it
        self._reconnect = False  # the core wants another connection to the model
        self._held: list[ModelCommand] = []
        self._pending: list[Effect | Line | asyncio.Future[None]] = []
        self._performing = False
        self._tools_at_work: set[asyncio.Task[None]] = set()
        self._abandoned: EndedReason | None = None
        self._handing_over = self._taken = self._hung_up = False
        self._over = asyncio.Event()
        self.forgotten = asyncio.Event()
        """Set by whoever runs it, once nothing more comes of it here: it is reported, or in other hands."""
        self._overhears: Callable[[Event], None] | None = None

    # ---- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live from the webhook to the end; every task is finished and every leg closed on return.

        Raises:
            ExceptionGroup: of `CallTakenError`, when the call is in other hands; or of an error of ours.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._perform(self._first_effects())
                children = [
                    tasks.create_task(self._model_side(), name=f"model→caller {self.call_sid}"),
                    tasks.create_task(self._timer_side(), name=f"timer {self.call_sid}"),
                ]
                await self._caller_side()
                await self._end_recording()
                for child in (*children, *self._tools_at_work):
                    child.cancel()
        finally:
            self._tasks = self._overhears = None
            if self._timer is not None:
                self._timer.cancel()
            self._over.set()
            if self.recording is not None:
                await self.recording.end(over=False)  # if it has not ended, it may go on elsewhere
                self.recording.give_notes_to(_nobody)
            if self._reached is not None:
                await self._reached.close()

    def _first_effects(self) -> list[Effect]:
        if isinstance(self._begins, Past):
            return self.core.resume(
                self.attempt, self._made_at
            )  # for the core as for the journal, it is read at one time
        return self.core.prepare(self._begins, self._time())

    def attach(self, leg: CallerLeg, stream_sid: str) -> bool:
        """Give the call its caller's leg; False if it has one or is over."""
        if self._leg_came.is_set() or self._over.is_set():
            return False
        self._leg, self._stream_sid = leg, stream_sid
        self._leg_came.set()
        return True

    def follow(self, told: Callable[[Entry, datetime], None], overheard: Callable[[Event], None]) -> None:
        """Have somebody who looks on told of every journal entry and event from now on; neither may wait."""
        self._journal.tell(told)
        self._overhears = overheard

    async def over(self) -> None:
        """Wait until the call has ended."""
        await self._over.wait()

    @property
    def unwritten(self) -> list[StoredEntry]:
        """Entries that the store did not take; they go with the report."""
        return self._journal.unwritten

    @property
    def unkept(self) -> Mapping[str, bytes]:
        """Secrets that the store did not take, sealed; they go with the report."""
        return self._secrets.unkept if self._secrets is not None else {}

    @property
    def resumed(self) -> bool:
        """Whether the caller was there before, in other hands."""
        return self._past is not None and self._past.answered_ms is not None

    @property
    def waits_for_return(self) -> bool:
        """Whether the call goes on here as soon as the caller's next stream comes."""
        return self.attempt > 1 and not self._leg_came.is_set()

    @property
    def language(self) -> str:
        """The language that the call is in (ISO 639-1)."""
        return self.core.engine.language

    @property
    def ending(self) -> EndedReason | None:
        """Why the call has ended or is about to, by our decision; None while it goes on, or could."""
        if self.core.left_by_caller or (self.let_go and self.core.reason is None):
            return None
        if self._leg is None and self._leg_came.is_set():
            return self.ended_reason or self._without_leg
        return self.ended_reason or self.core.reason

    def abandon(self, reason: EndedReason) -> None:
        """Have the call end now, whatever is under way."""
        self._abandoned = reason
        self._leg_came.set()
        self._timer_due.set()

    def hand_over(self) -> None:
        """Let the call go on elsewhere, if it is one that can; one that is ending ends here."""
        self._handing_over = True
        self._timer_due.set()

    def taken(self) -> None:
        """Another process has the call: stop at once, and write nothing more of it."""
        self._taken = True
        self._timer_due.set()

    def answered_by(self, entry: AnswererKnown) -> None:
        """The phone line says who has answered our call."""
        self._wishes.add(AnswererFound(entry))

    def wish(self, wish: Wish) -> None:
        """Whoever operates the service wants this of the call."""
        self._wishes.add(wish)

    def hang_up(self) -> None:
        """The phone line says that the call is over: give up waiting for the caller's leg."""
        self._hung_up = True
        self._leg_came.set()

    def failed(self) -> None:
        """The session broke with an error of ours: its last entry says so, unless the call was over."""
        if self.ended_reason is None:
            self.ended_reason = "error"
            self.unwritten.append(self._journal.entry(CallEnded("error")))

    # ---- the recording --------------------------------------------------------------------------------------------

    def _hush_recording(self) -> None:
        """The caller is recorded as silent for as long as they enter a secret; nobody tells one to them."""
        if self.recording is None:
            return
        if self.core.hushed:
            self.recording.pause()
        else:
            self.recording.resume()

    def _note(self, entry: Entry) -> None:
        self._noted.append(entry)
        self._timer_due.set()

    async def _write_notes(self) -> None:
        noted, self._noted = self._noted, []
        await self._perform([Journal(entry, durable=False) for entry in noted])

    async def _end_recording(self) -> None:
        if self.recording is None:
            return
        if (ended := await self.recording.end(over=not self.let_go)) is not None:
            self._noted.append(ended)
        await self._write_notes()
        await self._performed()

    # ---- the sides ------------------------------------------------------------------------------------------------

    async def _caller_side(self) -> None:
        try:
            async with asyncio.timeout(self._claim_limit_s):
                await self._leg_came.wait()
        except TimeoutError:
            log.warning(
                "no stream came within %.0f s of the webhook",
                self._claim_limit_s,
                extra=named("stream_never_came", self.call_sid),
            )
        if self._leg is None:
            await self._perform(self.core.abandon(self._abandoned or self._without_leg, self._time()))
        else:
            await self._perform(self.core.connect(self._stream_sid, self._time()))
            await self._read(self._leg)
        await self._over.wait()

    @property
    def _without_leg(self) -> EndedReason:
        """Why the call ends if its stream never comes."""
        if self._past is None or self._past.answered_ms is None:
            return "never_connected"
        return "caller_hung_up" if self._hung_up else "connection_lost"

    async def _read(self, leg: CallerLeg) -> None:
        leg.give_audio_to(self._hear)
        while self.core.stage is not Stage.ENDED:
            events = await leg.receive()
            await self._take(events)
            if isinstance(events[-1], CallerLeft):
                return

    async def _model_side(self) -> None:
        """Read the model, and the one after it, for as long as the core wants another."""
        new_to_the_call = self._past is not None
        while True:
            leg = self._reached = await self._reach_model(waiting=new_to_the_call)
            if leg is not None:
                if not new_to_the_call or await self._tell(leg):
                    await self._read_model(leg)
                await leg.close()
            await self._performed()
            if not self._reconnect:
                return
            self._reconnect, new_to_the_call = False, True

    async def _read_model(self, leg: ModelLeg) -> None:
        """Take what the model says until it is lost, or given up for another one."""
        await self._give_what_was_held(leg)
        if self._reconnect:  # it was given up meanwhile
            return
        self._model = leg
        while self._model is not None:
            events = await leg.receive()
            if self._model is None:
                return
            if isinstance(events[-1], ModelLost):
                self._model = None  # what follows is held for the next one
            await self._take(events)

    async def _tell(self, leg: ModelLeg) -> bool:
        """Have the core tell a model that is new to the call what has happened: that goes before the caller's audio.

        Returns False if it was lost meanwhile.
        """
        events = await leg.receive()
        audio, self._held = self._audio_held(), []  # what else was meant for the last model stands in the memory
        await self._take(events)
        await self._performed()
        told = [command for command in self._held if not isinstance(command, AppendAudio)]
        self._held = [*told, *audio, *self._audio_held()]
        return not isinstance(events[-1], ModelLost)

    def _audio_held(self) -> list[ModelCommand]:
        return [command for command in self._held if isinstance(command, AppendAudio)]

    async def _give_what_was_held(self, leg: ModelLeg) -> None:
        while self._held:  # one task at a time writes: until here, the others only hold
            held, self._held = self._held, []
            await leg.send(held)

    async def _performed(self) -> None:
        """Wait until what was decided before is done, by whichever task is at it."""
        reached = asyncio.get_running_loop().create_future()
        self._pending.append(reached)
        await self._perform(())
        await reached

    async def _reach_model(self, *, waiting: bool) -> ModelLeg | None:
        tries = 0
        while True:
            try:
                return await self._connect_model()
            except ModelUnavailableError as exc:
                tries += 1
                log.warning("the model cannot be reached: %s", exc, extra=named("model_unreachable", self.call_sid))
                delay_s = retry_delay_s(tries, retryable=exc.retryable, waiting=waiting, jitter=self._jitter())
                if delay_s is None:
                    await self._take([ModelLost(exc.reason, exc.retryable)])
                    return None
                await asyncio.sleep(delay_s)

    # ---- time -----------------------------------------------------------------------------------------------------

    async def _timer_side(self) -> None:
        while True:
            await self._timer_due.wait()
            self._timer_due.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if wishes := self._wishes.take():
                await self._take(wishes)
            if self._noted:
                await self._write_notes()
            due, now = self.core.deadline(), self._time()
            if self._taken:
                raise CallTakenError(self.call_sid)
            if self._abandoned is not None:
                await self._perform(self.core.abandon(self._abandoned, now))
            elif self._handing_over:
                self._handing_over = False
                await self._perform(self.core.hand_over(now))
            elif due is not None and now >= due:
                await self._perform(self.core.on_deadline(now))
            else:
                self._arm()

    def _arm(self) -> None:
        """Have the timer fire no later than the core's deadline; an early firing looks again."""
        due = self.core.deadline()
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = asyncio.get_running_loop().call_at(due, self._timer_due.set)

    # ---- effects --------------------------------------------------------------------------------------------------

    async def _take(self, events: Sequence[Event]) -> None:
        now = self._time()
        effects: list[Effect] = []
        for event in events:
            effects += self.core.handle(event, now)
            if self._overhears is not None:
                self._overhears(event)
        if ClearPlayback in map(type, effects):
            self._clears.append(now)
        await self._perform(effects)

    def _hear(self, payload: bytes) -> bool:
        """The hot path, fifty times a second: audio moves no deadline, and has nothing to write down."""
        if self._performing or self._model is None or not self.core.hears or self.core.listens_closely:
            return False
        self._model.hear(self.core.audible(payload))
        return True

    async def _perform(self, effects: Sequence[Effect]) -> None:
        """Perform effects after all that were decided before; returns at once if another task is at it."""
        self._pending += self._journal.stamped(effects)
        self._hush_recording()
        self._arm()
        if self._performing:
            return
        self._performing = True
        try:
            while self._pending:
                await self._perform_batch(self._next_batch())
        finally:
            self._performing = False

    def _next_batch(self) -> list[Effect | Line | asyncio.Future[None]]:
        """What is performed together: all that waits, but what follows a change of models is for the next one."""
        kinds = list(map(type, self._pending))
        end = kinds.index(ReconnectModel) + 1 if ReconnectModel in kinds else len(kinds)
        batch, self._pending = self._pending[:end], self._pending[end:]
        return batch

    async def _perform_batch(self, batch: Sequence[Effect | Line | asyncio.Future[None]]) -> None:
        for effect in batch:  # before it is written down that they were recorded
            if type(effect) is KeepSecret and self._secrets is not None:
                await self._secrets.keep(effect.name, effect.text)
        lines = [line for line in batch if isinstance(line, Line)]
        if lines:
            await self._journal.write(lines)
        to_leg = [cast(LegCommand, command) for command in batch if type(command) in _LEG]
        if to_leg:
            await self._send_to_leg(to_leg)
        to_model = [cast(ModelCommand, command) for command in batch if type(command) in _MODEL]
        if to_model:
            await self._send_to_model(to_model)
        for effect in batch:
            if type(effect) in _WRITTEN:
                continue
            if isinstance(effect, StartTool) and self._tasks is not None:
                task = self._tasks.create_task(self._run_tool(effect), name=f"tool {effect.tool} {self.call_sid}")
                self._tools_at_work.add(task)
                task.add_done_callback(self._tools_at_work.discard)
            elif isinstance(effect, asyncio.Future):
                if not effect.done():  # whoever waited may have been cancelled
                    effect.set_result(None)
            elif isinstance(effect, ReconnectModel):
                self._reconnect_model()
            elif isinstance(effect, Finish):
                self.ended_reason = effect.reason
                self._over.set()
            elif isinstance(effect, LetGo):
                self.let_go = True
                self._tell_end()
                self._leg_came.set()
                self._over.set()

    def _tell_end(self) -> None:
        """The phone line takes the caller elsewhere: the handlers hear of the end now, as nobody will tell it then."""
        if self.core.reason is not None and self.handlers is not None:
            self.handlers.told(CallEnded(self.core.reason), self._wall())

    def _reconnect_model(self) -> None:
        self._reconnect = True
        given_up, self._model = self._model, None  # what follows is held for the next one
        if given_up is not None and self._tasks is not None:
            self._tasks.create_task(given_up.close(), name=f"close model {self.call_sid}")

    async def _send_to_leg(self, commands: Sequence[LegCommand]) -> None:
        if self._leg is None:
            return
        try:
            await self._leg.send(commands)
            self._note_barge_ins()
        except LegLostError as exc:
            if self.core.stage is not Stage.ENDED:
                log.warning("the caller's leg is lost: %s", exc, extra=named("leg_lost", self.call_sid))
            self._pending += self._journal.stamped(self.core.handle(CallerLeft("lost"), self._time()))

    def _note_barge_ins(self) -> None:
        """Whatever was to be cleared is; effects are performed in order, so no clear is overtaken."""
        if self._clears:
            now, most = self._time(), MOST_BARGE_INS - len(self._barge_ins_ms)
            self._barge_ins_ms += [round((now - came) * 1000, 2) for came in self._clears[: max(most, 0)]]
            self._clears.clear()

    def _line_quality(self) -> LineQuality | None:
        """How the caller's line was; None if there was none, or none that can be measured."""
        quality = self._leg.quality if self._leg is not None else None
        if quality is None:
            return None
        playback = self.core.speaker.playback
        return LineQuality(
            quality.audio_ms,
            quality.gaps,
            quality.gap_ms,
            quality.level_dbov,
            quality.clipped,
            playback.underruns,
            round(playback.underrun_ms),
            tuple(self._barge_ins_ms),
        )

    async def _send_to_model(self, commands: Sequence[ModelCommand]) -> None:
        if self._model is not None:
            await self._model.send(commands)
            return
        self._held += commands
        if len(self._held) > HELD_COMMANDS:
            audio = next((n for n, command in enumerate(self._held) if isinstance(command, AppendAudio)), 0)
            del self._held[audio]

    # ---- the author's code ----------------------------------------------------------------------------------------

    async def _run_tool(self, wanted: StartTool) -> None:
        engine = self.core.engine
        finished = await run_tool(
            self._tools[wanted.tool],
            wanted,
            call_sid=self.call_sid,
            caller=engine.context.caller,
            observations=engine.values,
            say=lambda words: self._wishes.add(SayWanted(words)),
            send_sms=self._messages.send,
        )
        await self._take([*self._wishes.take(), finished])


def _nobody(entry: Entry) -> None:
    """The journal is closed."""
