"""How recorded calls read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.store.store_samples import START, record
from voicebot.server.record_lines import call_lines, erasure_lines, list_lines
from voicebot.server.records import Erasure, KnownCall
from voicebot.store.contract import Delivery

OVER = replace(record("CA1"), ended=START + timedelta(seconds=30))
EVIDENCE = {"kind": "speech", "state": "confirmed", "score": 0.97, "quote": "this is Ada", "agreed": None, "turn": 1}


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


PASSED = {
    "to": "transfer",
    "target": "+15550199",
    "status": None,
    "duration_s": None,
    "recording_sid": None,
    "recording_url": None,
    "at": at(20),
}


def data(**changed: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "duration_s": 29.5,
        "ended_reason": "completed",
        "outcome": "ordered",
        "progress": 1.0,
        "observations": {"name": "Ada", "age": None, "phone": "+15550123", "why": None},
        "observation_status": {"name": "filled", "age": "not_needed", "phone": "filled", "why": "unasked"},
        "evidence": {"name": EVIDENCE, "age": None, "phone": {**EVIDENCE, "kind": "default"}, "why": None},
        "judgements": [],
        "rules": [],
        "phases": [
            {"name": "order", "cause": "start", "entered_at": at(0), "left_at": at(12.34)},
            {"name": "bye", "cause": "criteria", "entered_at": at(12.34), "left_at": at(29)},
        ],
        "statements": [],
        "tools": [],
        "transcript": [],
        "problems": [],
    }
    return known | changed


def shown(call: KnownCall) -> str:
    return "\n".join(call_lines(call))


def test_list_is_a_table_in_columns() -> None:
    live = replace(record("CA22", caller=None), attempt=2)
    calls = [KnownCall(OVER, data()), KnownCall(live, None), KnownCall(replace(OVER, called=None), None)]
    assert list(list_lines(calls)) == [
        "started (UTC)        call  flow                 from       to         state",
        "2026-03-01 12:00:00  CA1   restaurant_ordering  +15550123  +15550100  "
        "completed after 29.5 s, outcome ordered, 100% done",
        "2026-03-01 12:00:00  CA22  restaurant_ordering  withheld   +15550100  at work at A-000001, attempt 2",
        "2026-03-01 12:00:00  CA1   restaurant_ordering  +15550123             over",
    ]
    assert list(list_lines([])) == ["started (UTC)  call  flow  from  to  state"]


def test_call_is_told_part_by_part() -> None:
    delivery = Delivery("msg_1", "CA1", "https://crm.example/in?key=s3cret", "{}", "dead", 2, None, START)
    call = KnownCall(
        OVER,
        data(
            judgements=[
                {"criterion": "they were sure", "holds": True, "state": "confirmed", "score": 1, "quote": "yes"}
            ],
            rules=[{"rule": "human", "quote": "a person", "at": at(5)}],
            statements=[
                {"name": "total", "heard": "It is 5.", "at": at(9)},
                {"name": "law", "heard": None, "at": None},
            ],
            tools=[{"tool": "look", "ok": False, "took_ms": 80, "at": at(7)}],
            passed_on=[
                {**PASSED, "status": "no_answer"},
                {**PASSED, "to": "voicemail", "target": None, "duration_s": 7, "recording_url": "https://t/RE1"},
            ],
            transcript=[
                {"speaker": "bot", "text": "Good", "at": at(1), "interrupted": True, "unheard": "evening."},
                {"speaker": "caller", "text": "this is Ada", "at": at(2)},
                {"speaker": "caller", "key": "5", "text": None, "at": at(3)},
                {"speaker": "caller", "text": None, "at": at(4)},
            ],
            problems=[{"kind": "model_lost", "text": "closed", "at": at(8)}],
        ),
        (replace(delivery, reason="answered 500"),),
    )
    assert list(call_lines(call)) == [
        "CA1  restaurant_ordering 3f2a  inbound",
        "from +15550123 to +15550100, 2026-03-01 12:00:00 UTC",
        "completed after 29.5 s, outcome ordered, 100% done",
        "",
        "phases",
        "     0.0 s  order  start",
        "    12.3 s  bye    criteria",
        "",
        "observations",
        '  name   "Ada"  confirmed 0.97  «this is Ada»',
        "  age    not needed",
        '  phone  "+15550123"  (default)',
        "  why    unasked",
        "",
        "judged",
        "  they were sure: yes  confirmed 1.00  «yes»",
        "",
        "rules",
        "     5.0 s  human  «a person»",
        "",
        "word for word",
        "     9.0 s  total: It is 5.",
        "            law: not heard to its end",
        "",
        "tools",
        "     7.0 s  look  no result, 80 ms",
        "",
        "passed on",
        "    20.0 s  transfer  no answer  +15550199",
        "    20.0 s  voicemail  result unknown, 7 s  https://t/RE1",
        "",
        "transcript, as heard",
        "     1.0 s  bot     Good ✂ evening.",
        "     2.0 s  caller  this is Ada",
        "     3.0 s  caller  presses 5",
        "     4.0 s  caller  (no transcript)",
        "",
        "problems",
        "     8.0 s  model lost: closed",
        "",
        "deliveries",
        "  msg_1  crm.example  dead after 2 attempts: answered 500",
    ]


def test_call_at_work_says_how_far_it_is() -> None:
    call = KnownCall(record(), data(ended_reason=None, outcome=None, progress=0.25))
    assert "at work at A-000001, 25% done" in shown(call)
    assert "at work, 25% done" in shown(replace(call, record=replace(record(), owner="")))


def test_call_without_a_journal_says_so() -> None:
    assert shown(KnownCall(record(), None)).endswith("nothing is written down yet")


def test_call_without_observations_has_no_such_part() -> None:
    bare = data(observations={}, observation_status={}, evidence={}, phases=[], transcript=None)
    assert "observations" not in shown(KnownCall(OVER, bare))


def test_no_words_steer_the_terminal() -> None:
    wild = "a\x1b[2Jb\nc\ud83d\u202e"
    said = [{"speaker": "caller", "text": wild, "at": at(1)}]
    known = data(
        transcript=said, evidence={"name": {**EVIDENCE, "quote": wild}, "age": None, "phone": None, "why": None}
    )
    known["observations"]["name"] = wild
    for line in call_lines(KnownCall(OVER, known)):
        assert line.isprintable()
        line.encode()


def test_long_value_is_cut() -> None:
    known = data()
    known["observations"]["name"] = "x" * 5000
    assert max(map(len, call_lines(KnownCall(OVER, known)))) < 300


def test_erasure_says_what_goes_and_what_stays() -> None:
    later = replace(OVER, call_sid="CA2", started=START + timedelta(days=2))
    assert list(erasure_lines(Erasure((later, OVER), ("CA3 is still at work",), 1))) == [
        "not erased: CA3 is still at work",
        "2 calls from 2026-03-01 12:00:00 to 2026-03-03 12:00:00 UTC: journal, report, deliveries and recording",
        "the report of 1 of them has not been delivered, and then never will be",
    ]
    assert list(erasure_lines(Erasure((OVER,), (), 0))) == [
        "1 call of 2026-03-01 12:00:00 UTC: journal, report, deliveries and recording"
    ]
    assert list(erasure_lines(Erasure((), (), 0))) == ["there is no call to erase"]
