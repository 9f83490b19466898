"""Group commit: all writes of a process go through one thread, as many as wait into one transaction.

A commit with `synchronous=FULL` costs a disk flush whatever its size. So while one transaction is under way, everything
asked for meanwhile collects, and the next transaction takes all of it. Two kinds of work wait here:

- journal rows, in a bounded buffer. They are kept until a transaction with them has committed, so a full disk or a
  lock loses none; on their own they wait for a short timer.
- jobs, which somebody awaits. They start a transaction at once; all rows buffered before are written before them.
  A job that fails is not tried again: its caller is told.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from voicebot.errors import StoreError
from voicebot.log_events import named

from .sqlite_calls import JournalRow, insert_entries
from .sqlite_file import store_error

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

GROUP_S = 0.04  # how long rows wait for company; with the commit itself they are on disk within 50 ms
RETRY_LIMIT_S = 2.0
ROW_OVERHEAD_BYTES = 400  # of a row's tuple and its short fields in memory


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[object]
    done: asyncio.Future[object]


class GroupedWriter:
    """Owns the writing connection and its thread. Its methods are called from the event loop it was made in."""

    def __init__(self, path: Path, connection: sqlite3.Connection, executor: ThreadPoolExecutor, limit_bytes: int):
        self._path, self._connection, self._executor, self._limit_bytes = path, connection, executor, limit_bytes
        self._loop = asyncio.get_running_loop()
        self._rows: list[JournalRow] = []
        self._bytes = 0
        self._jobs: list[_Job] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[list[object]] | None = None
        self._failures = 0

    @property
    def healthy(self) -> bool:
        return self._failures == 0

    def buffer(self, rows: Sequence[JournalRow]) -> None:
        """Write these soon, and in this order.

        Raises:
            StoreError: too much waits already; none of them was kept.
        """
        size = sum(map(_size, rows))
        if self._bytes + size > self._limit_bytes:
            raise StoreError(f"{self._path}: {len(self._rows)} journal entries wait to be written, no more are kept")
        self._rows.extend(rows)
        self._bytes += size
        if self._timer is None and self._writing is None:
            self._start_in(GROUP_S)

    def buffered(self, call_sid: str) -> list[JournalRow]:
        """Rows of a call that may not be on disk yet."""
        return [row for row in self._rows if row[0] == call_sid]

    async def run(self, work: Work[T]) -> T:
        """Do `work` in a transaction, on the writer's thread, after all rows buffered so far; returns once committed.

        Raises:
            StoreError: nothing of it was done.
        """
        job = _Job(work, self._loop.create_future())
        self._jobs.append(job)
        self._start()
        return cast(T, await job.done)

    async def close(self) -> None:
        """Write what waits, with one more try if the store is in trouble.

        Raises:
            StoreError: rows could not be written.
        """
        while self._writing is not None:
            await asyncio.wait([self._writing])
        if self._rows:
            self._start()
            while self._writing is not None:
                await asyncio.wait([self._writing])
        if self._timer is not None:
            self._timer.cancel()
        if self._rows:
            raise StoreError(f"{self._path}: {len(self._rows)} journal entries could not be written")

    def _start_in(self, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            return  # its end starts the next one
        rows, jobs = tuple(self._rows), self._jobs
        self._jobs = []
        self._writing = self._loop.run_in_executor(self._executor, self._write, rows, [job.work for job in jobs])
        self._writing.add_done_callback(partial(self._written, len(rows), jobs))

    def _write(self, rows: Sequence[JournalRow], works: Sequence[Work[object]]) -> list[object]:
        """One transaction, on the writer's thread: the result of each work, or the exception that undid it alone."""
        connection = self._connection
        if connection.in_transaction:
            connection.rollback()  # a roll-back of before that failed, too
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            insert_entries(connection, rows)
            results = [_attempt(connection, work) for work in works]
            if not rows and not works:  # a probe after trouble: really write something
                connection.execute("UPDATE schema_version SET version = version")
        return results

    def _written(self, rows: int, jobs: Sequence[_Job], writing: asyncio.Future[list[object]]) -> None:
        self._writing = None
        error = writing.exception()
        if error is None:
            self._note_success(rows)
            for job, result in zip(jobs, writing.result(), strict=True):
                self._settle(job, result)
        else:
            self._note_failure(error)
            for job in jobs:
                self._settle(job, error)
        self._go_on()

    def _go_on(self) -> None:
        if self._jobs:
            self._start()
        elif self._failures:  # also with nothing to write: health must come back by itself
            self._start_in(min(GROUP_S * 2.0 ** min(self._failures, 10), RETRY_LIMIT_S))
        elif self._rows:
            self._start_in(GROUP_S)

    def _settle(self, job: _Job, result: object) -> None:
        if job.done.done():
            return  # its caller was cancelled
        if isinstance(result, (sqlite3.Error, OSError)):
            error = store_error(self._path, result)
            error.__cause__ = result
            job.done.set_exception(error)
        elif isinstance(result, BaseException):
            job.done.set_exception(result)
        else:
            job.done.set_result(result)

    def _note_success(self, rows: int) -> None:
        self._bytes -= sum(map(_size, self._rows[:rows]))
        del self._rows[:rows]
        if self._failures:
            log.warning(
                "%s is written to again, after %d tries that failed",
                self._path,
                self._failures,
                extra=named("store_write_recovered"),
            )
        self._failures = 0

    def _note_failure(self, error: BaseException) -> None:
        self._failures += 1
        if self._failures == 1:
            log.error(
                "%s cannot be written to; entries are kept and tried again: %s",
                self._path,
                error,
                extra=named("store_write_failed"),
            )


def _attempt(connection: sqlite3.Connection, work: Work[object]) -> object:
    connection.execute("SAVEPOINT job")
    try:
        result = work(connection)
    except (sqlite3.Error, StoreError, ValueError) as exc:
        if not connection.in_transaction:
            raise  # SQLite gave up the whole transaction (disk full, I/O)
        connection.execute("ROLLBACK TO job")
        result = exc
    connection.execute("RELEASE job")
    return result


def _size(row: JournalRow) -> int:
    return ROW_OVERHEAD_BYTES + len(row[5])
