"""The SQLite file: how it is opened, its schema with migrations, and its errors in words that say how to mend."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from voicebot.errors import StoreError
from voicebot.log_events import named

from .digest import digest_of, write_digest

log = logging.getLogger(__name__)

EMPTY_LOG_S = 0.1  # nobody can write meanwhile

# One tuple of statements per version, applied in order and never edited once released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE schema_version (version INTEGER NOT NULL)",
        """CREATE TABLE calls (
            call_sid TEXT PRIMARY KEY, flow_name TEXT NOT NULL, flow_version TEXT NOT NULL, caller TEXT, called TEXT,
            direction TEXT NOT NULL, started_us INTEGER NOT NULL, attempt INTEGER NOT NULL,
            token_issued_at INTEGER NOT NULL, ended_us INTEGER) WITHOUT ROWID""",
        "CREATE INDEX calls_by_start ON calls (started_us, call_sid)",
        """CREATE TABLE claimed_tokens (
            call_sid TEXT NOT NULL, attempt INTEGER NOT NULL, claimed_us INTEGER NOT NULL,
            PRIMARY KEY (call_sid, attempt)) WITHOUT ROWID""",
        """CREATE TABLE journal (
            call_sid TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
            wall_us INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (call_sid, sequence)) WITHOUT ROWID""",
        "CREATE TABLE reports (call_sid TEXT PRIMARY KEY, body TEXT NOT NULL, written_us INTEGER NOT NULL)",
        """CREATE TABLE outbox (
            webhook_id TEXT PRIMARY KEY, call_sid TEXT NOT NULL, url TEXT NOT NULL, host TEXT NOT NULL,
            body TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, due_us INTEGER,
            created_us INTEGER NOT NULL, tried_us INTEGER, status INTEGER, reason TEXT)""",
        "CREATE INDEX outbox_due ON outbox (host, due_us) WHERE state = 'pending'",
        "CREATE INDEX outbox_by_age ON outbox (created_us)",
        "CREATE TABLE disabled_urls (url TEXT PRIMARY KEY, since_us INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (
        "ALTER TABLE calls ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE calls ADD COLUMN claimed INTEGER NOT NULL DEFAULT 0",
        """UPDATE calls SET claimed = 1 WHERE EXISTS (
            SELECT 1 FROM claimed_tokens WHERE call_sid = calls.call_sid AND attempt = calls.attempt)""",
        "DROP TABLE claimed_tokens",
        "CREATE INDEX calls_unfinished ON calls (started_us, call_sid, owner) WHERE ended_us IS NULL",
        "CREATE INDEX calls_by_end ON calls (ended_us) WHERE ended_us IS NOT NULL",
        "CREATE INDEX calls_by_caller ON calls (caller)",
        "CREATE INDEX calls_by_called ON calls (called)",
        """CREATE TABLE instances (
            owner TEXT PRIMARY KEY, beats INTEGER NOT NULL, takes_calls INTEGER NOT NULL) WITHOUT ROWID""",
        "ALTER TABLE outbox ADD COLUMN secret TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE outbox ADD COLUMN bearer TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX outbox_by_call ON outbox (call_sid)",
        """CREATE TABLE clips (
            key TEXT PRIMARY KEY, payload BLOB NOT NULL, bytes INTEGER NOT NULL, used_day INTEGER NOT NULL)""",
        "CREATE INDEX clips_by_use ON clips (used_day, key, bytes)",
    ),
    ("CREATE INDEX outbox_waiting ON outbox (state, created_us) WHERE state <> 'delivered'",),
    ("CREATE TABLE notes (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",),
    (
        """CREATE TABLE secrets (
            call_sid TEXT NOT NULL, name TEXT NOT NULL, sealed BLOB NOT NULL,
            PRIMARY KEY (call_sid, name)) WITHOUT ROWID""",
        "ALTER TABLE outbox ADD COLUMN secrets TEXT NOT NULL DEFAULT ''",
    ),
    (
        "ALTER TABLE calls ADD COLUMN digest TEXT",
        "ALTER TABLE calls ADD COLUMN outcome TEXT",
        "ALTER TABLE calls ADD COLUMN ended_reason TEXT",
        """UPDATE calls SET digest = (SELECT voicebot_digest(body) FROM reports WHERE call_sid = calls.call_sid)
           WHERE ended_us IS NOT NULL""",
        """UPDATE calls SET outcome = json_extract(digest, '$.outcome'),
           ended_reason = json_extract(digest, '$.ended_reason') WHERE digest IS NOT NULL""",
        "CREATE INDEX calls_by_flow ON calls (flow_name, started_us, call_sid)",
        "CREATE INDEX calls_by_outcome ON calls (outcome, started_us, call_sid) WHERE outcome IS NOT NULL",
        """CREATE TABLE letters (
            number INTEGER PRIMARY KEY, owner TEXT NOT NULL, body TEXT NOT NULL, posted_s INTEGER NOT NULL)""",
        "CREATE INDEX letters_by_owner ON letters (owner, number)",
    ),
)

# By primary result code (https://www.sqlite.org/rescode.html).
_MEND = {
    sqlite3.SQLITE_BUSY: "another program holds it locked: close whatever else has this file open",
    sqlite3.SQLITE_LOCKED: "another program holds it locked: close whatever else has this file open",
    sqlite3.SQLITE_FULL: "free some space on its disk",
    sqlite3.SQLITE_IOERR: "check its disk: space, quota, file size limit and health",
    sqlite3.SQLITE_READONLY: "let this user write to the file and its folder, on a disk mounted for writing",
    sqlite3.SQLITE_PERM: "let this user write to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "let this user write to its folder, or name another file",
    sqlite3.SQLITE_NOTADB: "it is no database of ours: name another file",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a copy, or move it away to start anew",
}


def store_error(path: Path, exc: sqlite3.Error | OSError) -> StoreError:
    """Our error for SQLite's or the file system's: what happened to which file, and how to mend it."""
    if isinstance(exc, OSError):
        problem, mend = exc.strerror or str(exc), "let this user write to its folder, or name another file"
    else:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF  # drop the extended part
        problem, mend = str(exc), _MEND.get(code, "see https://www.sqlite.org/rescode.html")
    return StoreError(f"{path.absolute()}: {problem} ({mend})")


def create(path: Path, busy_timeout_s: float) -> None:
    """Make sure that the file exists, for its owner only, in WAL mode and with the newest schema. Blocks.

    Raises:
        StoreError: it cannot be, or the file was written by a newer version.
    """
    try:
        _create_private(path)
        connection = _connect(path, busy_timeout_s)
        try:
            _migrate(connection, path)
            _use_wal(connection, path, busy_timeout_s)
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as exc:
        raise store_error(path, exc) from exc


def connect(path: Path, busy_timeout_s: float, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to an existing file; transactions are begun by hand. Blocks."""
    try:
        connection = _connect(path, busy_timeout_s)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as exc:
        raise store_error(path, exc) from exc
    return connection


def empty_log(path: Path) -> bool:
    """Cut the write-ahead log to nothing, since what was erased is still in there. Blocks, for a moment at most.

    False if others were reading or writing all that time, or the file cannot be written to.
    """
    try:
        with closing(_connect(path, EMPTY_LOG_S)) as connection:
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    return not busy


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")  # a commit has returned from fsync
    except UnicodeDecodeError as exc:  # of the message, which quotes what stands in the file
        connection.close()
        raise sqlite3.DatabaseError("the file is no database, or damaged") from exc
    connection.create_function("voicebot_digest", 1, _digest, deterministic=True)  # for a migration
    connection.execute("PRAGMA cache_size = -512")  # KiB: a process does not grow with its file, which the kernel keeps
    connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten, not only forgotten
    return connection


def _digest(report: str) -> str | None:
    """Of a report from before there were digests; of one that is none, nothing."""
    try:
        return write_digest(digest_of(report))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _create_private(path: Path) -> None:
    """Create folder and file without a moment in which others could read; WAL files inherit the file's mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # An existing file must not be opened here: closing it would drop the locks that SQLite holds in this process.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if path.is_file() and path.stat().st_mode & 0o077:
            _make_private(path)


def _make_private(path: Path) -> None:
    try:
        path.chmod(0o600)
    except PermissionError:
        log.warning(
            "%s can be read by other users, and is not ours to change", path, extra=named("store_readable_by_others")
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == len(MIGRATIONS):
        return  # the usual start, which needs no lock
    connection.execute("BEGIN IMMEDIATE")  # of several processes that start at once, one migrates
    with connection:
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{path.absolute()}: written by a newer voicebot (schema {version}, this one knows {len(MIGRATIONS)}): "
                "upgrade voicebot, or name another file"
            )
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute("DELETE FROM schema_version")
        connection.execute("INSERT INTO schema_version VALUES (?)", (len(MIGRATIONS),))


def _version(connection: sqlite3.Connection) -> int:
    """How many migrations the file has had; 0 for a new one."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone():
        return 0
    (version,) = connection.execute("SELECT COALESCE(MAX(version), 0) FROM schema_version").fetchone()
    return int(version)


def _use_wal(connection: sqlite3.Connection, path: Path, busy_timeout_s: float) -> None:
    """Switch to write-ahead logging. The switch does not always wait for locks itself, so we do."""
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise StoreError(
                f"{path.absolute()}: its file system does not support SQLite's WAL (name a file on a local disk)"
            )
        return
