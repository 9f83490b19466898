"""The store of many machines: one Redis primary that all instances share, with Sentinel if it may be replaced."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Self, TypeVar

from voicebot.errors import CallTakenError, StoreError
from voicebot.log_events import named

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
from .digest import digest_of, write_digest
from .redis_address import RedisAddress
from .redis_errors import RedisAwayError
from .redis_link import ANSWER_S, LinkPool, RedisLink
from .redis_opening import prepare
from .redis_program import Argument, Command, key_of, operation
from .redis_sync import RedisSync
from .redis_values import (
    Reply,
    backlog,
    call_record,
    call_records,
    counts,
    deliveries,
    delivery,
    delivery_arguments,
    entry_arguments,
    filter_arguments,
    flat,
    found_calls,
    items,
    number,
    record_fields,
    sealed_values,
    stored_entries,
    text,
    texts,
)
from .redis_writer import RedisWriter
from .values import from_us, sound, to_us

log = logging.getLogger(__name__)

T = TypeVar("T")

BUFFER_BYTES = 64 * 1024 * 1024  # several minutes of a hundred calls' journals, should the server be away
READERS = 4
FOLLOWERS = 32  # that wait at once; more of them get their turn as others return
READ_LIMIT_S = 4.0  # with a new connection if need be
FOLLOW_SLICE_S = 1.0  # one wait inside the server: how soon a follower notices that nobody waits for it any more
CLIP_S = 30 * 24 * 3600  # since it was last asked for
# How much one operation does, for the server does nothing else meanwhile: a few milliseconds.
ERASED_AT_ONCE = 20  # calls
HELD_AT_ONCE = 100  # deliveries
LOOKED_AT_ONCE = 1000  # calls, of which some are looked for


class RedisStore:
    """`Store` in Redis. Writes go through a `RedisWriter`; reads and followers have threads and connections too.

    Every change is one run of the program in `lua/`. One that was sent again because its answer was lost is told from
    one that another sent by an id of its own, so that for instance a stream that did claim its call is not refused.

    What was erased is still in the server's append-only file until that is next rewritten (BGREWRITEAOF does it at
    once).
    """

    def __init__(self, address: RedisAddress, link: RedisLink, write_thread: ThreadPoolExecutor, buffer_bytes: int):
        """Takes over a link; use `open`."""
        self._address = address
        self._write_thread = write_thread
        self._sync_thread = ThreadPoolExecutor(1, thread_name_prefix="store-sync")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._follow_threads = ThreadPoolExecutor(FOLLOWERS, thread_name_prefix="store-follow")
        self._writer = RedisWriter(address, link, write_thread, buffer_bytes)
        self._sync = RedisSync(address, self._sync_thread)
        self._reading = LinkPool(address)
        self._following = LinkPool(address, answer_s=FOLLOW_SLICE_S + ANSWER_S)
        self._closed = threading.Event()

    @classmethod
    async def open(cls, address: RedisAddress, *, buffer_bytes: int = BUFFER_BYTES) -> Self:
        """Connect, see that the server is one we can work with, and say what of our promises it cannot keep.

        Args:
            buffer_bytes: how much of journals is kept at most while the server is away.

        Raises:
            StoreError: it cannot be reached, refuses us, or was written to by a newer version.
        """
        link, thread = RedisLink(address), ThreadPoolExecutor(1, thread_name_prefix="store-write")
        try:
            await asyncio.get_running_loop().run_in_executor(thread, prepare, address, link)
        except StoreError:
            thread.shutdown()
            raise
        return cls(address, link, thread, buffer_bytes)

    # ---- calls and whose they are ---------------------------------------------------------------------------------

    async def open_call(self, record: CallRecord, *, max_calls: int) -> tuple[CallRecord | None, bool]:
        arguments = (record.call_sid, max_calls, _request(), *record_fields(record))
        reply = await self._write(operation("open_call", *arguments), record.call_sid)
        standing, opened = items(reply)
        return call_record(standing), opened == 1

    async def call(self, call_sid: str) -> CallRecord | None:
        return call_record(await self._read(operation("call", call_sid)))

    async def calls(
        self, limit: int, before: str | None = None, *, caller: str | None = None, ended: bool | None = None
    ) -> list[CallRecord]:
        chosen = "" if ended is None else str(int(ended))
        return call_records(await self._read(operation("calls", limit, before or "", caller or "", chosen)))

    async def find_calls(
        self, wanted: CallFilter, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[FoundCall]:
        found: list[FoundCall] = []
        place: tuple[str, str] | None = ("", "") if before is None else (str(to_us(before[0])), before[1])
        while place is not None and len(found) < limit:
            arguments = (limit - len(found), LOOKED_AT_ONCE, *place, *filter_arguments(wanted))
            started, call_sid, some = items(await self._read(operation("find_calls", *arguments)))
            found += found_calls(some)
            place = None if started is None else (text(started), text(call_sid))
        return found

    async def claim_stream(self, call_sid: str, attempt: int, owner: str) -> CallRecord | None:
        claim = operation("claim_stream", call_sid, attempt, owner, _request())
        return call_record(await self._write(claim, call_sid))

    async def take_over(self, call_sid: str, attempt: int, owner: str, *, token_issued_at: int) -> CallRecord | None:
        arguments = (call_sid, attempt, owner, token_issued_at, _request())
        return call_record(await self._write(operation("take_over", *arguments), call_sid))

    async def beat(self, owner: str, *, takes_calls: bool = True) -> dict[str, int]:
        return counts(await self._write(operation("beat", owner, int(takes_calls))))

    async def beats(self) -> dict[str, int]:
        return counts(await self._read(("HGETALL", key_of("beats"))))

    async def takers(self) -> frozenset[str]:
        return frozenset(texts(await self._read(("SMEMBERS", key_of("takers")))))

    async def retire(self, owner: str) -> None:
        await self._write(operation("retire", owner))

    # ---- letters --------------------------------------------------------------------------------------------------

    async def post_letter(self, owner: str, letter: str) -> None:
        await self._write(operation("post_letter", owner, letter))

    async def take_letters(self, owner: str) -> list[str]:
        if not await self._read(("EXISTS", key_of("letters", owner))):
            return []
        return texts(await self._write(operation("take_letters", owner)))

    # ---- journals -------------------------------------------------------------------------------------------------

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, attempt: int, durable: bool) -> None:
        self._check_open()
        if durable:
            await self._writer.append(call_sid, entries, attempt)
            await self._safe()
        else:
            self._writer.buffer(call_sid, entries, attempt)

    async def journal(self, call_sid: str, after: int = 0) -> list[StoredEntry]:
        # Taken before the server is asked: entries only ever go from here to there, so none is missed.
        waiting = self._writer.buffered(call_sid)
        attempt, stored = items(await self._read(operation("journal", call_sid, after)))
        kept = waiting.get(number(attempt), []) if attempt is not None else []
        found = {entry.sequence: entry for entry in (*kept, *stored_entries(stored)) if entry.sequence > after}
        return [found[sequence] for sequence in sorted(found)]

    async def follow(self, call_sid: str, after: int, wait_s: float) -> list[StoredEntry]:
        deadline = time.monotonic() + wait_s
        if found := await self.journal(call_sid, after):
            return found
        abandoned = threading.Event()
        work = partial(self._wait_for_entries, call_sid, after, deadline, abandoned)
        try:
            return stored_entries(await self._look(self._follow_threads, work, max(wait_s, 0.0) + READ_LIMIT_S))
        finally:
            abandoned.set()

    # ---- secrets --------------------------------------------------------------------------------------------------

    async def keep_secret(self, call_sid: str, name: str, sealed: bytes, *, attempt: int) -> None:
        kept = await self._write_safely(operation("keep_secret", call_sid, attempt, name, sealed), call_sid)
        if number(kept) == 0:
            raise CallTakenError(call_sid)

    async def secrets(self, call_sid: str) -> dict[str, bytes]:
        return sealed_values(await self._read(("HGETALL", key_of("secrets", call_sid))))

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
        digest = digest_of(report)
        digested = (sound(write_digest(digest)), digest.outcome or "", digest.ended_reason or "")
        arguments: list[Argument] = [call_sid, attempt, _request(), to_us(ended), sound(report), *digested]
        arguments.append(len(last_entries))
        arguments += flat(map(entry_arguments, last_entries))
        arguments += flat(map(delivery_arguments, deliveries))
        reply = await self._write_safely(operation("finish", *arguments), call_sid)
        if reply is None:
            raise CallTakenError(call_sid)
        finished, *refused = map(number, items(reply))
        for sequence in refused:
            log.error(
                "entry %d is in the journal with another content",
                sequence,
                extra=named("store_entry_conflict", call_sid),
            )
        return finished == 1

    async def report(self, call_sid: str) -> str | None:
        reply = await self._read(("GET", key_of("report", call_sid)))
        return None if reply is None else text(reply)

    async def reports(self, call_sids: Sequence[str]) -> dict[str, str]:
        if not call_sids:
            return {}
        replies = items(await self._read(("MGET", *(key_of("report", one) for one in call_sids))))
        return {one: text(reply) for one, reply in zip(call_sids, replies, strict=True) if reply is not None}

    # ---- deliveries -----------------------------------------------------------------------------------------------

    async def enqueue(self, call_sid: str, deliveries: Sequence[NewDelivery], now: datetime) -> None:
        rows = flat(map(delivery_arguments, deliveries))
        await self._write_safely(operation("enqueue", call_sid, to_us(now), *rows))

    async def due(
        self, now: datetime, *, limit: int, lease_s: float, per_host: int, under_way: Mapping[str, int]
    ) -> list[Delivery]:
        lapses = to_us(now + timedelta(seconds=lease_s))
        leased = operation("lease", to_us(now), lapses, limit, per_host, *flat(under_way.items()))
        return deliveries(await self._write(leased))

    async def next_due(self, after: datetime) -> datetime | None:
        reply = await self._read(operation("next_due", to_us(after)))
        return None if reply is None else from_us(number(reply))

    async def delivered(self, webhook_id: str, now: datetime, status: int) -> None:
        await self._write(operation("delivered", webhook_id, to_us(now), status))

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
        state: DeliveryState = "disabled" if disable else "dead" if next_at is None else "pending"
        due = "" if next_at is None else to_us(next_at)
        gone = await self._write(operation("failed", webhook_id, to_us(now), reason, attempt - 1, state, due))
        if gone is not None:
            await self._hold(*texts(gone))

    async def _hold(self, url: str, host: str) -> None:
        """Hold what is pending for a URL that was disabled; should this be cut short, the next attempt goes on."""
        passed, found = 0, HELD_AT_ONCE
        while found == HELD_AT_ONCE:
            reply = await self._write(operation("hold", url, host, passed, HELD_AT_ONCE))
            found, held = map(number, items(reply))
            passed += found - held

    async def deliveries(
        self,
        limit: int,
        state: DeliveryState | None = None,
        *,
        call_sid: str | None = None,
        before: tuple[datetime, str] | None = None,
    ) -> list[Delivery]:
        place = ("", "") if before is None else (to_us(before[0]), before[1])
        return deliveries(await self._read(operation("deliveries", limit, state or "", call_sid or "", *place)))

    async def delivery(self, webhook_id: str) -> Delivery | None:
        return delivery(await self._read(operation("delivery", webhook_id)))

    async def backlog(self) -> Backlog:
        return backlog(await self._read(operation("backlog")))

    async def requeue(self, webhook_id: str, now: datetime) -> bool:
        url = await self._write_safely(operation("requeue", webhook_id, to_us(now)))
        if url is None:
            return False
        released = HELD_AT_ONCE
        while released == HELD_AT_ONCE:
            released = number(await self._write(operation("release", text(url), to_us(now), HELD_AT_ONCE)))
        return True

    # ---- exact statements -----------------------------------------------------------------------------------------

    async def clip(self, key: str) -> bytes | None:
        reply = await self._read(("GETEX", key_of("clip", key), "EX", CLIP_S))
        return reply if isinstance(reply, bytes) else None

    async def keep_clip(self, key: str, payload: bytes) -> None:
        await self._write(("SET", key_of("clip", key), payload, "EX", CLIP_S))

    # ---- notes ----------------------------------------------------------------------------------------------------

    async def note(self, key: str) -> str | None:
        reply = await self._read(("HGET", key_of("notes"), key))
        return None if reply is None else text(reply)

    async def put_note(self, key: str, body: str | None, *, instead_of: str | None) -> bool:
        command = operation("put_note", key, *_given(body), *_given(instead_of))
        return number(await self._write_safely(command)) == 1

    async def notes(self, prefix: str) -> dict[str, str]:
        reply = texts(await self._read(("HGETALL", key_of("notes"))))
        found = dict(zip(reply[::2], reply[1::2], strict=True))
        return {key: body for key, body in found.items() if key.startswith(prefix)}

    # ---- retention ------------------------------------------------------------------------------------------------

    async def erase(self, call_sid: str) -> bool:
        return await self._erase([call_sid]) == [call_sid]

    async def erase_caller(self, number: str) -> list[str]:
        return await self._erase(texts(await self._read(("ZRANGE", key_of("number", number), 0, -1))))

    async def erase_before(self, moment: datetime, *, limit: int = 500) -> list[str]:
        erased: list[str] = []
        kept = 0
        while len(erased) < limit:
            wanted = min(limit - len(erased), ERASED_AT_ONCE)
            ended = await self._read(operation("ended_before", to_us(moment), kept, wanted))
            if not items(ended):
                break
            gone = await self._erase(texts(ended), keep_pending=True)
            erased += gone
            kept += len(items(ended)) - len(gone)
        return erased

    async def _erase(self, call_sids: Sequence[str], *, keep_pending: bool = False) -> list[str]:
        erased: list[str] = []
        for first in range(0, len(call_sids), ERASED_AT_ONCE):
            some = call_sids[first : first + ERASED_AT_ONCE]
            gone = texts(await self._write_safely(operation("erase", int(keep_pending), *some)))
            await self._writer.forget(gone)
            erased += gone
        return erased

    # ---- the whole ------------------------------------------------------------------------------------------------

    def healthy(self) -> bool:
        return self._writer.healthy and self._sync.healthy and not self._closed.is_set()

    async def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            await self._writer.close()
        finally:
            await self._sync.close()
            for threads in (self._follow_threads, self._read_threads, self._sync_thread, self._write_thread):
                await asyncio.to_thread(threads.shutdown)
            self._reading.close()
            self._following.close()

    async def _write(self, command: Command, call_sid: str | None = None) -> Reply:
        """`call_sid`: of the call that it changes, if it may be sent again when a fail-over has lost it."""
        self._check_open()
        return await self._writer.run(command, call_sid=call_sid)

    async def _write_safely(self, command: Command, call_sid: str | None = None) -> Reply:
        """As `_write`; returns once the answer survives a crash of the server's machine."""
        reply = await self._write(command, call_sid)
        await self._safe()
        return reply

    async def _safe(self) -> None:
        server = self._writer.server
        if self._address.service is not None or (server is not None and server.tells_when_safe):
            await self._sync.wait()

    async def _read(self, command: Command) -> Reply:
        return await self._look(self._read_threads, partial(self._reading.run, command), READ_LIMIT_S)

    async def _look(self, threads: ThreadPoolExecutor, work: Callable[[], T], limit_s: float) -> T:
        self._check_open()
        self._writer.check_reachable()
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.get_running_loop().run_in_executor(threads, work)
        except TimeoutError as exc:
            self._writer.probe()
            raise StoreError(f"{self._address}: has not answered for {limit_s:g} s (see to the network)") from exc
        except RedisAwayError:
            self._writer.probe()
            raise

    def _wait_for_entries(self, call_sid: str, after: int, deadline: float, abandoned: threading.Event) -> Reply:
        """On a follower's thread: what XRANGE returns, of the first entries after `after`."""
        while (left_s := deadline - time.monotonic()) > 0 and not abandoned.is_set():
            self._check_open()
            block_ms = max(1, int(min(left_s, FOLLOW_SLICE_S) * 1000))
            follow = ("XREAD", "BLOCK", block_ms, "STREAMS", key_of("journal", call_sid), f"{after}-0")
            if streams := items(self._following.run(follow)):
                _, entries = items(streams[0])
                return entries
        return []

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise StoreError(f"{self._address}: the store is closed")


def _given(value: str | None) -> tuple[str, str]:
    return ("0", "") if value is None else ("1", value)


def _request() -> str:
    """An id for one change, the same however often it is sent."""
    return uuid.uuid4().hex
