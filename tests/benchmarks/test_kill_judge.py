"""The judge of killed calls: each way in which a call may have suffered is seen, and a good one is let pass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.benchmarks.kill_judge import Reported, Survivor, Tally, judge, judge_delivery, judge_end, reports_of
from voicebot.sim.call_result import CallResult, Statistics
from voicebot.sim.crm import Received
from voicebot.sim.timeline import CallEnded, Event, StreamBroke, StreamClosed, StreamOpened, Violation

DATA: dict[str, Any] = {
    "call_sid": "CA1",
    "phases": [{"name": "order"}, {"name": "bye"}],
    "outcome": "ordered",
    "ended_reason": "completed",
    "observations": {"name": "Ada", "items": [1]},
}
USUAL = Reported("msg_0", DATA)


def tape(*sounds_ms: tuple[int, int], end_ms: int = 20_000) -> bytes:
    """Silence, but for these spans."""
    heard = bytearray(b"\xff" * end_ms * 8)
    for start_ms, stop_ms in sounds_ms:
        heard[start_ms * 8 : stop_ms * 8] = b"\x20" * (stop_ms - start_ms) * 8
    return bytes(heard)


KILLED: tuple[Event, ...] = (
    StreamOpened(100, "MZ1", "wss://x"),
    StreamClosed(5000, "MZ1", "network", None),
    StreamOpened(5400, "MZ2", "wss://x"),
    StreamClosed(19_000, "MZ2", "server", 1000),
    CallEnded(19_100, "server", "no more to do"),
)


def result(events: Sequence[Event] = KILLED, heard: bytes | None = None, **changes: Any) -> CallResult:
    made = CallResult(
        "CA1", "server", "no more to do", 19_100, tuple(events), (), (), (), Statistics((), (), (), (), ()), b"", b""
    )
    return replace(made, heard_tape=tape((1000, 4900), (6000, 9000)) if heard is None else heard, **changes)


def survivor(result_: CallResult | None = None, reports: Sequence[Reported] | None = None, **changes: Any) -> Survivor:
    return Survivor(result_ or result(), [Reported("msg_1", DATA)] if reports is None else reports, **changes)


def test_call_that_went_on_is_measured_and_let_pass() -> None:
    judged = judge(survivor(repeated=["Two."]), USUAL)
    assert judged.wrong == ()
    assert (judged.hit, judged.stream_gap_ms, judged.audible_gap_ms) == (True, 400, 1000)
    assert (judged.repeated, judged.reports, judged.duplicates) == (1, 1, 0)


def test_call_that_nothing_happened_to_has_no_gap() -> None:
    judged = judge(survivor(result((KILLED[0], StreamClosed(19_000, "MZ1", "server", 1000), KILLED[-1]))), USUAL)
    assert (judged.hit, judged.stream_gap_ms, judged.audible_gap_ms, judged.wrong) == (False, None, None, ())


def test_gap_counts_from_the_break_that_the_line_did_not_notice() -> None:
    events = (KILLED[0], StreamBroke(3000, "MZ1"), StreamClosed(5000, "MZ1", "account", None), *KILLED[2:])
    judged = judge(survivor(result(events)), USUAL, gap_limit_ms=2500)
    assert (judged.hit, judged.stream_gap_ms, judged.audible_gap_ms) == (True, 2400, 3000)
    assert judged.wrong == ("nothing was heard for 3000 ms",)


ORDER = Reported("msg_1", DATA)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (survivor(result(KILLED[:2])), "it did not go on"),
        (survivor(result(ended_by="caller", reason="the caller hung up")), "ended by caller"),
        (survivor(result(heard=tape((1000, 4900)))), "nothing was heard any more"),
        (survivor(result(heard=tape((9000, 9500)))), "nothing was heard for 4000 ms"),
        (survivor(result(problems=("30 s of silence",))), "the caller: 30 s of silence"),
        (survivor(result(violations=(Violation("31951", "odd", 1.0),))), "the line: odd"),
        (survivor(repeated=["One.", "Two."]), "had to say again"),
        (survivor(reports=[]), "its report is lost"),
        (survivor(reports=[ORDER, Reported("msg_2", DATA)]), "under 2 ids"),
        (survivor(reports=[Reported("m", DATA | {"phases": [{"name": "order"}]})]), "phases order instead of"),
        (survivor(reports=[Reported("m", DATA | {"outcome": "incomplete"})]), "outcome: 'incomplete'"),
        (survivor(reports=[Reported("m", DATA | {"ended_reason": "error"})]), "ended_reason: 'error'"),
        (survivor(reports=[Reported("m", DATA | {"observations": {"name": None, "items": [1]}})]), "name: None"),
    ],
)
def test_each_harm_is_seen(call: Survivor, problem: str) -> None:
    (wrong,) = judge(call, USUAL).wrong
    assert problem in wrong


def test_same_report_twice_is_counted_and_no_harm() -> None:
    judged = judge(survivor(reports=[ORDER, ORDER]), USUAL)
    assert (judged.reports, judged.duplicates, judged.wrong) == (1, 1, ())
    assert judge_delivery([ORDER, ORDER]) == ()
    assert judge_delivery([]) == ("its report is lost",)
    assert judge_end(survivor(result(KILLED[:2]))).wrong == ()
    assert judge_end(survivor(result(KILLED[:2]), reports=[])).wrong == ("its report is lost",)


def received(webhook_id: str, kind: str, call_sid: str, *, verified: bool = True) -> Received:
    payload = {"type": kind, "timestamp": "t", "data": DATA | {"call_sid": call_sid}}
    return Received(webhook_id, "1", json.dumps(payload).encode(), payload, verified, None, 200, "/", 0.0)


def test_reports_are_sorted_by_call() -> None:
    found = reports_of(
        [
            received("m1", "call.completed", "CA1"),
            received("m2", "call.completed", "CA2"),
            received("m1", "call.completed", "CA1"),
            received("m3", "call.started", "CA1"),
            received("m4", "call.completed", "CA1", verified=False),
        ]
    )
    assert {call_sid: [one.webhook_id for one in reports] for call_sid, reports in found.items()} == {
        "CA1": ["m1", "m1"],
        "CA2": ["m2"],
    }
    assert found["CA1"][0].phases == ("order", "bye")


def test_tally_adds_up() -> None:
    tally = Tally("sqlite, sent")
    tally.add("CA1", judge(survivor(), USUAL))
    tally.add("CA2", judge(survivor(result(KILLED[:2]), reports=[]), USUAL))
    assert (tally.calls, tally.hit, tally.went_on, tally.lost) == (2, 2, 1, 1)
    assert tally.wrong == [
        "CA2: it did not go on: no more to do",
        "CA2: its report is lost",
    ]
    assert "1000 / 1000 / 1000" in tally.row()
