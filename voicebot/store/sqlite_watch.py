"""Waiting for journal entries that any process may write: one look at the file for all who wait."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

LOOK_EVERY_S = 0.1
Place = tuple[str, int]  # call_sid, and the sequence beyond which entries are waited for


class JournalWatch:
    """Looks at the file while somebody waits, in the thread that reads. Used from the event loop it was made in."""

    def __init__(self, connection: sqlite3.Connection, executor: ThreadPoolExecutor) -> None:
        self._connection, self._executor = connection, executor
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[asyncio.Future[None], Place] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Future[list[bool]] | None = None

    async def wait(self, call_sid: str, after: int, limit_s: float) -> None:
        """Return when there is such an entry, or when it cannot be told; at the latest after `limit_s`."""
        found: asyncio.Future[None] = self._loop.create_future()
        self._waiting[found] = call_sid, after
        self._look_soon()
        try:
            await asyncio.wait([found], timeout=limit_s)
        finally:
            self._waiting.pop(found, None)

    def close(self) -> None:
        """Let everybody go who waits."""
        for found in self._waiting:
            _let_go(found)
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look_soon(self) -> None:
        if self._waiting and self._timer is None and self._looking is None:
            self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        waiting, places = list(self._waiting), list(self._waiting.values())
        self._looking = self._loop.run_in_executor(self._executor, _have_more, self._connection, places)
        self._looking.add_done_callback(partial(self._looked, waiting))

    def _looked(self, waiting: Sequence[asyncio.Future[None]], looking: asyncio.Future[list[bool]]) -> None:
        self._looking = None
        if looking.exception() is None:
            found = [one for one, more in zip(waiting, looking.result(), strict=True) if more]
        else:  # whoever waits reads the journal now, and is told why it cannot be read
            found = [*waiting]
        for one in found:
            _let_go(one)
        self._look_soon()


def _let_go(found: asyncio.Future[None]) -> None:
    if not found.done():
        found.set_result(None)


def _have_more(connection: sqlite3.Connection, places: Sequence[Place]) -> list[bool]:
    query = "SELECT 1 FROM journal WHERE call_sid = ? AND sequence > ? LIMIT 1"
    return [connection.execute(query, place).fetchone() is not None for place in places]
