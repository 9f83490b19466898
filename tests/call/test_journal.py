"""Writing a call's journal: numbers, times, order, and what becomes of it without a store."""

from __future__ import annotations

import asyncio
from datetime import datetime

from tests.fakes import CALL_SID, START, FakeJournal
from voicebot.call.entries import CallEnded, Entry, KeyPress, LegLost, LineClosed, LineQuality
from voicebot.call.events import Effect, Journal
from voicebot.call.journal import CallJournal, Line
from voicebot.call.ports import CloseLeg
from voicebot.sim.clock import run_virtual


def test_entries_are_numbered_timed_and_told_in_order() -> None:
    told: list[tuple[Entry, datetime]] = []

    async def play() -> None:
        journal = CallJournal(
            CALL_SID, FakeJournal(), lambda: START, lambda entry, at: told.append((entry, at)), attempt=1
        )
        await asyncio.sleep(1.5)
        effects: list[Effect] = [
            Journal(KeyPress("1"), durable=True),
            CloseLeg(),
            Journal(KeyPress("2"), durable=False),
        ]
        first, command, second = journal.stamped(effects)
        assert isinstance(first, Line) and isinstance(second, Line)
        assert command == CloseLeg()
        assert [(line.entry.sequence, line.entry.at_ms, line.durable) for line in (first, second)] == [
            (1, 1500, True),
            (2, 1500, False),
        ]
        assert (first.entry.kind, first.entry.body, first.entry.wall) == ("key_press", '{"digit":"1"}', START)

    run_virtual(play())
    assert told == [(KeyPress("1"), START), (KeyPress("2"), START)]


def test_what_a_store_does_not_take_is_kept() -> None:
    async def play() -> None:
        store = FakeJournal()
        journal = CallJournal(CALL_SID, store, lambda: START, None, attempt=2)
        for digit, down in (("1", False), ("2", True), ("3", False)):
            store.down = down
            await journal.write([Line(journal.entry(KeyPress(digit)), durable=digit == "3")])
        assert [entry.sequence for entry in store.entries] == [1, 3]
        assert [entry.sequence for entry in journal.unwritten] == [2]
        assert store.durable == [3]
        assert store.attempts == {2}

    run_virtual(play())


def test_last_words_stand_once_before_the_line_is_over() -> None:
    async def play() -> list[tuple[int, str]]:
        words = LineQuality(1, 2, 3, None, 0.0, 0, 0, ())
        journal = CallJournal(CALL_SID, FakeJournal(), lambda: START, None, last_words=lambda: words)
        effects: list[Effect] = [
            Journal(KeyPress("1"), durable=False),
            Journal(LineClosed("completed"), durable=True),
            CloseLeg(),
            Journal(CallEnded("completed"), durable=True),
        ]
        return [(one.entry.sequence, one.entry.kind) for one in journal.stamped(effects) if isinstance(one, Line)]

    assert run_virtual(play()) == [(1, "key_press"), (2, "line_quality"), (3, "line_closed"), (4, "call_ended")]


def test_nothing_to_say_leaves_no_gap() -> None:
    async def play() -> list[int]:
        journal = CallJournal(CALL_SID, FakeJournal(), lambda: START, None)
        stamped = journal.stamped([Journal(LegLost(), durable=True), Journal(CallEnded("error"), durable=True)])
        return [one.entry.sequence for one in stamped if isinstance(one, Line)]

    assert run_virtual(play()) == [1, 2]
