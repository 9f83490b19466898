"""The outbox as SQL; each function runs inside a transaction of its caller's."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .contract import Backlog, Delivery, DeliveryState, NewDelivery, host_of
from .sqlite_secrets import empty_vaults
from .values import from_us, from_us_or_none, sound, split_names, to_us, to_us_or_none

_DELIVERY = (
    "webhook_id, call_sid, url, body, state, attempts, due_us, created_us, tried_us, status, reason, secret, bearer, "
    "secrets"
)


def enqueue(connection: sqlite3.Connection, call_sid: str, deliveries: Sequence[NewDelivery], now: datetime) -> None:
    """Due at once, or held if their URL is disabled; left alone if they are there already."""
    for new in deliveries:
        held = connection.execute("SELECT 1 FROM disabled_urls WHERE url = ?", (new.url,)).fetchone()
        state, due = ("disabled", None) if held else ("pending", now)
        connection.execute(
            f"""INSERT INTO outbox (host, {_DELIVERY}) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, NULL, NULL, NULL, ?, ?, ?)
                ON CONFLICT DO NOTHING""",
            (
                host_of(new.url),
                new.webhook_id,
                call_sid,
                new.url,
                sound(new.body),
                state,
                to_us_or_none(due),
                to_us(now),
                new.secret,
                new.bearer,
                ",".join(new.secrets),
            ),
        )


def lease(
    connection: sqlite3.Connection,
    now: datetime,
    lapses: datetime,
    limit: int,
    per_host: int,
    under_way: Mapping[str, int],
) -> list[Delivery]:
    """Take what is due, host by host, so that many for one host do not stand before the others."""
    waiting = connection.execute(
        "SELECT host FROM outbox WHERE state = 'pending' AND due_us <= ? GROUP BY host ORDER BY MIN(due_us)",
        (to_us(now),),
    )
    leased: list[Delivery] = []
    for (host,) in waiting.fetchall():
        room = min(per_host - under_way.get(host, 0), limit - len(leased))
        if room > 0:
            leased += _lease_of_host(connection, host, now, lapses, room)
    return leased


def next_due(connection: sqlite3.Connection, after: datetime) -> datetime | None:
    query = "SELECT MIN(due_us) FROM outbox WHERE state = 'pending' AND due_us > ?"
    return from_us_or_none(connection.execute(query, (to_us(after),)).fetchone()[0])


def note_delivered(connection: sqlite3.Connection, webhook_id: str, now: datetime, status: int) -> None:
    connection.execute(
        """UPDATE outbox SET state = 'delivered', attempts = attempts + 1, due_us = NULL, tried_us = ?, status = ?,
           reason = NULL WHERE webhook_id = ? AND state <> 'delivered'""",
        (to_us(now), status, webhook_id),
    )
    empty_vaults(connection)


def note_failed(
    connection: sqlite3.Connection,
    webhook_id: str,
    now: datetime,
    reason: str,
    attempt: int,
    next_at: datetime | None,
    disable: bool,
) -> None:
    state: DeliveryState = "disabled" if disable else "dead" if next_at is None else "pending"
    due = next_at if state == "pending" else None
    noted = connection.execute(
        """UPDATE outbox SET state = ?, attempts = attempts + 1, due_us = ?, tried_us = ?, status = NULL, reason = ?
           WHERE webhook_id = ? AND state = 'pending' AND attempts = ? RETURNING url""",
        (state, to_us_or_none(due), to_us(now), reason, webhook_id, attempt - 1),
    ).fetchone()
    if disable and noted:
        _disable(connection, noted[0], now)
    if next_at is None:
        empty_vaults(connection)


def list_deliveries(
    connection: sqlite3.Connection,
    limit: int,
    state: DeliveryState | None,
    call_sid: str | None,
    before: tuple[datetime, str] | None,
) -> list[Delivery]:
    wanted = {column: value for column, value in (("state", state), ("call_sid", call_sid)) if value is not None}
    conditions, values = [f"{column} = ?" for column in wanted], list[object](wanted.values())
    if before is not None:
        conditions.append("(created_us < ? OR (created_us = ? AND webhook_id > ?))")
        values += [to_us(before[0]), to_us(before[0]), before[1]]
    query = f"""SELECT {_DELIVERY} FROM outbox WHERE {" AND ".join(["TRUE", *conditions])}
        ORDER BY created_us DESC, webhook_id LIMIT ?"""
    return [_delivery(row) for row in connection.execute(query, (*values, limit))]


def find_delivery(connection: sqlite3.Connection, webhook_id: str) -> Delivery | None:
    row = connection.execute(f"SELECT {_DELIVERY} FROM outbox WHERE webhook_id = ?", (webhook_id,)).fetchone()
    return _delivery(row) if row else None


def read_backlog(connection: sqlite3.Connection) -> Backlog:
    """By its own index, however many were delivered."""
    rows = connection.execute(
        "SELECT state, COUNT(*), MIN(created_us) FROM outbox WHERE state <> 'delivered' GROUP BY state"
    )
    found = {state: (count, oldest_us) for state, count, oldest_us in rows}
    count = {state: found.get(state, (0, None))[0] for state in ("pending", "dead", "disabled")}
    return Backlog(**count, oldest_pending=from_us_or_none(found.get("pending", (0, None))[1]))


def requeue(connection: sqlite3.Connection, webhook_id: str, now: datetime) -> bool:
    known = connection.execute(
        "UPDATE outbox SET state = 'pending', attempts = 0, due_us = ? WHERE webhook_id = ? RETURNING url",
        (to_us(now), webhook_id),
    ).fetchone()
    if known is None:
        return False
    _enable(connection, known[0], now)
    return True


def _lease_of_host(
    connection: sqlite3.Connection, host: str, now: datetime, lapses: datetime, room: int
) -> list[Delivery]:
    rows = connection.execute(
        f"""UPDATE outbox SET due_us = ? WHERE webhook_id IN (
                SELECT webhook_id FROM outbox WHERE state = 'pending' AND host = ? AND due_us <= ?
                ORDER BY due_us LIMIT ?)
            RETURNING {_DELIVERY}""",
        (to_us(lapses), host, to_us(now), room),
    )
    return [_delivery(row) for row in rows.fetchall()]


def _disable(connection: sqlite3.Connection, url: str, now: datetime) -> None:
    connection.execute("INSERT INTO disabled_urls VALUES (?, ?) ON CONFLICT DO NOTHING", (url, to_us(now)))
    connection.execute(
        "UPDATE outbox SET state = 'disabled', due_us = NULL WHERE state = 'pending' AND url = ?", (url,)
    )


def _enable(connection: sqlite3.Connection, url: str, now: datetime) -> None:
    connection.execute("DELETE FROM disabled_urls WHERE url = ?", (url,))
    connection.execute(
        "UPDATE outbox SET state = 'pending', due_us = ? WHERE state = 'disabled' AND url = ?", (to_us(now), url)
    )


def _delivery(row: tuple[Any, ...]) -> Delivery:
    webhook_id, call_sid, url, body, state, attempts, due_us, created_us, tried_us, status, reason, *names = row
    due, created, tried = from_us_or_none(due_us), from_us(created_us), from_us_or_none(tried_us)
    secret, bearer, secrets = names
    return Delivery(
        webhook_id,
        call_sid,
        url,
        body,
        state,
        attempts,
        due,
        created,
        tried,
        status,
        reason,
        secret,
        bearer,
        split_names(secrets),
    )
