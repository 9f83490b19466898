"""A call's journal, read by whoever goes on with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes import START
from voicebot.call.entries import (
    BotSaid,
    CallEnded,
    CallerConnected,
    CallOpened,
    CallTakenOver,
    Entry,
    HandedOver,
    LegLost,
    LineClosed,
    PassedOn,
    kind_of,
    write_entry,
)
from voicebot.call.past import LONGEST_GAP_S, Past, gap_ms, read_past
from voicebot.engine.entries import CallerTurnTaken, EndedReason, PhaseEntered
from voicebot.errors import JournalError
from voicebot.flow import Say
from voicebot.store.contract import StoredEntry

OPENED = CallOpened("visit", "v1", "{}", None, None, "inbound")
STREAM = CallerConnected("MZ1")
TURN = CallerTurnTaken(1, "u1")
RECORDED = Say("This call is recorded.", interruptible=False)
HELLO = Say("Hello.")


def said(text: str = "Hello.", *, heard: str | None = None, exact: bool = True, interrupted: bool = False) -> BotSaid:
    return BotSaid("a1", text, text if heard is None else heard, 900, 1000, interrupted, exact)


def past(*entries: Entry) -> Past:
    return Past(tuple((100 * number, entry) for number, entry in enumerate(entries)), len(entries), 5000)


def stored(*entries: Entry) -> list[StoredEntry]:
    return [
        StoredEntry(number, kind_of(entry), 100 * number, START + timedelta(seconds=number), write_entry(entry))
        for number, entry in enumerate(entries, 1)
    ]


def test_journal_is_read_with_its_times() -> None:
    found = read_past(stored(OPENED, STREAM), START + timedelta(seconds=3.5))
    assert found == Past(((100, OPENED), (200, STREAM)), 2, 200 + 1500)
    assert found.opened == OPENED
    assert found.answered_ms == 200


def test_journal_without_a_beginning_says_so() -> None:
    assert read_past([], START) == Past((), 0, 0)
    with pytest.raises(JournalError):
        _ = past(STREAM).opened


@pytest.mark.parametrize(
    "damaged",
    [
        StoredEntry(3, "no_such_kind", 0, START, "{}"),
        StoredEntry(3, "leg_lost", 0, START, "no JSON"),
        StoredEntry(3, "caller_connected", 0, START, "{}"),
    ],
)
def test_damaged_journal_is_refused(damaged: StoredEntry) -> None:
    with pytest.raises(JournalError):
        read_past([*stored(OPENED, STREAM), damaged], START)


@pytest.mark.parametrize(
    ("seconds", "counted_s"),
    [(0.0, 0.0), (1.2, 1.2), (-300.0, 0.0), (LONGEST_GAP_S, LONGEST_GAP_S), (3600.0, LONGEST_GAP_S)],
)
def test_clock_of_another_machine_adds_a_bounded_gap(seconds: float, counted_s: float) -> None:
    assert gap_ms(StoredEntry(1, "leg_lost", 0, START, "{}"), START + timedelta(seconds=seconds)) == counted_s * 1000


@pytest.mark.parametrize(
    ("seconds", "counted_s"), [(600.0, 600.0), (3600.0 + LONGEST_GAP_S, 3600.0 + LONGEST_GAP_S), (9e6, 3660.0)]
)
def test_caller_who_is_elsewhere_may_be_there_for_long(seconds: float, counted_s: float) -> None:
    (last,) = stored(PassedOn(1, "transfer", "+15550199000", 3600.0))
    assert gap_ms(last, last.wall + timedelta(seconds=seconds)) == counted_s * 1000
    assert gap_ms(replace(last, body="{"), last.wall + timedelta(seconds=seconds)) == LONGEST_GAP_S * 1000


def test_caller_is_awaited_until_the_limit_of_where_he_is() -> None:
    journal = stored(OPENED, STREAM, LineClosed("model_failed"), PassedOn(1, "voicemail", None, 180.0))
    assert read_past(journal, journal[-1].wall + timedelta(seconds=179)).awaited is not None
    assert read_past(journal, journal[-1].wall + timedelta(seconds=181)).awaited is None


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ((OPENED, STREAM), None),
        ((OPENED, STREAM, LegLost()), None),
        ((OPENED, STREAM, HandedOver()), None),
        ((OPENED, STREAM, LineClosed("completed")), "completed"),
        ((OPENED, STREAM, LineClosed("silence"), said()), "silence"),
        ((OPENED, CallEnded("never_connected")), "never_connected"),
        ((OPENED, STREAM, LineClosed("completed"), CallEnded("completed")), "completed"),
    ],
)
def test_line_that_we_closed_stays_closed(entries: tuple[Entry, ...], reason: EndedReason | None) -> None:
    assert past(*entries).closed == reason


def test_hands_are_counted() -> None:
    assert past(OPENED, STREAM, CallTakenOver(2), STREAM, HandedOver(), CallTakenOver(3)).taken_over == 2


@pytest.mark.parametrize(
    ("entries", "waits"),
    [
        ((OPENED, STREAM), False),
        ((OPENED, STREAM, said()), False),
        ((OPENED, STREAM, said(), TURN), True),
        ((OPENED, STREAM, said(), TURN, CallTakenOver(2)), True),
        ((OPENED, STREAM, said(), TURN, said()), False),
    ],
)
def test_caller_waits_for_an_answer_to_his_last_turn(entries: tuple[Entry, ...], waits: bool) -> None:
    assert past(*entries).caller_waits is waits


@pytest.mark.parametrize(
    ("opening", "entries", "needed"),
    [
        (None, (), False),
        (HELLO, (), True),
        (HELLO, (said(heard="", interrupted=True),), True),
        (HELLO, (said(heard="Hel", interrupted=True),), False),  # half a greeting is one
        (HELLO, (said("Anything.", exact=False),), False),
        (RECORDED, (), True),
        (RECORDED, (said("Something else."),), True),
        (RECORDED, (said(RECORDED.text, heard="This call", interrupted=True),), True),
        (RECORDED, (said(RECORDED.text, exact=False),), True),  # the model's own words are none of ours
        (RECORDED, (said(RECORDED.text),), False),
        (RECORDED, (said(RECORDED.text, heard="This call", interrupted=True), said(RECORDED.text)), False),
    ],
)
def test_opening_is_said_until_it_was_heard(opening: Say | None, entries: tuple[Entry, ...], needed: bool) -> None:
    assert past(OPENED, STREAM, *entries).needs_opening(opening) is needed


def test_engine_is_given_its_own_entries() -> None:
    entered = PhaseEntered("who", None, "start")
    assert past(OPENED, STREAM, entered, said(), TURN).engine_entries == [(200, entered), (400, TURN)]
