"""Calls, their owners, journals and reports as SQL; each function runs inside a transaction of its caller's."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from voicebot.errors import CallTakenError, StoreError
from voicebot.log_events import named

from .contract import CallFilter, CallRecord, FoundCall, NewDelivery, StoredEntry
from .digest import digest_of, read_digest, write_digest
from .sqlite_outbox import enqueue
from .sqlite_secrets import empty_vaults
from .values import from_us, from_us_or_none, sound, to_us, to_us_or_none

log = logging.getLogger(__name__)

# As a row stands in the table, and at last the attempt it is written with: call_sid, sequence, kind, at_ms, wall_us,
# body, attempt.
JournalRow = tuple[str, int, str, int, int, str, int]

_CALL = (
    "call_sid, flow_name, flow_version, caller, called, direction, started_us, owner, attempt, token_issued_at, "
    "claimed, ended_us"
)
_ENTRY = "call_sid, sequence, kind, at_ms, wall_us, body"


# ---- calls and whose they are -------------------------------------------------------------------------------------


def open_call(connection: sqlite3.Connection, record: CallRecord, max_calls: int) -> tuple[CallRecord | None, bool]:
    standing = find_call(connection, record.call_sid)
    if standing is not None:
        return standing, False
    (unfinished,) = connection.execute("SELECT COUNT(*) FROM calls WHERE ended_us IS NULL").fetchone()
    if unfinished >= max_calls:
        return None, False
    connection.execute(
        f"INSERT INTO calls ({_CALL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.call_sid,
            record.flow_name,
            record.flow_version,
            record.caller,
            record.called,
            record.direction,
            to_us(record.started),
            record.owner,
            record.attempt,
            record.token_issued_at,
            record.claimed,
            to_us_or_none(record.ended),
        ),
    )
    return find_call(connection, record.call_sid), True


def find_call(connection: sqlite3.Connection, call_sid: str) -> CallRecord | None:
    row = connection.execute(f"SELECT {_CALL} FROM calls WHERE call_sid = ?", (call_sid,)).fetchone()
    return _call_record(row) if row else None


def list_calls(
    connection: sqlite3.Connection, limit: int, before: str | None, caller: str | None, ended: bool | None
) -> list[CallRecord]:
    conditions, values = ["TRUE"], list[object]()
    if before is not None:
        conditions.append("(started_us, call_sid) < (SELECT started_us, call_sid FROM calls WHERE call_sid = ?)")
        values.append(before)
    if caller is not None:
        conditions.append("(caller = ? OR called = ?)")
        values += [caller, caller]
    if ended is not None:
        conditions.append(f"ended_us IS {'NOT ' if ended else ''}NULL")
    rows = connection.execute(
        f"""SELECT {_CALL} FROM calls WHERE {" AND ".join(conditions)}
            ORDER BY started_us DESC, call_sid DESC LIMIT ?""",
        (*values, limit),
    )
    return [_call_record(row) for row in rows]


def find_calls(
    connection: sqlite3.Connection, wanted: CallFilter, limit: int, before: tuple[datetime, str] | None
) -> list[FoundCall]:
    conditions, values = ["TRUE"], list[object]()

    def only(condition: str, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    if before is not None:
        only("(started_us, call_sid) < (?, ?)", to_us(before[0]), before[1])
    if wanted.since is not None:
        only("started_us >= ?", to_us(wanted.since))
    if wanted.until is not None:
        only("started_us < ?", to_us(wanted.until))
    if wanted.number is not None:
        only("(caller = ? OR called = ?)", wanted.number, wanted.number)
    if wanted.ended is not None:
        only(f"ended_us IS {'NOT ' if wanted.ended else ''}NULL")
    for column, value in (
        ("flow_name", wanted.flow),
        ("direction", wanted.direction),
        ("outcome", wanted.outcome),
        ("ended_reason", wanted.ended_reason),
    ):
        if value is not None:
            only(f"{column} = ?", value)
    rows = connection.execute(
        f"""SELECT {_CALL}, digest FROM calls WHERE {" AND ".join(conditions)}
            ORDER BY started_us DESC, call_sid DESC LIMIT ?""",
        (*values, limit),
    )
    return [FoundCall(_call_record(row[:-1]), read_digest(row[-1])) for row in rows]


def claim_stream(connection: sqlite3.Connection, call_sid: str, attempt: int, owner: str) -> CallRecord | None:
    row = connection.execute(
        f"""UPDATE calls SET claimed = 1, attempt = attempt + (owner <> ?), owner = ?
            WHERE call_sid = ? AND attempt = ? AND claimed = 0 AND ended_us IS NULL RETURNING {_CALL}""",
        (owner, owner, call_sid, attempt),
    ).fetchone()
    return _call_record(row) if row else None


def take_over(
    connection: sqlite3.Connection, call_sid: str, attempt: int, owner: str, token_issued_at: int
) -> CallRecord | None:
    row = connection.execute(
        f"""UPDATE calls SET owner = ?, attempt = attempt + 1, token_issued_at = ?, claimed = 0
            WHERE call_sid = ? AND attempt = ? AND ended_us IS NULL RETURNING {_CALL}""",
        (owner, token_issued_at, call_sid, attempt),
    ).fetchone()
    return _call_record(row) if row else None


def beat(connection: sqlite3.Connection, owner: str, takes_calls: bool) -> dict[str, int]:
    connection.execute(
        """INSERT INTO instances VALUES (?, 1, ?)
           ON CONFLICT DO UPDATE SET beats = beats + 1, takes_calls = excluded.takes_calls""",
        (owner, takes_calls),
    )
    query = "SELECT call_sid, attempt FROM calls WHERE owner = ? AND ended_us IS NULL"
    return dict(connection.execute(query, (owner,)).fetchall())


def list_beats(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT owner, beats FROM instances").fetchall())


def list_takers(connection: sqlite3.Connection) -> frozenset[str]:
    return frozenset(owner for (owner,) in connection.execute("SELECT owner FROM instances WHERE takes_calls"))


def retire(connection: sqlite3.Connection, owner: str) -> None:
    connection.execute("DELETE FROM letters WHERE owner = ?", (owner,))
    connection.execute("DELETE FROM instances WHERE owner = ?", (owner,))


# ---- journals -----------------------------------------------------------------------------------------------------


def journal_row(call_sid: str, entry: StoredEntry, attempt: int) -> JournalRow:
    return (call_sid, entry.sequence, entry.kind, entry.at_ms, to_us(entry.wall), sound(entry.body), attempt)


def insert_entries(connection: sqlite3.Connection, rows: Sequence[JournalRow]) -> None:
    """Write journal rows of calls that are still in the hands that wrote them; the others are dropped.

    One that is there already is left alone, and logged if it differs.
    """
    before = connection.total_changes
    connection.executemany(
        """INSERT INTO journal
           SELECT ?1, ?2, ?3, ?4, ?5, ?6
           WHERE EXISTS (SELECT 1 FROM calls WHERE call_sid = ?1 AND attempt = ?7 AND ended_us IS NULL)
           ON CONFLICT DO NOTHING""",
        rows,
    )
    if connection.total_changes - before == len(rows):
        return
    missing = _missing(connection, rows)
    taken = {key for key in {_hands(row) for row in missing} if not in_hands(connection, *key)}
    for call_sid, attempt in taken:
        count = sum(_hands(row) == (call_sid, attempt) for row in missing)
        log.warning(
            "%d journal entries of attempt %d were dropped",
            count,
            attempt,
            extra=named("store_entries_dropped", call_sid),
        )
    for row in missing:
        if _hands(row) not in taken:
            log.error(
                "entry %d is in the journal with another content", row[1], extra=named("store_entry_conflict", row[0])
            )


def check_stand(connection: sqlite3.Connection, call_sid: str, attempt: int, rows: Sequence[JournalRow]) -> None:
    """Refuse if these rows, which were to be inserted before, were dropped or found their places taken.

    Raises:
        CallTakenError: the call is in other hands, or over.
        StoreError: another entry stands in the place of at least one.
    """
    if not in_hands(connection, call_sid, attempt):
        raise CallTakenError(call_sid)
    for row in _missing(connection, rows):
        raise StoreError(f"call {call_sid}: entry {row[1]} is in the journal with another content")


def in_hands(connection: sqlite3.Connection, call_sid: str, attempt: int) -> bool:
    """Whether this is the present attempt of a call that is not over."""
    query = "SELECT 1 FROM calls WHERE call_sid = ? AND attempt = ? AND ended_us IS NULL"
    return connection.execute(query, (call_sid, attempt)).fetchone() is not None


def list_entries(
    connection: sqlite3.Connection, call_sid: str, after: int, waiting: Sequence[JournalRow]
) -> list[StoredEntry]:
    """What is in the journal beyond `after`, with those of `waiting` that are going to be.

    `waiting` was taken before: rows only ever go from there to here, so none is missed.
    """
    # The hands first: whatever of `waiting` they let in before they changed is then among the rows read after.
    present = {attempt for attempt in {row[6] for row in waiting} if in_hands(connection, call_sid, attempt)}
    stored = connection.execute(f"SELECT {_ENTRY} FROM journal WHERE call_sid = ? AND sequence > ?", (call_sid, after))
    kept = {row[1]: row[:6] for row in waiting if row[1] > after and row[6] in present}
    rows = kept | {row[1]: row for row in stored}
    return [_stored_entry(rows[sequence]) for sequence in sorted(rows)]


# ---- ends and reports ---------------------------------------------------------------------------------------------


def finish(
    connection: sqlite3.Connection,
    call_sid: str,
    report: str,
    deliveries: Sequence[NewDelivery],
    attempt: int,
    ended: datetime,
    last_rows: Sequence[JournalRow],
) -> bool:
    """Everything that ends a call; False, with nothing done, if it has a report.

    Raises:
        CallTakenError: the call is in other hands, or unknown.
    """
    if find_report(connection, call_sid) is not None:
        return False
    if not in_hands(connection, call_sid, attempt):
        raise CallTakenError(call_sid)
    insert_entries(connection, last_rows)
    connection.execute("INSERT INTO reports VALUES (?, ?, ?)", (call_sid, sound(report), to_us(ended)))
    digest = digest_of(report)
    connection.execute(
        "UPDATE calls SET ended_us = ?, digest = ?, outcome = ?, ended_reason = ? WHERE call_sid = ?",
        (to_us(ended), sound(write_digest(digest)), digest.outcome, digest.ended_reason, call_sid),
    )
    enqueue(connection, call_sid, deliveries, ended)
    empty_vaults(connection)
    return True


def find_report(connection: sqlite3.Connection, call_sid: str) -> str | None:
    row = connection.execute("SELECT body FROM reports WHERE call_sid = ?", (call_sid,)).fetchone()
    return row[0] if row else None


def find_reports(connection: sqlite3.Connection, call_sids: Sequence[str]) -> dict[str, str]:
    marks = ", ".join("?" * len(call_sids))
    return dict(connection.execute(f"SELECT call_sid, body FROM reports WHERE call_sid IN ({marks})", call_sids))


def _hands(row: JournalRow) -> tuple[str, int]:
    return row[0], row[6]


def _missing(connection: sqlite3.Connection, rows: Sequence[JournalRow]) -> list[JournalRow]:
    stored = f"SELECT {_ENTRY} FROM journal WHERE call_sid = ? AND sequence = ?"
    return [row for row in rows if connection.execute(stored, row[:2]).fetchone() != row[:6]]


def _stored_entry(row: tuple[Any, ...]) -> StoredEntry:
    _, sequence, kind, at_ms, wall_us, body = row
    return StoredEntry(sequence, kind, at_ms, from_us(wall_us), body)


def _call_record(row: tuple[Any, ...]) -> CallRecord:
    call_sid, flow_name, flow_version, caller, called, direction, started_us, owner, attempt, issued_at, *last = row
    started, claimed, ended = from_us(started_us), bool(last[0]), from_us_or_none(last[1])
    return CallRecord(
        call_sid, flow_name, flow_version, caller, called, direction, started, owner, attempt, issued_at, claimed, ended
    )
