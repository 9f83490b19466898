"""The store of one machine: a SQLite file that several processes share."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from voicebot.errors import StoreError
from voicebot.log_events import named

from . import sqlite_calls, sqlite_clips, sqlite_erasure, sqlite_letters, sqlite_notes, sqlite_outbox, sqlite_secrets
from .contract import (
    Backlog,
    CallFilter,
    CallRecord,
    Delivery,
    DeliveryState,
    FoundCall,
    NewDelivery,
    StoredEntry,
)
from .sqlite_file import connect, create, empty_log, store_error
from .sqlite_watch import JournalWatch
from .sqlite_writer import GroupedWriter

log = logging.getLogger(__name__)

T = TypeVar("T")

BUSY_TIMEOUT_S = 2.0  # other processes hold the lock for milliseconds; longer is trouble, and calls wait for us
ERASED_AT_ONCE = 20  # calls in one transaction
EMPTY_LOG_AFTER_S = (0.0, 0.2, 0.5, 1.0)
NOTE_LIMIT_S = 0.1
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
        self._watch = JournalWatch(reading, self._read_thread)
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

    # ---- calls and whose they are ---------------------------------------------------------------------------------

    async def open_call(self, record: CallRecord, *, max_calls: int) -> tuple[CallRecord | None, bool]:
        return await self._write(partial(sqlite_calls.open_call, record=record, max_calls=max_calls))

    async def call(self, call_sid: str) -> CallRecord | None:
        return await self._read(partial(sqlite_calls.find_call, call_sid=call_sid))

    async def calls(
        self, limit: int, before: str | None = None, *, caller: str | None = None, ended: bool | None = None
    ) -> list[CallRecord]:
        work = partial(sqlite_calls.list_calls, limit=limit, before=before, caller=caller, ended=ended)
        return await self._read(work)

    async def find_calls(
        self, wanted: CallFilter, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[FoundCall]:
        return await self._read(partial(sqlite_calls.find_calls, wanted=wanted, limit=limit, before=before))

    async def claim_stream(self, call_sid: str, attempt: int, owner: str) -> CallRecord | None:
        work = partial(sqlite_calls.claim_stream, call_sid=call_sid, attempt=attempt, owner=owner)
        return await self._write(work)

    async def take_over(self, call_sid: str, attempt: int, owner: str, *, token_issued_at: int) -> CallRecord | None:
        work = partial(
            sqlite_calls.take_over, call_sid=call_sid, attempt=attempt, owner=owner, token_issued_at=token_issued_at
        )
        return await self._write(work)

    async def beat(self, owner: str, *, takes_calls: bool = True) -> dict[str, int]:
        return await self._write(partial(sqlite_calls.beat, owner=owner, takes_calls=takes_calls))

    async def beats(self) -> dict[str, int]:
        return await self._read(sqlite_calls.list_beats)

    async def takers(self) -> frozenset[str]:
        return await self._read(sqlite_calls.list_takers)

    async def retire(self, owner: str) -> None:
        await self._write(partial(sqlite_calls.retire, owner=owner))

    # ---- letters --------------------------------------------------------------------------------------------------

    async def post_letter(self, owner: str, letter: str) -> None:
        await self._write(partial(sqlite_letters.post, owner=owner, letter=letter))

    async def take_letters(self, owner: str) -> list[str]:
        if not await self._read(partial(sqlite_letters.waiting, owner=owner)):
            return []
        return await self._write(partial(sqlite_letters.take, owner=owner))

    # ---- journals -------------------------------------------------------------------------------------------------

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, attempt: int, durable: bool) -> None:
        self._check_open()
        rows = [sqlite_calls.journal_row(call_sid, entry, attempt) for entry in entries]
        self._writer.buffer(rows)
        if durable:
            await self._write(partial(sqlite_calls.check_stand, call_sid=call_sid, attempt=attempt, rows=rows))

    async def journal(self, call_sid: str, after: int = 0) -> list[StoredEntry]:
        waiting = self._writer.buffered(call_sid)
        work = partial(sqlite_calls.list_entries, call_sid=call_sid, after=after, waiting=waiting)
        return await self._read(work)

    async def follow(self, call_sid: str, after: int, wait_s: float) -> list[StoredEntry]:
        found = await self.journal(call_sid, after)
        if not found and wait_s > 0:
            await self._watch.wait(call_sid, after, wait_s)
            found = await self.journal(call_sid, after)
        return found

    # ---- secrets --------------------------------------------------------------------------------------------------

    async def keep_secret(self, call_sid: str, name: str, sealed: bytes, *, attempt: int) -> None:
        work = partial(sqlite_secrets.keep_secret, call_sid=call_sid, name=name, sealed=sealed, attempt=attempt)
        await self._write(work)

    async def secrets(self, call_sid: str) -> dict[str, bytes]:
        return await self._read(partial(sqlite_secrets.list_secrets, call_sid=call_sid))

    # ---- ends and reports -----------------------------------------------------------------------------------------

    async def finish(
        self,
        call_sid: str,
        report: str,
        deliveries: Sequence[NewDelivery],
        *,
        attempt: int,
        ended: datetime,
        last_entries: Sequence[StoredEntry] = (),
    ) -> bool:
        work = partial(
            sqlite_calls.finish,
            call_sid=call_sid,
            report=report,
            deliveries=tuple(deliveries),
            attempt=attempt,
            ended=ended,
            last_rows=[sqlite_calls.journal_row(call_sid, entry, attempt) for entry in last_entries],
        )
        return await self._write(work)

    async def report(self, call_sid: str) -> str | None:
        return await self._read(partial(sqlite_calls.find_report, call_sid=call_sid))

    async def reports(self, call_sids: Sequence[str]) -> dict[str, str]:
        return await self._read(partial(sqlite_calls.find_reports, call_sids=tuple(call_sids)))

    # ---- deliveries -----------------------------------------------------------------------------------------------

    async def enqueue(self, call_sid: str, deliveries: Sequence[NewDelivery], now: datetime) -> None:
        work = partial(sqlite_outbox.enqueue, call_sid=call_sid, deliveries=tuple(deliveries), now=now)
        await self._write(work)

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

    async def deliveries(
        self,
        limit: int,
        state: DeliveryState | None = None,
        *,
        call_sid: str | None = None,
        before: tuple[datetime, str] | None = None,
    ) -> list[Delivery]:
        work = partial(sqlite_outbox.list_deliveries, limit=limit, state=state, call_sid=call_sid, before=before)
        return await self._read(work)

    async def delivery(self, webhook_id: str) -> Delivery | None:
        return await self._read(partial(sqlite_outbox.find_delivery, webhook_id=webhook_id))

    async def backlog(self) -> Backlog:
        return await self._read(sqlite_outbox.read_backlog)

    async def requeue(self, webhook_id: str, now: datetime) -> bool:
        return await self._write(partial(sqlite_outbox.requeue, webhook_id=webhook_id, now=now))

    # ---- exact statements -----------------------------------------------------------------------------------------

    async def clip(self, key: str) -> bytes | None:
        found = await self._read(partial(sqlite_clips.find_clip, key=key))
        if found is None:
            return None
        payload, noted = found
        if not noted:
            try:
                async with asyncio.timeout(NOTE_LIMIT_S):
                    await self._write(partial(sqlite_clips.note_use, key=key))
            except (StoreError, TimeoutError) as exc:  # a caller waits for the words, and they are here
                log.warning(
                    "the use of a clip is not noted: %s",
                    str(exc) or "the file is busy",
                    extra=named("store_clip_use_not_noted"),
                )
        return payload

    async def keep_clip(self, key: str, payload: bytes) -> None:
        await self._write(partial(sqlite_clips.keep_clip, key=key, payload=payload))

    # ---- notes ----------------------------------------------------------------------------------------------------

    async def note(self, key: str) -> str | None:
        return await self._read(partial(sqlite_notes.find_note, key=key))

    async def put_note(self, key: str, body: str | None, *, instead_of: str | None) -> bool:
        return await self._write(partial(sqlite_notes.put_note, key=key, body=body, instead_of=instead_of))

    async def notes(self, prefix: str) -> dict[str, str]:
        return await self._read(partial(sqlite_notes.list_notes, prefix=prefix))

    # ---- retention ------------------------------------------------------------------------------------------------

    async def erase(self, call_sid: str) -> bool:
        erased = await self._write(partial(sqlite_erasure.erase, call_sid=call_sid))
        if erased:
            await self._empty_log()
        return erased

    async def erase_caller(self, number: str) -> list[str]:
        return await self._erase(partial(sqlite_erasure.erase_of_number, number=number), sys.maxsize)

    async def erase_before(self, moment: datetime, *, limit: int = 500) -> list[str]:
        return await self._erase(partial(sqlite_erasure.erase_before, moment=moment), limit)

    # ---- the whole ------------------------------------------------------------------------------------------------

    def healthy(self) -> bool:
        return self._writer.healthy and not self._closed

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._watch.close()
        try:
            await self._writer.close()
        finally:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._read_thread, self._reading.close)
            await loop.run_in_executor(self._write_thread, self._writing.close)
            self._read_thread.shutdown()
            self._write_thread.shutdown()

    async def _erase(self, some: Callable[..., list[str]], limit: int) -> list[str]:
        """Erase up to `limit` calls, `some` at a time, so that no other write waits long."""
        erased: list[str] = []
        found = True
        while found and len(erased) < limit:
            room = min(limit - len(erased), ERASED_AT_ONCE)
            part = await self._write(partial(some, limit=room))
            erased += part
            found = len(part) == room
        if erased:
            await self._empty_log()
        return erased

    async def _empty_log(self) -> None:
        loop = asyncio.get_running_loop()
        for delay_s in EMPTY_LOG_AFTER_S:
            await asyncio.sleep(delay_s)
            # In the thread that reads: nothing of this process reads meanwhile.
            if await loop.run_in_executor(self._read_thread, empty_log, self._path):
                return
        log.warning(
            "%s: what was erased is still in its write-ahead log, until that is written anew",
            self._path,
            extra=named("store_erased_still_in_wal"),
        )

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
