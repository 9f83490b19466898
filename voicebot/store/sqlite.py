"""The store of one machine: a SQLite file that several processes share."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from voicebot.errors import StoreError

from . import sqlite_calls, sqlite_outbox
from .contract import CallRecord, Delivery, DeliveryState, NewDelivery, StoredEntry
from .sqlite_file import connect, create, store_error
from .sqlite_writer import GroupedWriter

T = TypeVar("T")

BUSY_TIMEOUT_S = 2.0  # other processes hold the lock for milliseconds; longer is trouble, and calls wait for us
BUFFER_BYTES = 64 * 1024 * 1024  # several minutes of a hundred calls' journals, should the disk be full


class SqliteStore:
    """`Store` in a SQLite file. Writes go through a `GroupedWriter`; reads have their own thread and connection."""

    def __init__(
        self, path: Path, writing: sqlite3.Connection, reading: sqlite3.Connection, *, buffer_bytes: int
    ) -> None:
        """Takes over two connections; use `open`."""
        self._path, self._writing, self._reading = path, writing, reading
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._writer = GroupedWriter(path, writing, self._write_thread, buffer_bytes)
        self._closed = False

    @classmethod
    async def open(
        cls, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S, buffer_bytes: int = BUFFER_BYTES
    ) -> Self:
        """Open the file, with its folder and schema made if need be.

        Args:
            path: on a local disk; file systems shared over a network do not keep SQLite's locks.
            busy_timeout_s: how long a write waits for other processes.
            buffer_bytes: how much of journals is kept at most while the file cannot be written to.

        Raises:
            StoreError: it cannot be opened.
        """
        writing, reading = await asyncio.to_thread(_open_both, path, busy_timeout_s)
        return cls(path, writing, reading, buffer_bytes=buffer_bytes)

    # ---- calls and their journals ---------------------------------------------------------------------------------

    async def open_call(self, record: CallRecord) -> tuple[CallRecord, bool]:
        return await self._write(partial(sqlite_calls.open_call, record=record))

    async def call(self, call_sid: str) -> CallRecord | None:
        return await self._read(partial(sqlite_calls.find_call, call_sid=call_sid))

    async def calls(self, limit: int, before: str | None = None) -> list[CallRecord]:
        return await self._read(partial(sqlite_calls.list_calls, limit=limit, before=before))

    async def claim_token(self, call_sid: str, attempt: int, now: datetime) -> bool:
        return await self._write(partial(sqlite_calls.claim_token, call_sid=call_sid, attempt=attempt, now=now))

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, durable: bool) -> None:
        self._check_open()
        rows = [sqlite_calls.journal_row(call_sid, entry) for entry in entries]
        self._writer.buffer(rows)
        if durable:
            await self._write(partial(sqlite_calls.check_stand, rows=rows))

    async def journal(self, call_sid: str, after: int = 0) -> list[StoredEntry]:
        # Taken before the file is read: rows only ever go from here to there, so none is missed.
        waiting = {row[1]: row for row in self._writer.buffered(call_sid) if row[1] > after}
        stored = await self._read(partial(sqlite_calls.list_entries, call_sid=call_sid, after=after))
        rows = waiting | {row[1]: row for row in stored}
        return [sqlite_calls.stored_entry(rows[sequence]) for sequence in sorted(rows)]

    async def finish(
        self,
        call_sid: str,
        report: str,
        deliveries: Sequence[NewDelivery],
        *,
        ended: datetime,
        last_entries: Sequence[StoredEntry] = (),
    ) -> bool:
        work = partial(
            sqlite_calls.finish,
            call_sid=call_sid,
            report=report,
            deliveries=tuple(deliveries),
            ended=ended,
            last_rows=[sqlite_calls.journal_row(call_sid, entry) for entry in last_entries],
        )
        return await self._write(work)

    async def report(self, call_sid: str) -> str | None:
        return await self._read(partial(sqlite_calls.find_report, call_sid=call_sid))

    # ---- outbox ---------------------------------------------------------------------------------------------------

    async def due(
        self, now: datetime, *, limit: int, lease_s: float, per_host: int, under_way: Mapping[str, int]
    ) -> list[Delivery]:
        work = partial(
            sqlite_outbox.lease,
            now=now,
            lapses=now + timedelta(seconds=lease_s),
            limit=limit,
            per_host=per_host,
            under_way=dict(under_way),
        )
        return await self._write(work)

    async def next_due(self, after: datetime) -> datetime | None:
        return await self._read(partial(sqlite_outbox.next_due, after=after))

    async def delivered(self, webhook_id: str, now: datetime, status: int) -> None:
        await self._write(partial(sqlite_outbox.note_delivered, webhook_id=webhook_id, now=now, status=status))

    async def failed(
        self,
        webhook_id: str,
        now: datetime,
        reason: str,
        *,
        attempt: int,
        next_at: datetime | None,
        disable: bool = False,
    ) -> None:
        work = partial(
            sqlite_outbox.note_failed,
            webhook_id=webhook_id,
            now=now,
            reason=reason,
            attempt=attempt,
            next_at=next_at,
            disable=disable,
        )
        await self._write(work)

    async def deliveries(self, limit: int, state: DeliveryState | None = None) -> list[Delivery]:
        return await self._read(partial(sqlite_outbox.list_deliveries, limit=limit, state=state))

    async def requeue(self, webhook_id: str, now: datetime) -> bool:
        return await self._write(partial(sqlite_outbox.requeue, webhook_id=webhook_id, now=now))

    # ---- the whole ------------------------------------------------------------------------------------------------

    def healthy(self) -> bool:
        return self._writer.healthy and not self._closed

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._writer.close()
        finally:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._read_thread, self._reading.close)
            await loop.run_in_executor(self._write_thread, self._writing.close)
            self._read_thread.shutdown()
            self._write_thread.shutdown()

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        return await self._writer.run(work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._read_thread, work, self._reading)
        except sqlite3.Error as exc:
            raise store_error(self._path, exc) from exc

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._path}: the store is closed")


def _open_both(path: Path, busy_timeout_s: float) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    create(path, busy_timeout_s)
    return connect(path, busy_timeout_s), connect(path, busy_timeout_s, read_only=True)
