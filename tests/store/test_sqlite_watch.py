"""Waiting for journal entries, over a file that the test writes to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.store.store_samples import entry, record
from voicebot.sim.clock import run_virtual
from voicebot.store.sqlite_calls import insert_entries, journal_row, open_call
from voicebot.store.sqlite_file import connect, create
from voicebot.store.sqlite_watch import LOOK_EVERY_S, JournalWatch


class Watched:
    """A watch over a new file with one call, and how often it looked."""

    def __init__(self, path: Path, executor: ThreadPoolExecutor) -> None:
        create(path, 1.0)
        self.writing, self.reading = connect(path, 1.0), connect(path, 1.0, read_only=True)
        open_call(self.writing, record(), 1)
        self.looks: list[str] = []
        self.reading.set_trace_callback(self.looks.append)
        self.watch = JournalWatch(self.reading, executor)

    def write(self, sequence: int) -> None:
        insert_entries(self.writing, [journal_row("CA1", entry(sequence), 1)])


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    executor = ThreadPoolExecutor(1)
    made = Watched(folder / "voicebot.db", executor)
    with contextlib.closing(made.writing), contextlib.closing(made.reading), executor:  # no look outlives the file
        yield made
        made.watch.close()


def test_all_who_wait_are_let_go_by_one_look(tmp_path: Path) -> None:
    async def story() -> None:
        time = asyncio.get_running_loop().time
        async with watched(tmp_path) as made, asyncio.TaskGroup() as tasks:
            began = time()
            first = [tasks.create_task(made.watch.wait("CA1", 0, 60)) for _ in range(5)]
            second = tasks.create_task(made.watch.wait("CA1", 1, 60))
            await asyncio.sleep(1)
            made.write(1)
            await asyncio.wait(first)
            assert 1 <= time() - began <= 1 + 2 * LOOK_EVERY_S
            assert not second.done()
            made.write(2)
            await second

    run_virtual(story())


def test_wait_has_an_end(tmp_path: Path) -> None:
    async def story() -> None:
        time = asyncio.get_running_loop().time
        async with watched(tmp_path) as made:
            began = time()
            await made.watch.wait("CA1", 0, 0.25)
            assert time() - began == pytest.approx(0.25)
            looked = len(made.looks)
            await asyncio.sleep(10)
            assert len(made.looks) == looked  # nobody waits, nobody looks
            await made.watch.wait("CA1", 0, 1)
            assert len(made.looks) > looked

    run_virtual(story())


def test_cancelled_wait_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story() -> None:
        async with watched(tmp_path) as made, asyncio.TaskGroup() as tasks:
            given_up = tasks.create_task(made.watch.wait("CA1", 0, 3600))
            waiting = tasks.create_task(made.watch.wait("CA1", 0, 3600))
            await asyncio.sleep(1)
            given_up.cancel()
            await asyncio.sleep(1)
            made.write(1)
            await waiting

    run_virtual(story())


async def test_look_that_fails_lets_everybody_go(tmp_path: Path) -> None:
    async with asyncio.timeout(60), watched(tmp_path) as made:
        made.writing.execute("DROP TABLE journal")
        await asyncio.gather(*(made.watch.wait("CA1", 0, 3600) for _ in range(3)))
