"""The report: what a journal folds to, the same every time, and as its schema says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

import jsonschema
import pytest
from pydantic import BaseModel

from tests.store.store_samples import START, record
from voicebot.call.entries import (
    BotSaid,
    CallAnalysed,
    CallEnded,
    CallerConnected,
    CallOpened,
    CallTakenOver,
    Entry,
    FunctionAnswered,
    FunctionCalled,
    KeyPress,
    LegLost,
    LineClosed,
    LineQuality,
    ModelConnected,
    ModelGone,
    PassedOn,
    PassingEnded,
    ReplyFailed,
    StatementNotRendered,
    TokensSpent,
    TurnAnswered,
    kind_of,
    write_entry,
)
from voicebot.delivery.report import MAX_BODY_BYTES, fold_report, posted_body, whole_body
from voicebot.delivery.report_schema import report_schema
from voicebot.engine.analysis import LONGEST_SUMMARY
from voicebot.engine.entries import (
    AskedAgain,
    CallerSaid,
    CallerTurnTaken,
    CallerUnclear,
    ClosingBegan,
    CostReached,
    EndedReason,
    EvidenceWeighed,
    LanguageSwitched,
    ObservationDeclined,
    ObservationFilled,
    ObservationRecorded,
    PhaseEntered,
    ProposalRefused,
    SilenceNoticed,
    StatementBegun,
    StatementCut,
    StatementHeard,
    ToolAnswered,
    ToolStarted,
)
from voicebot.errors import StoreError
from voicebot.flow import Analysis, Flow, HangUp, Observations, Phase, PhoneNumber, Report, Say, To, ask, it, otherwise
from voicebot.flow.loader import load_folder, shipped_flows
from voicebot.store.contract import CallRecord, StoredEntry

Json = dict[str, Any]
CALL = replace(record("CA1"), flow_name="order")


class Order(Observations):
    mode: Literal["pickup", "delivery"] = ask("pickup or delivery")
    address: str = ask("the address", needed_if=it.mode == "delivery")
    guests: int = ask("how many eat")
    phone: PhoneNumber = ask("a number to call back", default_from="caller")
    note: str = ask("anything else", optional=True)


FLOW = Flow(
    goal="A complete order.",
    observations=Order,
    phases=(
        Phase("order", observations=("mode", "address", "note"), transitions=(To("confirm"),)),
        Phase("confirm", observations=("guests", "phone"), transitions=(To("bye"),)),
        Phase("bye", end=HangUp()),
    ),
    report=Report(outcome={"ordered": it.guests.filled, "incomplete": otherwise}),
)
OPENED = CallOpened("order", "3f2a", "{}", CALL.caller, CALL.called, "inbound")

WHOLE: list[tuple[int, Entry]] = [
    (0, OPENED),
    (200, ModelConnected("gpt-realtime-2.1")),
    (1000, CallerConnected("MZ1")),
    (1000, PhaseEntered("order", None, "start")),
    (1000, ObservationRecorded("phone", "+15550123", "default", "", 0)),
    (3000, BotSaid("statement-1", "Trattoria Roma.", "Trattoria Roma.", 1800, 1800, interrupted=False, exact=True)),
    (5000, CallerTurnTaken(1, "u1")),
    (5600, TurnAnswered(1, 640)),
    (5700, CallerSaid("u1", "I would like to pick up.")),
    (5800, FunctionCalled("c1", "record", '{"mode": …}')),
    (5800, ObservationRecorded("mode", "pickup", "speech", "pick up", 1)),
    (5800, EvidenceWeighed("mode", "value", "confirmed", 0.9)),
    (5800, ProposalRefused("guests", "this field is not open", 1)),
    (5800, FunctionAnswered("c1", '{"accepted": ["mode"]}')),
    (5800, PhaseEntered("confirm", "order", "criteria")),
    (5900, TokensSpent(100, 50, 20, 10, 30, 40)),
    (7000, BotSaid("a1", "Pickup then. How many are you?", "Pickup then.", 700, 2000, interrupted=True, exact=False)),
    (8000, CallerTurnTaken(2, "u2")),
    (8400, TurnAnswered(2, 440)),
    (8500, ToolStarted("c2", "book", "{}")),
    (8900, ToolAnswered("c2", "book", "table 4", True, 400)),
    (9000, ObservationRecorded("guests", 2, "speech", "two", 2)),
    (9000, ObservationDeclined("note", "no, thanks", 2)),
    (9000, PhaseEntered("bye", "confirm", "criteria")),
    (9000, ClosingBegan("completed")),
    (9100, TokensSpent(200, 70, 120, 60, 10, 60)),
    (9200, KeyPress("#")),
    (12000, BotSaid("a2", "Goodbye!", "Goodbye!", 900, 900, interrupted=False, exact=False)),
    (12100, CallerSaid("u2", "Two of us.")),
    (12200, LineQuality(11_000, 2, 80, -21.5, 0.0, 1, 140, (3.5, 1.0, 2.0))),
    (12200, CallEnded("completed")),
]


def stored(lines: Sequence[tuple[int, Entry]]) -> list[StoredEntry]:
    return [
        StoredEntry(number, kind_of(entry), at_ms, START + timedelta(milliseconds=at_ms), write_entry(entry))
        for number, (at_ms, entry) in enumerate(lines, 1)
    ]


def fold(lines: Sequence[tuple[int, Entry]], *, flow: Flow = FLOW, call: CallRecord = CALL) -> Json:
    """The report of these entries, which fits its schema."""
    report = fold_report(call, flow, stored(lines))
    jsonschema.Draft202012Validator(report_schema(call.flow_name, flow)).validate(json.loads(whole_body(report)))
    return report


def data(*entries: Entry) -> Json:
    """The report's data for entries that stand a second apart in an answered call."""
    lines = [OPENED, CallerConnected("MZ1"), PhaseEntered("order", None, "start"), *entries]
    made: Json = fold([(n * 1000, entry) for n, entry in enumerate(lines)])["data"]
    return made


def wall(at_ms: int) -> str:
    """A moment of the call as the report writes it."""
    return (START + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unweighed(kind: str, quote: str | None, turn: int, at_ms: int) -> Json:
    """Evidence that no transcript could be held against."""
    claimed = {"kind": kind, "quote": quote, "turn": turn, "at": wall(at_ms)}
    return {**claimed, "state": "unverifiable", "score": None, "agreed": None}


def test_line_is_measured_over_all_streams() -> None:
    loud, quiet = LineQuality(3000, 1, 40, -20.0, 0.04, 0, 0, ()), LineQuality(1000, 0, 0, -40.0, 0.0, 2, 90, (7.0,))
    line = data(loud, LegLost(), CallTakenOver(2), quiet, CallEnded("completed"))["line"]
    assert (line["caller_ms"], line["gaps"], line["underruns"], line["underrun_ms"]) == (4000, 1, 2, 90)
    assert (line["level_dbov"], line["clipped"]) == (-25.0, 0.03)
    assert line["barge_in_ms"] == {"times": 1, "median": 7.0, "worst": 7.0}
    assert data(CallEnded("never_connected"))["line"] is None


# ---- the whole ----------------------------------------------------------------------------------------------------


def test_whole_call_folds_to_its_report() -> None:
    assert fold(WHOLE) == {
        "type": "call.completed",
        "timestamp": wall(12200),
        "data": {
            "call_sid": "CA1",
            "flow": "order",
            "flow_version": "3f2a",
            "direction": "inbound",
            "caller": "+15550123",
            "called": "+15550100",
            "started_at": wall(0),
            "variables": {},
            "answered_at": wall(1000),
            "answered_by": None,
            "ended_at": wall(12200),
            "duration_s": 11.2,
            "ended_reason": "completed",
            "outcome": "ordered",
            "progress": 1.0,
            "observations": {
                "mode": "pickup",
                "address": None,
                "guests": 2,
                "phone": "+15550123",
                "note": None,
            },
            "observation_status": {
                "mode": "filled",
                "address": "not_needed",
                "guests": "filled",
                "phone": "filled",
                "note": "refused",
            },
            "evidence": {
                "mode": {
                    "kind": "speech",
                    "state": "confirmed",
                    "score": 0.9,
                    "quote": "pick up",
                    "agreed": None,
                    "turn": 1,
                    "at": wall(5800),
                },
                "address": None,
                "guests": unweighed("speech", "two", 2, 9000),
                "phone": {**unweighed("default", None, 0, 1000), "state": "confirmed"},
                "note": unweighed("speech", "no, thanks", 2, 9000),
            },
            "analysis": None,
            "summary": None,
            "filled_after": [],
            "judgements": [],
            "rules": [],
            "phases": [
                {"name": "order", "cause": "start", "entered_at": wall(1000), "left_at": wall(5800)},
                {"name": "confirm", "cause": "criteria", "entered_at": wall(5800), "left_at": wall(9000)},
                {"name": "bye", "cause": "criteria", "entered_at": wall(9000), "left_at": wall(12200)},
            ],
            "statements": [],
            "tools": [{"tool": "book", "ok": True, "took_ms": 400, "at": wall(8900)}],
            "messages": [],
            "transfer": None,
            "passed_on": [],
            "language": "en",
            "languages": [],
            "transcript": [
                {"speaker": "bot", "text": "Trattoria Roma.", "at": wall(3000)},
                {"speaker": "caller", "text": "I would like to pick up.", "at": wall(5000)},
                {
                    "speaker": "bot",
                    "text": "Pickup then.",
                    "at": wall(7000),
                    "interrupted": True,
                    "unheard": "How many are you?",
                },
                {"speaker": "caller", "text": "Two of us.", "at": wall(8000)},
                {"speaker": "caller", "key": "#", "text": None, "at": wall(9200)},
                {"speaker": "bot", "text": "Goodbye!", "at": wall(12000)},
            ],
            "transcript_url": None,
            "response_ms": {"turns": 2, "median": 540, "worst": 640},
            "line": {
                "caller_ms": 11_000,
                "gaps": 2,
                "gap_ms": 80,
                "level_dbov": -21.5,
                "clipped": 0.0,
                "underruns": 1,
                "underrun_ms": 140,
                "barge_in_ms": {"times": 3, "median": 2.0, "worst": 3.5},
            },
            "recording": None,
            "tokens": {
                "input_text": 300,
                "input_audio": 120,
                "cached_text": 140,
                "cached_audio": 70,
                "output_text": 40,
                "output_audio": 100,
            },
            "cost": None,
            "problems": [],
        },
    }


def test_language_and_when_it_changed_are_told() -> None:
    switched = LanguageSwitched("it", "en", "request", "in italiano, per favore", 1)
    heard = LanguageSwitched("en", "it", "detection", "", 4)
    found = data(switched, heard, CallEnded("completed"))
    assert found["language"] == "en"
    told = [(one["language"], one["cause"], one["quote"]) for one in found["languages"]]
    assert told == [("it", "request", "in italiano, per favore"), ("en", "detection", None)]


def test_cost_is_summed_up_where_it_is_known() -> None:
    spent = TokensSpent(1, 2, 0, 0, 3, 4, 0.7512345)
    assert data(spent, spent)["cost"] == {"usd": 1.502469, "limit_reached": False}
    assert data(spent, spent, CostReached(1.502469))["cost"] == {"usd": 1.502469, "limit_reached": True}
    assert data(replace(spent, usd=None))["cost"] is None


def test_same_journal_gives_the_same_bytes() -> None:
    assert whole_body(fold(WHOLE)) == whole_body(fold(list(WHOLE)))


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_call_that_breaks_off_anywhere_has_a_report(length: int) -> None:
    report = fold(WHOLE[:length])
    assert report["data"]["ended_reason"] == "error"
    assert report["data"]["ended_at"] == wall(WHOLE[length - 1][0] if length else 0)
    assert report["timestamp"] == report["data"]["ended_at"]


# ---- calls that end early -----------------------------------------------------------------------------------------


def test_call_that_never_connected_was_not_answered() -> None:
    made = fold([(0, OPENED), (15000, CallEnded("never_connected"))])["data"]
    assert (made["answered_at"], made["duration_s"], made["ended_reason"]) == (None, 0.0, "never_connected")
    assert made["phases"] == made["transcript"] == made["tools"] == []
    assert (made["response_ms"], made["outcome"], made["progress"]) == (None, "incomplete", 0.0)
    assert set(made["observations"].values()) == set(made["evidence"].values()) == {None}
    assert set(made["observation_status"].values()) == {"unasked"}


def test_call_without_a_journal_has_a_report() -> None:
    made = fold([])["data"]
    assert made["ended_at"] == made["started_at"] == wall(0)
    assert made["ended_reason"] == "error"


def test_caller_may_be_unknown() -> None:
    made = fold(WHOLE, call=replace(CALL, caller=None, called=None))["data"]
    assert (made["caller"], made["called"]) == (None, None)


@pytest.mark.parametrize("reason", get_args(EndedReason))
def test_every_reason_fits_the_schema(reason: EndedReason) -> None:
    assert data(CallEnded(reason))["ended_reason"] == reason


def test_half_filled_order_says_how_far_it_came() -> None:
    made = data(
        CallerTurnTaken(1, "u1"),
        ObservationRecorded("mode", "delivery", "speech", "bring it", 1),
        CallEnded("caller_hung_up"),
    )
    assert made["observation_status"] == {
        "mode": "filled",
        "address": "unasked",
        "guests": "unasked",
        "phone": "unasked",
        "note": "unasked",
    }
    assert (made["progress"], made["outcome"]) == (0.25, "incomplete")
    assert made["phases"][-1]["left_at"] == made["ended_at"]


# ---- evidence -----------------------------------------------------------------------------------------------------

FIRST = ObservationRecorded("note", "nuts", "speech", "no nuts", 1)
SECOND = ObservationRecorded("note", "nuts and milk", "speech", "and no milk", 2)
NO = ObservationDeclined("note", "never mind", 3)


@pytest.mark.parametrize(
    ("entries", "value", "status", "quote"),
    [
        ((), None, "unasked", None),
        ((FIRST,), "nuts", "filled", "no nuts"),
        ((FIRST, SECOND), "nuts and milk", "filled", "and no milk"),
        ((NO,), None, "refused", "never mind"),
        ((NO, FIRST), "nuts", "filled", "no nuts"),
        ((FIRST, NO), "nuts", "filled", "no nuts"),
        ((ProposalRefused("note", "a quote is missing", 1),), None, "unasked", None),
    ],
)
def test_evidence_is_of_the_value_that_stands(
    entries: tuple[Entry, ...], value: object, status: str, quote: str | None
) -> None:
    made = data(CallerTurnTaken(1, "u1"), *entries)
    assert made["observations"]["note"] == value
    assert made["observation_status"]["note"] == status
    assert (made["evidence"]["note"] or {}).get("quote") == quote


# ---- the look back at the call ------------------------------------------------------------------------------------

ANALYSED = replace(FLOW, report=replace(FLOW.report, analysis=Analysis()))
LEFT: list[tuple[int, Entry]] = [
    (0, OPENED),
    (1000, CallerConnected("MZ1")),
    (1000, PhaseEntered("order", None, "start")),
    (5000, CallerTurnTaken(1, "u1")),
    (5700, CallerSaid("u1", "I fetch it, for two, and that is all.")),
    (5800, ObservationDeclined("note", "that is all", 1)),
]
MADE = CallAnalysed("done", "They fetch something for two.", '{"summary": "They fetch something for two."}')
FILLED = ObservationFilled("mode", "pickup", "I fetch it", 1, "confirmed", 0.95)


def test_summary_and_what_was_filled_stand_apart() -> None:
    made = fold([*LEFT, (9000, MADE), (9000, FILLED), (9000, CallEnded("caller_hung_up"))], flow=ANALYSED)["data"]
    assert (made["analysis"], made["summary"], made["filled_after"]) == ("done", MADE.summary, ["mode"])
    assert made["observations"]["mode"] == "pickup"
    assert made["observation_status"] == {
        "mode": "filled",
        "address": "not_needed",
        "guests": "unasked",
        "phone": "unasked",
        "note": "refused",
    }
    assert made["evidence"]["mode"] == {
        "kind": "analysis",
        "state": "confirmed",
        "score": 0.95,
        "quote": "I fetch it",
        "agreed": None,
        "turn": 1,
        "at": wall(9000),
    }


def test_outcome_and_progress_are_those_of_the_call() -> None:
    guests = ObservationFilled("guests", 2, "for two", 1, "confirmed", 1.0)
    ended = (9000, CallEnded("caller_hung_up"))
    made = fold([*LEFT, (9000, MADE), (9000, guests), ended], flow=ANALYSED)["data"]
    without = fold([*LEFT, (9000, MADE), ended], flow=ANALYSED)["data"]
    assert made["observations"]["guests"] == 2
    assert (made["outcome"], made["progress"]) == (without["outcome"], without["progress"]) == ("incomplete", 0.0)


@pytest.mark.parametrize(
    ("flow", "entries", "status"),
    [
        (FLOW, (), None),
        (ANALYSED, (), "skipped"),
        (ANALYSED, (CallAnalysed("skipped", reason="timeout"),), "skipped"),
        (ANALYSED, (MADE,), "done"),
        (replace(FLOW, report=Report(analysis=Analysis(when=it.guests.filled))), (), None),
    ],
)
def test_analysis_says_what_became_of_it(flow: Flow, entries: tuple[Entry, ...], status: str | None) -> None:
    lines = [*LEFT, *((9000, entry) for entry in entries)]
    made = fold(lines, flow=flow)["data"]
    assert made["analysis"] == status
    assert (made["summary"] is not None) is (status == "done")
    assert fold([], flow=flow)["data"]["analysis"] == ("skipped" if flow is ANALYSED else None)


def test_longest_summary_is_posted() -> None:
    longest = CallAnalysed("done", "ß" * LONGEST_SUMMARY, "{}")
    said = BotSaid("a", "è " * 100, "è " * 100, 900, 900, interrupted=False, exact=False)
    report = fold([*LEFT, *[(8000, said)] * 90, (9000, longest), (9000, FILLED)], flow=ANALYSED)
    body = posted_body(report, None)
    assert len(body.encode()) < MAX_BODY_BYTES
    assert json.loads(body)["data"]["summary"] == longest.summary


# ---- transcript, times and troubles -------------------------------------------------------------------------------


def test_turn_whose_words_never_came_stands_without_them() -> None:
    made = data(CallerTurnTaken(1, "u1"), CallerUnclear("u1", "noise"), CallerTurnTaken(2, "u2"))
    assert [line["text"] for line in made["transcript"]] == [None, None]


def test_words_of_no_turn_are_left_out() -> None:
    assert data(CallerSaid("u9", "hello"))["transcript"] == []


def test_bot_that_was_not_heard_at_all_said_nothing() -> None:
    (line,) = data(BotSaid("a1", "Good evening.", "", 0, 900, interrupted=True, exact=False))["transcript"]
    assert (line["text"], line["unheard"]) == ("", "Good evening.")


@pytest.mark.parametrize(
    ("waits", "summary"),
    [
        ((), None),
        ((700,), {"turns": 1, "median": 700, "worst": 700}),
        ((900, 100, 200), {"turns": 3, "median": 200, "worst": 900}),
        ((0, 5), {"turns": 2, "median": 2, "worst": 5}),
    ],
)
def test_response_times_are_summed_up(waits: tuple[int, ...], summary: Json | None) -> None:
    assert data(*(TurnAnswered(n, wait) for n, wait in enumerate(waits, 1)))["response_ms"] == summary


def test_tool_that_failed_or_never_answered() -> None:
    made = data(
        ToolStarted("c1", "book", "{}"),
        ToolAnswered("c1", "book", "broken", False, 8000),
        ToolStarted("c2", "book", "{}"),
    )
    assert [(one["ok"], one["took_ms"]) for one in made["tools"]] == [(False, 8000)]


def test_statements_stand_as_they_were_heard() -> None:
    must_say = (Say("The total is {guests}.", name="total"), Say("This call is recorded.", name="notice"))
    flow = replace(FLOW, phases=(Phase("order", must_say=must_say), *FLOW.phases[1:]))
    lines: list[tuple[int, Entry]] = [
        (0, PhaseEntered("order", None, "start")),
        (100, StatementBegun("total", "The total is 2.")),
        (200, StatementHeard("total", "The total is 2.")),
        (300, StatementBegun("notice", "This call is recorded.")),
        (400, StatementCut("notice")),
        (500, StatementHeard("total", "The total is 3.")),
    ]
    assert fold(lines, flow=flow)["data"]["statements"] == [
        {"name": "total", "heard": "The total is 3.", "at": wall(500)},
        {"name": "notice", "heard": None, "at": None},
    ]


def test_where_the_phone_line_took_the_caller_is_told() -> None:
    url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1"
    lines: list[tuple[int, Entry]] = [
        (0, PhaseEntered("order", None, "start")),
        (1000, LineClosed("model_failed")),
        (1100, PassedOn(1, "transfer", "+15550199", 100.0)),
        (9000, PassingEnded(1, "no_answer")),
        (9000, PassedOn(2, "voicemail", None, 100.0)),
        (20_000, PassingEnded(2, "recorded", 7, "RE1", url)),
        (20_000, PassedOn(3, "transfer", "+15550188", 100.0)),
        (20_010, CallEnded("model_failed")),
    ]
    made = fold(lines)["data"]
    told = [
        tuple(one[name] for name in ("to", "target", "status", "duration_s", "recording_url", "at"))
        for one in made["passed_on"]
    ]
    assert told == [
        ("transfer", "+15550199", "no_answer", None, None, wall(1100)),
        ("voicemail", None, "recorded", 7, url, wall(9000)),
        ("transfer", "+15550188", None, None, None, wall(20_000)),
    ]
    assert (made["ended_at"], made["ended_reason"]) == (wall(20_010), "model_failed")
    assert made["phases"][0]["left_at"] == wall(1100)


def test_troubles_are_listed_in_order() -> None:
    made = data(
        StatementNotRendered("Good evening.", "the rendering says something else"),
        ReplyFailed("rate_limit_exceeded", "too many", True),
        ModelGone("the connection broke", True),
        AskedAgain("order", ("name", "judged they are sure"), 2),
    )
    assert [(one["kind"], one["text"]) for one in made["problems"]] == [
        ("statement_not_exact", "the rendering says something else"),
        ("reply_failed", "too many"),
        ("model_lost", "the connection broke"),
        ("not_verified", "the caller was asked once more before order: name, judged they are sure"),
    ]


def test_entries_that_say_nothing_to_a_crm_are_left_out() -> None:
    assert "MZ1" not in whole_body(fold(WHOLE))
    assert data(SilenceNoticed(0), FunctionCalled("c1", "x", "y"), FunctionAnswered("c1", "z")) == data(
        SilenceNoticed(1), FunctionCalled("c2", "u", "v"), FunctionAnswered("c2", "w")
    )


def test_times_are_in_utc() -> None:
    made = fold(WHOLE, call=replace(CALL, started=datetime(2026, 3, 1, 12, tzinfo=UTC)))
    assert made["data"]["started_at"] == "2026-03-01T12:00:00.000Z"
    datetime.fromisoformat(made["timestamp"])


# ---- values of every type -----------------------------------------------------------------------------------------


class Dish(BaseModel):
    name: str
    count: int = 1


class Everything(Observations):
    dishes: list[Dish] = ask("dishes")
    total: Decimal = ask("a total")
    day: date = ask("a day")
    at: time = ask("a time")
    share: float = ask("a share")
    maybe: int | None = ask("a number or nothing")


def test_values_of_every_type_fit_the_schema() -> None:
    values: Json = {
        "dishes": [{"name": "Margherita", "count": 2}],
        "total": "17.00",
        "day": "2026-03-01",
        "at": "19:30:00",
        "share": 0.5,
        "maybe": None,
    }
    flow = Flow(goal="g", observations=Everything, phases=(Phase("all"),))
    lines = [ObservationRecorded(name, value, "speech", "so", 1) for name, value in values.items()]
    report = fold([(n, entry) for n, entry in enumerate([CallerTurnTaken(1, "u1"), *lines])], flow=flow)
    assert report["data"]["observations"] == values
    assert report["data"]["progress"] == 1.0


# ---- damage -------------------------------------------------------------------------------------------------------


def test_damaged_entry_is_a_store_error() -> None:
    journal = stored(WHOLE)
    journal[4] = replace(journal[4], body="{")
    with pytest.raises(StoreError, match="damaged"):
        fold_report(CALL, FLOW, journal)


@pytest.mark.parametrize(
    "entry",
    [
        ObservationRecorded("colour", "red", "speech", "red", 1),
        ObservationRecorded("guests", "many", "speech", "many", 1),
        PhaseEntered("dessert", "order", "criteria"),
    ],
    ids=lambda entry: type(entry).__name__,
)
def test_journal_of_another_flow_is_a_store_error(entry: Entry) -> None:
    with pytest.raises(StoreError, match="does not fit the flow order"):
        fold_report(CALL, FLOW, stored([(0, entry)]))


# ---- what is posted -----------------------------------------------------------------------------------------------


def long_call(turns: int) -> Json:
    said = BotSaid("a", "è " * 100, "è " * 100, 900, 900, interrupted=False, exact=False)
    return fold([*WHOLE[:-1], *[(12_200, said)] * turns, WHOLE[-1]])


def test_short_report_is_posted_whole() -> None:
    report = fold(WHOLE)
    assert posted_body(report, "https://bot.example/calls/CA1/report") == whole_body(report)


@pytest.mark.parametrize("url", ["https://bot.example/calls/CA1/report", None])
def test_long_transcript_goes_by_link(url: str | None) -> None:
    report = long_call(80)
    body = posted_body(report, url)
    posted = json.loads(body)
    assert len(body.encode()) < MAX_BODY_BYTES < len(whole_body(report).encode())
    assert (posted["data"]["transcript"], posted["data"]["transcript_url"]) == (None, url)
    assert {**posted["data"], "transcript": 0, "transcript_url": 0} == {
        **report["data"],
        "transcript": 0,
        "transcript_url": 0,
    }
    assert report["data"]["transcript"] is not None
    jsonschema.Draft202012Validator(report_schema("order", FLOW)).validate(posted)


def test_size_is_counted_in_bytes() -> None:
    """Text that is short in characters and long in UTF-8 goes by link too."""
    turns = next(n for n in range(200) if len(whole_body(long_call(n)).encode()) >= MAX_BODY_BYTES)
    assert len(whole_body(long_call(turns))) < MAX_BODY_BYTES
    assert json.loads(posted_body(long_call(turns), None))["data"]["transcript"] is None
    assert json.loads(posted_body(long_call(turns - 1), None))["data"]["transcript"] is not None


# ---- the schema ---------------------------------------------------------------------------------------------------


def test_schema_is_valid_and_closed() -> None:
    schema = report_schema("order", FLOW)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    report = fold(WHOLE)
    for changed in (
        {**report, "more": 1},
        {**report, "type": "call.started"},
        {**report, "data": {**report["data"], "more": 1}},
        {**report, "data": {**report["data"], "flow": "another"}},
        {**report, "data": {**report["data"], "ended_reason": "boredom"}},
        {**report, "data": {**report["data"], "outcome": "unheard of"}},
        {**report, "data": {**report["data"], "observations": {**report["data"]["observations"], "guests": "two"}}},
        {**report, "data": {**report["data"], "observations": {"guests": 2}}},
        {name: part for name, part in report.items() if name != "timestamp"},
    ):
        assert not validator.is_valid(changed)
    for name in report["data"]:
        assert not validator.is_valid(
            {**report, "data": {key: part for key, part in report["data"].items() if key != name}}
        )


@pytest.mark.parametrize("path", sorted(shipped_flows().glob("*.py")), ids=lambda path: path.stem)
def test_shipped_flow_has_a_schema_that_its_empty_report_fits(path: Path) -> None:
    loaded = load_folder(path.parent).get(path.stem)
    jsonschema.Draft202012Validator.check_schema(report_schema(loaded.name, loaded.flow))
    fold([(0, OPENED)], flow=loaded.flow, call=replace(CALL, flow_name=loaded.name))


def test_report_of_endless_quotes_and_problems_still_fits() -> None:
    report = long_call(3)
    data = report["data"]
    data["evidence"] = {
        name: {"kind": "speech", "quote": "x" * 9_000, "turn": 1, "at": data["ended_at"]} for name in data["evidence"]
    }
    data["problems"] = [{"kind": "reply_failed", "text": "y" * 500, "at": data["ended_at"]}] * 60
    body = posted_body(report, None)
    assert len(body.encode()) < MAX_BODY_BYTES
    assert json.loads(body)["data"]["observations"] == data["observations"]
