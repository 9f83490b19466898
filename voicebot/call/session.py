"""The thin shell round a call: reads both legs, keeps the deadlines, and performs what the core decides.

One reader per leg, one timer and one task per running tool; all of them belong to one task group, whose body follows
the caller. Effects are performed by one task at a time in the order they were decided, by whichever reader brought
the event, so that in the common case no other task has to wake up.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, get_args

from voicebot.engine.entries import EndedReason
from voicebot.engine.events import ToolFinished
from voicebot.errors import LegLostError, ModelUnavailableError, StoreError
from voicebot.flow.tools import Tool, ToolContext, tool_output
from voicebot.store.contract import StoredEntry

from .core import CallCore, Effect, Event, Finish, Journal, Stage, StartTool
from .entries import CallEnded, CallOpened, Entry, kind_of, write_entry
from .ports import AppendAudio, CallerLeft, CallerLeg, LegCommand, ModelCommand, ModelLeg, ModelLost

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Line:
    """A journal entry on its way to the store."""

    entry: StoredEntry
    durable: bool


CONNECT_DELAYS_S = (0.2, 0.8)  # between tries to reach the model, while the caller is dialling
HELD_COMMANDS = 1500  # for a model that is not connected yet; audio past it is dropped, oldest first
_LEG = get_args(LegCommand)
_MODEL = get_args(ModelCommand)


class JournalStore(Protocol):
    """The part of the store that a running call writes to."""

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, durable: bool) -> None:
        """Add to a call's journal; see the store's contract."""
        ...


class CallSession:
    """One call at work. `run` is the call's life; `attach` gives it the caller's leg."""

    def __init__(
        self,
        core: CallCore,
        opened: CallOpened,
        *,
        call_sid: str,
        store: JournalStore,
        connect_model: Callable[[], Awaitable[ModelLeg]],
        tools: Mapping[str, Tool],
        wall: Callable[[], datetime],
        claim_limit_s: float,
    ) -> None:
        """
        Args:
            connect_model: opens the model's leg; raises `ModelUnavailableError`.
            tools: the flow's tools by name.
            wall: the time of day, aware UTC.
            claim_limit_s: how long the call waits for the caller's leg after the webhook.
        """
        self.core, self.call_sid = core, call_sid
        self.ended_reason: EndedReason | None = None
        self.unwritten: list[StoredEntry] = []  # entries the store did not take; they go with the report
        self._opened, self._store, self._connect_model = opened, store, connect_model
        self._tools, self._wall, self._claim_limit_s = tools, wall, claim_limit_s
        self._time = asyncio.get_running_loop().time
        self._began = self._time()
        self._sequence = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._leg: CallerLeg | None = None
        self._stream_sid = ""
        self._leg_came = asyncio.Event()
        self._reached: ModelLeg | None = None  # closed at the end, whatever happens
        self._model: ModelLeg | None = None  # the same, once it has what was held for it
        self._held: list[ModelCommand] = []
        self._pending: list[Effect | _Line] = []
        self._performing = False
        self._tools_at_work: set[asyncio.Task[None]] = set()
        self._abandoned: EndedReason | None = None
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = asyncio.Event()

    # ---- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live from the webhook to the end; every task is finished and every leg closed on return."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._perform(self.core.prepare(self._opened, self._time()))
                children = [
                    tasks.create_task(self._model_side(), name=f"model→caller {self.call_sid}"),
                    tasks.create_task(self._timer_side(), name=f"timer {self.call_sid}"),
                ]
                await self._caller_side()
                for child in (*children, *self._tools_at_work):
                    child.cancel()
        finally:
            self._tasks = None
            if self._timer is not None:
                self._timer.cancel()
            self._over.set()
            if self._reached is not None:
                await self._reached.close()

    def attach(self, leg: CallerLeg, stream_sid: str) -> bool:
        """Give the call its caller's leg; False if it has one or is over."""
        if self._leg_came.is_set() or self._over.is_set():
            return False
        self._leg, self._stream_sid = leg, stream_sid
        self._leg_came.set()
        return True

    async def over(self) -> None:
        """Wait until the call has ended."""
        await self._over.wait()

    @property
    def ending(self) -> EndedReason | None:
        """Why the call has ended or is about to; None while it goes on."""
        if self._leg is None and self._leg_came.is_set():
            return self.ended_reason or "never_connected"
        return self.ended_reason or self.core.reason

    def abandon(self, reason: EndedReason) -> None:
        """Have the call end now, whatever is under way."""
        self._abandoned = reason
        self._leg_came.set()
        self._timer_due.set()

    def hang_up(self) -> None:
        """The phone line says that the call is over: give up waiting for the caller's leg."""
        self._leg_came.set()

    async def _caller_side(self) -> None:
        try:
            async with asyncio.timeout(self._claim_limit_s):
                await self._leg_came.wait()
        except TimeoutError:
            log.warning("no stream came within %.0f s of the webhook", self._claim_limit_s, extra=self._line)
        if self._leg is None:
            await self._perform(self.core.abandon(self._abandoned or "never_connected", self._time()))
        else:
            await self._perform(self.core.connect(self._stream_sid, self._time()))
            await self._read(self._leg)
        await self._over.wait()

    async def _read(self, leg: CallerLeg) -> None:
        while self.core.stage is not Stage.ENDED:
            events = await leg.receive()
            await self._take(events)
            if isinstance(events[-1], CallerLeft):
                return

    async def _model_side(self) -> None:
        leg = await self._reach_model()
        if leg is None:
            return
        self._reached = leg
        while self._held:  # one task at a time writes: until here, the others only hold
            held, self._held = self._held, []
            await leg.send(held)
        self._model = leg
        while True:
            events = await leg.receive()
            await self._take(events)
            if isinstance(events[-1], ModelLost):
                return

    async def _reach_model(self) -> ModelLeg | None:
        delays_s = iter(CONNECT_DELAYS_S)
        while True:
            try:
                return await self._connect_model()
            except ModelUnavailableError as exc:
                log.warning("the model cannot be reached: %s", exc, extra=self._line)
                delay_s = next(delays_s, None)
                if delay_s is None or not exc.retryable:
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
            due, now = self.core.deadline(), self._time()
            if self._abandoned is not None:
                await self._perform(self.core.abandon(self._abandoned, now))
            elif due is not None and now >= due:
                await self._perform(self.core.on_deadline(now))
            else:
                self._arm()

    def _arm(self) -> None:
        """Have the timer fire no later than the core's deadline; an early firing looks again."""
        due = self.core.deadline()
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._timer_due.set)

    # ---- effects --------------------------------------------------------------------------------------------------

    async def _take(self, events: Sequence[Event]) -> None:
        now = self._time()
        effects: list[Effect] = []
        for event in events:
            effects += self.core.handle(event, now)
        if len(effects) == 1 and type(effects[0]) is AppendAudio and self._model is not None and not self._performing:
            await self._pass_audio(self._model, effects[0])
        else:
            await self._perform(effects)

    async def _pass_audio(self, model: ModelLeg, audio: AppendAudio) -> None:
        """The hot path, fifty times a second: audio moves no deadline and has nothing to write down."""
        self._performing = True
        try:
            await model.send((audio,))
        finally:
            self._performing = False
        if self._pending:
            await self._perform(())

    async def _perform(self, effects: Sequence[Effect]) -> None:
        """Perform effects after all that were decided before; returns at once if another task is at it."""
        self._pending += self._stamped(effects)
        self._arm()
        if self._performing:
            return
        self._performing = True
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                await self._perform_batch(batch)
        finally:
            self._performing = False

    async def _perform_batch(self, batch: Sequence[Effect | _Line]) -> None:
        lines = [line for line in batch if isinstance(line, _Line)]
        if lines:
            await self._write(lines)
        to_leg = [command for command in batch if isinstance(command, _LEG)]
        if to_leg:
            await self._send_to_leg(to_leg)
        to_model = [command for command in batch if isinstance(command, _MODEL)]
        if to_model:
            await self._send_to_model(to_model)
        for effect in batch:
            if isinstance(effect, StartTool) and self._tasks is not None:
                task = self._tasks.create_task(self._run_tool(effect), name=f"tool {effect.tool} {self.call_sid}")
                self._tools_at_work.add(task)
                task.add_done_callback(self._tools_at_work.discard)
            elif isinstance(effect, Finish):
                self.ended_reason = effect.reason
                self._over.set()

    async def _send_to_leg(self, commands: Sequence[LegCommand]) -> None:
        if self._leg is None:
            return
        try:
            await self._leg.send(commands)
        except LegLostError as exc:
            log.warning("the caller's leg is lost: %s", exc, extra=self._line)
            self._pending += self._stamped(self.core.handle(CallerLeft("lost"), self._time()))

    async def _send_to_model(self, commands: Sequence[ModelCommand]) -> None:
        if self._model is not None:
            await self._model.send(commands)
            return
        self._held += commands
        if len(self._held) > HELD_COMMANDS:
            audio = next((n for n, command in enumerate(self._held) if isinstance(command, AppendAudio)), 0)
            del self._held[audio]

    # ---- the journal ----------------------------------------------------------------------------------------------

    def _stamped(self, effects: Iterable[Effect]) -> list[Effect | _Line]:
        """The effects with their journal entries numbered and timed, in the order they were decided."""
        return [
            _Line(self._entry(effect.entry), effect.durable) if isinstance(effect, Journal) else effect
            for effect in effects
        ]

    def _entry(self, entry: Entry) -> StoredEntry:
        self._sequence += 1
        at_ms = round((self._time() - self._began) * 1000)
        return StoredEntry(self._sequence, kind_of(entry), at_ms, self._wall(), write_entry(entry))

    async def _write(self, lines: Sequence[_Line]) -> None:
        written = [line.entry for line in lines]
        try:
            await self._store.append(self.call_sid, written, durable=any(line.durable for line in lines))
        except StoreError as exc:
            # The call goes on; what could not be written goes with the report.
            log.error("the journal cannot be written: %s", exc, extra=self._line)
            self.unwritten += written

    def failed(self) -> None:
        """The session broke with an error of ours: its last entry says so, unless the call was over."""
        if self.ended_reason is None:
            self.ended_reason = "error"
            self.unwritten.append(self._entry(CallEnded("error")))

    # ---- tools ----------------------------------------------------------------------------------------------------

    async def _run_tool(self, wanted: StartTool) -> None:
        tool = self._tools[wanted.tool]
        arguments = dict(wanted.arguments)
        if tool.context_parameter is not None:
            context = self.core.engine.context
            arguments[tool.context_parameter] = ToolContext(
                self.call_sid, f"{self.call_sid}:{wanted.call_id}", self.core.engine.values, context.caller
            )
        try:
            async with asyncio.timeout(tool.timeout_s):
                if inspect.iscoroutinefunction(tool.function):
                    value = await tool.function(**arguments)
                else:
                    value = await asyncio.to_thread(tool.function, **arguments)
            output, ok = tool_output(value), True
        except TimeoutError:
            output, ok = f"{tool.name} took too long; tell the caller, and go on without it", False
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            output, ok = f"{tool.name} was cancelled; tell the caller, and go on without it", False
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the author's code may raise anything; say it in words
            log.warning("tool %s failed: %s", tool.name, type(exc).__name__, extra=self._line)
            output, ok = f"{tool.name} failed ({type(exc).__name__}); tell the caller, and go on without it", False
        await self._take([ToolFinished(wanted.call_id, output, ok)])

    @property
    def _line(self) -> dict[str, str]:
        return {"call_sid": self.call_sid}
