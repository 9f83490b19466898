"""Calls, tokens, journals and reports as SQL; each function runs inside a transaction of its caller's."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from voicebot.errors import StoreError

from .contract import CallRecord, NewDelivery, StoredEntry
from .sqlite_outbox import enqueue
from .sqlite_values import from_us, from_us_or_none, sound, to_us, to_us_or_none

log = logging.getLogger(__name__)

JournalRow = tuple[str, int, str, int, int, str]  # call_sid, sequence, kind, at_ms, wall_us, body

_CALL = "call_sid, flow_name, flow_version, caller, called, direction, started_us, attempt, token_issued_at, ended_us"


def open_call(connection: sqlite3.Connection, record: CallRecord) -> tuple[CallRecord, bool]:
    inserted = connection.execute(
        f"INSERT INTO calls ({_CALL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            record.call_sid,
            record.flow_name,
            record.flow_version,
            record.caller,
            record.called,
            record.direction,
            to_us(record.started),
            record.attempt,
            record.token_issued_at,
            to_us_or_none(record.ended),
        ),
    )
    standing = find_call(connection, record.call_sid)
    assert standing is not None  # it was there before, or is since the line above
    return standing, inserted.rowcount == 1


def find_call(connection: sqlite3.Connection, call_sid: str) -> CallRecord | None:
    row = connection.execute(f"SELECT {_CALL} FROM calls WHERE call_sid = ?", (call_sid,)).fetchone()
    return _call_record(row) if row else None


def list_calls(connection: sqlite3.Connection, limit: int, before: str | None) -> list[CallRecord]:
    order = "ORDER BY started_us DESC, call_sid DESC LIMIT ?"
    if before is None:
        rows = connection.execute(f"SELECT {_CALL} FROM calls {order}", (limit,))
    else:
        place = "(SELECT started_us, call_sid FROM calls WHERE call_sid = ?)"
        rows = connection.execute(
            f"SELECT {_CALL} FROM calls WHERE (started_us, call_sid) < {place} {order}", (before, limit)
        )
    return [_call_record(row) for row in rows]


def claim_token(connection: sqlite3.Connection, call_sid: str, attempt: int, now: datetime) -> bool:
    claim = "INSERT INTO claimed_tokens VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    return connection.execute(claim, (call_sid, attempt, to_us(now))).rowcount == 1


def journal_row(call_sid: str, entry: StoredEntry) -> JournalRow:
    return (call_sid, entry.sequence, entry.kind, entry.at_ms, to_us(entry.wall), sound(entry.body))


def stored_entry(row: JournalRow) -> StoredEntry:
    _, sequence, kind, at_ms, wall_us, body = row
    return StoredEntry(sequence, kind, at_ms, from_us(wall_us), body)


def insert_entries(connection: sqlite3.Connection, rows: Sequence[JournalRow]) -> None:
    """Write journal rows; one that is there already is left alone, and logged if it differs."""
    before = connection.total_changes
    connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)
    if connection.total_changes - before == len(rows):
        return
    for row in _conflicts(connection, rows):
        log.error("call %s: entry %d is in the journal with another content, which stands", row[0], row[1])


def check_stand(connection: sqlite3.Connection, rows: Sequence[JournalRow]) -> None:
    """Refuse if other entries stand in the places of these, which were inserted before.

    Raises:
        StoreError: at least one does.
    """
    for row in _conflicts(connection, rows):
        raise StoreError(f"call {row[0]}: entry {row[1]} is in the journal with another content")


def list_entries(connection: sqlite3.Connection, call_sid: str, after: int) -> list[JournalRow]:
    query = "SELECT * FROM journal WHERE call_sid = ? AND sequence > ?"
    return connection.execute(query, (call_sid, after)).fetchall()


def finish(
    connection: sqlite3.Connection,
    call_sid: str,
    report: str,
    deliveries: Sequence[NewDelivery],
    ended: datetime,
    last_rows: Sequence[JournalRow],
) -> bool:
    """Everything that ends a call; False, with nothing done, if it has a report."""
    insert = "INSERT INTO reports VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    if connection.execute(insert, (call_sid, sound(report), to_us(ended))).rowcount == 0:
        return False
    insert_entries(connection, last_rows)
    connection.execute("UPDATE calls SET ended_us = ? WHERE call_sid = ?", (to_us(ended), call_sid))
    for delivery in deliveries:
        enqueue(connection, call_sid, delivery, ended)
    return True


def find_report(connection: sqlite3.Connection, call_sid: str) -> str | None:
    row = connection.execute("SELECT body FROM reports WHERE call_sid = ?", (call_sid,)).fetchone()
    return row[0] if row else None


def _conflicts(connection: sqlite3.Connection, rows: Sequence[JournalRow]) -> list[JournalRow]:
    stored = "SELECT * FROM journal WHERE call_sid = ? AND sequence = ?"
    return [row for row in rows if connection.execute(stored, row[:2]).fetchone() != row]


def _call_record(row: tuple[Any, ...]) -> CallRecord:
    call_sid, flow_name, flow_version, caller, called, direction, started_us, attempt, token_issued_at, ended_us = row
    started, ended = from_us(started_us), from_us_or_none(ended_us)
    return CallRecord(
        call_sid, flow_name, flow_version, caller, called, direction, started, attempt, token_issued_at, ended
    )
