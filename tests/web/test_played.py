"""Marks over a client that only says how much it has played."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.errors import RealtimeMessageError
from voicebot.web.played import Passed, PlayedMarks

PER_MS = 48


def marks_of(*spans_ms: int) -> PlayedMarks:
    """A stream with a mark before each span, and one at the end."""
    marks = PlayedMarks(PER_MS)
    for number, span_ms in enumerate(spans_ms):
        marks.mark(f"m{number}")
        marks.sent(span_ms * PER_MS)
    marks.mark(f"m{len(spans_ms)}")
    return marks


def test_marks_come_back_when_they_are_passed() -> None:
    marks = marks_of(200, 200)
    assert marks.played(0, 0.0) == [Passed("m0", 0.0)]
    assert marks.played(0, 150.0) == []
    assert marks.played(0, 260.0) == [Passed("m1", 60.0)]
    assert marks.played(0, 400.0) == [Passed("m2", 0.0)]
    assert marks.unplayed_ms == 0.0


def test_whole_milliseconds_reach_the_end() -> None:
    marks = PlayedMarks(PER_MS)
    marks.sent(200 * PER_MS + 40)
    marks.mark("end")
    assert [one.name for one in marks.played(0, 200)] == ["end"]


def test_what_is_said_of_an_old_epoch_counts_for_nothing() -> None:
    marks = marks_of(1000)
    assert marks.clear() == 1
    marks.mark("new")
    marks.sent(100 * PER_MS)
    assert marks.played(0, 900.0) == []
    assert [one.name for one in marks.played(1, 0.0)] == ["m0", "m1", "new"]


@pytest.mark.parametrize(("epoch", "ms"), [(0, 1002.0), (1, 0.0), (7, 1.0)])
def test_more_than_was_sent_is_malformed(epoch: int, ms: float) -> None:
    with pytest.raises(RealtimeMessageError, match="more than it was sent"):
        marks_of(1000).played(epoch, ms)


def test_going_back_changes_nothing() -> None:
    marks = marks_of(1000)
    marks.played(0, 600.0)
    assert marks.played(0, 100.0) == []
    assert marks.unplayed_ms == 400.0


@given(said=st.lists(st.floats(0, 600), max_size=20))
def test_each_mark_comes_back_once_and_in_order(said: list[float]) -> None:
    marks = marks_of(200, 200, 200)
    passed = [one.name for ms in [*said, 600.0] for one in marks.played(0, ms)]
    assert passed == ["m0", "m1", "m2", "m3"]
