"""Values that the store's tests keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from voicebot.store.contract import CallRecord, NewDelivery, StoredEntry

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def entry(sequence: int, body: str = '{"n": 1}') -> StoredEntry:
    return StoredEntry(sequence, "said", sequence * 20, START + timedelta(milliseconds=sequence * 20), body)


def entries(first: int, last: int) -> list[StoredEntry]:
    return [entry(sequence) for sequence in range(first, last + 1)]


def record(call_sid: str = "CA1", *, after_s: float = 0, caller: str | None = "+15550123") -> CallRecord:
    return CallRecord(
        call_sid=call_sid,
        flow_name="restaurant_ordering",
        flow_version="3f2a",
        caller=caller,
        called="+15550100",
        direction="inbound",
        started=START + timedelta(seconds=after_s),
        attempt=1,
        token_issued_at=1_772_366_400,
    )


def new_delivery(webhook_id: str = "msg_1", url: str = "https://crm.example/hook") -> NewDelivery:
    return NewDelivery(webhook_id, url, f'{{"id": "{webhook_id}"}}')
