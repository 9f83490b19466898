"""Callers correct earlier answers: the path follows, nothing is asked twice, and the call returns where it was."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from tests.engine.line import Line, entered, kinds, quoting, restored, spoken
from voicebot.engine.events import KeyPressed
from voicebot.flow import Flow, HangUp, Key, Observations, Phase, Rule, Say, To, ask, it, judged, tool

WORDS = "well let me see, how shall I put it"


class Order(Observations):
    mode: Literal["pickup", "delivery"] = ask("pickup or delivery")
    guests: int = ask("how many eat")
    address: str = ask("the address", needed_if=it.mode == "delivery")
    time: str = ask("when")
    name: str = ask("a name")
    accepted: bool = ask("an explicit yes")
    note: str = ask("a note", optional=True)


NOTICE = Say("For {guests} guests.", name="guests")


def order(*phases: Phase, **given: Any) -> Flow:
    return Flow(goal="g", observations=Order, phases=(*phases, Phase("bye", end=HangUp())), **given)


FLOW = order(
    Phase(
        "mode",
        observations=("mode",),
        transitions=(To("where", when=it.mode == "delivery"), To("when")),
    ),
    Phase("where", observations=("address",), transitions=(To("when"),)),
    Phase("when", observations=("time", "guests"), success_criteria=(it.guests <= 8,), transitions=(To("who"),)),
    Phase("who", observations=("name",), may_jump=("when", "mode"), transitions=(To("confirm"),)),
    Phase("confirm", observations=("accepted",), may_jump=("mode", "where", "when", "who"), transitions=(To("bye"),)),
    rules=(Rule("zero", when=Key("0"), then=To("who")),),
)


def at_confirm(mode: str = "pickup") -> Line:
    """The call is in the last phase, with everything answered before it."""
    line = Line(FLOW)
    line.tell(WORDS, mode=mode)
    if mode == "delivery":
        line.tell(WORDS, address="Baker Street")
    line.tell(WORDS, time="at eight", guests=2)
    line.tell(WORDS, name="Ada")
    assert line.phase == "confirm"
    line.effects.clear()
    return line


def test_correction_that_changes_nothing_of_the_path_stays() -> None:
    line = at_confirm()
    line.tell(WORDS, guests=3)
    assert entered(line.effects) == []
    assert line.known["guests"] == 3


def test_correction_three_phases_later_changes_the_path_and_the_call_returns() -> None:
    line = at_confirm()
    told = line.tell(WORDS, mode="delivery")
    assert "next" in told
    assert entered(line.effects) == [("where", "correction")]
    assert [spec.name for spec in line.engine.missing()] == ["address"]
    line.tell(WORDS, address="Baker Street")
    assert entered(line.effects) == [("where", "correction"), ("confirm", "return")]
    assert line.path == ["mode", "when", "who", "confirm", "where", "confirm"]
    assert restored(line).state == line.engine.state


def test_correction_with_all_that_it_needs_is_passed_over_at_once() -> None:
    line = at_confirm()
    line.say(WORDS)
    line.together(("record", quoting(WORDS, mode="delivery")), ("record", quoting(WORDS, guests=3)))
    assert line.phase == "where"
    line = at_confirm("delivery")
    line.tell(WORDS, mode="pickup")
    assert line.phase == "confirm"
    line.tell(WORDS, mode="delivery")  # the address is known
    assert line.phase == "confirm"


def test_correction_that_breaks_a_criterion_goes_back_to_it() -> None:
    line = at_confirm()
    line.tell(WORDS, guests=12)
    assert entered(line.effects) == [("when", "correction")]
    line.tell(WORDS, guests=6)
    assert line.phase == "confirm"
    assert line.causes[-2:] == ["correction", "return"]


def test_correction_on_the_way_back_is_followed_too() -> None:
    line = at_confirm()
    line.tell(WORDS, guests=12)
    line.tell(WORDS, mode="delivery")
    assert line.phase == "where"
    line.tell(WORDS, address="Baker Street")
    assert line.phase == "when"
    line.tell(WORDS, guests=4)
    assert line.phase == "confirm"
    assert restored(line).state == line.engine.state


def test_correction_beside_the_last_answer_comes_first() -> None:
    line = at_confirm()
    line.say(WORDS)
    line.together(("record", quoting(WORDS, accepted=True)), ("record", quoting(WORDS, mode="delivery")))
    assert line.phase == "where"
    assert line.engine.state.closing is None
    line.tell(WORDS, address="Baker Street")
    assert line.engine.state.closing == "completed"


def test_correction_of_the_current_phase_is_no_detour() -> None:
    line = Line(FLOW)
    line.tell(WORDS, mode="pickup")
    line.tell(WORDS, guests=2)
    line.tell(WORDS, guests=12)
    assert line.path == ["mode", "when"]


def test_new_answer_is_no_correction() -> None:
    flow = order(
        Phase("a", observations=("guests", "note"), transitions=(To("b", when=it.note.filled), To("c"))),
        Phase("b", observations=("time",), transitions=(To("c"),)),
        Phase("c", observations=("name",), transitions=(To("bye"),)),
    )
    line = Line(flow)
    line.tell(WORDS, guests=2)
    assert line.phase == "c"
    line.tell(WORDS, note="no nuts")
    assert line.phase == "c"
    line.tell(WORDS, guests=3)  # now the path is looked at again
    assert line.phase == "b"


def test_refused_correction_changes_nothing() -> None:
    line = at_confirm()
    line.tell(WORDS, mode="by drone")
    assert entered(line.effects) == []
    assert line.known["mode"] == "pickup"


def test_correction_may_lead_to_the_end() -> None:
    flow = order(
        Phase("a", observations=("guests",), transitions=(To("too_many", when=it.guests > 8), To("b"))),
        Phase("b", observations=("time",), transitions=(To("c"),)),
        Phase("c", observations=("name",), transitions=(To("bye"),)),
        Phase("too_many", end=HangUp()),
    )
    line = Line(flow)
    line.tell(WORDS, guests=2)
    line.tell(WORDS, time="at eight")
    line.tell(WORDS, guests=20)
    assert line.path == ["a", "b", "c", "too_many"]
    assert line.engine.state.closing == "completed"


def test_correction_that_leaves_no_way_open_stays() -> None:
    flow = order(
        Phase("a", observations=("guests",), transitions=(To("b", when=it.guests < 8),)),
        Phase("b", observations=("time",), transitions=(To("bye"),)),
    )
    line = Line(flow)
    line.tell(WORDS, guests=2)
    line.tell(WORDS, guests=20)
    assert line.path == ["a", "b"]


def test_correction_by_a_tool_is_followed_too() -> None:
    flow = Flow(goal="g", observations=Order, phases=FLOW.phases, tools_everywhere=(look_up,))
    line = Line(flow)
    line.tell(WORDS, mode="pickup")
    line.call("look_up")
    assert entered(line.finish("found", mode="delivery")) == [("where", "correction")]


@tool
def look_up() -> str:
    """Look the caller up."""
    return ""


def test_correction_unsays_what_was_said_and_says_it_again() -> None:
    flow = order(
        Phase("a", observations=("guests",), transitions=(To("b"),)),
        Phase("b", must_say=(NOTICE,), observations=("time",), transitions=(To("c"),)),
        Phase("c", observations=("name",), transitions=(To("bye"),)),
    )
    line = Line(flow)
    line.tell(WORDS, guests=2)
    line.heard("guests")
    line.tell(WORDS, time="at eight")
    assert line.phase == "c"
    line.effects.clear()
    line.tell(WORDS, guests=3)
    assert entered(line.effects) == [("b", "correction")]
    assert spoken(line.effects) == ["For 3 guests."]
    assert entered(line.heard("guests")) == [("c", "return")]


def test_verdicts_are_kept_over_a_correction() -> None:
    sure = "the caller is sure"
    flow = order(
        Phase("a", observations=("guests",), transitions=(To("b"),)),
        Phase("b", success_criteria=(judged(sure),), transitions=(To("c"),)),
        Phase("c", observations=("guests", "name"), success_criteria=(it.guests < 9,), transitions=(To("bye"),)),
    )
    line = Line(flow)
    line.tell(WORDS, guests=2)
    line.say(WORDS)
    line.call("judge", {"criterion": sure, "holds": True, "quote": WORDS})
    line.tell(WORDS, guests=20, name="Ada")
    assert line.phase == "c"
    line.tell(WORDS, guests=5)
    assert line.engine.state.closing == "completed"


NEWS = order(
    Phase("a", observations=("guests",), success_criteria=(it.guests < 9,), transitions=(To("news"),)),
    Phase("news", transitions=(To("b"),)),
    Phase("b", observations=("name",), transitions=(To("bye"),)),
)


def test_phase_that_was_not_over_is_returned_to() -> None:
    line = Line(NEWS)
    line.tell(WORDS, guests=2)
    assert line.phase == "news"
    line.record(WORDS, guests=20)
    assert line.phase == "a"
    line.tell(WORDS, guests=3)
    assert (line.phase, line.causes[-1]) == ("news", "return")
    line.say(WORDS)
    assert line.phase == "b"


def test_phase_that_was_over_is_not_returned_to() -> None:
    line = Line(NEWS)
    line.tell(WORDS, guests=2)
    line.say(WORDS)
    line.record(WORDS, guests=20)
    line.tell(WORDS, guests=3)
    assert line.path == ["a", "news", "b", "a", "b"]


# ---- loops --------------------------------------------------------------------------------------------------------


def test_correction_in_a_circle_comes_to_rest() -> None:
    flow = order(
        Phase("a", observations=("guests",), transitions=(To("b"),)),
        Phase("b", observations=("mode",), transitions=(To("c"),)),
        Phase("c", observations=("guests",), transitions=(To("a"),)),
    )
    line = Line(flow)
    line.tell(WORDS, guests=2)
    line.tell(WORDS, mode="pickup")
    for guests in range(3, 9):
        line.tell(WORDS, guests=guests)
    assert len(line.path) <= 5


def test_circle_that_never_met_the_phase_comes_to_rest() -> None:
    flow = order(
        Phase("a", observations=("mode",), transitions=(To("b", when=it.mode == "delivery"), To("c"))),
        Phase("b", observations=("mode",), transitions=(To("a"),)),
        Phase("c", observations=("name",), transitions=(To("bye"),)),
    )
    line = Line(flow)
    line.tell(WORDS, mode="pickup")
    assert line.phase == "c"
    line.tell(WORDS, mode="delivery")
    line.tell(WORDS, mode="pickup")
    line.tell(WORDS, mode="delivery")
    assert len(line.path) < 8


# ---- jumps --------------------------------------------------------------------------------------------------------


def jump(line: Line, phase: str) -> list[Any]:
    return line.call("request_phase", {"phase": phase, "reason": "they want it"})


def test_jump_back_to_a_finished_phase_does_not_bounce() -> None:
    line = at_confirm()
    line.say(WORDS)
    assert entered(jump(line, "when")) == [("when", "jump")]
    line.call("end_call", {})
    line.say(WORDS)
    assert line.phase == "when"


def test_jump_back_does_not_stick_either() -> None:
    line = at_confirm()
    line.say(WORDS)
    jump(line, "when")
    line.say(WORDS)
    assert line.phase == "when"
    assert entered(line.say(WORDS)) == [("confirm", "return")]


def test_jump_back_returns_once_something_was_changed() -> None:
    line = at_confirm()
    line.say(WORDS)
    jump(line, "when")
    line.tell(WORDS, guests=4)
    assert line.path == ["mode", "when", "who", "confirm", "when", "confirm"]
    assert line.causes[-2:] == ["jump", "return"]
    assert restored(line).state == line.engine.state


def test_jump_back_returns_once_something_was_declined() -> None:
    flow = order(
        Phase("a", observations=("guests", "note"), transitions=(To("b"),)),
        Phase("b", observations=("time",), may_jump=("a",), transitions=(To("bye"),)),
    )
    line = Line(flow)
    line.tell(WORDS, guests=2)
    line.say(WORDS)
    jump(line, "a")
    line.call("record", {"note": {"declined": True, "quote": WORDS}})
    assert line.path == ["a", "b", "a", "b"]


def test_jump_back_to_the_beginning_passes_over_all_that_is_done() -> None:
    line = at_confirm("delivery")
    line.say(WORDS)
    jump(line, "mode")
    line.tell(WORDS, mode="delivery")
    assert line.path[-2:] == ["mode", "confirm"]


def test_jump_back_that_changes_the_path_takes_it() -> None:
    line = at_confirm()
    line.say(WORDS)
    jump(line, "mode")
    line.tell(WORDS, mode="delivery")
    assert line.phase == "where"
    line.tell(WORDS, address="Baker Street")
    assert line.path[-3:] == ["mode", "where", "confirm"]


def test_correction_after_a_jump_back_changes_the_path_too() -> None:
    line = at_confirm("delivery")
    line.say(WORDS)
    jump(line, "where")
    line.tell(WORDS, guests=12)
    assert entered(line.effects)[-1] == ("when", "return")
    line.tell(WORDS, guests=6)
    assert (line.phase, line.causes[-1]) == ("confirm", "return")


def test_correction_after_a_jump_back_to_one_branch_leads_to_the_other() -> None:
    flow = order(
        Phase("a", observations=("mode",), transitions=(To("x", when=it.mode == "delivery"), To("y"))),
        Phase("x", observations=("address",), transitions=(To("c"),)),
        Phase("y", observations=("time",), transitions=(To("c"),)),
        Phase("c", observations=("accepted",), may_jump=("x",), transitions=(To("bye"),)),
    )
    line = Line(flow)
    line.tell(WORDS, mode="delivery")
    line.tell(WORDS, address="Baker Street")
    line.say(WORDS)
    jump(line, "x")
    line.tell(WORDS, mode="pickup")
    assert (line.phase, line.causes[-1]) == ("y", "correction")
    line.tell(WORDS, time="at eight")
    assert line.path == ["a", "x", "c", "x", "y", "c"]


def test_rule_that_leads_back_to_a_finished_phase_does_not_bounce() -> None:
    line = at_confirm()
    line.say(WORDS)
    line.take(KeyPressed("0"))
    line.say(WORDS)
    assert line.phase == "who"
    line.record(WORDS, name="Grace")
    assert line.path[-2:] == ["who", "confirm"]
    line.take(KeyPressed("0"))
    line.say(WORDS)
    line.say(WORDS)
    assert line.phase == "confirm"


def test_jump_ahead_comes_back_to_nothing() -> None:
    flow = order(
        Phase("a", observations=("guests",), may_jump=("c",), transitions=(To("b"),)),
        Phase("b", observations=("time",), transitions=(To("c"),)),
        Phase("c", observations=("name",), transitions=(To("bye"),)),
    )
    line = Line(flow)
    line.say(WORDS)
    jump(line, "c")
    line.tell(WORDS, name="Ada")
    assert line.path == ["a", "c", "bye"]


def test_phase_that_was_jumped_to_is_no_place_to_go_back_from() -> None:
    """What lies before a jump ahead was left on the caller's wish."""
    flow = order(
        Phase("a", observations=("guests",), success_criteria=(it.guests < 9,), transitions=(To("b"),)),
        Phase("b", observations=("time",), may_jump=("d",), transitions=(To("c"),)),
        Phase("c", observations=("note",), transitions=(To("d"),)),
        Phase("d", observations=("name",), transitions=(To("bye"),)),
    )
    line = Line(flow)
    line.tell(WORDS, guests=2)
    line.say(WORDS)
    jump(line, "d")
    line.tell(WORDS, guests=20)
    assert line.phase == "d"


# ---- what else moves a call ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
def test_no_phase_is_entered_that_is_passed_over(times: int) -> None:
    line = at_confirm()
    for number in range(times):
        line.tell(WORDS, guests=20 + number)
        line.tell(WORDS, guests=4)
    assert line.path == ["mode", "when", "who", "confirm"] + ["when", "confirm"] * times


def test_correction_during_the_goodbye_is_not_offered() -> None:
    line = at_confirm()
    line.say(WORDS)
    line.call("end_call", {"reason": "wrong_number"})
    assert kinds(line.call("record", quoting(WORDS, mode="delivery"))) == ["ProposalRefused", "Answer"]
