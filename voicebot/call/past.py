"""A call's journal, read by whoever goes on with the call or has to end it.

The process that had the call is gone, or gave it away. All that is known of it stands in the journal; what nobody had
time to write down (a fraction of a second) is lost, and so may be what the caller said meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import get_args

from voicebot.engine.entries import (
    CallerTurnTaken,
    EndedReason,
    EngineEntry,
    LanguageSwitched,
    TransferBegan,
    TransferFailed,
)
from voicebot.errors import JournalError
from voicebot.flow.model import Say
from voicebot.store.contract import StoredEntry

from .entries import (
    AnswererKnown,
    BotSaid,
    CallEnded,
    CallerConnected,
    CallOpened,
    CallTakenOver,
    Entry,
    LineClosed,
    PassedOn,
    PassingEnded,
    TokensSpent,
    read_entry,
)

LONGEST_GAP_S = 60.0  # nobody waits longer on a line that has gone dead; by the clocks of two machines it may seem so
_ENGINE = get_args(EngineEntry)


@dataclass(frozen=True, slots=True)
class Passing:
    """Where the phone line took the caller `at_ms`, and what came of it, once that is known."""

    on: PassedOn
    at_ms: int
    result: PassingEnded | None = None


@dataclass(frozen=True)
class Past:
    """What has happened in a call so far.

    Attributes:
        lines: every entry with its time (ms since the call began), in order.
        sequence: number of the last entry.
        at_ms: how long ago the call began, now.
    """

    lines: tuple[tuple[int, Entry], ...]
    sequence: int
    at_ms: int

    @cached_property
    def opened(self) -> CallOpened:
        """How the call began.

        Raises:
            JournalError: the journal does not say.
        """
        found = next((entry for _, entry in self.lines if isinstance(entry, CallOpened)), None)
        if found is None:
            raise JournalError("the journal of the call has no beginning")
        return found

    @cached_property
    def answered_ms(self) -> int | None:
        """When the caller's first stream came; None if none did."""
        return next((at_ms for at_ms, entry in self.lines if isinstance(entry, CallerConnected)), None)

    @cached_property
    def taken_over(self) -> int:
        """How often the call went to other hands after it was answered."""
        return sum(isinstance(entry, CallTakenOver) for _, entry in self.lines)

    @cached_property
    def closed(self) -> EndedReason | None:
        """Why the line was closed, if that was our decision; then nobody waits on it any more."""
        closed = (entry.reason for entry in self._latest if isinstance(entry, (LineClosed, CallEnded)))
        return next(closed, None)

    @cached_property
    def answerer(self) -> AnswererKnown | None:
        """Who has answered our call, if the phone line has found out."""
        return next((entry for _, entry in reversed(self.lines) if isinstance(entry, AnswererKnown)), None)

    @cached_property
    def _latest(self) -> tuple[Entry, ...]:
        """What has happened since the caller came back from a transfer, if they ever did."""
        entries = tuple(entry for _, entry in self.lines)
        came_back = (number for number, entry in enumerate(entries) if isinstance(entry, TransferFailed))
        return entries[max(came_back, default=-1) + 1 :]

    @cached_property
    def transfer(self) -> TransferBegan | None:
        """Whom the caller is to be joined to, if that is why the line is closed, or about to be."""
        if self.closed not in (None, "transferred"):
            return None
        return next((entry for entry in reversed(self._latest) if isinstance(entry, TransferBegan)), None)

    @cached_property
    def passings(self) -> tuple[Passing, ...]:
        """Where the phone line took the caller after the line was closed, in order."""
        results = {entry.number: entry for _, entry in self.lines if isinstance(entry, PassingEnded)}
        return tuple(
            Passing(entry, at_ms, results.get(entry.number))
            for at_ms, entry in self.lines
            if isinstance(entry, PassedOn)
        )

    @cached_property
    def elsewhere(self) -> Passing | None:
        """Where the phone line took the caller since the line was closed, whatever came of it."""
        return self.passings[-1] if any(isinstance(entry, PassedOn) for entry in self._latest) else None

    @cached_property
    def awaited(self) -> Passing | None:
        """Where the caller is now, as far as is known: nobody is at work on the call until the phone line tells."""
        last = self.passings[-1] if self.passings else None
        if last is None or last.result is not None or self.at_ms > last.at_ms + last.on.limit_s * 1000:
            return None
        return last

    @cached_property
    def engine_entries(self) -> list[tuple[int, EngineEntry]]:
        """What the engine's state is a fold of, with the times."""
        return [(at_ms, entry) for at_ms, entry in self.lines if isinstance(entry, _ENGINE)]

    @cached_property
    def language(self) -> str | None:
        """The language that the caller switched to (ISO 639-1); None while they are in the flow's first."""
        switched = (entry.language for _, entry in reversed(self.lines) if isinstance(entry, LanguageSwitched))
        return next(switched, None)

    @cached_property
    def usd(self) -> float:
        """What the model's tokens have cost so far (US dollars), as far as their prices were known."""
        return math.fsum(entry.usd or 0.0 for _, entry in self.lines if isinstance(entry, TokensSpent))

    @cached_property
    def caller_waits(self) -> bool:
        """Whether the last one to speak was the caller, who was not answered."""
        spoke = (entry for _, entry in reversed(self.lines) if isinstance(entry, (BotSaid, CallerTurnTaken)))
        return isinstance(next(spoke, None), CallerTurnTaken)

    def needs_opening(self, opening: Say | None) -> bool:
        """Whether the call's exact first words are still to be said: all of them, where they must be heard."""
        said = [entry for _, entry in self.lines if isinstance(entry, BotSaid)]
        if opening is None or opening.interruptible:
            return opening is not None and not any(one.heard_text for one in said)
        texts = opening.texts.values()
        return not any(one.exact and one.text in texts and not one.interrupted for one in said)


def read_past(journal: Sequence[StoredEntry], wall: datetime) -> Past:
    """Read a call's journal, at `wall` (aware).

    Raises:
        JournalError: an entry is damaged.
    """
    lines = tuple((one.at_ms, read_entry(one.kind, one.body)) for one in journal)
    if not journal:
        return Past((), 0, 0)
    last = journal[-1]
    return Past(lines, last.sequence, last.at_ms + gap_ms(last, wall))


def gap_ms(last: StoredEntry, wall: datetime) -> int:
    """How long ago the last entry was written (ms), at `wall` (aware), which may be another machine's clock.

    No longer than a call stays without hands, or the caller elsewhere: more than that is no part of the call.
    """
    return round(min(max(0.0, (wall - last.wall).total_seconds()), LONGEST_GAP_S + _elsewhere_s(last)) * 1000)


def _elsewhere_s(last: StoredEntry) -> float:
    """How long the caller may be where the phone line has taken them."""
    try:
        entry = read_entry(last.kind, last.body)
    except JournalError:
        return 0.0
    return entry.limit_s if isinstance(entry, PassedOn) else 0.0
