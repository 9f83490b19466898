"""When a caller who waits must hear a word."""

from __future__ import annotations

import pytest

from voicebot.call.patience import FILLER_AFTER_S, HOLD_AFTER_S, HOLDS, Patience

NOTHING = {"tools": False, "bridged": False, "silent": False, "heard": False}


def watched(patience: Patience, now: float, **changed: bool) -> Patience:
    patience.watch(now, **(NOTHING | changed))
    return patience


def test_nobody_waits_at_first() -> None:
    patience = watched(Patience(), 10.0)
    assert (patience.filler_due(None), patience.hold_due()) == (None, None)


@pytest.mark.parametrize(("quiet_since", "from_s"), [(None, 10.0), (4.0, 10.0), (12.0, 12.0)])
def test_filler_waits_for_silence_since_the_tools_began(quiet_since: float | None, from_s: float) -> None:
    patience = watched(watched(Patience(), 10.0, tools=True), 11.0, tools=True)
    assert patience.filler_due(quiet_since) == from_s + FILLER_AFTER_S


def test_filler_is_said_once_while_tools_work() -> None:
    patience = watched(Patience(), 10.0, tools=True)
    patience.filled()
    assert watched(patience, 12.0, tools=True, bridged=True).filler_due(None) is None
    assert watched(patience, 14.0).filler_due(None) is None
    assert watched(patience, 15.0, tools=True).filler_due(None) == 15.0 + FILLER_AFTER_S


def test_silence_counts_from_its_beginning() -> None:
    patience = watched(watched(Patience(), 10.0, silent=True), 12.0, silent=True)
    assert patience.hold_due() == 10.0 + HOLD_AFTER_S
    assert watched(patience, 13.0).hold_due() is None
    assert watched(patience, 20.0, silent=True).hold_due() == 20.0 + HOLD_AFTER_S


def test_caller_is_asked_to_wait_so_often_and_no_more() -> None:
    patience = Patience()
    for number in range(HOLDS):
        assert watched(patience, 10.0 * number, silent=True).hold_due() is not None
        patience.held()
        watched(patience, 10.0 * number + 5)
    assert watched(patience, 100.0, silent=True).hold_due() is None
    watched(patience, 101.0, heard=True)
    assert watched(patience, 110.0, silent=True).hold_due() == 110.0 + HOLD_AFTER_S
