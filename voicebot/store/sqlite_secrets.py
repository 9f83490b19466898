"""Calls' vaults as SQL; each function runs inside a transaction of its caller's."""

from __future__ import annotations

import sqlite3

from voicebot.errors import CallTakenError


def keep_secret(connection: sqlite3.Connection, call_sid: str, name: str, sealed: bytes, attempt: int) -> None:
    """Put a sealed value in its place.

    Raises:
        CallTakenError: the call is in other hands, or over.
    """
    kept = connection.execute(
        """INSERT INTO secrets SELECT ?1, ?2, ?3
           WHERE EXISTS (SELECT 1 FROM calls WHERE call_sid = ?1 AND attempt = ?4 AND ended_us IS NULL)
           ON CONFLICT DO UPDATE SET sealed = excluded.sealed""",
        (call_sid, name, sealed, attempt),
    )
    if kept.rowcount == 0:
        raise CallTakenError(call_sid)


def list_secrets(connection: sqlite3.Connection, call_sid: str) -> dict[str, bytes]:
    return dict(connection.execute("SELECT name, sealed FROM secrets WHERE call_sid = ?", (call_sid,)).fetchall())


def empty_vaults(connection: sqlite3.Connection) -> None:
    """Empty the vaults of ended calls out of which nobody is to get anything any more.

    Vaults are few, and gone soon after their calls: there is nothing to look for by an index.
    """
    connection.execute(
        """DELETE FROM secrets WHERE
           EXISTS (SELECT 1 FROM calls WHERE call_sid = secrets.call_sid AND ended_us IS NOT NULL)
           AND NOT EXISTS (
               SELECT 1 FROM outbox WHERE call_sid = secrets.call_sid AND state = 'pending' AND outbox.secrets <> '')"""
    )
