"""Old calls are erased by the hour, and trouble with the store only delays it."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes import START, BreakableStore, WallClock
from voicebot.errors import StoreError
from voicebot.recording.files import RecordingFolder, recording_id
from voicebot.server import recording as recording_module
from voicebot.server.recording import SWEEP_EVERY_S, Recordings
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


def sid(number: int) -> str:
    return f"CA{number:032x}"


def recorded(folder: RecordingFolder, *numbers: int) -> None:
    for number in numbers:
        file = folder.create(recording_id(sid(number), 1))
        file.append(b"\x12" * 16_000)
        file.close()


def test_recordings_go_with_their_calls(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path / "recordings")
    recorded(folder, 1, 2)

    async def play() -> None:
        store = await Store.open(tmp_path / "calls.db")
        await ended(store, sid(1), START - timedelta(days=31))
        await ended(store, sid(2), START)
        async with asyncio.TaskGroup() as tasks:
            erasing = tasks.create_task(keep_erasing(store, 30, WallClock(), recordings=folder))
            await asyncio.sleep(1)
            assert folder.calls() == [sid(2)]
            erasing.cancel()
        await store.close()

    run_virtual(play())


def test_recordings_of_calls_that_others_erased_go_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "UNTOUCHED_S", 0.0)
    folder = RecordingFolder(tmp_path / "recordings")
    recorded(folder, 1, 2)

    async def play() -> None:
        store = await Store.open(tmp_path / "calls.db")
        await ended(store, sid(1), START)
        await ended(store, sid(2), START)
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(Recordings("all", folder).keep_sweeping(store))
            await asyncio.sleep(1)
            assert folder.calls() == [sid(1), sid(2)]
            await store.erase(sid(1))
            await asyncio.sleep(SWEEP_EVERY_S)
            assert folder.calls() == [sid(2)]
            sweeping.cancel()
        await store.close()

    run_virtual(play(), limit_s=3 * SWEEP_EVERY_S)
