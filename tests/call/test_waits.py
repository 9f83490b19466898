"""When a caller who waits must hear a word."""

from __future__ import annotations

import pytest

from voicebot.call.waits import FILLER_AFTER_S, HOLD_AFTER_S, HOLDS, Waits

NOTHING = {"tools": False, "bridged": False, "silent": False, "heard": False}


def watched(waits: Waits, now: float, **changed: bool) -> Waits:
    waits.watch(now, **(NOTHING | changed))
    return waits


def test_nobody_waits_at_first() -> None:
    waits = watched(Waits(), 10.0)
    assert (waits.filler_due(None), waits.hold_due()) == (None, None)


@pytest.mark.parametrize(("quiet_since", "from_s"), [(None, 10.0), (4.0, 10.0), (12.0, 12.0)])
def test_filler_waits_for_silence_since_the_tools_began(quiet_since: float | None, from_s: float) -> None:
    waits = watched(watched(Waits(), 10.0, tools=True), 11.0, tools=True)
    assert waits.filler_due(quiet_since) == from_s + FILLER_AFTER_S


def test_filler_is_said_once_while_tools_work() -> None:
    waits = watched(Waits(), 10.0, tools=True)
    waits.filled()
    assert watched(waits, 12.0, tools=True, bridged=True).filler_due(None) is None
    assert watched(waits, 14.0).filler_due(None) is None
    assert watched(waits, 15.0, tools=True).filler_due(None) == 15.0 + FILLER_AFTER_S


def test_silence_counts_from_its_beginning() -> None:
    waits = watched(watched(Waits(), 10.0, silent=True), 12.0, silent=True)
    assert waits.hold_due() == 10.0 + HOLD_AFTER_S
    assert watched(waits, 13.0).hold_due() is None
    assert watched(waits, 20.0, silent=True).hold_due() == 20.0 + HOLD_AFTER_S


def test_caller_is_asked_to_wait_so_often_and_no_more() -> None:
    waits = Waits()
    for number in range(HOLDS):
        assert watched(waits, 10.0 * number, silent=True).hold_due() is not None
        waits.held()
        watched(waits, 10.0 * number + 5)
    assert watched(waits, 100.0, silent=True).hold_due() is None
    watched(waits, 101.0, heard=True)
    assert watched(waits, 110.0, silent=True).hold_due() == 110.0 + HOLD_AFTER_S
