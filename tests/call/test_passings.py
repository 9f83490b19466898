"""A call's journal read by others: where its caller is, and whether somebody will tell."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fakes import START
from voicebot.call.entries import Entry, LineClosed, PassedOn, PassingEnded, kind_of, write_entry
from voicebot.call.past import Past, read_past
from voicebot.engine.entries import TransferBegan, TransferFailed
from voicebot.store.contract import StoredEntry

CLOSED = LineClosed("model_failed")
RUNG = PassedOn(1, "transfer", "+15550199", 100.0)
RECORDED = PassedOn(2, "voicemail", None, 60.0)


def past_of(*entries: Entry, after_s: float = 1.0) -> Past:
    """One entry a second, read `after_s` after the last."""
    stored = [
        StoredEntry(number, kind_of(entry), number * 1000, START + timedelta(seconds=number), write_entry(entry))
        for number, entry in enumerate(entries, 1)
    ]
    return read_past(stored, START + timedelta(seconds=len(stored) + after_s))


def test_nobody_is_awaited_whom_nobody_took_elsewhere() -> None:
    past = past_of(CLOSED)
    assert (past.passings, past.awaited) == ((), None)
    assert past.closed == "model_failed"


def test_passings_stand_with_what_came_of_them() -> None:
    busy = PassingEnded(1, "busy")
    first, second = past_of(CLOSED, RUNG, busy, RECORDED).passings
    assert (first.on, first.at_ms, first.result) == (RUNG, 2000, busy)
    assert (second.on, second.at_ms, second.result) == (RECORDED, 4000, None)


@pytest.mark.parametrize(("after_s", "awaited"), [(1.0, True), (99.0, True), (101.0, False)])
def test_result_is_awaited_until_it_must_have_come(after_s: float, awaited: bool) -> None:
    past = past_of(CLOSED, RUNG, after_s=after_s)
    assert (past.awaited is not None) == awaited


def test_result_that_came_is_not_awaited() -> None:
    assert past_of(CLOSED, RUNG, PassingEnded(1, "completed", 64)).awaited is None


# ---- transfers ------------------------------------------------------------------------------------------------------

WANTED = TransferBegan("desk", True, 25.0)
TRANSFERRED = LineClosed("transferred")
RUNG_FOR = PassedOn(1, "transfer", "+15550199", 100.0, "desk")
BACK = (PassingEnded(1, "busy"), TransferFailed("desk", "busy"))


def test_transfer_is_to_be_made_once_the_line_is_closed() -> None:
    past = past_of(WANTED, TRANSFERRED)
    assert (past.closed, past.transfer, past.elsewhere) == ("transferred", WANTED, None)


def test_caller_of_a_transfer_is_elsewhere() -> None:
    past = past_of(WANTED, TRANSFERRED, RUNG_FOR)
    assert past.elsewhere is not None and past.elsewhere == past.awaited
    assert past_of(WANTED, TRANSFERRED, RUNG_FOR, PassingEnded(1, "completed", 9)).elsewhere is not None


def test_caller_who_came_back_is_nowhere_else() -> None:
    past = past_of(WANTED, TRANSFERRED, RUNG_FOR, *BACK)
    assert (past.closed, past.transfer, past.elsewhere, past.awaited) == (None, None, None, None)
    assert len(past.passings) == 1


def test_second_transfer_is_one_of_its_own() -> None:
    again = TransferBegan("office", False, 30.0)
    past = past_of(WANTED, TRANSFERRED, RUNG_FOR, *BACK, again, TRANSFERRED)
    assert (past.closed, past.transfer, past.elsewhere) == ("transferred", again, None)


def test_call_that_ends_after_a_transfer_is_no_transfer() -> None:
    past = past_of(WANTED, TRANSFERRED, RUNG_FOR, *BACK, LineClosed("completed"))
    assert (past.closed, past.transfer) == ("completed", None)
