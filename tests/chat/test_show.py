"""How entries and reports read."""

from __future__ import annotations

from typing import get_args

import pytest

from voicebot.call import entries as call_entries
from voicebot.call.entries import Entry
from voicebot.chat.screen import Row
from voicebot.chat.show import Shown, report_rows, short
from voicebot.engine import entries as engine_entries

SPEECH = "speech"


def shown(entry: Entry, *tools: str) -> tuple[str, str, str] | None:
    row = Shown(tools).row(entry)
    return None if row is None else (row.label, row.text, row.note)


@pytest.mark.parametrize(
    ("entry", "row"),
    [
        (engine_entries.CallerSaid("i", "two, please"), ("caller", "two, please", "")),
        (call_entries.BotSaid("i", "Hello!", "Hello!", 5, 5, False, True), ("bot", "Hello!", "(exact words)")),
        (call_entries.BotSaid("i", "Hello!", "Hello!", 5, 5, False, False), ("bot", "Hello!", "")),
        (call_entries.KeyPress("5"), ("caller", "presses 5", "")),
        (engine_entries.SilenceNoticed(0), ("caller", "is silent (rung 1 of the ladder)", "")),
        (engine_entries.StatementHeard("total", "x"), ("heard", "total, to its end", "")),
        (engine_entries.StatementCut("total"), ("cut", "total was not heard to its end", "")),
        (
            engine_entries.ObservationRecorded("name", "Ada", SPEECH, "I am Ada", 1),
            ("noted", 'name = "Ada"', "«I am Ada»"),
        ),
        (engine_entries.ObservationRecorded("phone", "+1", "default", "", 0), ("noted", 'phone = "+1"', "(default)")),
        (
            engine_entries.ObservationDeclined("name", "no", 1),
            ("noted", "name: the caller does not want to tell it", "«no»"),
        ),
        (engine_entries.ObservationConfirmed("name", "yes", 2), ("agreed", "name, after it was read back", "«yes»")),
        (engine_entries.ObservationWithdrawn("name", "contradicted"), ("withdrawn", "name: contradicted", "")),
        (engine_entries.JudgementMade("is sure", True, "yes", 1), ("judged", "is sure: holds", "«yes»")),
        (
            engine_entries.ObservationFilled("name", "Ada", "I am Ada", 1, "confirmed", 1.0),
            ("filled", 'name = "Ada", after the call', "«I am Ada»"),
        ),
        (call_entries.CallAnalysed("done", "Ada calls.", "{}"), ("summary", "Ada calls.", "")),
        (
            call_entries.CallAnalysed("skipped", reason="timeout"),
            ("problem", "the call was not summed up: timeout", ""),
        ),
        (engine_entries.EvidenceWeighed("name", "value", "confirmed", 1.0), None),
        (
            engine_entries.EvidenceWeighed("name", "value", "contradicted", 0.25),
            ("evidence", "name: contradicted", "score 0.25"),
        ),
        (
            engine_entries.AskedAgain("book", ("name", "day"), 1),
            ("doubt", "book waits; asked once more: name, day", ""),
        ),
        (engine_entries.RuleApplied("human", "a person", 1), ("rule", "human", "«a person»")),
        (engine_entries.ProposalRefused("name", "too long", 1), ("refused", "name: too long", "")),
        (engine_entries.ToolStarted("c", "tables", "{}"), ("tool", "tables()", "")),
        (engine_entries.ToolStarted("c", "tables", '{"people":2}'), ("tool", 'tables({"people":2})', "")),
        (engine_entries.ToolAnswered("c", "tables", "[]", True, 7), ("tool", "tables → []", "7 ms")),
        (engine_entries.ToolAnswered("c", "tables", "oops", False, 7), ("tool", "tables → oops", "failed")),
        (
            call_entries.FunctionCalled("c", "end_call", '{"reason":"x"}'),
            ("asks", 'end_call({"reason":"x"})', ""),
        ),
        (call_entries.FunctionCalled("c", "record", "{}"), None),
        (call_entries.ReplyFailed("x", "overloaded", True), ("problem", "a reply failed: overloaded", "asked again")),
        (call_entries.StatementNotRendered("Hello", "no"), ("problem", "not spoken exactly: Hello", "no")),
        (call_entries.ModelGone("broke", True), ("problem", "the model is gone: broke", "tried again")),
        (call_entries.ModelGone("no quota", False), ("problem", "the model is gone: no quota", "")),
        (engine_entries.PhaseEntered("bye", None, "start"), None),
        (engine_entries.TimeRanOut("evidence"), ("time", "the time for the evidence is over", "")),
        (call_entries.NoteGiven("VIP"), ("note", 'note given: text "VIP"', "")),
    ],
)
def test_entry_reads_as_a_row(entry: Entry, row: tuple[str, str, str] | None) -> None:
    assert shown(entry) == row


def test_changed_value_is_called_so() -> None:
    rows = Shown(())
    values = ["Ada", "Ada", "Grace"]
    entries = [engine_entries.ObservationRecorded("name", value, SPEECH, "q", 1) for value in values]
    assert [row.label for entry in entries if (row := rows.row(entry))] == ["noted", "noted", "changed"]


def test_use_of_a_flows_tool_is_shown_once() -> None:
    assert shown(call_entries.FunctionCalled("c", "tables", "{}"), "tables") is None


def test_long_answers_are_clipped() -> None:
    row = shown(engine_entries.ToolAnswered("c", "menu", "dish\n" * 100, True, 7))
    assert row is not None
    assert len(row[1]) < 180
    assert row[1].endswith("…")


def test_every_kind_of_entry_is_known_or_hidden() -> None:
    """None of them breaks the screen: what has no words of its own shows its fields."""
    values = {"int": 1, "bool": False, "float | None": 0.5, "float": 0.5}
    for kind in get_args(Entry):
        fields = {name: values.get(str(of), "x") for name, of in kind.__annotations__.items()}
        entry = kind(**fields)
        row = Shown(()).row(entry)
        assert row is None or row.label


def test_values_are_shown_on_one_line() -> None:
    assert short({"a": "b\nc", "d": None}) == '{"a": "b\\nc", "d": null}'


def test_report_reads_as_rows() -> None:
    data = {
        "outcome": None,
        "ended_reason": "completed",
        "progress": 0.5,
        "summary": "Ada calls.",
        "phases": [{"name": "order"}, {"name": "bye"}],
        "statements": [{"name": "total", "heard": "20 euro"}, {"name": "terms", "heard": None}],
        "observations": {"name": "Ada", "phone": "+1", "total": None, "email": None},
        "observation_status": {"name": "filled", "phone": "filled", "total": "not_needed", "email": "refused"},
        "evidence": {
            "name": {"kind": "speech", "quote": "I am Ada"},
            "phone": {"kind": "default", "quote": None},
            "total": None,
            "email": {"kind": "speech", "quote": "no"},
        },
    }
    assert [(row.label, row.text, row.note) for row in report_rows(data)] == [
        ("outcome", "none", "(completed)"),
        ("progress", "50%", ""),
        ("phases", "order → bye", ""),
        ("summary", "Ada calls.", ""),
        ("said", "total: 20 euro", ""),
        ("said", "terms: not heard", ""),
        ("", 'name = "Ada"', "«I am Ada»"),
        ("", 'phone = "+1"', "(default)"),
        ("", "total: not needed", ""),
        ("", "email: refused", "«no»"),
    ]
    assert isinstance(next(report_rows(data)), Row)
