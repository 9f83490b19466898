"""What is kept of calls, for who operates the service: listed, shown, erased and exported.

A call that is over is shown by its report as it was written. Of one at work the same is folded from its journal, with
the flow it began with, whose form the journal holds: neither the files of today nor the process that has the call are
asked. What only a function of the flow could tell is then left open.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, get_args

from voicebot.call.about import context_of
from voicebot.call.entries import CallEnded, CallOpened, RecordingEnded, RecordingStarted, read_entry
from voicebot.delivery.report import fold_report
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import EngineEntry
from voicebot.errors import RecordingError, StoreError
from voicebot.flow.alone import flow_alone
from voicebot.recording.files import RecordingFolder
from voicebot.recording.playing import Part
from voicebot.store.contract import CallRecord, Delivery, Store, StoredEntry
from voicebot.store.opening import opened_store

PAGE = 500  # calls read at once
MANY = 100_000  # deliveries that are pending at the same time
_ENGINE = get_args(EngineEntry)
_AT_WORK = "{} is still at work"
_UNDELIVERED = "{} has a report that is still to be delivered"


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A call and what is known of it: `data` of its report, or of one at work what its report would say now.

    `data` is None while nothing is written down, or where it was not asked for. In that of a call at work,
    `ended_reason` and `ended_at` are None, and evidence whose transcript is still to come is `provisional`.
    """

    record: CallRecord
    data: dict[str, Any] | None
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Calls to erase; one of these is given. `number` is E.164, `before` the latest end (aware)."""

    call_sids: tuple[str, ...] = ()
    number: str | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """What erasing a selection comes to: the calls that go, and of each that stays, why.

    `undelivered` counts those that go although a report of theirs is still to be delivered.
    """

    calls: tuple[CallRecord, ...]
    kept: tuple[str, ...]
    undelivered: int


async def list_calls(address: str, *, limit: int, number: str | None, ended: bool | None) -> list[KnownCall]:
    """The latest calls of the store at `address`, latest first; those at work without what is known of them.

    Args:
        number: only calls from or to it (E.164).
        ended: only those that are over, or only those at work.
    """
    async with opened_store(address) as store:
        records = await store.calls(limit, caller=number, ended=ended)
        reports = [await store.report(record.call_sid) for record in records]
        return [KnownCall(record, _data(report)) for record, report in zip(records, reports, strict=True)]


async def known_call(address: str, call_sid: str) -> KnownCall:
    """A call with all that is known of it.

    Raises:
        StoreError: no such call is recorded, or its journal is damaged.
        FlowError: the flow in its journal cannot be read.
    """
    async with opened_store(address) as store:
        record = await _recorded(store, call_sid)
        data = _data(await store.report(call_sid)) or known_so_far(record, await store.journal(call_sid))
        return KnownCall(record, data, tuple(await store.deliveries(MANY, call_sid=call_sid)))


async def report_of(address: str, call_sid: str) -> str:
    """A call's report as it is kept.

    Raises:
        StoreError: no such call is recorded, or it has no report yet.
    """
    async with opened_store(address) as store:
        await _recorded(store, call_sid)
        report = await store.report(call_sid)
        if report is None:
            raise StoreError(f"call {call_sid} has no report yet; `voicebot calls show` tells what is known so far")
        return report


async def to_erase(address: str, selection: Selection) -> Erasure:
    """What erasing would come to, with nothing erased."""
    async with opened_store(address) as store:
        undelivered = {delivery.call_sid for delivery in await store.deliveries(MANY, "pending")}
        if selection.call_sids:
            calls, kept = await _named(store, selection.call_sids)
        elif selection.number is not None:
            calls = [record async for record in _all(store, number=selection.number, ended=True)]
            live = [record async for record in _all(store, number=selection.number, ended=False)]
            kept = [_AT_WORK.format(record.call_sid) for record in live]
        else:
            assert selection.before is not None
            old = [r async for r in _all(store, ended=True) if r.ended is not None and r.ended < selection.before]
            calls = [record for record in old if record.call_sid not in undelivered]
            kept = [_UNDELIVERED.format(record.call_sid) for record in old if record.call_sid in undelivered]
        return Erasure(tuple(calls), tuple(kept), sum(record.call_sid in undelivered for record in calls))


async def _named(store: Store, call_sids: Sequence[str]) -> tuple[list[CallRecord], list[str]]:
    """Those of these calls that are over, and why the others are kept."""
    calls, kept = [], []
    for call_sid in dict.fromkeys(call_sids):
        record = await store.call(call_sid)
        if record is None:
            kept.append(f"no call {call_sid} is recorded")
        elif record.ended is None:
            kept.append(_AT_WORK.format(call_sid))
        else:
            calls.append(record)
    return calls, kept


async def erase(address: str, selection: Selection, recordings: RecordingFolder) -> list[str]:
    """Erase the ended calls of a selection, for good, with their recordings; returns those that were.

    Raises:
        StoreError: some may be erased.
        RecordingError: the calls are erased, and a recording is not; a server on the same folder tries again.
    """
    async with opened_store(address) as store:
        erased = await _erase(store, selection)
    try:
        await asyncio.to_thread(recordings.erase, erased)
    except OSError as exc:
        raise RecordingError(f"the calls are erased, but not every recording: {exc.strerror}") from exc
    return erased


async def _erase(store: Store, selection: Selection) -> list[str]:
    if selection.number is not None:
        return await store.erase_caller(selection.number)
    if selection.before is None:
        return [call_sid for call_sid in selection.call_sids if await store.erase(call_sid)]
    erased: list[str] = []
    while some := await store.erase_before(selection.before):
        erased += some
    return erased


async def recorded_parts(address: str, call_sid: str) -> list[Part]:
    """The parts of a call's recording, in order, each with where it begins.

    Raises:
        StoreError: no such call is recorded, or its journal is damaged.
        RecordingError: there is no sound of it.
    """
    async with opened_store(address) as store:
        await _recorded(store, call_sid)
        return await parts_of(store, call_sid)


async def parts_of(store: Store, call_sid: str) -> list[Part]:
    """The same, of an open store.

    Raises:
        JournalError: the call's journal is damaged.
        RecordingError: there is no sound of it.
    """
    entries = [(one.at_ms, read_entry(one.kind, one.body)) for one in await store.journal(call_sid)]
    parts: dict[str, Part] = {}
    for at_ms, entry in entries:
        if isinstance(entry, RecordingStarted):
            parts.setdefault(entry.recording_id, Part(entry.recording_id, at_ms))
        elif isinstance(entry, RecordingEnded) and entry.status == "erased":
            raise RecordingError(f"the recording of {call_sid} is erased, as the caller wanted")
    if not parts:
        raise RecordingError(f"call {call_sid} was not recorded")
    return list(parts.values())


async def export(address: str, *, since: datetime | None, write: Callable[[str], object]) -> int:
    """Write every call as a line of JSON, oldest first: its record, its journal and its report; returns how many.

    Args:
        since: only calls that started then or later.
        write: takes a line with its end.
    """
    async with opened_store(address) as store:
        records = [record async for record in _all(store, since=since)]
        for record in reversed(records):
            journal, report = await store.journal(record.call_sid), await store.report(record.call_sid)
            write(_line(record, journal, report))
        return len(records)


def known_so_far(record: CallRecord, journal: Sequence[StoredEntry]) -> dict[str, Any] | None:
    """What the report of a call at work would say by now; None while nothing is written down.

    Raises:
        StoreError: the journal is damaged.
        FlowError: the flow in it cannot be read.
    """
    lines = [(one.at_ms / 1000, read_entry(one.kind, one.body)) for one in journal]
    opened = next((entry for _, entry in lines if isinstance(entry, CallOpened)), None)
    if opened is None:
        return None
    flow = flow_alone(opened.flow_document)
    data: dict[str, Any] = fold_report(record, flow, journal)["data"]
    if not any(isinstance(entry, CallEnded) for _, entry in lines):
        data |= {"ended_at": None, "ended_reason": None}
    engine = PhaseEngine(flow, context_of(record, opened.variables))
    engine.restore(((at, entry) for at, entry in lines if isinstance(entry, _ENGINE)), 0.0)
    for name, observed in engine.state.observed.items():
        if observed.quote.state == "provisional":
            data["evidence"][name]["state"] = "provisional"
    return data


def as_json(call: KnownCall) -> dict[str, Any]:
    """A call in JSON form, for scripts."""
    deliveries = [
        {"webhook_id": one.webhook_id, "url": one.url, "state": one.state, "attempts": one.attempts}
        for one in call.deliveries
    ]
    return {"record": _record_json(call.record), "data": call.data, "deliveries": deliveries}


async def _recorded(store: Store, call_sid: str) -> CallRecord:
    record = await store.call(call_sid)
    if record is None:
        raise StoreError(f"no call {call_sid} is recorded")
    return record


async def _all(
    store: Store, *, number: str | None = None, ended: bool | None = None, since: datetime | None = None
) -> AsyncIterator[CallRecord]:
    """Every such call, latest first."""
    page = await store.calls(PAGE, caller=number, ended=ended)
    while page:
        for record in page:
            if since is not None and record.started < since:
                return
            yield record
        page = await store.calls(PAGE, page[-1].call_sid, caller=number, ended=ended)


def _data(report: str | None) -> dict[str, Any] | None:
    return json.loads(report)["data"] if report is not None else None


def _record_json(record: CallRecord) -> dict[str, Any]:
    times = {"started": record.started.isoformat(), "ended": record.ended and record.ended.isoformat()}
    return {**asdict(record), **times}


def _line(record: CallRecord, journal: Sequence[StoredEntry], report: str | None) -> str:
    entries = [{**asdict(one), "wall": one.wall.isoformat(), "body": json.loads(one.body)} for one in journal]
    whole = {
        "record": _record_json(record),
        "journal": entries,
        "report": None if report is None else json.loads(report),
    }
    return json.dumps(whole, separators=(",", ":")) + "\n"
