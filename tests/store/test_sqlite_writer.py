"""Group commit, over a connection that the test can break."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.store.store_samples import entry, record
from voicebot.errors import StoreError
from voicebot.sim.clock import run_virtual
from voicebot.store.sqlite_calls import JournalRow, insert_entries, journal_row, open_call
from voicebot.store.sqlite_file import connect, create
from voicebot.store.sqlite_writer import GroupedWriter

Statements = list[str]


def rows(first: int, last: int) -> list[JournalRow]:
    return [journal_row("CA1", entry(sequence), 1) for sequence in range(first, last + 1)]


def count(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT COUNT(*) FROM journal").fetchone()[0]
    return found


def insert(sequence: int) -> Callable[[sqlite3.Connection], None]:
    return lambda connection: insert_entries(connection, rows(sequence, sequence)) and None


def refuse(connection: sqlite3.Connection) -> None:
    insert(100)(connection)
    raise StoreError("no")


def with_a_call(path: Path) -> sqlite3.Connection:
    """A new file in which one call is at work."""
    create(path, 1.0)
    connection = connect(path, 1.0)
    open_call(connection, record(), 1)
    return connection


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[sqlite3.Connection]:
    connection = with_a_call(tmp_path / "voicebot.db")
    yield connection
    connection.close()


@pytest.fixture
async def writer(connection: sqlite3.Connection, tmp_path: Path) -> AsyncIterator[GroupedWriter]:
    with ThreadPoolExecutor(1) as thread:
        yield GroupedWriter(tmp_path / "voicebot.db", connection, thread, 1_000_000)


async def test_waiting_jobs_share_a_transaction(writer: GroupedWriter, connection: sqlite3.Connection) -> None:
    statements: Statements = []
    connection.set_trace_callback(statements.append)
    await asyncio.gather(*(writer.run(insert(sequence)) for sequence in range(1, 51)))
    assert statements.count("COMMIT") == 2  # the first alone, and all that came while it was written
    assert await writer.run(count) == 50


async def test_rows_are_written_before_a_later_job(writer: GroupedWriter) -> None:
    writer.buffer(rows(1, 3))
    assert await writer.run(count) == 3
    assert writer.buffered("CA1") == []


async def test_failed_job_spares_its_neighbours(writer: GroupedWriter) -> None:
    first, refused, bad, last = await asyncio.gather(
        writer.run(insert(1)),
        writer.run(refuse),
        writer.run(lambda connection: connection.execute("SELECT * FROM missing") and None),
        writer.run(insert(2)),
        return_exceptions=True,
    )
    assert (first, last) == (None, None)
    assert isinstance(refused, StoreError) and str(refused) == "no"
    assert isinstance(bad, StoreError) and "no such table: missing" in str(bad)
    assert await writer.run(count) == 2
    assert writer.healthy


async def test_defect_in_a_job_reaches_its_caller(writer: GroupedWriter) -> None:
    writer.buffer(rows(1, 2))
    with pytest.raises(ZeroDivisionError):
        await writer.run(lambda connection: 1 / 0)
    assert await writer.run(count) == 2


@pytest.mark.parametrize(
    ("break_it", "mend_it", "words"),
    [
        ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "readonly database .*let this user write"),
        ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 100000", "disk is full .*free some space"),
    ],
    ids=["read-only", "full"],
)
async def test_rows_outlast_trouble(
    writer: GroupedWriter, connection: sqlite3.Connection, break_it: str, mend_it: str, words: str
) -> None:
    connection.execute(break_it)
    writer.buffer([journal_row("CA1", entry(n, "x" * 9000), 1) for n in range(1, 4)])
    with pytest.raises(StoreError, match=words):
        await writer.run(count)
    assert not writer.healthy
    assert len(writer.buffered("CA1")) == 3
    connection.execute(mend_it)
    assert await writer.run(count) == 3
    assert writer.healthy


async def test_job_on_full_disk_is_told(writer: GroupedWriter, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA max_page_count = 1")
    bulky = [journal_row("CA1", entry(n, "x" * 9000), 1) for n in range(1, 4)]
    with pytest.raises(StoreError, match="disk is full"):
        await writer.run(lambda connection: insert_entries(connection, bulky))
    assert await writer.run(count) == 0


async def test_left_over_transaction_stops_nothing(writer: GroupedWriter, connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    await writer.run(insert(1))
    assert await writer.run(count) == 1


async def test_close_waits_for_the_write_under_way(writer: GroupedWriter, connection: sqlite3.Connection) -> None:
    async with asyncio.TaskGroup() as tasks:
        job = tasks.create_task(writer.run(insert(1)))
        await asyncio.sleep(0)
        writer.buffer(rows(2, 3))
        await writer.close()
        assert connection.execute("SELECT COUNT(*) FROM journal").fetchone() == (3,)
    assert job.done()


def test_rows_that_come_during_a_write_follow_it(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "voicebot.db"
        with contextlib.closing(with_a_call(path)) as connection, ThreadPoolExecutor(1) as thread:
            writer = GroupedWriter(path, connection, thread, 1_000_000)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(writer.run(insert(1)))
                await asyncio.sleep(0)
                writer.buffer(rows(2, 3))
            await asyncio.sleep(0.05)
            assert count(connection) == 3
            await writer.close()

    run_virtual(story())


async def test_buffer_is_bounded_by_bytes(writer: GroupedWriter) -> None:
    large = [journal_row("CA1", entry(1, "x" * 600_000), 1)]
    writer.buffer(large)
    with pytest.raises(StoreError, match="no more are kept"):
        writer.buffer(large)
    await writer.run(count)
    writer.buffer(large)
    await writer.close()


async def test_cancelled_job_is_done_nevertheless(writer: GroupedWriter) -> None:
    async with asyncio.TaskGroup() as tasks:
        job = tasks.create_task(writer.run(insert(1)))
        await asyncio.sleep(0)
        job.cancel()
    assert await writer.run(count) == 1
