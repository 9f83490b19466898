"""What nobody could check never reaches what cannot be undone: the caller is asked once more, then it has failed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.engine.line import Line, entered, notes, outputs, quoting, restored, weighings, written
from voicebot.engine.engine import EVIDENCE_LIMIT_S
from voicebot.engine.entries import AskedAgain, ObservationWithdrawn, ToolAnswered
from voicebot.engine.events import EngineEffect
from voicebot.errors import FlowError
from voicebot.flow import (
    Flow,
    HangUp,
    Observations,
    Phase,
    PhaseLimits,
    PhoneNumber,
    To,
    ask,
    computed,
    it,
    judged,
    tool,
)
from voicebot.flow.json_form import flow_from_json, flow_to_json, functions_of

TWO = "a table for two please"
THREE = "make it three of us then"
YES = "yes that is right"
ELSEWHERE = "what is the weather like in Rome today"
SURE = "the caller sounded sure"


def price_of(seats: int) -> Decimal:
    """What it costs."""
    return Decimal(10) * seats


class Booking(Observations):
    seats: int = ask("how many")
    name: str = ask("a name")
    address: str = ask("an address", confirm="read back")
    phone: PhoneNumber = ask("a number", default_from="caller")
    note: str = ask("a note", optional=True)
    price: Decimal = computed(price_of)


class Certain(Booking):
    sure: bool = ask("whether that is certain", about=it.price)


@tool
def reserve(price: Decimal) -> str:
    """Reserve a table."""
    return str(price)


def flow(unverified: Any = "ask", *, called: bool = False, turns: int = 5, **book: Any) -> Flow:
    """A phase that asks, and one that commits; or the model calls the tool."""
    once = reserve.once(on_failure="failed", unverified=unverified)
    return Flow(
        goal="g",
        observations=Booking,
        tools_everywhere=(once,) if called else (),
        phases=(
            Phase("ask", observations=("seats", "phone", "note"), transitions=(To("book"),)),
            Phase(
                "book",
                **{"observations": ("name",)} | book,
                commit=None if called else once,
                limits=PhaseLimits(turns=turns, then="failed"),
                transitions=(To("bye"),),
            ),
            Phase("failed", observations=("note",), success_criteria=(it.note.filled,), transitions=(To("bye"),)),
            Phase("bye", end=HangUp()),
        ),
    )


def in_doubt(**given: Any) -> Line:
    """The first turn has no transcript, the second has; so the commit has to wait for the caller."""
    line = Line(flow(**given))
    line.turn()
    line.record(TWO, seats=2)
    line.miss()
    line.effects.clear()
    line.tell("my name is Ada", name="Ada")
    assert line.phase == "book"
    assert line.started == []
    return line


def miss(line: Line, quote: str, **values: object) -> None:
    """They say something that the model records, and that has no transcript."""
    line.turn()
    line.record(quote, **values)
    line.miss()


def read_back(line: Line) -> list[str]:
    """What the model is told to read back."""
    _, _, rest = line.engine.instructions(line.now).partition("# To read back now")
    return [row for row in rest.partition("\n\n")[0].splitlines() if row.startswith("- ")]


# ---- asked once more ------------------------------------------------------------------------------------------------


def test_caller_is_asked_once_more_for_what_nobody_could_check() -> None:
    line = in_doubt()
    assert AskedAgain("reserve", ("seats",), 2) in line.entries
    (note,) = notes(line.effects)
    assert note.startswith("reserve has to wait: what the caller said of seats was not understood for certain.")
    assert read_back(line) == ["- seats: how many"]
    (record, *_) = line.engine.tools()
    properties: Any = record.parameters["properties"]
    assert "confirmed" in properties["seats"]["properties"]
    assert "confirmed" not in properties["name"]["properties"]
    assert not line.engine.busy
    assert restored(line).state == line.engine.state


def test_yes_to_its_reading_back_lets_it_go_on() -> None:
    line = in_doubt()
    line.say(YES)
    told = line.confirm("seats", YES)
    assert told["accepted"] == ["seats"]
    assert [dict(run.arguments) for run in line.started] == [{"price": Decimal(20)}]
    assert line.engine.state.asked_again == {}
    assert read_back(line) == []
    line.finish()
    assert line.phase == "bye"


def test_value_said_again_lets_it_go_on() -> None:
    line = in_doubt()
    line.turn()
    line.record(TWO, seats=2)
    assert read_back(line) == []  # they have answered
    assert line.started == []
    line.hear(TWO)
    assert [dict(run.arguments) for run in line.started] == [{"price": Decimal(20)}]


def test_another_value_lets_it_go_on_with_that() -> None:
    line = in_doubt()
    line.tell(THREE, seats=3)
    assert [dict(run.arguments) for run in line.started] == [{"price": Decimal(30)}]


def test_transcript_that_comes_after_all_lets_it_go_on() -> None:
    line = Line(flow())
    line.turn()
    line.record(TWO, seats=2)
    line.tell("my name is Ada", name="Ada")
    line.wait(EVIDENCE_LIMIT_S)
    assert list(line.engine.state.asked_again) == ["seats"]
    effects = line.hear(TWO, 1)
    assert weighings(effects) == [("seats", "value", "confirmed")]
    assert len(line.started) == 1


def test_transcript_that_comes_after_all_may_tell_that_nobody_said_so() -> None:
    line = Line(flow())
    line.turn()
    line.record(TWO, seats=2)
    line.tell("my name is Ada", name="Ada")
    line.wait(EVIDENCE_LIMIT_S)
    effects = line.hear(ELSEWHERE, 1)
    assert ObservationWithdrawn("seats", "contradicted") in written(effects)
    assert entered(effects) == [("ask", "correction")]
    assert line.started == []
    line.tell(THREE, seats=3)
    assert [dict(run.arguments) for run in line.started] == [{"price": Decimal(30)}]


def test_it_waits_for_the_caller_without_asking_again_and_again() -> None:
    line = in_doubt()
    line.say(ELSEWHERE)
    line.record("my name is Ada", name="Ada")
    assert len([entry for entry in line.entries if isinstance(entry, AskedAgain)]) == 1
    assert len(notes(line.effects)) == 1
    assert line.wait(60) == []
    for _ in range(5):
        line.say(ELSEWHERE)
    assert (line.phase, line.causes[-1]) == ("failed", "stuck")


def test_question_gets_its_answer_though_the_turns_are_over() -> None:
    line = in_doubt(turns=1)
    line.say(YES)
    assert line.phase == "book"
    line.confirm("seats", YES)
    assert len(line.started) == 1
    line = in_doubt(turns=1)
    line.say(ELSEWHERE)
    assert line.phase == "book"
    line.say(ELSEWHERE)
    assert (line.phase, line.causes[-1]) == ("failed", "stuck")


# ---- in vain --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [{"seats": 2}, {"seats": 3}])
def test_answer_that_nobody_can_check_either_is_a_failure(again: dict[str, int]) -> None:
    line = in_doubt()
    line.turn()
    line.record(THREE, **again)
    effects = line.miss()
    assert entered(effects) == [("failed", "failure")]
    assert notes(effects) == ["reserve failed: seats could not be understood for certain"]
    assert line.started == []
    assert restored(line).state == line.engine.state


def test_yes_that_nobody_can_check_is_a_failure_too() -> None:
    line = in_doubt()
    line.turn()
    line.confirm("seats", YES)
    assert entered(line.miss()) == [("failed", "failure")]


def test_what_is_no_answer_any_more_is_asked_anew() -> None:
    once = reserve.once(on_failure="failed")
    book = Phase("book", observations=("seats", "sure"), success_criteria=(it.sure.yes,), commit=once)
    line = Line(Flow(goal="g", observations=Certain, phases=(book, Phase("failed", end=HangUp()))))
    line.tell(TWO, seats=2)
    miss(line, YES, sure=True)
    assert list(line.engine.state.asked_again) == ["sure"]
    line.tell(THREE, seats=3)
    assert line.engine.state.asked_again == {}
    miss(line, YES, sure=True)
    assert list(line.engine.state.asked_again) == ["sure"]
    assert line.phase == "book"
    line.say(YES)
    line.confirm("sure", YES)
    assert [dict(run.arguments) for run in line.started] == [{"price": Decimal(30)}]


def test_words_from_before_are_no_answer() -> None:
    line = in_doubt()
    line.say(ELSEWHERE)
    effects = line.call("record", quoting(TWO, seats=2))  # what they said in the turn that nobody understood
    assert weighings(effects) == [("seats", "value", "contradicted")]
    assert line.started == []
    assert read_back(line) == ["- seats: how many"]


def test_yes_that_nobody_said_is_asked_for_again() -> None:
    line = in_doubt()
    line.turn()
    line.confirm("seats", YES)
    effects = line.hear(ELSEWHERE)
    assert weighings(effects) == [("seats", "agreement", "contradicted")]
    assert entered(effects) == []
    assert read_back(line) == ["- seats: how many"]


# ---- what it rests on -----------------------------------------------------------------------------------------------


def test_what_it_does_not_rest_on_is_let_be() -> None:
    line = Line(flow())
    miss(line, "by the window if you can", note="window")
    line.tell(TWO, seats=2)
    line.tell("my name is Ada", name="Ada")
    assert line.evidence("note") == "unverifiable"
    assert len(line.started) == 1


def test_agreement_counts_for_a_value_that_nobody_could_check() -> None:
    line = Line(flow(observations=("address",)))
    line.tell(TWO, seats=2)
    miss(line, "it is twelve Baker Street", address="12 Baker Street")
    line.say(YES)
    line.confirm("address", YES)
    assert len(line.started) == 1


def test_agreement_that_nobody_could_check_is_none() -> None:
    line = Line(flow(observations=("address",)))
    line.tell(TWO, seats=2)
    line.tell("it is twelve Baker Street", address="12 Baker Street")
    line.turn()
    line.confirm("address", YES)
    line.miss()
    assert AskedAgain("reserve", ("address",), 3) in line.entries
    line.say(YES)
    line.confirm("address", YES)
    assert len(line.started) == 1


def test_verdict_is_judged_again() -> None:
    line = Line(flow(observations=("name",), success_criteria=(judged(SURE) & it.name.filled,)))
    line.tell(TWO, seats=2)
    line.tell("my name is Ada", name="Ada")
    line.turn()
    line.call("judge", {"criterion": SURE, "holds": True, "quote": "absolutely certain"})
    effects = line.miss()
    assert AskedAgain("reserve", (f"judged {SURE}",), 3) in written(effects)
    assert SURE in notes(effects)[0]
    line.say("absolutely certain")
    line.call("judge", {"criterion": SURE, "holds": True, "quote": "absolutely certain"})
    assert len(line.started) == 1


def test_verdict_of_an_earlier_phase_is_judged_again_where_the_call_is() -> None:
    once = reserve.once(on_failure="failed")
    sure = Phase("sure", observations=("seats",), success_criteria=(judged(SURE),), transitions=(To("book"),))
    book = Phase("book", observations=("name",), commit=once, transitions=(To("failed"),))
    line = Line(Flow(goal="g", observations=Booking, phases=(sure, book, Phase("failed", end=HangUp()))))
    line.tell(TWO, seats=2)
    line.turn()
    line.call("judge", {"criterion": SURE, "holds": True, "quote": "absolutely certain"})
    line.miss()
    line.tell("my name is Ada", name="Ada")
    assert "judge" in line.offered()
    assert f"- {SURE}" in line.engine.instructions(line.now).splitlines()
    line.say("absolutely certain")
    line.call("judge", {"criterion": SURE, "holds": True, "quote": "absolutely certain"})
    assert len(line.started) == 1
    assert "judge" not in line.offered()


@pytest.mark.parametrize(
    "come", [lambda line: line.miss(), lambda line: line.hear(""), lambda line: line.wait(EVIDENCE_LIMIT_S)]
)
def test_nothing_that_nobody_can_check_is_committed(come: Callable[[Line], list[EngineEffect]]) -> None:
    line = Line(flow(observations=("note",)))
    line.turn()
    line.record(TWO, seats=2)
    assert list(line.engine.state.held) == ["commit-reserve-1"]
    effects = come(line)
    assert ToolAnswered("commit-reserve-1", "reserve", "not done", False, 0, refused=True) in written(effects)
    assert AskedAgain("reserve", ("seats",), 1) in written(effects)
    assert line.started == []
    assert line.engine.state.results == {}


# ---- tools that the model calls -------------------------------------------------------------------------------------


def called() -> Line:
    line = Line(flow(called=True, observations=("name",)))
    miss(line, TWO, seats=2)
    line.effects.clear()
    line.call("reserve", {"price": "20"})
    return line


def test_tool_of_the_model_is_refused_until_the_caller_was_asked() -> None:
    line = called()
    assert AskedAgain("reserve", ("seats",), 1) in line.entries
    (told,) = outputs(line.effects).values()
    assert told["refused"].startswith("reserve has to wait: what the caller said of seats")
    line.call("reserve", {"price": "20"})
    assert line.started == []
    line.say(YES)
    line.confirm("seats", YES)
    line.call("reserve", {"price": "20"})
    assert len(line.started) == 1


def test_tool_of_the_model_fails_in_the_end() -> None:
    line = called()
    line.turn()
    line.confirm("seats", YES)
    line.miss()
    line.effects.clear()
    effects = line.call("reserve", {"price": "20"})
    assert entered(effects) == [("failed", "failure")]
    assert [*outputs(effects).values()] == [{"refused": "seats could not be understood for certain"}]


def test_tool_of_the_model_that_was_held_is_refused_like_it() -> None:
    line = Line(flow(called=True, observations=("name",)))
    line.turn()
    line.call("record", quoting(TWO, seats=2))
    line.effects.clear()
    line.call("reserve", {"price": "20"})
    effects = line.miss()
    assert AskedAgain("reserve", ("seats",), 1) in written(effects)
    (told,) = outputs(effects).values()
    assert told["refused"].startswith("reserve has to wait")
    assert line.engine.state.held == {}
    assert restored(line).state == line.engine.state


# ---- as the flow says -----------------------------------------------------------------------------------------------


def test_flow_may_go_ahead_unverified() -> None:
    line = Line(flow("go"))
    miss(line, TWO, seats=2)
    line.tell("my name is Ada", name="Ada")
    assert line.evidence("seats") == "unverifiable"
    assert [dict(run.arguments) for run in line.started] == [{"price": Decimal(20)}]


def test_what_the_flow_says_is_in_its_json() -> None:
    for unverified in ("ask", "go"):
        given = flow(unverified)
        again = flow_from_json(flow_to_json(given), functions_of(given))
        assert again.once["reserve"].unverified == unverified
    assert '"unverified"' not in flow_to_json(flow("ask"))


def test_flow_cannot_say_anything_else() -> None:
    with pytest.raises(FlowError, match="can be 'ask' or 'go', not 'perhaps'"):
        flow("perhaps")
