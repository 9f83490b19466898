"""The journal's entries: each has a name of its own and survives the store."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.call.entries import (
    AnswererKnown,
    BotSaid,
    CallAnalysed,
    CallEnded,
    CallerConnected,
    CallerHummed,
    CallOpened,
    CallTakenOver,
    EndAsked,
    Entry,
    FunctionAnswered,
    FunctionCalled,
    HandedOver,
    KeyPress,
    LegLost,
    LineClosed,
    LineQuality,
    ModelConnected,
    ModelGone,
    NoteGiven,
    PassedOn,
    PassingEnded,
    RecordingEnded,
    RecordingStarted,
    ReplyFailed,
    StatementNotRendered,
    TextMessage,
    TextMessageBegan,
    TokensSpent,
    TransferAsked,
    TurnAnswered,
    kind_of,
    read_entry,
    write_entry,
)
from voicebot.engine.entries import (
    AskedAgain,
    CallerSaid,
    CallerTurnTaken,
    CallerUnclear,
    ClosingBegan,
    CostReached,
    EndedReason,
    EvidenceWeighed,
    JudgementMade,
    KeysRefused,
    LanguageSwitched,
    ObservationConfirmed,
    ObservationDeclined,
    ObservationFilled,
    ObservationRecorded,
    ObservationWithdrawn,
    PhaseEntered,
    ProposalRefused,
    RuleApplied,
    SilenceNoticed,
    StatementBegun,
    StatementCut,
    StatementHeard,
    TimeRanOut,
    ToolAnswered,
    ToolHeld,
    ToolStarted,
    TransferBegan,
    TransferFailed,
)
from voicebot.errors import StoreError

SAMPLES: dict[str, Entry] = {
    "call_taken_over": CallTakenOver(2),
    "leg_lost": LegLost(),
    "handed_over": HandedOver(),
    "line_closed": LineClosed("completed"),
    "text_message": TextMessage("Your table is booked.", None, "code 21610", "+15550100", 1, 21610),
    "text_message_began": TextMessageBegan(1, "Your table is booked.", None, "3f2a"),
    "answerer_known": AnswererKnown("machine_end_beep", 9_450),
    "call_opened": CallOpened("order", "3f2a", "{}", "+14155550123", None, "inbound"),
    "caller_connected": CallerConnected("MZ1"),
    "model_connected": ModelConnected("gpt-realtime-2.1"),
    "model_gone": ModelGone("the connection broke", True),
    "caller_said": CallerSaid("item-1", "Buonasera, è aperto?"),
    "caller_unclear": CallerUnclear("item-1", "no words"),
    "bot_said": BotSaid("item-2", "Good evening.", "Good", 310, 900, True, False),
    "function_called": FunctionCalled("c1", "record", '{"name": {}}'),
    "function_answered": FunctionAnswered("c1", '{"accepted": []}'),
    "caller_hummed": CallerHummed("item-3", "Mhm."),
    "key_press": KeyPress("#"),
    "note_given": NoteGiven("the caller is a regular"),
    "end_asked": EndAsked(),
    "transfer_asked": TransferAsked("office"),
    "statement_begun": StatementBegun("total", "The total is 12.50."),
    "statement_heard": StatementHeard("total", "The total is 12.50."),
    "statement_cut": StatementCut("total"),
    "silence_noticed": SilenceNoticed(1),
    "turn_answered": TurnAnswered(1, 640),
    "reply_failed": ReplyFailed(None, "the reply was empty", True),
    "statement_not_rendered": StatementNotRendered("Good evening.", "timeout"),
    "tokens_spent": TokensSpent(1, 2, 3, 4, 5, 6, 0.0123),
    "call_analysed": CallAnalysed("done", "Ada calls.", '{"summary": "Ada calls."}'),
    "passed_on": PassedOn(1, "transfer", "+15550199", 14_480.0),
    "passing_ended": PassingEnded(2, "recorded", 7, "RE1", "https://api.twilio.com/RE1"),
    "line_quality": LineQuality(11_000, 2, 80, -21.5, 0.01, 1, 140, (3.5, 1.0)),
    "recording_started": RecordingStarted("CA1-1", 1),
    "recording_ended": RecordingEnded("CA1-1", 1, "cut_short", 61_000, 976_058, "3f2a", "No space left on device"),
    "call_ended": CallEnded("completed"),
    "phase_entered": PhaseEntered("order", None, "start"),
    "caller_turn_taken": CallerTurnTaken(1, "item-1"),
    "observation_recorded": ObservationRecorded("guests", 2, "speech", "two of us", 1),
    "observation_declined": ObservationDeclined("note", "no comment", 1),
    "observation_confirmed": ObservationConfirmed("guests", "yes", 2),
    "observation_withdrawn": ObservationWithdrawn("guests", "contradicted"),
    "observation_filled": ObservationFilled("day", "Monday", "on Monday", 2, "confirmed", 1.0),
    "judgement_made": JudgementMade("the caller sounded sure", True, "absolutely", 2),
    "evidence_weighed": EvidenceWeighed("guests", "value", "confirmed", 0.93),
    "asked_again": AskedAgain("book", ("guests", "judged they are sure"), 2),
    "language_switched": LanguageSwitched("it", "en", "request", "in italiano, per favore", 2),
    "cost_reached": CostReached(1.52),
    "keys_refused": KeysRefused("guests", "nothing was pressed", 1),
    "rule_applied": RuleApplied("human", "a person please", 2),
    "time_ran_out": TimeRanOut("phase"),
    "transfer_began": TransferBegan("desk", True, 25.0, "a person, please", 3),
    "transfer_failed": TransferFailed("desk", "busy"),
    "tool_held": ToolHeld("call-1", "book", "{}", True),
    "proposal_refused": ProposalRefused("guests", "Input should be a valid integer", 1),
    "tool_started": ToolStarted("call-1", "book", '{"seats": 2}'),
    "tool_answered": ToolAnswered("call-1", "book", "table 4", True, 12),
    "closing_began": ClosingBegan("completed"),
}


def test_every_kind_of_entry_has_its_name() -> None:
    assert {type(entry) for entry in SAMPLES.values()} == set(get_args(Entry))


@pytest.mark.parametrize(("kind", "entry"), SAMPLES.items(), ids=SAMPLES)
def test_entry_survives_the_store(kind: str, entry: Entry) -> None:
    assert kind_of(entry) == kind
    assert read_entry(kind, write_entry(entry)) == entry


@pytest.mark.parametrize(("kind", "entry"), SAMPLES.items(), ids=SAMPLES)
def test_body_is_plain_json_with_every_field(kind: str, entry: Entry) -> None:
    assert set(json.loads(write_entry(entry))) == {field.name for field in fields(entry)}


@pytest.mark.parametrize(("kind", "entry"), SAMPLES.items(), ids=SAMPLES)
def test_damaged_entry_is_a_store_error(kind: str, entry: Entry) -> None:
    body: dict[str, Any] = json.loads(write_entry(entry))
    for text in ("", "{", "[]", "null", write_entry(entry)[:-1]):
        with pytest.raises(StoreError, match=f"'{kind}' is damaged"):
            read_entry(kind, text)
    defaults = {
        field.name for field in fields(entry) if field.default is not MISSING or field.default_factory is not MISSING
    }
    for name in body.keys() - defaults:
        with pytest.raises(StoreError, match="is damaged"):
            read_entry(kind, json.dumps({other: value for other, value in body.items() if other != name}))


@pytest.mark.parametrize("kind", ["", "CallOpened", "call_transferred", "_kinds"])
def test_unknown_kind_is_a_store_error(kind: str) -> None:
    with pytest.raises(StoreError, match="unknown kind"):
        read_entry(kind, "{}")


@pytest.mark.parametrize("reason", get_args(EndedReason))
def test_every_reason_of_an_end_can_be_written(reason: EndedReason) -> None:
    assert read_entry("call_ended", write_entry(CallEnded(reason))) == CallEnded(reason)


def test_unknown_reason_of_an_end_is_damage() -> None:
    with pytest.raises(StoreError, match="is damaged"):
        read_entry("call_ended", '{"reason": "boredom"}')


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_any_observed_value_survives_the_store(value: Any) -> None:
    entry = ObservationRecorded("field", value, "speech", "so", 1)
    again = read_entry(kind_of(entry), write_entry(entry))
    assert again == entry
    assert json.dumps(again.value) == json.dumps(value)  # type: ignore[union-attr]
