"""Old calls are erased by the hour, and trouble with the store only delays it."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes import START, BreakableStore, WallClock
from voicebot.errors import StoreError
from voicebot.server.retention import EVERY_S, keep_erasing
from voicebot.sim.clock import run_virtual
from voicebot.store.contract import CallRecord


class Store(BreakableStore):
    async def erase_before(self, moment: datetime, *, limit: int = 500) -> list[str]:
        if self.down:
            raise StoreError("the disk is full")
        return await super().erase_before(moment, limit=limit)


async def ended(store: Store, call_sid: str, at: datetime) -> None:
    record = CallRecord(call_sid, "visit", "v1", None, None, "inbound", at, "A-000001", 1, 0)
    await store.open_call(record, max_calls=10)
    assert await store.finish(call_sid, "{}", [], attempt=1, ended=at)


async def left(store: Store) -> set[str]:
    return {record.call_sid for record in await store.calls(10)}


def test_calls_are_erased_when_they_are_old_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        wall = WallClock()
        store = await Store.open(tmp_path / "calls.db")
        await ended(store, "CA1", START - timedelta(days=31))
        await ended(store, "CA2", START - timedelta(days=29, hours=23, minutes=30))
        await ended(store, "CA3", START)
        async with asyncio.TaskGroup() as tasks:
            erasing = tasks.create_task(keep_erasing(store, 30, wall))
            await asyncio.sleep(1)
            assert await left(store) == {"CA2", "CA3"}
            store.break_down()
            wall.advance(EVERY_S)
            await asyncio.sleep(EVERY_S)
            store.mend()
            assert await left(store) == {"CA2", "CA3"}
            await asyncio.sleep(EVERY_S)
            assert await left(store) == {"CA3"}
            erasing.cancel()
        await store.close()

    with caplog.at_level(logging.INFO):
        run_virtual(play(), limit_s=4 * EVERY_S)
    told = [record.message for record in caplog.records if record.name == "voicebot.server.retention"]
    assert told == [
        "1 calls older than 30 days were erased",
        "old calls are erased later: the disk is full",
        "1 calls older than 30 days were erased",
    ]
