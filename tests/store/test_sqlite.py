"""The SQLite store's own promises: its file, its migrations, what it says when it cannot work."""

# ruff: noqa: ASYNC240 - the tests look at small local files while nothing else runs

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.store.store_samples import OURS, START, THEIRS, entries, entry, new_delivery, opened, record
from voicebot.errors import StoreError
from voicebot.sim.clock import run_virtual
from voicebot.store.contract import CallFilter, NewDelivery
from voicebot.store.digest import Digest
from voicebot.store.sqlite import SqliteStore
from voicebot.store.sqlite_calls import journal_row
from voicebot.store.sqlite_clips import keep_clip
from voicebot.store.sqlite_file import MIGRATIONS, connect, create
from voicebot.store.values import to_us

ROOT = Path(__file__).parents[2]
EVERYTHING = """
    SELECT 'call', call_sid, owner, attempt || ' ' || claimed FROM calls UNION ALL
    SELECT 'entry', call_sid, sequence, body FROM journal UNION ALL
    SELECT 'report', call_sid, body, written_us FROM reports UNION ALL
    SELECT 'delivery', webhook_id, state, attempts FROM outbox UNION ALL
    SELECT 'instance', owner, beats, '' FROM instances UNION ALL
    SELECT 'clip', key, payload, used_day FROM clips"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "voicebot.db"


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the write lock."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def disk_full(path: Path) -> Iterator[None]:
    """No file of this process grows beyond what the largest one here has."""
    largest = max(file.stat().st_size for file in path.parent.iterdir())
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


# ---- the file -----------------------------------------------------------------------------------------------------


async def test_files_are_for_their_owner_only(path: Path) -> None:
    store = await SqliteStore.open(path)
    await opened(store, "CA1")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    names = {file.name for file in path.parent.iterdir()}
    assert names == {"voicebot.db", "voicebot.db-wal", "voicebot.db-shm"}
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await store.close()


async def test_open_tightens_an_existing_file(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    path.chmod(0o644)
    await (await SqliteStore.open(path)).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_commits_are_flushed_to_disk(path: Path) -> None:
    create(path, 1.0)
    with contextlib.closing(connect(path, 1.0)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


async def test_close_lets_go_of_the_file(path: Path) -> None:
    store = await SqliteStore.open(path)
    await opened(store, "CA1")
    await store.append("CA1", entries(1, 3), attempt=1, durable=False)
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["voicebot.db"]  # the WAL is merged and gone


async def test_cancelled_caller_does_not_stop_the_write(path: Path) -> None:
    store = await SqliteStore.open(path)
    with locked(path):
        async with asyncio.TaskGroup() as tasks:
            beat = tasks.create_task(store.beat(OURS))
            await asyncio.sleep(0)
            beat.cancel()
    await store.beat(OURS)
    assert await store.beats() == {OURS: 2}
    await store.close()


async def test_erased_calls_leave_no_bytes(path: Path) -> None:
    store = await SqliteStore.open(path)
    for name, number in (("CA1", "+4915155501"), ("CA2", "+4915155502")):
        await store.open_call(record(name, caller=number), max_calls=10)
        for n in range(1, 200):
            await store.append(name, [entry(n, f'"I am {number} {n}"')], attempt=1, durable=n % 50 == 0)
        report, delivery = f'"report of {number}"', NewDelivery(f"msg_{name}", "https://crm.example/", number)
        await store.finish(name, report, [delivery], attempt=1, ended=START)

    def traces(number: str) -> int:
        return sum(file.read_bytes().count(number.encode()) for file in path.parent.iterdir())

    assert traces("+4915155501") > 200
    assert await store.erase_caller("+4915155501") == ["CA1"]
    assert traces("+4915155501") == 0
    assert traces("+4915155502") > 200
    await store.close()


async def test_erasure_waits_for_no_reader(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who reads an old state keeps it; the log is overwritten later."""
    store = await SqliteStore.open(path)
    await opened(store, "CA1")
    await store.finish("CA1", "{}", [], attempt=1, ended=START)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM calls").fetchall()
        assert await store.erase("CA1")
        assert reader.execute("SELECT call_sid FROM calls").fetchall() == [("CA1",)]
    assert await store.call("CA1") is None
    assert "still in its write-ahead log" in caplog.text
    await store.close()


@pytest.mark.parametrize("lock_s", [0.05, 60])
def test_switch_to_wal_waits_for_others(path: Path, lock_s: float) -> None:
    create(path, 1.0)
    query(path, "PRAGMA journal_mode = DELETE")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(lock_s, other.execute, ("ROLLBACK",))
        release.start()
        if lock_s < 1:
            create(path, 5.0)
        else:
            with pytest.raises(StoreError, match="locked"):
                create(path, 0.05)
        release.cancel()
        release.join()
    assert query(path, "PRAGMA journal_mode") == [("wal" if lock_s < 1 else "delete",)]


async def test_open_needs_no_lock(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    running = await SqliteStore.open(path)
    with locked(path):
        await (await SqliteStore.open(path, busy_timeout_s=0.01)).close()
    await running.close()


# ---- migrations ---------------------------------------------------------------------------------------------------


async def test_schema_version_is_recorded_once(path: Path) -> None:
    for _ in range(2):
        await (await SqliteStore.open(path)).close()
    assert query(path, "SELECT version FROM schema_version") == [(len(MIGRATIONS),)]


async def test_reopening_keeps_what_was_written(path: Path) -> None:
    store = await SqliteStore.open(path)
    await opened(store, "CA1")
    await store.close()
    again = await SqliteStore.open(path)
    assert await again.call("CA1") == record()
    await again.close()


async def test_older_schema_is_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await SqliteStore.open(path)
    await opened(store, "CA1")
    await store.append("CA1", [entry(1)], attempt=1, durable=True)
    await store.close()
    newer = (*MIGRATIONS, ("CREATE TABLE added (x)", "INSERT INTO added SELECT COUNT(*) FROM journal"))
    monkeypatch.setattr("voicebot.store.sqlite_file.MIGRATIONS", newer)
    await (await SqliteStore.open(path)).close()
    assert query(path, "SELECT x FROM added") == [(1,)]
    assert query(path, "SELECT version FROM schema_version") == [(len(newer),)]


def first_version(path: Path) -> None:
    """A file as the first release left it: a call that is over, one at work with its stream, one without."""
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        started, end = to_us(START), to_us(START + timedelta(seconds=60))
        connection.executemany(
            """INSERT INTO calls
               VALUES (?, 'restaurant_ordering', '3f2a', '+15550123', '+15550100', 'inbound', ?, ?, ?, ?)""",
            [("CA1", started, 1, 7, end), ("CA2", started, 3, 8, None), ("CA3", started, 2, 9, None)],
        )
        connection.execute(
            "INSERT INTO claimed_tokens VALUES ('CA1', 1, 5), ('CA2', 2, 5), ('CA2', 3, 6), ('CA3', 1, 5)"
        )
        rows = [journal_row("CA1", one, 1)[:6] for one in entries(1, 3)]
        connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("INSERT INTO reports VALUES ('CA1', '{}', ?)", (end,))
        connection.execute(
            """INSERT INTO outbox VALUES ('msg_1', 'CA1', 'https://crm.example/hook', 'crm.example', '{}', 'pending', 2,
               ?, ?, ?, NULL, 'answered 503')""",
            (end, started, started),
        )
        connection.execute("INSERT INTO schema_version VALUES (1)")


async def test_data_of_the_first_version_survive(path: Path) -> None:
    first_version(path)
    store = await SqliteStore.open(path)
    old = replace(record(), owner="")
    assert await store.call("CA1") == replace(old, token_issued_at=7, claimed=True, ended=START + timedelta(seconds=60))
    assert await store.call("CA2") == replace(old, call_sid="CA2", attempt=3, token_issued_at=8, claimed=True)
    assert await store.call("CA3") == replace(old, call_sid="CA3", attempt=2, token_issued_at=9)
    assert await store.journal("CA1") == entries(1, 3)
    assert await store.report("CA1") == "{}"
    (delivery,) = await store.deliveries(10)
    assert (delivery.attempt, delivery.reason, delivery.secret, delivery.bearer) == (3, "answered 503", "", "")
    assert await store.claim_stream("CA2", 3, OURS) is None
    assert await store.claim_stream("CA3", 2, OURS) == await store.call("CA3")
    assert await store.beat(OURS) == {"CA3": 3}
    assert await store.erase("CA1")
    await store.close()
    assert query(path, "SELECT name FROM sqlite_master WHERE name = 'claimed_tokens'") == []


async def test_broken_migration_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await SqliteStore.open(path)).close()
    broken = (*MIGRATIONS, ("CREATE TABLE added (x)", "INSERT INTO missing VALUES (1)"))
    with monkeypatch.context() as changed:
        changed.setattr("voicebot.store.sqlite_file.MIGRATIONS", broken)
        with pytest.raises(StoreError, match="missing"):
            await SqliteStore.open(path)
    assert query(path, "SELECT name FROM sqlite_master WHERE name = 'added'") == []
    await (await SqliteStore.open(path)).close()


async def test_newer_schema_is_refused(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    query(path, "UPDATE schema_version SET version = 99")
    with pytest.raises(StoreError, match=r"voicebot\.db: written by a newer voicebot \(schema 99.*upgrade"):
        await SqliteStore.open(path)


# ---- what cannot be opened ----------------------------------------------------------------------------------------


async def test_file_of_another_kind_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"This is a letter, not a database. " * 100)
    with pytest.raises(StoreError, match=r"voicebot\.db: .*not a database \(.*name another file"):
        await SqliteStore.open(path)
    assert path.read_bytes().startswith(b"This is a letter")


async def test_damaged_file_is_refused(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    first_page = path.read_bytes()[:4096]
    path.write_bytes(first_page + b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StoreError, match=r"voicebot\.db: .*malformed \(.*restore a copy"):
        await SqliteStore.open(path)


@pytest.mark.parametrize("place", ["/dev/null/voicebot.db", "{folder}"], ids=["no folder", "a folder"])
async def test_impossible_place_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"name another file"):
        await SqliteStore.open(Path(place.format(folder=tmp_path)))


OPEN_UNPRIVILEGED = """
import asyncio, os, pathlib, sys
from voicebot.errors import StoreError
from voicebot.store.contract import CallFilter, NewDelivery
from voicebot.store.digest import Digest
from voicebot.store.sqlite import SqliteStore
from voicebot.store.sqlite_calls import journal_row
from voicebot.store.sqlite_clips import keep_clip
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    asyncio.run(SqliteStore.open(pathlib.Path(sys.argv[1])))
except StoreError as exc:
    print(exc)
"""


@pytest.mark.parametrize("file_exists", [False, True])
async def test_read_only_folder_is_refused(file_exists: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "voicebot.db")
        if file_exists:
            path.touch(0o444)
        os.chmod(folder, 0o555)
        arguments = (sys.executable, "-c", OPEN_UNPRIVILEGED, str(path))
        child = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        said = (await child.communicate())[0].decode()
        os.chmod(folder, 0o755)
    assert said.startswith(str(path)) and "let this user write to" in said


# ---- trouble while running ----------------------------------------------------------------------------------------


async def test_locked_file_keeps_entries_until_free(path: Path) -> None:
    store = await SqliteStore.open(path, busy_timeout_s=0.01)
    await opened(store, "CA1")
    with locked(path):
        await store.append("CA1", entries(1, 5), attempt=1, durable=False)
        with pytest.raises(StoreError, match=r"voicebot\.db: database is locked \(.*close whatever else"):
            await store.append("CA1", [entry(6)], attempt=1, durable=True)
        assert not store.healthy()
        assert await store.journal("CA1") == entries(1, 6)
        with pytest.raises(StoreError, match="locked"):
            await store.finish("CA1", "{}", [], attempt=1, ended=START)
    assert await store.finish("CA1", "{}", [], attempt=1, ended=START)
    assert store.healthy()
    assert query(path, "SELECT COUNT(*) FROM journal") == [(6,)]
    await store.close()


async def test_full_disk_keeps_entries_until_free(path: Path) -> None:
    store = await SqliteStore.open(path)
    await opened(store, "CA1")
    bulky = [entry(n, f'"{"x" * 100_000}"') for n in range(1, 11)]
    with disk_full(path):
        with pytest.raises(StoreError, match=r"voicebot\.db: .*(disk|space)"):
            await store.append("CA1", bulky, attempt=1, durable=True)
        assert not store.healthy()
    await store.append("CA1", [entry(11)], attempt=1, durable=True)
    assert store.healthy()
    await store.close()
    assert query(path, "SELECT COUNT(*), MAX(sequence) FROM journal") == [(11, 11)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


async def test_full_disk_refuses_and_changes_nothing(path: Path) -> None:
    store = await SqliteStore.open(path)
    await opened(store, "CA1", "CA2")
    await store.finish("CA2", "{}", [], attempt=1, ended=START)
    await store.beat(OURS)
    await store.keep_clip("greeting", b"Hello" * 100_000)  # the log is the largest file from here on
    before = query(path, EVERYTHING)
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: store.open_call(record("CA3"), max_calls=10),
        lambda: store.claim_stream("CA1", 1, OURS),
        lambda: store.take_over("CA1", 1, THEIRS, token_issued_at=9),
        lambda: store.beat(THEIRS),
        lambda: store.retire(OURS),
        lambda: store.enqueue("CA1", [new_delivery()], START),
        lambda: store.keep_clip("goodbye", b"x"),
        lambda: store.erase("CA2"),
        lambda: store.erase_caller("+15550123"),
        lambda: store.erase_before(START + timedelta(days=1)),
    ]
    with disk_full(path):
        for write in writes:
            with pytest.raises(StoreError, match=r"voicebot\.db: .*(disk|space)"):
                await write()
        assert not store.healthy()
        assert await store.call("CA1") == record()
        assert await store.beats() == {OURS: 1}
        assert await store.clip("greeting") == b"Hello" * 100_000
        assert await store.follow("CA1", 0, 0) == []
    assert query(path, EVERYTHING) == before
    assert await store.take_over("CA1", 1, THEIRS, token_issued_at=9) is not None
    assert await store.erase("CA2")
    assert store.healthy()
    await store.close()


async def test_clip_is_heard_from_a_file_that_cannot_be_written(path: Path) -> None:
    store = await SqliteStore.open(path, busy_timeout_s=0.01)
    await store.keep_clip("greeting", b"Hello")
    query(path, "UPDATE clips SET used_day = used_day - 1")
    with locked(path):
        assert await store.clip("greeting") == b"Hello"
    noted = "SELECT used_day = CAST(julianday('now') AS INTEGER) FROM clips"
    async with asyncio.timeout(60):
        while query(path, noted) != [(1,)]:
            assert await store.clip("greeting") == b"Hello"
    await store.close()


async def test_clip_that_nobody_uses_is_dropped(path: Path) -> None:
    store = await SqliteStore.open(path)
    for key in ("old", "used", "fresh"):
        await store.keep_clip(key, key.encode())
    query(path, "UPDATE clips SET used_day = used_day - 31 WHERE key <> 'fresh'")
    assert await store.clip("used") == b"used"
    await store.keep_clip("new", b"new")
    assert [await store.clip(key) for key in ("old", "used", "fresh", "new")] == [None, b"used", b"fresh", b"new"]
    await store.close()


def test_clips_are_bounded_by_bytes(path: Path) -> None:
    create(path, 1.0)
    with contextlib.closing(connect(path, 1.0)) as connection:
        for age_days, key in enumerate("abcde"):
            keep_clip(connection, key, b"x" * 100)
            connection.execute("UPDATE clips SET used_day = used_day - ? WHERE key = ?", (age_days, key))
        keep_clip(connection, "n", b"x" * 100, max_bytes=300)
        assert connection.execute("SELECT key FROM clips ORDER BY key").fetchall() == [("a",), ("b",), ("n",)]
        keep_clip(connection, "z", b"x" * 300, max_bytes=300)
        assert connection.execute("SELECT key FROM clips").fetchall() == [("z",)]


async def test_full_buffer_refuses_more_entries(path: Path) -> None:
    store = await SqliteStore.open(path, busy_timeout_s=0.01, buffer_bytes=5000)
    await opened(store, "CA1")
    with locked(path):
        await store.append("CA1", entries(1, 10), attempt=1, durable=False)
        with pytest.raises(StoreError, match="10 journal entries wait"):
            await store.append("CA1", entries(11, 20), attempt=1, durable=False)
    await store.append("CA1", [], attempt=1, durable=True)
    await store.append("CA1", entries(11, 20), attempt=1, durable=False)
    await store.close()
    assert query(path, "SELECT COUNT(*) FROM journal") == [(20,)]


async def test_close_says_what_it_could_not_write(path: Path) -> None:
    store = await SqliteStore.open(path, busy_timeout_s=0.01)
    await opened(store, "CA1")
    await store.append("CA1", entries(1, 5), attempt=1, durable=False)
    with locked(path), pytest.raises(StoreError, match="5 journal entries could not be written"):
        await store.close()


def test_buffered_entries_are_written_within_50_ms(path: Path) -> None:
    async def call() -> None:
        store = await SqliteStore.open(path)
        await opened(store, "CA1")
        await store.append("CA1", [entry(1)], attempt=1, durable=False)
        assert query(path, "SELECT COUNT(*) FROM journal") == [(0,)]
        await asyncio.sleep(0.03)
        await store.append("CA1", [entry(2)], attempt=1, durable=False)
        await asyncio.sleep(0.02)
        assert query(path, "SELECT COUNT(*) FROM journal") == [(2,)]
        await store.close()

    run_virtual(call())


def test_health_returns_without_traffic(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def call() -> None:
        store = await SqliteStore.open(path, busy_timeout_s=0.01)
        with locked(path):
            with pytest.raises(StoreError):
                await store.beat(OURS)
            await asyncio.sleep(10)
            assert not store.healthy()
        await asyncio.sleep(2)
        assert store.healthy()
        await store.close()

    run_virtual(call())
    assert len(caplog.records) == 2  # one line when trouble began, one when it was over


async def test_reports_from_before_have_their_digests_made(path: Path) -> None:
    create(path, 1.0)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE letters")
        for index in ("calls_by_flow", "calls_by_outcome"):
            connection.execute(f"DROP INDEX {index}")
        for column in ("digest", "outcome", "ended_reason"):
            connection.execute(f"ALTER TABLE calls DROP COLUMN {column}")
        connection.execute("UPDATE schema_version SET version = version - 1")
        for call_sid, report in (("CA1", '{"data": {"outcome": "ordered"}}'), ("CA2", "no JSON")):
            connection.execute(
                "INSERT INTO calls VALUES (?, 'f', 'v', NULL, NULL, 'inbound', 1, 1, 0, 2, '', 0)", (call_sid,)
            )
            connection.execute("INSERT INTO reports VALUES (?, ?, 2)", (call_sid, report))
        connection.commit()
    store = await SqliteStore.open(path)
    found = {one.record.call_sid: one.digest for one in await store.find_calls(CallFilter(), 10)}
    assert found == {"CA1": Digest(outcome="ordered"), "CA2": None}
    assert [one.record.call_sid for one in await store.find_calls(CallFilter(outcome="ordered"), 10)] == ["CA1"]
    await store.close()
