"""The engine: what it accepts, what it refuses, where it leads, and that a journal gives its state back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from tests.engine.line import CALLER, Line, answer, kinds, outputs, refusal, written
from voicebot.call.entries import kind_of, read_entry, write_entry
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import (
    CallerTurnTaken,
    ClosingBegan,
    EngineEntry,
    ObservationDeclined,
    ObservationRecorded,
    PhaseEntered,
    ProposalRefused,
    SilenceNoticed,
    StatementHeard,
    ToolAnswered,
    ToolStarted,
)
from voicebot.engine.events import (
    Answer,
    AskReply,
    CallerTurnEnded,
    CallStarted,
    Close,
    EngineEvent,
    ResponseEnded,
    RunTool,
    SilenceLasted,
    SpeakExactly,
    StatementEnded,
    ToolFinished,
    ToolProposed,
    Write,
)
from voicebot.engine.state import EngineState
from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    HangUp,
    Limits,
    Observations,
    Phase,
    PhoneNumber,
    Report,
    Say,
    To,
    ask,
    it,
    otherwise,
    tool,
)
from voicebot.flow.expressions import Compare, Expression, Heard
from voicebot.flow.expressions import Field as FieldNamed

# ---- a flow with a field of every kind ----------------------------------------------------------------------------


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Item(BaseModel):
    dish: str
    count: Annotated[int, Field(ge=1)] = 1


def on_menu(name: str) -> str | None:
    """Keeps `Margherita` for any spelling, refuses hawaii, breaks on xyzzy, and returns nonsense for plugh."""
    if name == "hawaii":
        raise ValueError("we have no such dish")
    if name == "xyzzy":
        raise RuntimeError("the menu is on fire")
    if name == "plugh":
        return 5  # type: ignore[return-value]
    return "Margherita" if name.casefold() == "margherita" else None


class Everything(Observations):
    text: str = ask("a text")
    flag: bool = ask("a yes or no")
    count: int = ask("a number")
    share: float = ask("a share")
    amount: Decimal = ask("an amount")
    day: date = ask("a day")
    mode: Literal["pickup", "delivery"] = ask("a mode")
    size: Size = ask("a size")
    phone: PhoneNumber = ask("a phone number")
    items: list[Item] = ask("some items")
    dish: str = ask("a dish", check=on_menu)
    either: int | None = ask("a number or nothing")
    bounded: Annotated[int, Field(ge=1, le=5)] = ask("one to five")
    note: str = ask("a note", optional=True)


EVERYTHING = Flow(goal="g", observations=Everything, phases=(Phase("all"),))


def talking(flow: Flow = EVERYTHING) -> Line:
    """A call in which the caller has spoken once."""
    line = Line(flow)
    line.turn()
    line.effects.clear()
    return line


ACCEPTED: list[tuple[str, object, object, object]] = [
    # field, proposed, kept as Python, kept as JSON
    ("text", "Ada", "Ada", "Ada"),
    ("text", "", "", ""),
    ("flag", True, True, True),
    ("flag", False, False, False),
    ("count", 7, 7, 7),
    ("count", -1, -1, -1),
    ("share", 0.5, 0.5, 0.5),
    ("share", 2, 2.0, 2.0),
    ("amount", "12.50", Decimal("12.50"), "12.50"),
    ("amount", 12.1, Decimal("12.1"), "12.1"),
    ("day", "2026-03-01", date(2026, 3, 1), "2026-03-01"),
    ("mode", "pickup", "pickup", "pickup"),
    ("size", "large", Size.LARGE, "large"),
    ("phone", "+1 (415) 555-0123", CALLER, CALLER),
    ("items", [], [], []),
    ("items", [{"dish": "x"}], [Item(dish="x")], [{"dish": "x", "count": 1}]),
    ("dish", "quattro", "quattro", "quattro"),
    ("dish", "MARGHERITA", "Margherita", "Margherita"),
    ("either", None, None, None),
    ("either", 3, 3, 3),
    ("bounded", 5, 5, 5),
]


@pytest.mark.parametrize(("name", "proposed", "kept", "in_json"), ACCEPTED)
def test_valid_value_is_recorded(name: str, proposed: object, kept: object, in_json: object) -> None:
    line = talking()
    told = line.record(**{name: proposed})
    assert told["accepted"] == [name]
    assert name not in told["still_missing"]
    assert line.engine.values[name] == kept
    assert type(line.engine.values[name]) is type(kept)
    assert line.engine.known[name] == in_json
    assert line.entries == [ObservationRecorded(name, in_json, "speech", "so", 1)]  # type: ignore[arg-type]
    assert line.engine.status(name) == "filled"


REFUSED: list[tuple[str, object, str]] = [
    ("text", 7, "valid string"),
    ("text", None, "valid string"),
    ("flag", "yes", "valid boolean"),
    ("flag", 1, "valid boolean"),
    ("count", "7", "valid integer"),
    ("count", 7.0, "valid integer"),
    ("count", True, "valid integer"),
    ("share", "0.5", "valid number"),
    ("share", True, "valid number"),
    ("amount", "much", "valid decimal"),
    ("amount", "NaN", "finite number"),
    ("day", "tomorrow", "valid date"),
    ("day", "2026-02-30", "valid date"),
    ("day", 20260301, "valid date"),
    ("mode", "by drone", "'pickup' or 'delivery'"),
    ("size", "LARGE", "'small' or 'large'"),
    ("phone", "555 0123", "country code"),
    ("items", {"dish": "x"}, "valid array"),
    ("items", [{"dish": "x", "count": 0}], "0.count: Input should be greater"),
    ("items", [{"name": "x"}], "0.dish: Field required"),
    ("dish", "hawaii", "we have no such dish"),
    ("dish", "xyzzy", "could not be checked (RuntimeError)"),
    ("dish", "plugh", "valid string"),
    ("either", "3", "valid integer"),
    ("bounded", 6, "less than or equal to 5"),
]


@pytest.mark.parametrize(("name", "proposed", "words"), REFUSED)
def test_invalid_value_is_refused_in_words(name: str, proposed: object, words: str) -> None:
    line = talking()
    told = line.record(**{name: proposed})
    assert told["accepted"] == []
    assert words in told["refused"][name]
    assert name in told["still_missing"]
    assert line.engine.state.observed == {}
    assert line.entries == [ProposalRefused(name, told["refused"][name], 1)]
    assert line.engine.status(name) == "unasked"


@pytest.mark.parametrize(
    ("proposal", "words"),
    [
        ("Ada", "give {"),
        (["Ada"], "give {"),
        (None, "give {"),
        ({"value": "Ada"}, "a quote of the caller's own words is missing"),
        ({"value": "Ada", "quote": ""}, "a quote"),
        ({"value": "Ada", "quote": " \n"}, "a quote"),
        ({"value": "Ada", "quote": 7}, "a quote"),
        ({"value": "Ada", "quote": ["so"]}, "a quote"),
        ({"quote": "so"}, "the value is missing"),
        ({"quote": "so", "declined": True}, "this is needed"),
        ({"quote": "so", "declined": "true"}, "the value is missing"),
    ],
)
def test_proposal_without_evidence_is_refused(proposal: object, words: str) -> None:
    line = talking()
    assert words in answer(line.call("record", {"text": proposal}))["refused"]["text"]
    assert line.engine.state.observed == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{", "not valid JSON"),
        ("nonsense", "not valid JSON"),
        ('{"share": {"value": NaN, "quote": "so"}}', "not valid JSON"),
        ('{"share": {"value": 1e999, "quote": "so"}}', "not valid JSON"),
        (r'{"text": {"value": "x", "quote": "\ud800"}}', "not valid JSON"),
        ('{"text": ' + "[" * 5000 + "]" * 5000 + "}", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('"text"', "must be a JSON object"),
        ("{}", "name at least one field"),
        ("", "name at least one field"),
    ],
)
def test_arguments_that_are_none_are_refused(arguments: str, words: str) -> None:
    assert words in refusal(talking().call("record", arguments))


@pytest.mark.parametrize("depth", [150, 300, 900, 980, 990, 1000, 1020])
def test_deep_value_is_refused_not_raised(depth: int) -> None:
    line = talking()
    line.call("record", '{"text": {"quote": "so", "value": ' + "[" * depth + "]" * depth + "}}")
    assert line.engine.state.observed == {}
    assert any(isinstance(entry, ProposalRefused) for entry in line.entries)


def test_unknown_field_is_refused_with_the_known_ones() -> None:
    told = talking().record(naem="Ada")
    assert "there is no such field; fields now: text, flag" in told["refused"]["naem"]


def test_nothing_is_recorded_before_the_caller_has_spoken() -> None:
    line = Line(EVERYTHING)
    assert "not said anything yet" in line.record(text="Ada")["refused"]["text"]
    line.turn()
    assert line.record(text="Ada")["accepted"] == ["text"]


def test_some_of_several_fields_may_be_refused() -> None:
    line = talking()
    told = line.record(text="Ada", count="x", flag=True)
    assert told["accepted"] == ["text", "flag"]
    assert list(told["refused"]) == ["count"]
    assert [type(entry).__name__ for entry in line.entries] == [
        "ObservationRecorded",
        "ProposalRefused",
        "ObservationRecorded",
    ]


def test_refused_value_stands_nowhere() -> None:
    line = talking()
    line.record(phone="4111 1111 1111 1111")
    assert "4111" not in repr(line.effects)


def test_long_words_are_clipped() -> None:
    line = talking()
    line.call("record", {"text": {"value": "x", "quote": "q" * 2000}, "n" * 2000: 1})
    line.call("no_such_tool" * 200)
    assert all(len(text) <= 500 for entry in line.entries for text in _texts(entry))


def _texts(entry: EngineEntry) -> list[str]:
    return [value for name in entry.__slots__ if isinstance(value := getattr(entry, name), str)]


def test_correction_replaces_the_value_and_its_evidence() -> None:
    line = talking()
    line.record(text="Ada")
    line.turn()
    line.call("record", {"text": {"value": "Eda", "quote": "no, Eda"}})
    observed = line.engine.state.observed["text"]
    assert (observed.value, observed.quote.text, observed.quote.turn, observed.kind) == ("Eda", "no, Eda", 2, "speech")


def test_refused_correction_leaves_the_value() -> None:
    line = talking()
    line.record(bounded=3)
    line.record(bounded=9)
    assert line.engine.values["bounded"] == 3


def test_optional_field_may_be_declined_and_given_later() -> None:
    line = talking()
    told = answer(line.call("record", {"note": {"declined": True, "quote": "I'd rather not"}}))
    assert told["accepted"] == ["note"]
    assert line.entries == [ObservationDeclined("note", "I'd rather not", 1)]
    assert line.engine.status("note") == "refused"
    line.record(note="well, all right")
    assert line.engine.status("note") == "filled"
    assert line.engine.state.declined == set()


# ---- defaults -----------------------------------------------------------------------------------------------------


class Callback(Observations):
    phone: PhoneNumber = ask("a number to call back", default_from="caller")
    name: str = ask("a name")


CALLBACK = Flow(goal="g", observations=Callback, phases=(Phase("a"),))


def test_caller_number_is_the_default() -> None:
    line = Line(CALLBACK)
    assert ObservationRecorded("phone", CALLER, "default", "", 0) in line.entries
    assert [spec.name for spec in line.engine.missing()] == ["name"]


@pytest.mark.parametrize("caller", [None, "", "anonymous"])
def test_withheld_number_is_no_default(caller: str | None) -> None:
    assert Line(CALLBACK, caller=caller).engine.status("phone") == "unasked"


def test_default_can_be_corrected() -> None:
    line = talking(CALLBACK)
    line.record(phone="+39 06 1234567")
    assert line.engine.known["phone"] == "+39061234567"


def not_ours(number: str) -> None:
    if number == CALLER:
        raise ValueError("that is our own number")


def test_default_passes_the_check_too() -> None:
    class Checked(Observations):
        phone: PhoneNumber = ask("a number", default_from="caller", check=not_ours)

    line = Line(Flow(goal="g", observations=Checked, phases=(Phase("a"),)))
    assert line.engine.status("phone") == "unasked"


# ---- phases -------------------------------------------------------------------------------------------------------


class Order(Observations):
    mode: Literal["pickup", "delivery"] = ask("pickup or delivery")
    address: str = ask("the address", needed_if=it.mode == "delivery")
    guests: int = ask("how many eat")
    allergies: str = ask("allergies", optional=True)
    accepted: bool = ask("an explicit yes")


def order(*phases: Phase, **given: Any) -> Flow:
    return Flow(goal="g", observations=Order, phases=phases, **given)


BYE = Phase("bye", instructions="Say goodbye.", end=HangUp())


def test_call_begins_in_the_initial_phase() -> None:
    line = Line(order(Phase("a"), Phase("b"), initial_phase="b"))
    assert line.phase == "b"
    assert kinds(line.effects) == ["PhaseEntered", "ConfigurePhase", "AskReply"]
    assert line.entries == [PhaseEntered("b", None, "start")]


def test_opening_is_spoken_exactly() -> None:
    line = Line(order(Phase("a"), opening=Say("Good evening.")))
    assert line.effects[-1] == SpeakExactly(Say("Good evening."))
    assert not any(isinstance(effect, AskReply) for effect in line.effects)


def test_phase_that_ends_the_call_may_be_the_first() -> None:
    line = Line(order(BYE, opening=Say("We are closed. Goodbye.")))
    assert kinds(line.effects) == ["PhaseEntered", "ConfigurePhase", "SpeakExactly", "ClosingBegan", "Close"]
    assert line.effects[-1] == Close("completed", "")


def test_phase_ends_when_all_is_there_and_criteria_hold() -> None:
    line = talking(
        order(
            Phase("a", observations=("mode", "accepted"), success_criteria=(it.accepted.yes,), transitions=(To("b"),)),
            Phase("b", observations=("guests",)),
        )
    )
    assert line.record(mode="pickup") == {"accepted": ["mode"], "still_missing": ["accepted"]}
    assert line.record(accepted=False) == {"accepted": ["accepted"], "still_missing": [], "not_yet": ["accepted.yes"]}
    assert line.phase == "a"
    effects = line.call("record", {"accepted": {"value": True, "quote": "yes"}})
    assert answer(effects)["next"].startswith("This part is complete")
    assert kinds(effects) == ["ObservationRecorded", "Answer", "PhaseEntered", "ConfigurePhase"]
    assert written(effects)[-1] == PhaseEntered("b", "a", "criteria")


GUARDS = (
    To("kitchen", when=it.guests > 8),
    To("address", when=it.mode == "delivery"),
    To("table", when=it.mode == "pickup"),
    To("kitchen"),
)


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ({"mode": "delivery", "guests": 2}, "address"),
        ({"mode": "pickup", "guests": 2}, "table"),
        ({"mode": "delivery", "guests": 9}, "kitchen"),
    ],
)
def test_first_transition_whose_guard_holds_is_taken(values: dict[str, object], target: str) -> None:
    line = talking(
        order(
            Phase("a", observations=("mode", "guests"), transitions=GUARDS),
            *(Phase(name, success_criteria=(it.accepted.yes,)) for name in ("kitchen", "address", "table")),
        )
    )
    line.record(**values)
    assert line.phase == target


@pytest.mark.parametrize(
    "guard",
    [it.allergies == "nuts", ~(it.allergies == "nuts"), it.accepted.no, (it.guests == 2) & it.accepted.yes],
    ids=repr,
)
def test_unknown_guard_does_not_hold(guard: Expression) -> None:
    line = talking(
        order(
            Phase("a", observations=("guests",), transitions=(To("never", when=guard), To("b"))),
            Phase("never"),
            Phase("b", observations=("mode",)),
        )
    )
    line.record(guests=2)
    assert line.phase == "b"


def test_phase_waits_while_no_guard_holds() -> None:
    line = talking(
        order(
            Phase(
                "a",
                observations=("guests", "allergies"),
                transitions=(To("b", when=it.allergies.filled),),
            ),
            Phase("b", observations=("mode",)),
        )
    )
    assert line.record(guests=2)["still_missing"] == []
    assert line.phase == "a"
    line.record(allergies="nuts")
    assert line.phase == "b"


def test_null_in_an_ordered_guard_does_not_break_the_call() -> None:
    class Maybe(Observations):
        number: int | None = ask("a number, or nothing")

    flow = Flow(
        goal="g", observations=Maybe, phases=(Phase("a", transitions=(To("b", when=it.number > 3),)), Phase("b"))
    )
    line = talking(flow)
    assert line.record(number=None)["accepted"] == ["number"]
    assert line.phase == "a"


def test_phases_already_satisfied_are_passed() -> None:
    line = talking(
        order(
            Phase("a", observations=("mode", "guests"), transitions=(To("b"),)),
            Phase("b", observations=("guests",), transitions=(To("c"),)),
            Phase("c", observations=("guests", "mode"), success_criteria=(it.guests > 1,), transitions=(To("d"),)),
            Phase("d", observations=("accepted",)),
        )
    )
    line.record(mode="pickup", guests=2)
    assert line.engine.state.path == ["a", "b", "c", "d"]


def test_phase_whose_fields_are_not_needed_is_passed() -> None:
    phases = (
        Phase("a", observations=("mode",), transitions=(To("b"),)),
        Phase("b", observations=("address",), transitions=(To("c"),)),
        Phase("c", observations=("guests",)),
    )
    line = talking(order(*phases))
    line.record(mode="pickup")
    assert (line.phase, line.engine.status("address")) == ("c", "not_needed")
    line = talking(order(*phases))
    line.record(mode="delivery")
    assert (line.phase, line.engine.status("address")) == ("b", "unasked")


def test_conditional_field_follows_a_correction() -> None:
    line = talking(order(Phase("a", observations=("mode", "address", "guests"), transitions=(To("bye"),)), BYE))
    assert line.record(mode="pickup")["still_missing"] == ["guests"]
    assert line.record(mode="delivery")["still_missing"] == ["address", "guests"]


def test_loop_of_satisfied_phases_comes_to_rest() -> None:
    line = talking(
        order(
            Phase("a", observations=("guests",), transitions=(To("b"),)),
            Phase("b", observations=("guests",), transitions=(To("c"),)),
            Phase("c", observations=("guests",), transitions=(To("a"),)),
        )
    )
    line.record(guests=2)
    assert line.engine.state.path == ["a", "b", "c"]


def test_phase_that_leads_to_itself_comes_to_rest() -> None:
    line = talking(order(Phase("a", observations=("guests",), transitions=(To("a"),))))
    line.record(guests=2)
    assert line.engine.state.path == ["a"]


def test_phase_that_asks_nothing_lasts_one_turn() -> None:
    line = Line(
        order(
            Phase("a", observations=("guests",), transitions=(To("news"),)),
            Phase("news", transitions=(To("more"),)),
            Phase("more", transitions=(To("bye"),)),
            BYE,
        )
    )
    line.turn()
    line.record(guests=2)
    assert line.phase == "news"
    line.record(guests=3)
    assert line.phase == "news"
    line.turn()
    assert line.phase == "more"
    line.turn()
    assert line.phase == "bye"


OPTIONAL_ONLY = order(
    Phase("a", observations=("guests",), transitions=(To("extras"),)),
    Phase("extras", observations=("allergies",), transitions=(To("b"),)),
    Phase("b", observations=("accepted",)),
)


def test_phase_of_optional_fields_is_given_its_turn() -> None:
    line = talking(OPTIONAL_ONLY)
    line.record(guests=2)
    assert line.phase == "extras"
    line.turn()
    assert line.phase == "b"
    assert line.record(allergies="nuts")["accepted"] == ["allergies"]


@pytest.mark.parametrize("proposal", [{"value": "nuts", "quote": "nuts"}, {"declined": True, "quote": "no comment"}])
def test_phase_of_optional_fields_ends_when_they_are_answered(proposal: dict[str, object]) -> None:
    line = talking(OPTIONAL_ONLY)
    line.record(guests=2)
    line.call("record", {"allergies": proposal})
    assert line.phase == "b"


def test_phase_of_optional_fields_that_are_not_needed_is_passed() -> None:
    class Maybe(Observations):
        urgent: bool = ask("whether it is urgent")
        why: str = ask("why", needed_if=it.urgent.yes, optional=True)
        name: str = ask("a name")

    phases = (
        Phase("a", observations=("urgent",), transitions=(To("b"),)),
        Phase("b", observations=("why",), transitions=(To("c"),)),
        Phase("c", observations=("name",)),
    )
    for urgent, phase in ((False, "c"), (True, "b")):
        line = talking(Flow(goal="g", observations=Maybe, phases=phases))
        line.record(urgent=urgent)
        assert line.phase == phase


def test_fields_of_earlier_phases_stay_open_later_ones_do_not() -> None:
    line = talking(
        order(
            Phase("a", observations=("guests", "allergies"), transitions=(To("b"),)),
            Phase("b", observations=("mode",), transitions=(To("c"),)),
            Phase("c", observations=("accepted",)),
        )
    )
    assert "not open" in line.record(mode="pickup")["refused"]["mode"]
    line.record(guests=2)
    assert line.record(guests=3, allergies="nuts")["accepted"] == ["guests", "allergies"]
    assert line.engine.values["guests"] == 3
    assert [spec.name for spec in line.engine.open_specs()] == ["mode", "guests", "allergies"]


def test_phase_that_ends_closes_the_call() -> None:
    line = talking(order(Phase("a", observations=("guests",), transitions=(To("bye"),)), BYE))
    effects = line.call("record", {"guests": {"value": 2, "quote": "two"}})
    assert kinds(effects) == [
        "ObservationRecorded",
        "Answer",
        "PhaseEntered",
        "ConfigurePhase",
        "ClosingBegan",
        "Close",
    ]
    assert effects[-1] == Close("completed", "")
    assert line.engine.state.closing == "completed"


def test_nothing_is_offered_once_the_call_closes() -> None:
    line = talking(order(Phase("a", observations=("guests",), transitions=(To("bye"),)), BYE))
    line.record(guests=2)
    assert line.engine.tools() == ()
    assert "Available: none" in refusal(line.call("record", {"guests": {"value": 3, "quote": "no"}}))
    assert line.take(SilenceLasted(0)) == []
    assert line.engine.deadline() is None
    line.turn()
    assert line.phase == "bye"


# ---- end_call and request_phase -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "ended"), [("caller_wants_to_stop", "caller_finished"), ("wrong_number", "caller_finished")]
)
def test_caller_may_stop_at_any_time(reason: str, ended: str) -> None:
    line = talking(order(Phase("a", observations=("guests",), transitions=(To("bye"),)), BYE))
    effects = line.call("end_call", {"reason": reason})
    assert kinds(effects) == ["Answer", "ClosingBegan", "Close"]
    assert isinstance(effects[-1], Close)
    assert effects[-1].reason == ended
    assert "goodbye" in effects[-1].note


SINGLE = order(Phase("a", observations=("guests", "accepted"), success_criteria=(it.accepted.yes,)))


def test_goal_is_reached_only_when_nothing_is_missing() -> None:
    line = talking(SINGLE)
    assert "still missing: guests, accepted" in refusal(line.call("end_call", {"reason": "goal_reached"}))
    line.record(guests=2, accepted=False)
    assert "not over yet" in refusal(line.call("end_call", {"reason": "goal_reached"}))
    line.record(accepted=True)
    assert line.call("end_call", {"reason": "goal_reached"})[-1] == Close(
        "completed", "Everything is done. Say a short, friendly goodbye now."
    )


def test_goal_is_not_reached_before_the_last_phase() -> None:
    line = talking(
        order(Phase("a", observations=("guests",), transitions=(To("b", when=it.accepted.yes),)), Phase("b"))
    )
    line.record(guests=2)
    assert "not over yet" in refusal(line.call("end_call", {"reason": "goal_reached"}))


@pytest.mark.parametrize("arguments", [{}, {"reason": "bored"}, {"reason": None}, {"reason": ["goal_reached"]}])
def test_end_call_needs_a_reason(arguments: dict[str, object]) -> None:
    assert "reason must be one of: goal_reached" in refusal(talking(SINGLE).call("end_call", arguments))


JUMPS = order(
    Phase(
        "a", observations=("guests",), transitions=(To("b", when=it.guests > 1), To("c")), may_jump=("b", "c", "bye")
    ),
    Phase("b", observations=("mode",), may_jump=("a",)),
    Phase("c", observations=("mode",)),
    BYE,
)


def test_jump_is_granted_where_the_flow_allows_it() -> None:
    line = talking(JUMPS)
    effects = line.call("request_phase", {"phase": "c", "reason": "they want it"})
    assert kinds(effects) == ["Answer", "PhaseEntered", "ConfigurePhase"]
    assert answer(effects)["granted"] is True
    assert written(effects) == [PhaseEntered("c", "a", "jump")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"phase": "b"}, "b is not open yet"),
        ({"phase": "a"}, "from here only to: b, c, bye"),
        ({"phase": "nowhere"}, "from here only to: b, c, bye"),
        ({"phase": None}, "from here only to"),
        ({"phase": {"name": "c"}}, "from here only to"),
        ({}, "from here only to"),
    ],
)
def test_jump_is_refused_where_the_flow_does_not_allow_it(arguments: dict[str, object], words: str) -> None:
    line = talking(JUMPS)
    assert words in refusal(line.call("request_phase", arguments))
    assert line.phase == "a"


def test_jump_through_a_guard_that_holds_is_granted() -> None:
    flow = order(
        Phase("a", observations=("guests", "mode"), transitions=(To("b", when=it.guests > 1),), may_jump=("b",)),
        Phase("b", observations=("accepted",)),
    )
    line = talking(flow)
    line.record(guests=2)
    assert answer(line.call("request_phase", {"phase": "b"}))["granted"] is True


def test_jump_to_an_end_closes_the_call() -> None:
    effects = talking(JUMPS).call("request_phase", {"phase": "bye"})
    assert kinds(effects) == ["Answer", "PhaseEntered", "ConfigurePhase", "ClosingBegan", "Close"]


def test_jump_is_not_offered_where_there_is_none() -> None:
    line = talking(JUMPS)
    line.call("request_phase", {"phase": "c"})
    assert "not available now" in refusal(line.call("request_phase", {"phase": "a"}))


# ---- several calls of one response --------------------------------------------------------------------------------


def test_end_call_first_does_not_shut_out_what_is_recorded() -> None:
    line = talking(SINGLE)
    effects = line.together(
        ("end_call", {"reason": "goal_reached"}),
        ("record", {"guests": {"value": 2, "quote": "two"}, "accepted": {"value": True, "quote": "yes"}}),
    )
    assert line.engine.known == {"guests": 2, "accepted": True}
    assert line.engine.state.closing == "completed"
    assert outputs(effects)["call-1"] == {"ending": True}


def test_end_call_beside_the_record_that_ends_the_flow_is_granted() -> None:
    line = talking(order(Phase("a", observations=("guests",), transitions=(To("bye"),)), BYE))
    effects = line.together(
        ("record", {"guests": {"value": 2, "quote": "two"}}), ("end_call", {"reason": "goal_reached"})
    )
    assert outputs(effects)["call-2"] == {"ending": True}
    assert kinds(effects).count("Close") == 1


def test_nobody_jumps_once_the_call_ends() -> None:
    line = talking(JUMPS)
    effects = line.together(("end_call", {"reason": "wrong_number"}), ("request_phase", {"phase": "c"}))
    assert outputs(effects)["call-2"] == {"refused": "the call is ending"}
    assert line.phase == "a"


def test_records_of_one_response_lead_on_once() -> None:
    line = talking(
        order(
            Phase("a", observations=("guests", "mode"), transitions=(To("b"),)),
            Phase("b", observations=("accepted",)),
        )
    )
    effects = line.together(
        ("record", {"guests": {"value": 2, "quote": "two"}}),
        ("record", {"mode": {"value": "pickup", "quote": "pickup"}}),
    )
    assert [entry.phase for entry in written(effects) if isinstance(entry, PhaseEntered)] == ["b"]
    assert [list(told) for told in outputs(effects).values()] == [["accepted", "next"], ["accepted", "next"]]
    names = kinds(effects)
    assert names.index("PhaseEntered") > max(n for n, name in enumerate(names) if name == "Answer")


def test_tool_of_the_phase_runs_beside_the_record_that_ends_it() -> None:
    flow = order(
        Phase("a", observations=("guests",), tools=(book,), transitions=(To("b"),)), Phase("b", observations=("mode",))
    )
    line = talking(flow)
    effects = line.together(("book", {"seats": 2}), ("record", {"guests": {"value": 2, "quote": "two"}}))
    assert line.phase == "b"
    assert [effect.tool for effect in effects if isinstance(effect, RunTool)] == ["book"]


def test_every_call_of_a_response_is_answered_once() -> None:
    line = talking(JUMPS)
    effects = line.together(
        ("request_phase", {"phase": "c"}),
        ("record", {"guests": {"value": 1, "quote": "one"}}),
        ("record", {}),
        ("unknown", {}),
        ("end_call", {"reason": "wrong_number"}),
        ("request_phase", {"phase": "a"}),
        ("end_call", {"reason": "wrong_number"}),
    )
    assert sorted(outputs(effects)) == [f"call-{n}" for n in range(1, 8)]
    assert [type(entry) for entry in written(effects)].count(ClosingBegan) == 1


# ---- tools --------------------------------------------------------------------------------------------------------


@tool
def book(seats: Annotated[int, Field(ge=1)], when: date | None = None) -> str:
    """Book a table."""
    return f"{seats} {when}"


@tool
def opening_hours() -> str:
    """When we are open."""
    return "always"


TOOLS = order(
    Phase("a", observations=("guests",), tools=(book,), transitions=(To("b"),)),
    Phase("b", observations=("accepted",)),
    tools_everywhere=(opening_hours,),
)


def test_tool_is_started_with_typed_arguments() -> None:
    line = talking(TOOLS)
    effects = line.call("book", {"seats": 2, "when": "2026-03-01"})
    assert effects == [
        Write(ToolStarted("call-1", "book", '{"seats": 2, "when": "2026-03-01"}')),
        RunTool("call-1", "book", {"seats": 2, "when": date(2026, 3, 1)}, "CA1:call-1"),
    ]
    assert line.engine.busy


def test_result_of_a_tool_is_passed_on() -> None:
    line = talking(TOOLS)
    line.call("book", {"seats": 2})
    line.now += 1.25
    assert line.take(ToolFinished("call-1", "table 4", True)) == [
        Write(ToolAnswered("call-1", "book", "table 4", True, 1250)),
        Answer("call-1", "table 4"),
    ]
    assert not line.engine.busy


def test_tools_at_once_are_kept_apart() -> None:
    line = talking(TOOLS)
    line.call("book", {"seats": 2})
    line.call("opening_hours")
    line.take(ToolFinished("call-1", "table 4", True))
    assert line.engine.busy
    line.take(ToolFinished("call-2", "broken", False))
    assert not line.engine.busy


def test_result_nobody_waits_for_is_ignored() -> None:
    line = talking(TOOLS)
    assert line.take(ToolFinished("call-9", "late", True)) == []
    line.call("book", {"seats": 2})
    line.take(ToolFinished("call-1", "table 4", True))
    assert line.take(ToolFinished("call-1", "table 4", True)) == []


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("book", {}, "seats: Field required"),
        ("book", {"seats": 0}, "seats: Input should be greater"),
        ("book", {"seats": 2, "when": "soon"}, "when: Input should be a valid date"),
        ("book", {"seats": 2, "vip": True}, "vip: Extra inputs"),
        ("book", "{", "not valid JSON"),
        ("book", "[]", "must be a JSON object"),
        ("opening_hours", {"day": "Sunday"}, "day: Extra inputs"),
        ("rob", {}, "rob is not available now. Available: book, end_call, opening_hours, record."),
        ("", {}, "not available now"),
        ("request_phase", {"phase": "b"}, "not available now"),
    ],
)
def test_call_that_does_not_fit_is_refused(name: str, arguments: object, words: str) -> None:
    line = talking(TOOLS)
    assert words in refusal(line.call(name, arguments))
    assert not line.engine.busy


def test_tool_of_another_phase_is_refused() -> None:
    line = talking(TOOLS)
    line.record(guests=2)
    assert "book is not available now" in refusal(line.call("book", {"seats": 2}))
    assert isinstance(line.call("opening_hours")[-1], RunTool)


def test_tool_does_not_lead_on_from_where_the_caller_went_back_to() -> None:
    flow = order(
        Phase("a", observations=("guests",), transitions=(To("b"),)),
        Phase("b", observations=("accepted",), may_jump=("a",)),
        tools_everywhere=(opening_hours,),
    )
    line = talking(flow)
    line.record(guests=2)
    line.call("request_phase", {"phase": "a", "reason": "one more comes"})
    line.call("opening_hours")
    assert line.phase == "a"
    line.record(guests=3)
    assert line.phase == "b"


def test_tool_that_works_on_is_answered_in_the_next_phase() -> None:
    line = talking(TOOLS)
    line.call("book", {"seats": 2})
    line.record(guests=2)
    assert line.phase == "b"
    assert kinds(line.take(ToolFinished("call-1", "table 4", True))) == ["ToolAnswered", "Answer"]


# ---- time ---------------------------------------------------------------------------------------------------------


def test_call_closes_at_its_longest_duration() -> None:
    line = Line(order(Phase("a"), limits=Limits(duration=60.0)), start=False)
    assert line.engine.deadline() is None
    line.take(CallStarted())
    assert line.engine.deadline() == 160.0
    assert line.engine.on_deadline(159.9) == []
    effects = line.engine.on_deadline(160.0)
    assert kinds(effects) == ["TimeRanOut", "ClosingBegan", "Close"]
    assert isinstance(effects[-1], Close)
    assert effects[-1].reason == "duration_limit"
    assert line.engine.deadline() is None
    assert line.engine.on_deadline(200.0) == []


LADDER = Limits(silence=(After("6s", AskAgain()), After("12s", To("nobody")), After("20s", HangUp())))  # type: ignore[arg-type]
SILENT = order(Phase("a", transitions=(To("bye"),)), Phase("nobody", observations=("guests",)), BYE, limits=LADDER)


def test_rungs_of_the_silence_ladder_are_told_apart() -> None:
    engine = Line(SILENT).engine
    assert [engine.silence_delay_s(rung) for rung in range(4)] == [6.0, 6.0, 8.0, None]


def test_silence_is_answered_rung_by_rung() -> None:
    line = Line(SILENT)
    assert kinds(line.take(SilenceLasted(0))) == ["SilenceNoticed", "AskReply"]
    effects = line.take(SilenceLasted(1))
    assert kinds(effects) == ["SilenceNoticed", "PhaseEntered", "ConfigurePhase", "AskReply"]
    assert written(effects) == [SilenceNoticed(1), PhaseEntered("nobody", "a", "silence")]
    effects = line.take(SilenceLasted(2))
    assert kinds(effects) == ["SilenceNoticed", "ClosingBegan", "Close"]
    assert effects[1] == Write(ClosingBegan("silence"))
    assert line.take(SilenceLasted(3)) == []


def test_silence_that_leads_to_an_end_closes_for_silence() -> None:
    limits = Limits(silence=(After(6.0, To("bye")),))
    line = Line(order(Phase("a"), BYE, limits=limits))
    effects = line.take(SilenceLasted(0))
    assert Write(ClosingBegan("silence")) in effects
    assert Close("silence", "") in effects


def test_flow_without_a_ladder_has_no_rung() -> None:
    line = Line(order(Phase("a"), limits=Limits(silence=())))
    assert line.engine.silence_delay_s(0) is None
    assert line.take(SilenceLasted(0)) == []


# ---- what others read ---------------------------------------------------------------------------------------------


def test_progress_grows_from_nothing_to_all() -> None:
    line = Line(
        order(
            Phase("a", observations=("mode", "address"), transitions=(To("b"),)),
            Phase("b", observations=("guests",), success_criteria=(it.accepted.yes,), transitions=(To("bye"),)),
            BYE,
        )
    )
    seen = [line.engine.progress()]
    line.turn()
    for values in ({"mode": "delivery"}, {"address": "here"}, {"guests": 2}):
        line.record(**values)
        seen.append(line.engine.progress())
    assert seen == [0.0, 1 / 4, 2 / 4, 3 / 4]


def test_progress_counts_a_way_that_is_not_ruled_out() -> None:
    line = talking(
        order(
            Phase("a", observations=("guests", "mode"), transitions=(To("b", when=it.mode == "pickup"), To("bye"))),
            Phase("b", observations=("accepted",), transitions=(To("bye"),)),
            BYE,
        )
    )
    line.record(guests=2)
    assert line.engine.progress() == 1 / 3


def test_field_whose_need_is_unknown_is_unasked() -> None:
    line = talking(order(Phase("a", observations=("mode", "address"))))
    assert line.engine.status("address") == "unasked"
    line.record(mode="pickup")
    assert line.engine.status("address") == "not_needed"


def test_progress_leaves_out_the_way_not_taken() -> None:
    line = talking(
        order(
            Phase("a", observations=("guests",), transitions=(To("b", when=it.guests > 1), To("c"))),
            Phase("b", observations=("mode",), transitions=(To("bye"),)),
            Phase("c", observations=("accepted",), transitions=(To("bye"),)),
            BYE,
        )
    )
    line.record(guests=2)
    line.record(mode="pickup")
    assert line.engine.progress() == 1.0


def test_call_that_came_to_its_end_has_all_progress() -> None:
    line = talking(JUMPS)
    line.call("request_phase", {"phase": "bye"})
    assert line.engine.progress() == 1.0


def test_flow_that_asks_nothing_has_progress_at_its_end() -> None:
    line = Line(Flow(goal="g", phases=(Phase("a", transitions=(To("bye"),)), BYE)))
    assert line.engine.progress() == 0.0
    line.turn()
    assert line.engine.progress() == 1.0


def test_outcome_is_the_first_that_holds() -> None:
    report = Report(outcome={"ordered": it.accepted.yes, "declined": it.accepted.no, "incomplete": otherwise})
    line = talking(order(Phase("a"), report=report))
    assert line.engine.outcome() == "incomplete"
    line.record(accepted=False)
    assert line.engine.outcome() == "declined"
    line.record(accepted=True)
    assert line.engine.outcome() == "ordered"
    assert Line(order(Phase("a"))).engine.outcome() is None


def test_tools_follow_the_phase() -> None:
    line = talking(TOOLS)
    assert [one.name for one in line.engine.tools()] == ["record", "book", "opening_hours", "end_call"]
    line.record(guests=2)
    assert [one.name for one in line.engine.tools()] == ["record", "opening_hours", "end_call"]
    assert [one.name for one in talking(JUMPS).engine.tools()] == ["record", "request_phase", "end_call"]
    assert [one.name for one in Line(Flow(goal="g", phases=(Phase("a"),))).engine.tools()] == ["end_call"]


def test_instructions_tell_the_time_of_the_call() -> None:
    line = Line(order(Phase("a"), timezone="Europe/Rome"))
    assert "13:00" in line.engine.instructions(line.now)
    assert "13:05" in line.engine.instructions(line.now + 300)
    assert "13:00" in Line(order(Phase("a"), timezone="Europe/Rome"), start=False).engine.instructions(5.0)


def test_instructions_list_what_is_missing_and_known() -> None:
    line = talking(order(Phase("a", observations=("guests", "allergies", "accepted"))))
    line.record(guests=2)
    text = line.engine.instructions(line.now)
    known, _, rest = text.partition("# This part of the conversation: a")
    assert "- guests: 2" in known
    assert "- accepted: an explicit yes" in rest
    assert "# To record if mentioned\n- allergies: allergies" in rest
    assert "guests" not in rest


# ---- the journal gives the state back -----------------------------------------------------------------------------


@tool
def lookup(words: str, count: int = 1) -> str:
    """Look something up."""
    return words * count


FIELDS = ("f0", "f1", "f2", "f3")


@dataclass(frozen=True)
class Shape:
    """A random flow, small enough to be drawn."""

    optional: tuple[bool, ...]
    needed_if: tuple[Expression | None, ...]
    phases: tuple[Phase, ...]
    silence: tuple[After, ...] = field(default=())

    def flow(self) -> Flow:
        members: dict[str, Any] = {}
        for number, name in enumerate(FIELDS):
            kind = bool if number % 2 else int
            members[name] = (kind, ask(name, optional=self.optional[number], needed_if=self.needed_if[number]))
        made = create_model("Drawn", __base__=Observations, **members)
        return Flow(goal="g", observations=made, phases=self.phases, limits=Limits(silence=self.silence))


LEAVES = st.sampled_from(FIELDS).flatmap(
    lambda name: st.sampled_from(
        [
            *(FieldNamed(name).filled, FieldNamed(name).yes, FieldNamed(name).no, *_comparisons(FieldNamed(name))),
            *(Heard("said-p0"), Heard("said-p1")),
        ]
    )
)


def _comparisons(field_named: FieldNamed) -> list[Expression]:
    return [Compare(field_named, operator, 1) for operator in ("==", "!=", "<", ">=")]


GUARDS_DRAWN = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda one: ~one),
    ),
    max_leaves=4,
)
NAMES = ("p0", "p1", "p2", "p3", "end")
TRANSITIONS = st.lists(
    st.builds(lambda name, when: To(name, when=when), st.sampled_from(NAMES), st.none() | GUARDS_DRAWN), max_size=3
)


STATEMENTS = st.sampled_from(["This call is recorded.", "It is {f0}.", "{f1}", "{f2} and {f3}"])


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    phases = [
        Phase(
            name,
            observations=tuple(draw(st.lists(st.sampled_from(FIELDS), unique=True, max_size=3))),
            success_criteria=tuple(draw(st.lists(GUARDS_DRAWN, max_size=1))),
            transitions=tuple(draw(TRANSITIONS)),
            may_jump=tuple(draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=2))),
            tools=(lookup,) if draw(st.booleans()) else (),
            must_say=(Say(draw(STATEMENTS), name=f"said-{name}"),) if draw(st.integers(0, 3)) == 3 else (),
        )
        for name in NAMES[:-1]
    ]
    rungs = draw(st.lists(st.sampled_from([AskAgain(), To("p2"), HangUp()]), max_size=3))
    return Shape(
        tuple(draw(st.booleans()) for _ in FIELDS),
        tuple(draw(st.none() | GUARDS_DRAWN) for _ in FIELDS),
        (*phases, Phase("end", end=HangUp())),
        tuple(After(5.0 * n, rung) for n, rung in enumerate(rungs, 1)),
    )


TEXT = st.text(st.characters(), max_size=5)  # with halves of surrogate pairs, which JSON can hold escaped
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.integers() | st.floats() | TEXT | st.sampled_from(["1", "so"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PROPOSALS = st.fixed_dictionaries(
    {},
    optional={
        "value": st.booleans() | st.integers(0, 2) | JSON,
        "quote": st.just("so") | st.just("so") | JSON,
        "declined": st.booleans() | JSON,
    },
)
GOOD_PROPOSALS = st.fixed_dictionaries({"value": st.booleans() | st.integers(0, 2), "quote": st.just("so")})
RECORDS = st.dictionaries(st.sampled_from((*FIELDS, "f9")) | TEXT, GOOD_PROPOSALS | PROPOSALS | JSON, max_size=3)
ARGUMENTS = st.one_of(
    RECORDS.map(json.dumps),
    RECORDS.map(json.dumps),
    st.fixed_dictionaries({"phase": st.sampled_from(NAMES) | JSON}).map(json.dumps),
    st.fixed_dictionaries({"reason": st.sampled_from(["goal_reached", "wrong_number"]) | JSON}).map(json.dumps),
    st.fixed_dictionaries({"words": st.just("x") | JSON}, optional={"count": JSON}).map(json.dumps),
    JSON.map(json.dumps),
    st.text(max_size=20),
)
TOOL_NAMES = st.sampled_from(["record", "record", "record", "request_phase", "lookup", "end_call", "judge", "x"])


@st.composite
def events(draw: st.DrawFn) -> list[EngineEvent]:
    made: list[EngineEvent] = [CallStarted()]
    for number in range(draw(st.integers(0, 25))):
        call_id = f"call-{number}"
        match draw(st.integers(0, 9)):
            case 0 | 1 | 2:
                made.append(CallerTurnEnded(f"item-{number}"))
            case 3:
                made.append(ToolFinished(f"call-{draw(st.integers(0, 25))}", draw(st.text(max_size=5)), True))
            case 4:
                made.append(draw(st.sampled_from([SilenceLasted(0), SilenceLasted(1), SilenceLasted(3)])))
                made.append(StatementEnded(f"said-{draw(st.sampled_from(NAMES))}", "", complete=draw(st.booleans())))
            case 5:
                calls = draw(st.lists(st.tuples(TOOL_NAMES, ARGUMENTS), min_size=1, max_size=4))
                made.append(ResponseEnded(tuple(ToolProposed(f"{call_id}.{n}", *call) for n, call in enumerate(calls))))
            case _:
                made.append(ToolProposed(call_id, draw(TOOL_NAMES), draw(ARGUMENTS)))
    return made


def run(flow: Flow, happens: Sequence[EngineEvent]) -> Line:
    line = Line(flow, start=False)
    for event in happens:
        line.now += 1.0
        if isinstance(event, StatementEnded):  # in the words that are being said
            event = replace(event, text=line.engine.state.saying.get(event.name, "something else"))
        line.take(event)
    return line


@given(shapes(), events())
@settings(deadline=None, max_examples=60)
def test_fold_of_the_entries_is_the_state(shape: Shape, happens: list[EngineEvent]) -> None:
    flow = shape.flow()
    line = run(flow, happens)
    stored = [(at, kind_of(entry), write_entry(entry)) for at, entry in line.timed]
    again = PhaseEngine(flow, line.engine.context)
    again.restore(((at, read_entry(kind, body)) for at, kind, body in stored), 101.0)  # type: ignore[misc]
    assert again.state == line.engine.state
    assert again.tools() == line.engine.tools()
    assert again.deadline() == line.engine.deadline()
    assert again.instructions(line.now) == line.engine.instructions(line.now)
    assert again.progress() == line.engine.progress()


@given(shapes(), events())
@settings(deadline=None, max_examples=60)
def test_every_call_is_answered_exactly_once(shape: Shape, happens: list[EngineEvent]) -> None:
    line = run(shape.flow(), happens)
    asked = [event.call_id for event in happens if isinstance(event, ToolProposed)]
    asked += [call.call_id for event in happens if isinstance(event, ResponseEnded) for call in event.calls]
    answered = [effect.call_id for effect in line.effects if isinstance(effect, Answer)]
    assert len(set(answered)) == len(answered)
    assert sorted([*answered, *line.engine.state.running]) == sorted(asked)


@given(shapes(), events())
@settings(deadline=None, max_examples=60)
def test_lying_model_never_enters_a_phase_against_its_guards(shape: Shape, happens: list[EngineEvent]) -> None:
    flow = shape.flow()
    line = run(flow, happens)
    values: dict[str, object] = {}
    heard: dict[str, str] = {}

    def facts() -> dict[str, object]:
        now = {name: words(say, values) for name, say in flow.statements.items()}
        return values | {Heard.fact(name): True for name, text in now.items() if text and heard.get(name) == text}

    for before, entry in zip([None, *line.entries], line.entries, strict=False):
        match entry:
            case ObservationRecorded(name=name, value=value, quote=quote, turn=turn):
                values[name] = value
                assert type(value) is (bool if int(name[1]) % 2 else int)
                assert quote.strip()
                assert turn >= 1
            case StatementHeard(name=name, text=text):
                heard[name] = text
            case PhaseEntered(cause="criteria", previous=previous, phase=entered):
                assert previous is not None
                left = flow.by_name[previous]
                assert _complete(flow, left, facts()), f"{previous} was left early, after {before}"
                holding = [to for to in left.transitions if to.when is None or to.when.evaluate(facts()) is True]
                assert holding[0].phase == entered
            case PhaseEntered(cause="jump", previous=previous, phase=entered):
                left = flow.by_name[previous or ""]
                assert entered in left.may_jump
                guards = [to.when for to in left.transitions if to.phase == entered and to.when is not None]
                assert not guards or any(guard.evaluate(facts()) is True for guard in guards)
            case PhaseEntered(cause="silence", phase=entered):
                assert entered == "p2"


def words(say: Say, values: dict[str, object]) -> str | None:
    """What a statement says now; None while a value of it is missing."""
    try:
        return say.text.format_map(values)
    except KeyError:
        return None


def _complete(flow: Flow, phase: Phase, values: dict[str, object]) -> bool:
    if any(Heard.fact(say.name) not in values for say in phase.must_say):
        return False
    for name in flow.collected_in[phase.name]:
        how = flow.specs[name].ask
        needed = how.needed_if is None or how.needed_if.evaluate(values) is True
        if needed and not how.optional and name not in values:
            return False
    return all(criterion.evaluate(values) is True for criterion in phase.success_criteria)


@given(shapes(), events())
@settings(deadline=None, max_examples=60)
def test_call_closes_at_most_once_and_for_good(shape: Shape, happens: list[EngineEvent]) -> None:
    line = run(shape.flow(), happens)
    names = [type(entry) for entry in line.entries]
    assert names.count(ClosingBegan) == len([effect for effect in line.effects if isinstance(effect, Close)]) <= 1
    if ClosingBegan in names:
        after = names[names.index(ClosingBegan) + 1 :]
        assert not {PhaseEntered, ObservationRecorded, ObservationDeclined} & set(after)
        assert line.engine.tools() == ()
    assert (line.phase == "end") <= (line.engine.state.closing is not None)


@given(st.text(), st.text(), JSON)
@settings(deadline=None, max_examples=60)
def test_nothing_the_model_sends_raises(name: str, text: str, value: object) -> None:
    line = talking(whole_flow())
    for proposed in (value, [value], {"value": value, "quote": "so"}):
        line.call("record", {field: {"quote": "so", "value": proposed} for field in Everything.model_fields})
    for called in (name, "record", "request_phase", "book", "opening_hours", "end_call"):
        for arguments in (text, json.dumps(value)):
            line.call(called, arguments)
    for entry in line.entries:
        assert read_entry(kind_of(entry), write_entry(entry)) == entry


@pytest.mark.parametrize("value", ["", " ", "x" * 5000, "Ada ", "\x1c", "{text}", "{nobody}"])
def test_statement_survives_any_value_it_quotes(value: str) -> None:
    thanks = Say("Thank you, {text}", name="thanks")
    bare = Say("{text}", name="bare")
    flow = Flow(
        goal="g",
        observations=Everything,
        phases=(Phase("a", observations=("text",), must_say=(thanks, bare), transitions=(To("b"),)), Phase("b")),
    )
    line = talking(flow)
    line.record(text=value)
    spoken = [effect.say for effect in line.effects if isinstance(effect, SpeakExactly)]
    assert spoken[0].text.startswith("Thank you,")
    for say in spoken:
        line.take(StatementEnded(say.name, say.text, complete=True))
    assert line.phase == ("b" if value.strip() else "a")


@cache
def whole_flow() -> Flow:
    return Flow(
        goal="g",
        observations=Everything,
        tools_everywhere=(book, opening_hours),
        phases=(Phase("all", may_jump=("all",), transitions=(To("all", when=it.count > 3),)),),
    )


def test_new_engine_is_in_the_initial_phase() -> None:
    assert Line(JUMPS, start=False).engine.state == EngineState("a")


def test_turns_are_counted_and_named() -> None:
    line = Line(SINGLE)
    line.turn()
    line.turn()
    assert [entry for entry in line.entries if isinstance(entry, CallerTurnTaken)] == [
        CallerTurnTaken(1, "item-1"),
        CallerTurnTaken(2, "item-2"),
    ]
    assert (line.engine.state.turn, line.engine.state.turns_in_phase) == (2, 2)
