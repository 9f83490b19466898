"""Writing a call's journal: entries are numbered and timed when they are decided, and written in that order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from voicebot.errors import CallTakenError, StoreError
from voicebot.log_events import named
from voicebot.store.contract import StoredEntry

from .entries import CallEnded, Entry, HandedOver, LegLost, LineClosed, kind_of, write_entry
from .events import Journal
from .past import Past

log = logging.getLogger(__name__)

Other = TypeVar("Other")
_LINE_OVER = (LegLost, HandedOver, LineClosed, CallEnded)


class JournalStore(Protocol):
    """The part of the store that a running call writes to."""

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, attempt: int, durable: bool) -> None:
        """Add to a call's journal; see the store's contract."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A journal entry on its way to the store."""

    entry: StoredEntry
    durable: bool


class CallJournal:
    """The journal of one running call; its time begins now. `unwritten` is what the store did not take."""

    def __init__(
        self,
        call_sid: str,
        store: JournalStore,
        wall: Callable[[], datetime],
        told: Callable[[Entry, datetime], None] | None,
        *,
        stored: Callable[[StoredEntry], None] | None = None,
        attempt: int = 1,
        past: Past | None = None,
        last_words: Callable[[], Entry | None] | None = None,
    ) -> None:
        """
        Args:
            wall: the time of day, aware UTC.
            told: called with every entry, in order, as it is decided; it must not wait.
            stored: called with every entry that the store has taken; it must not wait.
            attempt: with which the call is held.
            past: what stands in the journal already, read a moment ago.
            last_words: gives what is to stand before the first entry that says that the line is closed or gone.
        """
        self.unwritten: list[StoredEntry] = []
        self._call_sid, self._store, self._wall, self._attempt = call_sid, store, wall, attempt
        self._told = [] if told is None else [told]
        self._stored, self._last_words = stored, last_words
        self._time = asyncio.get_running_loop().time
        self._began = self._time() - (past.at_ms / 1000 if past else 0.0)
        self._sequence = past.sequence if past else 0

    def tell(self, told: Callable[[Entry, datetime], None]) -> None:
        """Have somebody else told of every entry from now on, too."""
        self._told.append(told)

    def stamped(self, effects: Iterable[Journal | Other]) -> list[Line | Other]:
        """Effects with their journal entries numbered and timed, in the order they were decided."""
        stamped: list[Line | Other] = []
        for effect in effects:
            if not isinstance(effect, Journal):
                stamped.append(effect)
                continue
            if self._last_words is not None and isinstance(effect.entry, _LINE_OVER):
                words, self._last_words = self._last_words(), None
                if words is not None:
                    stamped.append(Line(self.entry(words), effect.durable))
            stamped.append(Line(self.entry(effect.entry), effect.durable))
        return stamped

    def entry(self, entry: Entry) -> StoredEntry:
        """The next entry of the journal."""
        self._sequence += 1
        at_ms, wall = round((self._time() - self._began) * 1000), self._wall()
        for told in self._told:
            told(entry, wall)
        return StoredEntry(self._sequence, kind_of(entry), at_ms, wall, write_entry(entry))

    async def write(self, lines: Sequence[Line]) -> None:
        """Write entries down; the call goes on without a store, and what it did not take goes with the report.

        Raises:
            CallTakenError: the call is in other hands.
        """
        written = [line.entry for line in lines]
        durable = any(line.durable for line in lines)
        try:
            await self._store.append(self._call_sid, written, attempt=self._attempt, durable=durable)
        except CallTakenError:
            raise
        except StoreError as exc:
            log.error(
                "the journal cannot be written: %s", exc, extra=named("store_journal_not_written", self._call_sid)
            )
            self.unwritten += written
            return
        if self._stored is not None:
            for entry in written:
                self._stored(entry)
