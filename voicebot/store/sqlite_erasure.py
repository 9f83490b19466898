"""Erasure as SQL; each function runs inside a transaction of its caller's."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from .values import to_us


def erase(connection: sqlite3.Connection, call_sid: str) -> bool:
    known = "DELETE FROM calls WHERE call_sid = ? AND ended_us IS NOT NULL"
    if connection.execute(known, (call_sid,)).rowcount == 0:
        return False
    for table in ("journal", "reports", "outbox", "secrets"):
        connection.execute(f"DELETE FROM {table} WHERE call_sid = ?", (call_sid,))
    return True


def erase_of_number(connection: sqlite3.Connection, number: str, limit: int) -> list[str]:
    """Ended calls from or to `number`, oldest first."""
    rows = connection.execute(
        """SELECT call_sid FROM calls WHERE (caller = ? OR called = ?) AND ended_us IS NOT NULL
           ORDER BY started_us, call_sid LIMIT ?""",
        (number, number, limit),
    )
    return _erase_all(connection, rows.fetchall())


def erase_before(connection: sqlite3.Connection, moment: datetime, limit: int) -> list[str]:
    """Calls that ended before `moment`, oldest first; those with a delivery still to come are kept."""
    rows = connection.execute(
        """SELECT call_sid FROM calls WHERE ended_us < ? AND NOT EXISTS (
               SELECT 1 FROM outbox WHERE call_sid = calls.call_sid AND state = 'pending')
           ORDER BY ended_us LIMIT ?""",
        (to_us(moment), limit),
    )
    return _erase_all(connection, rows.fetchall())


def _erase_all(connection: sqlite3.Connection, rows: list[tuple[str]]) -> list[str]:
    call_sids = [row[0] for row in rows]
    for call_sid in call_sids:
        erase(connection, call_sid)
    return call_sids
