"""The audio of exact statements as SQL, with a bound; each function runs inside a transaction of its caller's."""

from __future__ import annotations

import sqlite3

UNUSED_DAYS = 30
MAX_BYTES = 256 * 1024 * 1024  # some hours of speech
_TODAY = "CAST(julianday('now') AS INTEGER)"  # SQLite's own clock: no promise hangs on it


def find_clip(connection: sqlite3.Connection, key: str) -> tuple[bytes, bool] | None:
    """The audio, and whether its use of today is noted."""
    query = f"SELECT payload, used_day = {_TODAY} FROM clips WHERE key = ?"
    row = connection.execute(query, (key,)).fetchone()
    return (row[0], bool(row[1])) if row else None


def note_use(connection: sqlite3.Connection, key: str) -> None:
    connection.execute(f"UPDATE clips SET used_day = {_TODAY} WHERE key = ?", (key,))


def keep_clip(connection: sqlite3.Connection, key: str, payload: bytes, max_bytes: int = MAX_BYTES) -> None:
    """Keep this one, and forget those that nobody used for long and those that are too much, the oldest first."""
    connection.execute(
        f"INSERT OR REPLACE INTO clips (key, payload, bytes, used_day) VALUES (?, ?, ?, {_TODAY})",
        (key, payload, len(payload)),
    )
    connection.execute(f"DELETE FROM clips WHERE used_day < {_TODAY} - ?", (UNUSED_DAYS,))
    connection.execute(
        """DELETE FROM clips WHERE key IN (
               SELECT key FROM (
                   SELECT key, SUM(bytes) OVER (ORDER BY used_day DESC, key = ? DESC, key) AS so_far FROM clips)
               WHERE so_far > ?)""",
        (key, max_bytes),
    )
