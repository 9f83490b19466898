"""Values that the store's tests keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from voicebot.store.contract import CallRecord, NewDelivery, Store, StoredEntry

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
NAMES = ("A-000001", "B-000002")  # of two instances
OURS, THEIRS = NAMES


def entry(sequence: int, body: str = '{"n": 1}') -> StoredEntry:
    return StoredEntry(sequence, "said", sequence * 20, START + timedelta(milliseconds=sequence * 20), body)


def entries(first: int, last: int) -> list[StoredEntry]:
    return [entry(sequence) for sequence in range(first, last + 1)]


def record(
    call_sid: str = "CA1",
    *,
    after_s: float = 0,
    caller: str | None = "+15550123",
    called: str = "+15550100",
    owner: str = OURS,
) -> CallRecord:
    return CallRecord(
        call_sid=call_sid,
        flow_name="restaurant_ordering",
        flow_version="3f2a",
        caller=caller,
        called=called,
        direction="inbound",
        started=START + timedelta(seconds=after_s),
        owner=owner,
        attempt=1,
        token_issued_at=1_772_366_400,
    )


async def opened(store: Store, *call_sids: str, owner: str = OURS) -> None:
    """These calls are at work, each in its first attempt."""
    for call_sid in call_sids:
        assert await store.open_call(record(call_sid, owner=owner), max_calls=100_000) == (
            record(call_sid, owner=owner),
            True,
        )


def new_delivery(webhook_id: str = "msg_1", url: str = "https://crm.example/hook") -> NewDelivery:
    return NewDelivery(webhook_id, url, f'{{"id": "{webhook_id}"}}')
