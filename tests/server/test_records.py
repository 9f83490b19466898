"""Recorded calls, read from a real store: listed, shown, erased and exported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.end_to_end.reception import HANGS_UP, VISIT, shelf
from tests.shipped import AT_THE_TABLE as SCENARIOS
from voicebot.delivery.report import fold_report, whole_body
from voicebot.errors import FlowError, StoreError
from voicebot.flow.loader import load_folder
from voicebot.recording.files import RecordingFolder
from voicebot.server.records import (
    Selection,
    as_json,
    erase,
    export,
    known_call,
    known_so_far,
    list_calls,
    report_of,
    to_erase,
)
from voicebot.sim.scenario import Scenario
from voicebot.sim.table import TableRead, table_read
from voicebot.store.contract import CallRecord, NewDelivery, Store, StoredEntry
from voicebot.store.opening import open_store

T = TypeVar("T")
FLOWS = Path(__file__).parents[2] / "flows"
SHIPPED = load_folder(FLOWS)
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ADA, BOB = "+15550123456", "+15550123999"
OVER = table_read(VISIT, shelf.get("visit"), seed=1)
LEFT = table_read(HANGS_UP, shelf.get("visit"), seed=2)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/calls.db"


def filled(address: str, work: Callable[[Store], Awaitable[T]]) -> T:
    """What `work` made of the store."""

    async def fill() -> T:
        store = await open_store(address)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(fill())


async def keep(
    store: Store,
    read: TableRead,
    call_sid: str,
    *,
    entries: int | None = None,
    caller: str = ADA,
    started: datetime = START,
    delivered: bool = True,
) -> CallRecord:
    """Write a call down as its instance would; with `entries`, as far as it has come, and not ended."""
    record = replace(read.record, call_sid=call_sid, owner="A-000001", caller=caller, started=started)
    assert await store.open_call(record, max_calls=100) == (record, True)
    await store.append(call_sid, read.stored[:entries], attempt=1, durable=True)
    if entries is None:
        report = whole_body(fold_report(record, read.loaded.flow, read.stored))
        delivery = NewDelivery(f"msg_{call_sid}", "https://crm.example/hook", report)
        await store.finish(call_sid, report, [delivery], attempt=1, ended=started + timedelta(minutes=1))
        if delivered:
            await store.delivered(f"msg_{call_sid}", started + timedelta(minutes=2), 204)
    return record


async def three_calls(store: Store) -> None:
    """One that is over, one that its caller ended, and one at work."""
    await keep(store, OVER, "CA1")
    await keep(store, LEFT, "CA2", caller=BOB, started=START + timedelta(hours=1), delivered=False)
    await keep(store, OVER, "CA3", entries=12, started=START + timedelta(hours=2))


# ---- listed and shown -----------------------------------------------------------------------------------------------


def test_calls_are_listed_latest_first(address: str) -> None:
    filled(address, three_calls)

    def listed(limit: int = 10, number: str | None = None, ended: bool | None = None) -> list[str]:
        found = asyncio.run(list_calls(address, limit=limit, number=number, ended=ended))
        return [call.record.call_sid for call in found]

    assert listed() == ["CA3", "CA2", "CA1"]
    assert listed(limit=1) == ["CA3"]
    assert listed(number=ADA) == ["CA3", "CA1"]
    assert listed(ended=True) == ["CA2", "CA1"]
    assert listed(ended=False) == ["CA3"]
    live, left, over = asyncio.run(list_calls(address, limit=10, number=None, ended=None))
    assert live.data is None
    assert (left.data or {})["ended_reason"] == "caller_hung_up"
    assert (over.data or {})["observations"] == {"name": "Ada Lovelace", "reason": "toothache"}


def test_ended_call_is_shown_by_its_report(address: str) -> None:
    filled(address, three_calls)
    call = asyncio.run(known_call(address, "CA1"))
    assert call.data == json.loads(asyncio.run(report_of(address, "CA1")))["data"]
    (delivery,) = call.deliveries
    assert (delivery.webhook_id, delivery.state) == ("msg_CA1", "delivered")
    shown = json.loads(json.dumps(as_json(call)))
    assert shown["record"]["ended"] == "2026-03-02T09:31:00+00:00"
    assert shown["data"]["ended_reason"] == "completed"
    assert [one["state"] for one in shown["deliveries"]] == ["delivered"]


def test_call_at_work_is_shown_as_far_as_it_has_come(address: str) -> None:
    filled(address, three_calls)
    call = asyncio.run(known_call(address, "CA3"))
    assert call.record.ended is None and call.deliveries == ()
    data = call.data
    assert data is not None
    assert (data["ended_reason"], data["ended_at"]) == (None, None)
    assert [phase["name"] for phase in data["phases"]] == ["reception"]
    assert data["transcript"][0]["speaker"] == "bot"


def test_unknown_call_is_said(address: str) -> None:
    filled(address, three_calls)
    for find in (known_call, report_of):
        with pytest.raises(StoreError, match="no call CA9 is recorded"):
            asyncio.run(find(address, "CA9"))
    with pytest.raises(StoreError, match="CA3 has no report yet"):
        asyncio.run(report_of(address, "CA3"))


# ---- what is known so far -------------------------------------------------------------------------------------------


def prefixes(read: TableRead) -> list[dict[str, Any]]:
    """What was known after each entry."""
    found = (known_so_far(read.record, read.stored[:end]) for end in range(1, len(read.stored) + 1))
    return [data for data in found if data is not None]


def test_every_moment_of_a_call_can_be_shown() -> None:
    known = prefixes(OVER)
    assert len(known) == len(OVER.stored)
    assert known[-1] == OVER.report
    assert [data["ended_reason"] for data in known] == [None] * (len(known) - 1) + ["completed"]
    shares = [data["progress"] for data in known]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] == 1.0


def test_evidence_is_provisional_until_its_transcript_came() -> None:
    states = [(data["evidence"]["name"] or {}).get("state") for data in prefixes(OVER)]
    assert list(dict.fromkeys(states)) == [None, "provisional", "confirmed"]


def test_nothing_is_known_of_an_empty_journal(address: str) -> None:
    assert known_so_far(OVER.record, ()) is None

    async def begin(store: Store) -> None:
        await keep(store, OVER, "CA1", entries=0)

    filled(address, begin)
    assert asyncio.run(known_call(address, "CA1")).data is None


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.flow}: {one.name}")
def test_flow_in_the_journal_tells_as_much_as_the_file(scenario: Scenario) -> None:
    """Only what the flow's own functions say is left open."""
    read = table_read(scenario, SHIPPED.get(scenario.flow))
    known, whole = known_so_far(read.record, read.stored), read.report
    assert known is not None
    for name in ("outcome", "progress", "observation_status"):
        known.pop(name)
        whole = {key: value for key, value in whole.items() if key != name}
    assert known == whole


def test_damaged_journal_is_said() -> None:
    opened, *rest = OVER.stored
    broken = json.dumps(json.loads(opened.body) | {"flow_document": '{"goal": "x"}'})
    with pytest.raises(FlowError, match="phases"):
        known_so_far(OVER.record, [replace(opened, body=broken), *rest])
    with pytest.raises(StoreError, match="unknown kind"):
        known_so_far(OVER.record, [opened, StoredEntry(2, "of_tomorrow", 1, START, "{}")])


# ---- erased ---------------------------------------------------------------------------------------------------------


def erased(address: str, selection: Selection) -> tuple[list[str], tuple[str, ...], int, list[str]]:
    """What was said to go, to stay and to be undelivered; and what went."""
    found = asyncio.run(to_erase(address, selection))
    gone = asyncio.run(erase(address, selection, RecordingFolder(Path("nowhere"))))
    return sorted(record.call_sid for record in found.calls), found.kept, found.undelivered, sorted(gone)


def left(address: str) -> list[str]:
    return [call.record.call_sid for call in asyncio.run(list_calls(address, limit=10, number=None, ended=None))]


def test_named_calls_are_erased(address: str) -> None:
    filled(address, three_calls)
    kept = ("CA3 is still at work", "no call CA9 is recorded")
    assert erased(address, Selection(("CA1", "CA3", "CA9", "CA1"))) == (["CA1"], kept, 0, ["CA1"])
    assert left(address) == ["CA3", "CA2"]


def test_calls_of_a_number_are_erased(address: str) -> None:
    filled(address, three_calls)
    assert erased(address, Selection(number=ADA)) == (["CA1"], ("CA3 is still at work",), 0, ["CA1"])
    assert erased(address, Selection(number=BOB)) == (["CA2"], (), 1, ["CA2"])
    assert left(address) == ["CA3"]


def test_old_calls_are_erased_once_they_are_delivered(address: str) -> None:
    filled(address, three_calls)
    kept = ("CA2 has a report that is still to be delivered",)
    assert erased(address, Selection(before=START + timedelta(days=1))) == (["CA1"], kept, 0, ["CA1"])
    assert erased(address, Selection(before=START)) == ([], (), 0, [])
    assert left(address) == ["CA3", "CA2"]


# ---- exported -------------------------------------------------------------------------------------------------------


def exported(address: str, since: datetime | None = None) -> list[dict[str, Any]]:
    lines: list[str] = []
    count = asyncio.run(export(address, since=since, write=lines.append))
    assert count == len(lines) and all(line.count("\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def test_every_call_is_exported_whole(address: str) -> None:
    filled(address, three_calls)
    over, hung_up, live = exported(address)
    assert [one["record"]["call_sid"] for one in (over, hung_up, live)] == ["CA1", "CA2", "CA3"]
    assert over["report"] == json.loads(asyncio.run(report_of(address, "CA1")))
    assert [one["sequence"] for one in over["journal"]] == list(range(1, len(OVER.stored) + 1))
    assert [one["body"] for one in over["journal"]] == [json.loads(one.body) for one in OVER.stored]
    assert (live["report"], live["record"]["ended"], len(live["journal"])) == (None, None, 12)


def test_export_begins_where_it_is_told(address: str) -> None:
    filled(address, three_calls)
    assert [one["record"]["call_sid"] for one in exported(address, START + timedelta(hours=1))] == ["CA2", "CA3"]
    assert exported(address, START + timedelta(hours=3)) == []


def test_export_takes_any_character(address: str) -> None:
    odd = '{"item_id":"a","text":"\ud83d \u2028 perché \\n"}'

    async def say_it(store: Store) -> None:
        await keep(store, OVER, "CA1", entries=3)
        await store.append("CA1", [StoredEntry(4, "caller_said", 99, START, odd)], attempt=1, durable=True)

    filled(address, say_it)
    (line,) = exported(address)
    assert line["journal"][-1]["body"]["text"] == "\ud83d \u2028 perché \n"


def test_more_calls_than_a_page_are_all_found(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.server.records.PAGE", 3)

    async def many(store: Store) -> None:
        for number in range(10):
            await keep(store, OVER, f"CA{number}", started=START + timedelta(minutes=number))

    filled(address, many)
    assert len(exported(address)) == 10
    assert len(asyncio.run(to_erase(address, Selection(number=ADA))).calls) == 10
