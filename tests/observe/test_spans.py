"""A call's journal as spans: what lies in what, how long it took, and that nobody's words are in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests.call.test_entries import SAMPLES
from voicebot.call.entries import (
    CallEnded,
    CallerConnected,
    CallOpened,
    CallTakenOver,
    Entry,
    HandedOver,
    LegLost,
    ModelConnected,
    ModelGone,
    ReplyFailed,
    TokensSpent,
    TurnAnswered,
)
from voicebot.engine.entries import CallerTurnTaken, PhaseEntered, ToolAnswered, ToolStarted
from voicebot.observe.spans import CallSpans, Span, delivery_span, root_of, trace_of

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
OPENED = CallOpened("visit", "v1", "{}", "+15550123456", "+15550100", "inbound")
WHOLE: list[tuple[float, Entry]] = [
    (0.0, OPENED),
    (0.4, ModelConnected("gpt-realtime-2.1")),
    (1.0, CallerConnected("MZ1")),
    (1.0, PhaseEntered("reception", None, "start")),
    (5.0, CallerTurnTaken(1, "u1")),
    (5.4, TurnAnswered(1, 900)),
    (6.0, ToolStarted("c1", "book", '{"name": "Ada"}')),
    (6.5, ToolAnswered("c1", "book", "Ada", True, 500)),
    (7.0, TokensSpent(10, 20, 0, 0, 3, 4)),
    (8.0, PhaseEntered("bye", "reception", "criteria")),
    (9.0, CallerTurnTaken(2, "u2")),
    (10.0, CallEnded("completed")),
]


def spans(lines: Sequence[tuple[float, Entry]], attempt: int = 1) -> list[Span]:
    call = CallSpans("CA1", "visit", "v1", attempt)
    return [span for at_s, entry in lines for span in call.take(entry, START + timedelta(seconds=at_s))]


def brief(found: Sequence[Span]) -> list[tuple[str, float, float]]:
    return [(one.name, (one.began - START).total_seconds(), (one.ended - START).total_seconds()) for one in found]


def test_whole_call_is_a_tree() -> None:
    found = spans(WHOLE)
    assert brief(found) == [
        ("turn", 4.5, 5.4),
        ("tool", 6.0, 6.5),
        ("phase", 1.0, 8.0),
        ("turn", 9.0, 10.0),
        ("phase", 8.0, 10.0),
        ("model_session", 0.4, 10.0),
        ("call", 0.0, 10.0),
    ]
    root = found[-1]
    assert (root.trace, root.id, root.parent) == (trace_of("CA1"), root_of("CA1"), b"")
    assert {one.parent for one in found[:-1]} == {root.id}
    assert {one.trace for one in found} == {root.trace}
    assert len({one.id for one in found}) == len(found)
    assert [one.problem for one in found] == [""] * len(found)


def test_attributes_say_what_it_was() -> None:
    turn, tool, reception, unanswered, _, model, call = spans(WHOLE)
    assert turn.attributes == {"voicebot.turn": 1, "voicebot.response_ms": 900, "voicebot.answered": True}
    assert unanswered.attributes == {"voicebot.turn": 2}
    assert tool.attributes["voicebot.tool"] == "book"
    assert reception.attributes == {"voicebot.phase": "reception", "voicebot.cause": "start"}
    assert model.attributes["voicebot.model"] == "gpt-realtime-2.1"
    assert call.attributes == {
        "voicebot.call_sid": "CA1",
        "voicebot.flow": "visit",
        "voicebot.flow_version": "v1",
        "voicebot.attempt": 1,
        "voicebot.direction": "inbound",
        "voicebot.answered_after_ms": 1000,
        "voicebot.tokens": 37,
        "voicebot.replies_failed": 0,
        "voicebot.ended_reason": "completed",
    }


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (CallEnded("model_failed"), "model_failed"),
        (CallEnded("caller_hung_up"), ""),
        (LegLost(), "the caller's stream broke"),
        (HandedOver(), ""),
    ],
)
def test_end_of_the_call_here_closes_everything(entry: Entry, problem: str) -> None:
    found = spans([*WHOLE[:5], (6.0, entry), (7.0, CallEnded("error"))])
    assert [one.name for one in found] == ["turn", "phase", "model_session", "call"]
    assert found[-1].problem == problem


def test_what_went_wrong_is_said() -> None:
    lost = [*WHOLE[:4], (2.0, ModelGone("Ada's words", True)), (3.0, ReplyFailed("x", "Ada", True))]
    broken = [(4.0, ToolStarted("c1", "book", "")), (5.0, ToolAnswered("c1", "book", "", False, 1000))]
    found = {one.name: one for one in spans([*lost, *broken, *WHOLE[-1:]])}
    assert found["model_session"].problem == "the connection was lost"
    assert found["tool"].problem == "the tool did not come back with a result"
    assert found["call"].attributes["voicebot.replies_failed"] == 1


def test_roll_over_is_two_sessions_without_a_problem() -> None:
    lines = [*WHOLE[:4], (2.0, ModelGone("soon", True, planned=True)), (2.5, ModelConnected("m")), *WHOLE[-1:]]
    sessions = [one for one in spans(lines) if one.name == "model_session"]
    assert [one.problem for one in sessions] == ["", ""]
    assert brief(sessions) == [("model_session", 0.4, 2.0), ("model_session", 2.5, 10.0)]


def test_next_process_goes_on_in_the_same_trace() -> None:
    first = spans([*WHOLE[:5], (5.0, LegLost())])
    second = spans([(7.0, CallTakenOver(2)), *((at + 7, entry) for at, entry in WHOLE[1:])], attempt=2)
    assert {one.trace for one in (*first, *second)} == {trace_of("CA1")}
    assert second[-1].parent == first[-1].id == root_of("CA1")
    assert second[-1].attributes["voicebot.resumed"] is True
    assert not {one.id for one in first} & {one.id for one in second}


def test_delivery_follows_its_call() -> None:
    span = delivery_span("CA1", "msg_1", "crm.example", 2, START, START + timedelta(seconds=1), "failed")
    assert (span.trace, span.parent, span.problem) == (trace_of("CA1"), root_of("CA1"), "failed")
    again = delivery_span("CA1", "msg_1", "crm.example", 3, START, START, "delivered")
    assert (again.problem, again.id == span.id) == ("", False)


def test_end_without_a_beginning_is_nothing() -> None:
    assert CallSpans("CA1", "visit", "v1", 1).end(START) == []


def test_nobody_words_are_in_any_span() -> None:
    lines = [
        (float(n), entry) for n, entry in enumerate(SAMPLES.values()) if not isinstance(entry, (LegLost, HandedOver))
    ]
    shown = str([(one.name, one.attributes, one.problem) for one in spans(lines)])
    for text in ("Buonasera", "Good evening", "+1", "Ada", "absolutely", "Monday", "api.twilio.com"):
        assert text not in shown
