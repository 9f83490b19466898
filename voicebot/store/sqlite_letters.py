"""Letters between instances as SQL; each function runs inside a transaction of its caller's."""

from __future__ import annotations

import sqlite3

KEPT_S = 600  # for an instance that does not take them
_NOW = "CAST(strftime('%s', 'now') AS INTEGER)"


def post(connection: sqlite3.Connection, owner: str, letter: str) -> None:
    connection.execute(f"DELETE FROM letters WHERE posted_s < {_NOW} - ?", (KEPT_S,))
    connection.execute(f"INSERT INTO letters (owner, body, posted_s) VALUES (?, ?, {_NOW})", (owner, letter))


def waiting(connection: sqlite3.Connection, owner: str) -> bool:
    """Whether there are any: asked so often that it must not write."""
    return connection.execute("SELECT 1 FROM letters WHERE owner = ? LIMIT 1", (owner,)).fetchone() is not None


def take(connection: sqlite3.Connection, owner: str) -> list[str]:
    rows = connection.execute("SELECT body FROM letters WHERE owner = ? ORDER BY number", (owner,)).fetchall()
    connection.execute("DELETE FROM letters WHERE owner = ?", (owner,))
    return [body for (body,) in rows]
