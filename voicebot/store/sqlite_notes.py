"""Notes as SQL; each function runs inside a transaction of its caller's."""

from __future__ import annotations

import sqlite3


def find_note(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT body FROM notes WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def put_note(connection: sqlite3.Connection, key: str, body: str | None, instead_of: str | None) -> bool:
    """Change it, unless something else stands there."""
    standing = find_note(connection, key)
    if standing == body:
        return True
    if standing != instead_of:
        return False
    if body is None:
        connection.execute("DELETE FROM notes WHERE key = ?", (key,))
    else:
        connection.execute("INSERT OR REPLACE INTO notes (key, body) VALUES (?, ?)", (key, body))
    return True


def list_notes(connection: sqlite3.Connection, prefix: str) -> dict[str, str]:
    rows = connection.execute("SELECT key, body FROM notes WHERE substr(key, 1, ?) = ?", (len(prefix), prefix))
    return dict(rows.fetchall())
