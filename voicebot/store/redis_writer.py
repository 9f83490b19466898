"""Group writes: what collects while one group is under way goes with the next, on one connection and one thread.

Two kinds of work wait here, in the order in which they came:

- appends, journal entries in a bounded buffer. They are kept until Redis has answered for them, so an outage loses none
  and keeps their order; on their own they wait for a short timer.
- jobs, commands whose answer somebody awaits. They start a group at once. While the server is known to be in trouble
  they are refused at once: a call must not wait seconds at every step of an outage.

A fail-over may lose the last writes of the old primary, for replicas lag behind. So entries, and what was done to the
calls they are of, are remembered for a while, and sent again, before anything newer, when the server turns out to be
another; Redis leaves alone what it has, and refuses what has been overtaken.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from voicebot.errors import CallTakenError, StoreError
from voicebot.log_events import named

from .contract import StoredEntry
from .redis_address import RedisAddress
from .redis_errors import RedisAwayError, RedisTroubleError, away
from .redis_link import RedisLink, Server
from .redis_program import Argument, Command, encoded, key_of, operation
from .redis_values import Reply, entry_arguments, flat, items, number
from .retries import retry_delay_s

log = logging.getLogger(__name__)

GROUP_S = 0.04  # how long entries wait for company; with the round trip they are written within 50 ms
GROUP_BYTES = 512 * 1024  # of one group, so that it has an answer well within the time limit
GROUP_LIMIT_S = 4.0  # from a group's start to its end, with a new connection if need be
ENTRY_OVERHEAD_BYTES = 400  # of an entry and its short fields in memory
REMEMBERED_S = 30.0  # longer than Sentinel usually takes to replace a primary
REMEMBERED_BYTES = 16 * 1024 * 1024

T = TypeVar("T")
Answer = Reply | StoreError


@dataclass(slots=True, eq=False)
class _Append:
    call_sid: str
    attempt: int
    entries: tuple[StoredEntry, ...]
    done: asyncio.Future[None] | None = None  # of a durable one, until it is settled
    arguments: list[Argument] = field(init=False)
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.arguments = flat(map(entry_arguments, self.entries))
        # The body is kept twice: as it was given, for who reads the journal meanwhile, and as it will be sent.
        self.bytes = sum(ENTRY_OVERHEAD_BYTES + 2 * len(entry.body) for entry in self.entries)


@dataclass(slots=True, eq=False)
class _Job:
    command: Command
    call_sid: str | None  # that it is remembered for; None if it is not
    done: asyncio.Future[Reply]
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.bytes = sum(len(argument) for argument in self.command if not isinstance(argument, int))


@dataclass(slots=True, eq=False)
class _Line:
    """A command of a group, and for what: one job, or appends to one call."""

    command: Command
    job: _Job | None = None
    appends: list[_Append] = field(default_factory=list)


class RedisWriter:
    """Owns the writing connection and its thread. Its methods are called from the event loop it was made in."""

    def __init__(self, address: RedisAddress, link: RedisLink, executor: ThreadPoolExecutor, limit_bytes: int) -> None:
        self._address, self._link, self._executor, self._limit_bytes = address, link, executor, limit_bytes
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Append | _Job] = []
        self._under_way: list[_Append | _Job] = []  # the group that is being written
        self._bytes = 0  # of the appends in both
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[tuple[Server, list[Answer]]] | None = None
        self._closed = False
        self._failures = 0
        self._problem: RedisTroubleError | None = None
        self.server: Server | None = None
        """What answered last."""
        # Of the thread alone:
        self._remembered: deque[tuple[float, _Append | _Job]] = deque()
        self._remembered_bytes = 0
        self._run_id: str | None = None

    @property
    def healthy(self) -> bool:
        return self._failures == 0

    def buffer(self, call_sid: str, entries: Sequence[StoredEntry], attempt: int) -> None:
        """Write these soon, and in this order.

        Raises:
            StoreError: too much waits already; none of them was kept.
        """
        self._keep(_Append(call_sid, attempt, tuple(entries)))
        if self._timer is None and self._writing is None:
            self._start_in(GROUP_S)

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], attempt: int) -> None:
        """Write these at once; returns when Redis has them.

        Raises:
            CallTakenError: they were dropped.
            StoreError: they are kept, and written later. Or: too much waits, and they were not kept. Or: another entry
                stands in the place of one of them.
        """
        if self._problem is not None:
            self._keep(_Append(call_sid, attempt, tuple(entries)))
            raise StoreError(str(self._problem))
        done: asyncio.Future[None] = self._loop.create_future()
        self._keep(_Append(call_sid, attempt, tuple(entries), done))
        self._start()
        await done

    async def run(self, command: Command, *, call_sid: str | None = None) -> Reply:
        """Do this after all that came before; returns the answer.

        With `call_sid`, it changes this call, and has the same effect however often it is sent.

        Raises:
            StoreError: the server refused it, or is away.
        """
        if self._problem is not None:
            raise StoreError(str(self._problem))
        job = _Job(tuple(map(encoded, command)), call_sid, self._loop.create_future())
        self._waiting.append(job)
        self._start()
        return await job.done

    def buffered(self, call_sid: str) -> dict[int, list[StoredEntry]]:
        """Entries of a call that may not be in Redis yet, by the attempt that they were written with."""
        found: dict[int, list[StoredEntry]] = {}
        for item in (*self._under_way, *self._waiting):
            if isinstance(item, _Append) and item.call_sid == call_sid:
                found.setdefault(item.attempt, []).extend(item.entries)
        return found

    async def forget(self, call_sids: Collection[str]) -> None:
        """Nothing of these calls is to be sent again."""
        await self._loop.run_in_executor(self._executor, self._forget, call_sids)

    def check_reachable(self) -> None:
        """Raises:
        StoreError: the server is known not to answer. One that only takes no writes can still be read from.
        """
        if isinstance(self._problem, RedisAwayError):
            raise RedisAwayError(str(self._problem))

    def probe(self) -> None:
        """Find out soon whether the server takes writes: somebody could not read from it."""
        if self._problem is None and not self._closed:
            self._start()

    async def close(self) -> None:
        """Write what waits, with one more try if the server is in trouble.

        Raises:
            StoreError: entries could not be written.
        """
        while self._writing is not None:
            await asyncio.wait([self._writing])
        self._closed = True
        failures = self._failures
        while self._waiting and self._failures <= failures:
            self._start()
            while self._writing is not None:
                await asyncio.wait([self._writing])
        if self._timer is not None:
            self._timer.cancel()
        await self._loop.run_in_executor(self._executor, self._link.close)
        if entries := self._entries():
            raise StoreError(f"{self._address}: {entries} journal entries could not be written")

    # ---- on the event loop ----------------------------------------------------------------------------------------

    def _keep(self, append: _Append) -> None:
        if self._bytes + append.bytes > self._limit_bytes:
            entries = self._entries()
            raise StoreError(f"{self._address}: {entries} journal entries wait to be written, no more are kept")
        self._waiting.append(append)
        self._bytes += append.bytes

    def _entries(self) -> int:
        return sum(len(item.entries) for item in (*self._under_way, *self._waiting) if isinstance(item, _Append))

    def _start_in(self, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            return  # its end starts the next one
        self._under_way = _first_group(self._waiting)
        del self._waiting[: len(self._under_way)]
        lines = _lines(self._under_way) or [_Line(("SET", key_of("written"), 1))]  # a probe really writes something
        self._watch = self._loop.call_later(GROUP_LIMIT_S, self._note_hang)
        self._writing = self._loop.run_in_executor(self._executor, self._write, lines)
        self._writing.add_done_callback(partial(self._written, lines))

    def _note_hang(self) -> None:
        """The thread waits for what has no limit of its own, as for names to be resolved."""
        self._note_failure(away(self._address, f"has not answered for {GROUP_LIMIT_S:g} s", "see to the network"))

    def _written(self, lines: list[_Line], writing: asyncio.Future[tuple[Server, list[Answer]]]) -> None:
        self._writing = None
        if self._watch is not None:
            self._watch.cancel()
        if (error := writing.exception()) is None:
            self.server, answers = writing.result()
        else:
            answers = [_trouble(error)] * len(lines)
        kept = [append for line, answer in zip(lines, answers, strict=True) for append in _settle(line, answer)]
        self._bytes -= sum(item.bytes for item in self._under_way if isinstance(item, _Append))
        self._bytes += sum(append.bytes for append in kept)
        self._under_way = []
        self._waiting[:0] = kept
        if problems := [answer for answer in answers if isinstance(answer, RedisTroubleError)]:
            self._note_failure(problems[0])
        else:
            self._note_success()
        self._go_on()

    def _note_success(self) -> None:
        if self._failures:
            log.warning(
                "%s is written to again, after %d tries that failed",
                self._address,
                self._failures,
                extra=named("store_write_recovered"),
            )
        self._failures, self._problem = 0, None

    def _note_failure(self, problem: RedisTroubleError) -> None:
        self._failures += 1
        self._problem = problem
        if self._failures == 1:
            log.error("journal entries are kept and tried again: %s", problem, extra=named("store_write_failed"))
        for item in (*self._under_way, *self._waiting):
            if item.done is not None:
                _refuse(item.done, StoreError(str(problem)))
        self._waiting = [item for item in self._waiting if isinstance(item, _Append)]
        for item in self._waiting:
            item.done = None

    def _go_on(self) -> None:
        if self._failures:  # also with nothing to write: health must come back by itself
            self._start_in(retry_delay_s(self._failures))
        elif self._bytes > GROUP_BYTES or any(item.done is not None for item in self._waiting):
            self._start()
        elif self._waiting:
            self._start_in(GROUP_S)

    # ---- on the thread --------------------------------------------------------------------------------------------

    def _write(self, lines: Sequence[_Line]) -> tuple[Server, list[Answer]]:
        return self._link.attempt(partial(self._write_once, lines))

    def _write_once(self, lines: Sequence[_Line]) -> tuple[Server, list[Answer]]:
        server = self._link.server()
        if server.run_id != self._run_id:
            self._write_again()
            self._run_id = server.run_id
        answers = self._link.run([line.command for line in lines])
        for line, answer in zip(lines, answers, strict=True):
            if answer is not None and not isinstance(answer, StoreError):
                self._remember(line)
        return server, answers

    def _write_again(self) -> None:
        """What another server, or this one before it started anew, has answered for of late."""
        remembered = [item for _, item in self._remembered]
        while remembered:
            group = _first_group(remembered)
            for answer in self._link.run([line.command for line in _lines(group)]):
                if isinstance(answer, RedisTroubleError):
                    raise answer
            del remembered[: len(group)]

    def _remember(self, line: _Line) -> None:
        now = time.monotonic()
        items: list[_Append | _Job] = [*line.appends]
        if line.job is not None and line.job.call_sid is not None:
            items.append(line.job)
        for item in items:
            self._remembered.append((now, item))
            self._remembered_bytes += item.bytes
        while self._remembered and (
            self._remembered[0][0] < now - REMEMBERED_S or self._remembered_bytes > REMEMBERED_BYTES
        ):
            self._remembered_bytes -= self._remembered.popleft()[1].bytes

    def _forget(self, call_sids: Collection[str]) -> None:
        self._remembered = deque(one for one in self._remembered if one[1].call_sid not in call_sids)
        self._remembered_bytes = sum(item.bytes for _, item in self._remembered)


def _first_group(waiting: Sequence[_Append | _Job]) -> list[_Append | _Job]:
    """What goes together: at least one, and then as many as fit into `GROUP_BYTES`."""
    size = count = 0
    for item in waiting:
        size += item.bytes
        if count and size > GROUP_BYTES:
            break
        count += 1
    return list(waiting[:count])


def _lines(group: Sequence[_Append | _Job]) -> list[_Line]:
    """The commands of a group; appends to one call become one, unless a job stands between them."""
    lines: list[_Line] = []
    of_call: dict[tuple[str, int], _Line] = {}
    for item in group:
        if isinstance(item, _Job):
            lines.append(_Line(item.command, job=item))
            of_call.clear()
        elif line := of_call.get((item.call_sid, item.attempt)):
            line.command = (*line.command, *item.arguments)
            line.appends.append(item)
        else:
            command = operation("append", item.call_sid, item.attempt, *item.arguments)
            lines.append(_Line(command, appends=[item]))
            of_call[item.call_sid, item.attempt] = lines[-1]
    return lines


def _settle(line: _Line, answer: Answer) -> list[_Append]:
    """Tell those who wait; returns the appends that are to be kept."""
    if line.job is not None:
        _tell(line.job.done, answer)
        return []
    kept = isinstance(answer, RedisTroubleError)
    for append in line.appends:
        verdict = answer if isinstance(answer, StoreError) else _verdict(append, answer)
        if verdict is not None and not kept:
            _log_loss(append, verdict)
        if append.done is not None:
            _tell(append.done, verdict)
            append.done = None
    return line.appends if kept else []


def _log_loss(append: _Append, verdict: StoreError) -> None:
    if isinstance(verdict, CallTakenError):
        log.warning(
            "%d journal entries of attempt %d were dropped",
            len(append.entries),
            append.attempt,
            extra=named("store_entries_dropped", append.call_sid),
        )
    else:
        log.error(
            "of %d journal entries some are lost: %s",
            len(append.entries),
            verdict,
            extra=named("store_entries_lost", append.call_sid),
        )


def _verdict(append: _Append, answer: Reply) -> StoreError | None:
    """What `program.append` says of these entries; None if they are in the journal."""
    if answer is None:
        return CallTakenError(append.call_sid)
    refused = set(map(number, items(answer)))
    for entry in append.entries:
        if entry.sequence in refused:
            return StoreError(f"call {append.call_sid}: entry {entry.sequence} is in the journal with another content")
    return None


def _tell(done: asyncio.Future[T], answer: T | StoreError) -> None:
    if isinstance(answer, StoreError):
        _refuse(done, answer)
    elif not done.done():  # or its caller was cancelled
        done.set_result(answer)


def _refuse(done: asyncio.Future[None] | asyncio.Future[Reply] | asyncio.Future[T], error: StoreError) -> None:
    if not done.done():
        done.set_exception(error)


def _trouble(error: BaseException) -> RedisTroubleError:
    if isinstance(error, RedisTroubleError):
        return error
    if not isinstance(error, StoreError):
        log.error("a defect: journal entries are kept", exc_info=error, extra=named("store_defect"))
    return RedisTroubleError(str(error) or repr(error))
