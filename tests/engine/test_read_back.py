"""Values that are read back: they count once the caller has agreed, in a later turn and in their own words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.line import Line, entered, kinds, notes, quoting, restored, weighings, written
from voicebot.engine.entries import EvidenceWeighed, ObservationConfirmed, ObservationRecorded
from voicebot.flow import Flow, HangUp, Observations, Phase, PhoneNumber, To, ask, tool

ADDRESS = "it is twelve Baker Street in London"
OTHER = "no it is nine Abbey Road actually"
YES = "yes that is right"
ELSEWHERE = "what is the weather like in Rome today"


class Delivery(Observations):
    address: str = ask("the address", confirm="read back")
    floor: int | None = ask("the floor, or null", confirm="read back")
    phone: PhoneNumber = ask("a number", default_from="caller", confirm="read back")
    name: str = ask("a name")
    extra: str = ask("anything else", optional=True, confirm="read back")


FLOW = Flow(
    goal="g",
    observations=Delivery,
    phases=(
        Phase("a", observations=("address",), transitions=(To("b"),)),
        Phase("b", observations=("name",), transitions=(To("bye"),)),
        Phase("bye", end=HangUp()),
    ),
)
ALL = Flow(goal="g", observations=Delivery, phases=(Phase("a"),))


def told_address(flow: Flow = FLOW) -> Line:
    line = Line(flow)
    line.tell(ADDRESS, address="12 Baker Street")
    return line


def test_value_counts_once_the_caller_has_agreed() -> None:
    line = Line(FLOW)
    told = line.tell(ADDRESS, address="12 Baker Street")
    assert told == {"accepted": ["address"], "still_missing": [], "read_back": ["address"]}
    assert line.phase == "a"
    line.say(YES)
    effects = line.call("record", {"address": {"confirmed": True, "quote": YES}})
    assert written(effects)[:2] == [
        ObservationConfirmed("address", YES, 2),
        EvidenceWeighed("address", "agreement", "confirmed", 1.0),
    ]
    assert line.phase == "b"
    assert restored(line).state == line.engine.state


def test_instructions_say_what_to_read_back() -> None:
    line = told_address(ALL)
    text = line.engine.instructions(line.now)
    to_find_out, _, to_read_back = text.partition("# To read back now\n")
    assert "- address: the address" in to_read_back
    assert "- address: the address" not in to_find_out
    assert "- phone" not in to_read_back
    line.say(YES)
    line.confirm("address", YES)
    assert "# To read back now" not in line.engine.instructions(line.now)


def test_phase_is_not_over_for_a_turn_of_something_else() -> None:
    line = told_address()
    line.say(ELSEWHERE)
    line.turn()
    assert line.phase == "a"


# ---- the model never agrees for the caller ------------------------------------------------------------------------


def test_value_and_agreement_in_one_breath_is_a_value() -> None:
    line = Line(FLOW)
    line.say(ADDRESS)
    line.call("record", {"address": {"value": "12 Baker Street", "confirmed": True, "quote": ADDRESS}})
    assert line.phase == "a"
    assert line.engine.state.observed["address"].agreed is None


def test_agreement_in_the_turn_of_the_value_is_refused() -> None:
    line = told_address()
    assert "read it back first" in line.confirm("address", ADDRESS)["refused"]["address"]
    assert line.phase == "a"


def test_agreement_in_the_response_of_the_value_is_refused() -> None:
    line = Line(FLOW)
    line.turn()
    line.together(
        ("record", quoting(ADDRESS, address="12 Baker Street")),
        ("record", {"address": {"confirmed": True, "quote": ADDRESS}}),
    )
    assert line.phase == "a"


def test_agreement_to_a_value_of_this_turn_is_refused_though_an_older_one_was_there() -> None:
    line = told_address()
    line.tell(OTHER, address="9 Abbey Road")
    assert "read it back first" in line.confirm("address", OTHER)["refused"]["address"]


@pytest.mark.parametrize(
    ("field", "proposal", "words"),
    [
        ("floor", {"confirmed": True, "quote": YES}, "there is nothing to confirm yet"),
        ("name", {"confirmed": True, "quote": YES}, "this needs no confirmation"),
        ("address", {"confirmed": True}, "a quote of the caller's own words is missing"),
        ("address", {"confirmed": True, "quote": ""}, "a quote"),
        ("address", {"confirmed": "true", "quote": YES}, "the value is missing"),
        ("address", {"confirmed": False, "quote": YES}, "the value is missing"),
        ("address", {"confirmed": True, "value": 7, "quote": YES}, "valid string"),
        ("address", {"confirmed": True, "quote": "that is quite correct, indeed"}, "the caller did not say that"),
    ],
)
def test_agreement_that_cannot_be_is_refused(field: str, proposal: dict[str, Any], words: str) -> None:
    line = told_address(ALL)
    line.record(ADDRESS, name="Baker")
    line.say(YES)
    told = line.call("record", {field: proposal})
    assert kinds(told) == ["ProposalRefused", "Answer"]
    assert words in line.entries[-1].problem  # type: ignore[union-attr]
    assert line.engine.state.observed["address"].agreed is None


def test_yes_to_something_else_is_no_agreement() -> None:
    line = Line(FLOW)
    line.tell(f"yes please, {ADDRESS}", address="12 Baker Street")
    line.say("hold on, wrong house number")
    assert "did not say that" in line.confirm("address", "yes please")["refused"]["address"]
    assert line.phase == "a"


def test_late_transcript_of_an_earlier_yes_is_no_agreement() -> None:
    line = Line(FLOW)
    line.turn()
    line.record(ADDRESS, address="12 Baker Street")
    line.turn()
    line.confirm("address", "yes please")
    assert line.phase == "b"
    assert weighings(line.hear(f"yes please, {ADDRESS}", 1)) == [("address", "value", "confirmed")]
    effects = line.hear("hold on, wrong house number", 2)
    assert weighings(effects) == [("address", "agreement", "contradicted")]
    assert line.phase == "a"


# ---- what agrees --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "proposal",
    [
        {"confirmed": True, "quote": YES},
        {"confirmed": True, "value": None, "quote": YES},
        {"confirmed": True, "value": "12 Baker Street", "quote": YES},
    ],
)
def test_agreement_may_repeat_the_value(proposal: dict[str, Any]) -> None:
    line = told_address()
    line.say(YES)
    line.call("record", {"address": proposal})
    assert line.phase == "b"


def test_agreement_to_another_value_is_a_new_value() -> None:
    line = told_address()
    line.say(OTHER)
    line.call("record", {"address": {"confirmed": True, "value": "9 Abbey Road", "quote": OTHER}})
    assert line.phase == "a"
    assert line.known["address"] == "9 Abbey Road"
    line.say(YES)
    line.confirm("address", YES)
    assert line.phase == "b"


def test_null_can_be_agreed_to() -> None:
    line = Line(ALL)
    line.tell("there is only a ground floor here", floor=None)
    line.say(YES)
    assert line.confirm("floor", YES)["accepted"] == ["floor"]
    assert line.engine.state.observed["floor"].agreed is not None


def test_several_values_are_agreed_to_at_once() -> None:
    line = told_address(ALL)
    line.record(ADDRESS, floor=2)
    line.say(YES)
    line.call("record", {name: {"confirmed": True, "quote": YES} for name in ("address", "floor")})
    assert [spec.name for spec in line.engine.missing()] == ["name"]


def test_optional_value_is_read_back_without_holding_up_the_phase() -> None:
    phases = (Phase("a", observations=("name", "extra"), transitions=(To("b"),)), Phase("b"))
    line = Line(Flow(goal="g", observations=Delivery, phases=phases))
    line.tell("please ring twice at the door", extra="ring twice")
    assert "- extra" in line.engine.instructions(line.now).partition("# To read back now")[2]
    line.tell("my name is Ada Lovelace", name="Ada")
    assert line.phase == "b"


# ---- a changed value ----------------------------------------------------------------------------------------------


def test_changed_value_must_be_read_back_again() -> None:
    line = told_address(ALL)
    line.say(YES)
    line.confirm("address", YES)
    assert line.tell(OTHER, address="9 Abbey Road")["read_back"] == ["address"]


def test_value_that_changes_there_and_back_must_be_read_back_again() -> None:
    line = told_address(ALL)
    line.say(YES)
    line.confirm("address", YES)
    line.tell(OTHER, address="9 Abbey Road")
    assert line.tell(ADDRESS, address="12 Baker Street")["read_back"] == ["address"]


def test_value_that_is_recorded_again_stays_agreed() -> None:
    line = told_address(ALL)
    line.say(YES)
    line.confirm("address", YES)
    assert "read_back" not in line.tell(ADDRESS, address="12 Baker Street")


def test_value_that_is_changed_later_brings_the_call_back() -> None:
    line = told_address()
    line.say(YES)
    line.confirm("address", YES)
    line.tell(OTHER, address="9 Abbey Road")
    assert (line.phase, line.causes[-1]) == ("a", "correction")
    line.say(YES)
    line.confirm("address", YES)
    assert (line.path, line.causes[-1]) == (["a", "b", "a", "b"], "return")


def test_value_that_comes_back_brings_its_agreement() -> None:
    line = told_address()
    line.say(YES)
    line.confirm("address", YES)
    line.turn()
    line.record(OTHER, address="9 Abbey Road")
    assert line.phase == "a"
    effects = line.hear(ELSEWHERE)
    assert line.known["address"] == "12 Baker Street"
    assert entered(effects) == [("b", "return")]


# ---- an agreement that nobody gave --------------------------------------------------------------------------------


def test_agreement_that_the_transcript_contradicts_is_taken_back() -> None:
    line = told_address()
    line.turn()
    line.confirm("address", YES)
    assert line.phase == "b"
    effects = line.hear(ELSEWHERE)
    assert weighings(effects) == [("address", "agreement", "contradicted")]
    assert entered(effects) == [("a", "correction")]
    assert "address" in notes(effects)[0]
    assert line.known["address"] == "12 Baker Street"
    assert line.engine.state.observed["address"].agreed is None
    assert restored(line).state == line.engine.state


@pytest.mark.parametrize("come", ["hear", "miss"])
def test_agreement_that_may_have_been_stands(come: str) -> None:
    line = told_address()
    line.turn()
    line.confirm("address", YES)
    line.hear(YES) if come == "hear" else line.miss()
    agreed = line.engine.state.observed["address"].agreed
    assert agreed is not None
    assert agreed.state == ("confirmed" if come == "hear" else "unverifiable")
    assert line.phase == "b"


def test_agreement_goes_with_a_value_that_nobody_said() -> None:
    line = Line(FLOW)
    line.turn()
    line.record(ADDRESS, address="12 Baker Street")
    line.turn()
    line.confirm("address", YES)
    line.hear(ELSEWHERE, 1)
    assert "address" not in line.known
    assert line.phase == "a"
    assert weighings(line.hear(YES, 2)) == []


def test_value_and_agreement_that_are_weighed_together_may_both_go() -> None:
    line = Line(FLOW)
    line.turn()
    line.record(ADDRESS, address="12 Baker Street")
    line.turn()
    line.confirm("address", YES)
    line.miss(2)
    effects = line.hear(ELSEWHERE, 1)
    assert "address" not in line.known
    assert entered(effects) == [("a", "correction")]


def test_agreement_is_weighed_by_its_turn_though_the_value_was_repeated_later() -> None:
    line = told_address(ALL)
    line.turn()
    line.confirm("address", YES)
    line.turn()
    line.record(ADDRESS, address="12 Baker Street")
    assert weighings(line.hear(YES, 2)) == [("address", "agreement", "confirmed")]


# ---- what is not read back ----------------------------------------------------------------------------------------


@tool
def find_address() -> str:
    """Find it."""
    return ""


def test_only_what_was_said_is_read_back() -> None:
    line = Line(Flow(goal="g", observations=Delivery, phases=(Phase("a"),), tools_everywhere=(find_address,)))
    line.turn()
    line.call("find_address")
    line.finish("found", address="12 Baker Street")
    assert isinstance(line.entries[-1], ObservationRecorded)
    assert [spec.name for spec in line.engine.missing()] == ["floor", "name"]
