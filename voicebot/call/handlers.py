"""A flow's handlers at work in one call: told of what happens, and heard when they want to steer.

Theory of operation. Entries of the journal become events, which wait in a bounded queue for one task (`run`), that
belongs to whoever owns the call and not to the call itself: nothing of the call ever waits for it. It gives each event
to the handlers one after another, each within its own limit. A handler whose thread still hangs in an earlier event is
passed over. When the call has ended, the events that still wait get `BACKLOG_S`, and what is left of `FAREWELL_S` is
shared among those who want to know of the end.

What handlers want comes back as wishes, bounded so that one that answers each of the bot's words cannot keep the bot
talking: one `say` for each event it is told of, `MOST_STEERS` in a call, nothing once the call is over.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from inspect import iscoroutinefunction

from pydantic import JsonValue

from voicebot.engine import entries as engine_entries
from voicebot.engine.engine import PhaseEngine
from voicebot.flow.handlers import CallEvent, EventKind, Handler
from voicebot.log_events import named

from .author_code import NotRun, Raised, run_author_code
from .daemon_threads import DaemonThreads
from .entries import BotSaid, CallEnded, Entry
from .events import EndWanted, NoteWanted, SayWanted
from .wishes import LONGEST_NOTE, Wish, as_text, to_be_said

log = logging.getLogger(__name__)

MOST_WAITING = 100
MOST_STEERS = 50
BACKLOG_S = 2.0
FAREWELL_S = 5.0
HANDLER_THREADS = DaemonThreads("handler")  # of the process; apart from the tools', so that they cannot use those up


@dataclass(frozen=True, slots=True)
class _Happened:
    """An event that waits for the handlers."""

    kind: EventKind
    at: datetime
    facts: Mapping[str, JsonValue]


class CallHandlers:
    """The handlers of one call."""

    def __init__(
        self, handlers: Sequence[Handler], *, call_sid: str, engine: PhaseEngine, wish: Callable[[Wish], None]
    ) -> None:
        """`wish`: takes what they want, from any thread."""
        self._handlers, self._call_sid, self._engine = handlers, call_sid, engine
        self._kinds = frozenset(kind for handler in handlers for kind in handler.kinds)
        self._steering = _Steering(wish, call_sid)
        self._waiting: deque[_Happened] = deque()
        self._came = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._in_threads: set[int] = set()  # ids of handlers that a thread is in
        self._noticed: set[object] = set()  # what was logged once and need not be again
        self._time = asyncio.get_running_loop().time
        self._over_since: float | None = None
        self._end: tuple[CallEnded, datetime] | None = None

    def told(self, entry: Entry, at: datetime) -> None:
        """An entry of the call's journal. Never waits."""
        if isinstance(entry, CallEnded):
            self._end = entry, at
            self.leave()
            return
        for kind, facts in _facts(entry, self._engine):
            if kind in self._kinds:
                self._queue(_Happened(kind, at, facts))

    def leave(self) -> None:
        """The call is over, whether or not its end was told: `run` comes to its end."""
        if self._over_since is None:
            self._over_since = self._time()
            self._steering.end()
            if self._patience is not None:
                self._patience.reschedule(self._over_since + BACKLOG_S)
        self._came.set()

    async def run(self) -> None:
        """Tell the handlers until the call has ended and they know of it, at most `FAREWELL_S` later."""
        try:
            async with asyncio.timeout_at(None if self._over_since is None else self._over_since + BACKLOG_S) as limit:
                self._patience = limit
                await self._tell_as_it_comes()
        except TimeoutError:
            self._log("the call is over; a handler that was at work is given up")
        finally:
            self._patience = None
        if self._waiting:
            self._log(f"the call is over; {len(self._waiting)} events were not told to its handlers")
        if self._end is not None:
            await self._tell_the_end(*self._end)

    def _queue(self, happened: _Happened) -> None:
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self._log_once("full", f"{MOST_WAITING} events wait for the call's handlers; the oldest are dropped")
        self._waiting.append(happened)
        self._came.set()

    async def _tell_as_it_comes(self) -> None:
        while self._over_since is None or self._waiting:
            if not self._waiting:
                self._came.clear()
                await self._came.wait()
                continue
            happened = self._waiting.popleft()
            for handler in self._concerned(happened.kind):
                await self._tell(handler, happened, handler.timeout_s)
                if self._over_since is not None and self._time() >= self._over_since + BACKLOG_S:
                    return  # a handler may swallow the cancellation that says so

    async def _tell_the_end(self, ended: CallEnded, at: datetime) -> None:
        assert self._over_since is not None
        concerned = self._concerned("end")
        if not concerned:
            return
        facts = {"reason": ended.reason, "outcome": self._engine.outcome(), "observations": self._engine.known}
        happened = _Happened("end", at, facts)
        for number, handler in enumerate(concerned):
            share_s = (self._over_since + FAREWELL_S - self._time()) / (len(concerned) - number)
            if share_s > 0:
                await self._tell(handler, happened, min(handler.timeout_s, share_s))
            else:
                self._log(f"handler {handler.name} was not told of 'end': the others took all the time")

    def _concerned(self, kind: EventKind) -> list[Handler]:
        return [handler for handler in self._handlers if kind in handler.kinds]

    async def _tell(self, handler: Handler, happened: _Happened, limit_s: float) -> None:
        if id(handler) in self._in_threads:
            self._log_once(id(handler), f"handler {handler.name} still hangs in an earlier event; it is passed over")
            return
        # Copies, so that nothing a handler does to them, now or in its thread later, touches the call or the others.
        event = CallEvent(happened.kind, self._call_sid, happened.at, copy.deepcopy(dict(happened.facts)))
        control = _Control(self._steering, copy.deepcopy(dict(self._engine.values)))
        work = handler.function if iscoroutinefunction(handler.function) else partial(self._in_thread, handler)
        outcome = await run_author_code(
            partial(work, event, control), _nothing, limit_s=limit_s, threads=HANDLER_THREADS
        )
        match outcome:
            case Raised(error=TimeoutError()):
                self._log(f"handler {handler.name} took longer than {limit_s:.1f} s over {happened.kind!r}")
            case Raised():
                self._log(f"handler {handler.name} failed over {happened.kind!r}: {outcome}")
            case NotRun():
                self._log(f"handler {handler.name} was not told of {happened.kind!r}: every thread is at work")

    def _in_thread(self, handler: Handler, event: CallEvent, control: _Control) -> object:
        self._in_threads.add(id(handler))
        try:
            return handler.function(event, control)
        finally:
            self._in_threads.discard(id(handler))

    def _log_once(self, subject: object, line: str) -> None:
        if subject not in self._noticed:
            self._noticed.add(subject)
            self._log(line)

    def _log(self, line: str) -> None:
        log.warning("%s", line, extra=named("handler_trouble", self._call_sid))


def _nothing(value: object) -> None:
    """What a handler returns is of no use."""


# ---- what happened --------------------------------------------------------------------------------------------------


def _facts(entry: Entry, engine: PhaseEngine) -> Iterator[tuple[EventKind, dict[str, JsonValue]]]:
    """The event that an entry stands for, if any."""
    match entry:
        case engine_entries.CallerSaid(text=text):
            yield "transcript", {"speaker": "caller", "text": text}
        case BotSaid(heard_text=text, interrupted=interrupted):
            yield "transcript", {"speaker": "bot", "text": text, "interrupted": interrupted}
        case engine_entries.ObservationRecorded(name=name, value=value):
            yield "observation", {"name": name, "value": value, "state": "recorded"}
        case engine_entries.ObservationFilled(name=name, value=value):
            yield "observation", {"name": name, "value": value, "state": "filled_after"}
        case engine_entries.ObservationDeclined(name=name):
            yield "observation", {"name": name, "value": None, "state": "declined"}
        case engine_entries.ObservationConfirmed(name=name):
            yield "observation", {"name": name, "value": engine.known.get(name), "state": "agreed"}
        case engine_entries.ObservationWithdrawn(name=name):
            yield "observation", {"name": name, "value": engine.known.get(name), "state": "withdrawn"}
        case engine_entries.EvidenceWeighed(subject=name, of="value", state=("confirmed" | "unverifiable") as state):
            yield "observation", {"name": name, "value": engine.known.get(name), "state": state}
        case engine_entries.PhaseEntered(phase=phase, previous=previous, cause=cause):
            yield "phase", {"name": phase, "previous": previous, "cause": cause}
        case engine_entries.ToolAnswered(tool=tool, ok=ok, took_ms=took_ms):
            yield "tool", {"tool": tool, "ok": ok, "took_ms": took_ms}


# ---- what they want -------------------------------------------------------------------------------------------------


class _Steering:
    """What all handlers of a call may still want. Its methods may be called from any thread."""

    def __init__(self, wish: Callable[[Wish], None], call_sid: str) -> None:
        self._wish, self._call_sid = wish, call_sid
        self._lock = threading.Lock()
        self._left = MOST_STEERS
        self._over = self._ending = False

    def end(self) -> None:
        """The call is over."""
        with self._lock:
            self._over = True

    def hang_up(self) -> None:
        """End the call politely, once."""
        with self._lock:
            if self._over or self._ending:
                return
            self._ending = True
        self._wish(EndWanted())

    def ask(self, wish: Wish) -> None:
        """Pass a wish on, if there may be one more."""
        with self._lock:
            if self._over:
                return
            self._left -= 1
            left = self._left
        if left >= 0:
            self._wish(wish)
        elif left == -1:
            line = "the handlers of the call have steered it %d times; no more is heeded"
            log.warning(line, MOST_STEERS, extra=named("handler_steers_too_much", self._call_sid))


class _Control:
    """A handler's hold on its call for one event; see `voicebot.flow.handlers.CallControl`."""

    def __init__(self, steering: _Steering, observations: Mapping[str, object]) -> None:
        self.observations = observations
        self._steering = steering
        self._lock = threading.Lock()
        self._said = False

    def say(self, text: str) -> None:
        """Have these words spoken, exactly; only the first for each event are."""
        words = to_be_said(text)
        with self._lock:
            if self._said or not words:
                return
            self._said = True
        self._steering.ask(SayWanted(words))

    def note(self, text: str) -> None:
        """Tell the model something."""
        if words := as_text(text, LONGEST_NOTE):
            self._steering.ask(NoteWanted(words))

    def hang_up(self) -> None:
        """End the call politely."""
        self._steering.hang_up()
