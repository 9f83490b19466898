"""Which entry of a call's journal moves which number."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import pytest

from tests.call.test_entries import SAMPLES
from voicebot.call.entries import (
    BotSaid,
    CallOpened,
    CallTakenOver,
    Entry,
    LegLost,
    LineQuality,
    ModelConnected,
    ModelGone,
    ReplyFailed,
    StatementNotRendered,
    TokensSpent,
    TurnAnswered,
)
from voicebot.engine.entries import PhaseEntered, ProposalRefused, ToolAnswered
from voicebot.observe.call_metrics import CallMetrics, count_end
from voicebot.observe.families import Families
from voicebot.observe.prices import Price
from voicebot.observe.registry import exposition

PRICE = Price(1, 1, 1, 1, 1, 1)
OPENED = CallOpened("visit", "v1", "{}", "+15550123456", None, "inbound")


def moved(*entries: Entry, price: Price | None = None) -> dict[str, float]:
    """The series that these entries move, without buckets, by name and labels."""
    families = Families()
    before = _samples(families)
    counting = CallMetrics(families, "visit", price)
    for entry in entries:
        counting.take(entry)
    return {name: value for name, value in _samples(families).items() if value != before.get(name, 0)}


def _samples(families: Families) -> dict[str, float]:
    lines = [line for line in exposition(families.own).splitlines() if line[0] != "#" and "_bucket" not in line]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.parametrize(
    ("entry", "series"),
    [
        (OPENED, 'voicebot_calls_admitted_total{flow="visit"}'),
        (CallTakenOver(2), 'voicebot_calls_taken_over_total{flow="visit"}'),
        (LegLost(), 'voicebot_stream_losses_total{flow="visit"}'),
        (PhaseEntered("order", None, "start"), 'voicebot_phases_entered_total{flow="visit",phase="order"}'),
        (ProposalRefused("name", "Ada", 1), 'voicebot_proposals_refused_total{flow="visit"}'),
        (BotSaid("i", "Hello", "He", 1, 2, True, False), 'voicebot_interruptions_total{flow="visit"}'),
        (ModelConnected("m"), 'voicebot_model_sessions_total{flow="visit"}'),
        (ModelGone("closed", True), 'voicebot_model_sessions_ended_total{kind="lost"}'),
        (ModelGone("closed", False), 'voicebot_model_sessions_ended_total{kind="refused"}'),
        (ModelGone("soon", True, planned=True), 'voicebot_model_sessions_ended_total{kind="roll_over"}'),
        (ReplyFailed("rate_limit_exceeded", "p", True), 'voicebot_model_errors_total{code="rate_limit_exceeded"}'),
        (ReplyFailed(None, "p", True), 'voicebot_model_errors_total{code="none"}'),
        (ReplyFailed("Ada Lovelace +1555", "p", True), 'voicebot_model_errors_total{code="other"}'),
        (StatementNotRendered("Hello", "late"), 'voicebot_statements_not_rendered_total{flow="visit"}'),
    ],
)
def test_entry_counts_one(entry: Entry, series: str) -> None:
    assert moved(entry) == {series: 1}


def test_refused_transfer_counts_as_one_too() -> None:
    assert moved(ProposalRefused("transfer_call", "to whom", 1)) == {
        'voicebot_proposals_refused_total{flow="visit"}': 1,
        'voicebot_transfers_refused_total{flow="visit"}': 1,
    }


def test_answer_and_tool_are_timed() -> None:
    assert moved(TurnAnswered(1, 640)) == {
        'voicebot_response_seconds_sum{flow="visit"}': 0.64,
        'voicebot_response_seconds_count{flow="visit"}': 1,
    }
    assert (
        moved(ToolAnswered("c", "book", "Ada", False, 250))['voicebot_tool_failures_total{flow="visit",tool="book"}']
        == 1
    )
    for done in (ToolAnswered("c", "book", "", True, 250), ToolAnswered("c", "book", "", False, 250, refused=True)):
        assert moved(done) == {
            'voicebot_tool_seconds_sum{flow="visit",tool="book"}': 0.25,
            'voicebot_tool_seconds_count{flow="visit",tool="book"}': 1,
        }


def test_tokens_cost_what_the_price_says() -> None:
    spent = TokensSpent(100, 200, 0, 0, 300, 400)
    tokens = {f'voicebot_tokens_total{{kind="{kind}"}}': n for kind, n in vars_of(spent).items() if n}
    assert moved(spent) == tokens
    assert moved(spent, price=PRICE) == {**tokens, 'voicebot_cost_usd_total{flow="visit"}': pytest.approx(0.001)}


def vars_of(entry: TokensSpent) -> dict[str, int]:
    return {field.name: getattr(entry, field.name) for field in fields(entry)}


def test_line_is_measured_per_call() -> None:
    found = moved(LineQuality(11_000, 2, 80, -21.5, 0.02, 1, 140, (3.5, 1.0)))
    assert found == {
        "voicebot_caller_audio_seconds_total": 11,
        "voicebot_caller_audio_gaps_total": 2,
        "voicebot_caller_audio_gap_seconds_total": 0.08,
        "voicebot_caller_audio_clipped_calls_total": 1,
        "voicebot_caller_level_dbov_sum": -21.5,
        "voicebot_caller_level_dbov_count": 1,
        'voicebot_playback_underruns_total{flow="visit"}': 1,
        'voicebot_playback_underrun_seconds_total{flow="visit"}': 0.14,
        "voicebot_barge_in_seconds_sum": pytest.approx(0.0045),
        "voicebot_barge_in_seconds_count": 2,
    }


def test_every_kind_of_entry_is_taken_and_tells_nobody() -> None:
    """Labels are names of the flow's making, whatever was said, dialled or answered."""
    assert {type(entry) for entry in SAMPLES.values()} == set(get_args(Entry))
    for entry in SAMPLES.values():
        shown = str(moved(entry, price=PRICE))
        for text in ("Buonasera", "Good evening", "+1", "item-", "c1", "MZ1", "Ada", "absolutely", "RE1"):
            assert text not in shown


def ended(**changed: Any) -> dict[str, Any]:
    data = {
        "flow": "visit", "ended_reason": "completed", "outcome": None, "answered_at": "2026-11-20T09:00:00.000Z",
        "duration_s": 42.5, "passed_on": [],
    }  # fmt: skip
    return {"data": {**data, **changed}}


def test_end_is_counted_from_the_report() -> None:
    families = Families()
    count_end(families, ended())
    count_end(families, ended(ended_reason="never_connected", answered_at=None, outcome="lost"))
    ways = [{"to": "transfer", "status": "busy"}, {"to": "voicemail", "status": None}]
    count_end(families, ended(ended_reason="model_failed", passed_on=ways))
    assert families.ended.value("visit", "completed", "none") == 1
    assert families.ended.value("visit", "never_connected", "lost") == 1
    assert families.duration.count("visit") == 2
    assert families.passed_on.value("transfer", "busy") == families.passed_on.value("voicemail", "unknown") == 1


def test_names_are_ours_and_in_base_units() -> None:
    families = Families()
    for family in (*families.own, *families.shared):
        assert family.name.startswith("voicebot_")
        assert family.about.endswith(".")
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert not any(unit in family.name for unit in ("_ms", "millis", "minutes", "_kb"))


def test_known_series_are_there_before_anything_happens() -> None:
    """An alert on an increase sees the first one."""
    shown = _samples(Families())
    for series in (
        'voicebot_calls_refused_total{reason="full"}',
        'voicebot_model_sessions_ended_total{kind="lost"}',
        'voicebot_delivery_attempts_total{result="dead"}',
        'voicebot_log_lines_total{level="ERROR",event="store_defect"}',
    ):
        assert shown[series] == 0
