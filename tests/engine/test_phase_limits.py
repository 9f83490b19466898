"""Bounds of a phase: turns, time, exact time boxes, and the way out of a phase that is stuck."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.line import Line, entered, kinds, notes, restored, spoken, written
from voicebot.engine.engine import EVIDENCE_LIMIT_S
from voicebot.engine.entries import CallerTurnTaken, TimeRanOut
from voicebot.engine.events import CallerTurnEnded, Close, CloseTurn, KeyPressed
from voicebot.flow import Flow, HangUp, Key, Limits, Observations, Phase, PhaseLimits, Rule, Say, To, ask, it, tool

HELLO = "good evening to you"
ADA = "my name is Ada Lovelace"


class Visit(Observations):
    name: str = ask("a name")
    day: str = ask("a day")
    note: str = ask("a note", optional=True)
    sure: bool = ask("an explicit yes")


HUMAN = Phase("human", observations=("note",), success_criteria=(it.note.filled,), transitions=(To("bye"),))
BYE = Phase("bye", end=HangUp())


def flow(*phases: Phase, **given: Any) -> Flow:
    return Flow(goal="g", observations=Visit, phases=(*phases, HUMAN, BYE), **given)


def asks(bounds: PhaseLimits | None = None, everywhere: PhaseLimits | None = None, **given: Any) -> Flow:
    """Two questions, the first with bounds of its own, and bounds for every phase."""
    return flow(
        Phase("a", observations=("name",), limits=bounds, transitions=(To("b"),)),
        Phase("b", observations=("day",), transitions=(To("bye"),)),
        limits=Limits(duration="20m", phase=everywhere),
        **given,
    )


# ---- turns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_phase_is_given_up_after_its_turns(turns: int) -> None:
    line = Line(asks(PhaseLimits(turns=turns, then="human")))
    for _ in range(turns):
        assert entered(line.say(HELLO)) == []
    effects = line.turn()
    assert entered(effects) == [("human", "stuck")]
    assert notes(effects) == []  # their turn is answered anyway
    assert restored(line).state == line.engine.state


def test_answer_in_the_last_turn_still_counts() -> None:
    line = Line(asks(PhaseLimits(turns=2, then="human")))
    line.say(HELLO)
    line.tell(ADA, name="Ada")
    assert line.phase == "b"


def test_turns_count_from_where_the_phase_was_entered() -> None:
    line = Line(asks(everywhere=PhaseLimits(turns=2, then="human")))
    line.say(HELLO)
    line.tell(ADA, name="Ada")
    line.say(HELLO)
    line.say(HELLO)
    assert line.phase == "b"
    line.turn()
    assert line.phase == "human"


def test_bounds_of_every_phase_leave_out_where_they_lead_and_the_end() -> None:
    line = Line(asks(everywhere=PhaseLimits(turns=1, then="human")))
    for _ in range(6):
        line.say(HELLO)
    assert line.path == ["a", "human"]
    line.tell("do call me back", note="call back")
    assert line.phase == "bye"
    line.say(HELLO)
    assert line.path == ["a", "human", "bye"]


def test_own_bounds_of_a_phase_come_first() -> None:
    line = Line(asks(PhaseLimits(turns=3, then="b"), PhaseLimits(turns=1, then="human")))
    for _ in range(4):
        line.say(HELLO)
    assert line.phase == "b"


def test_stuck_phase_may_end_the_call() -> None:
    line = Line(asks(PhaseLimits(turns=1, then="bye")))
    line.say(HELLO)
    effects = line.turn()
    assert entered(effects) == [("bye", "stuck")]
    assert Close("completed", "") in effects


def test_way_out_may_have_something_to_say() -> None:
    sorry = Say("I am sorry, I do not understand.", name="sorry")
    phases = (
        Phase("a", observations=("name",), limits=PhaseLimits(turns=1, then="sorry"), transitions=(To("bye"),)),
        Phase("sorry", must_say=(sorry,), transitions=(To("bye"),)),
    )
    line = Line(flow(*phases))
    line.say(HELLO)
    assert spoken(line.turn()) == ["I am sorry, I do not understand."]


def test_phase_that_is_done_in_time_is_not_given_up() -> None:
    phases = (Phase("a", observations=("name",), limits=PhaseLimits(turns=1, then="human"), transitions=(To("b"),)),)
    line = Line(flow(*phases, Phase("b", observations=("day",))))
    line.say(HELLO)
    line.record(HELLO, name="Ada")
    line.say(HELLO)
    line.say(HELLO)
    assert line.phase == "b"


def test_phase_that_is_done_with_no_way_open_is_given_up_too() -> None:
    bounds = PhaseLimits(turns=2, then="human")
    line = Line(flow(Phase("a", observations=("name",), limits=bounds, transitions=(To("bye", when=it.sure.yes),))))
    line.tell(ADA, name="Ada")
    line.say(HELLO)
    assert line.phase == "a"
    line.say(HELLO)
    assert line.phase == "human"


# ---- time ---------------------------------------------------------------------------------------------------------


def test_phase_is_given_up_after_its_time() -> None:
    line = Line(asks(PhaseLimits(duration="90s", then="human")))
    assert line.engine.deadline() == 190.0
    line.wait(89.9)
    assert line.phase == "a"
    effects = line.wait(0.2)
    assert written(effects)[0] == TimeRanOut("phase")
    assert entered(effects) == [("human", "stuck")]
    assert notes(effects) == ["The time for the last part is over."]
    assert CloseTurn() not in effects  # nobody is cut short
    assert line.engine.deadline() == 100.0 + 1200
    assert restored(line).state == line.engine.state


def test_time_counts_from_where_the_phase_was_entered() -> None:
    line = Line(asks(everywhere=PhaseLimits(duration="90s", then="human")))
    line.wait(50)
    line.tell(ADA, name="Ada")
    assert line.engine.deadline() == 240.0
    assert restored(line).deadline() == 240.0
    assert entered(line.wait(90)) == [("human", "stuck")]


def test_time_of_the_call_comes_first() -> None:
    limits = Limits(duration="60s", phase=PhaseLimits(duration="60s", then="human"))
    line = Line(flow(Phase("a", observations=("name",)), limits=limits))
    effects = line.wait(100)
    assert written(effects)[0] == TimeRanOut("call")
    assert entered(effects) == []
    assert line.engine.state.closing == "duration_limit"
    assert line.engine.deadline() is None


def test_deadline_that_is_not_due_does_nothing() -> None:
    line = Line(asks(PhaseLimits(duration="90s", then="human")))
    assert line.engine.on_deadline(189.9) == []


def test_bounds_hold_whichever_comes_first() -> None:
    both = PhaseLimits(turns=1, duration="90s", then="human")
    line = Line(asks(both))
    line.say(HELLO)
    assert entered(line.turn()) == [("human", "stuck")]
    line = Line(asks(both))
    assert entered(line.wait(90)) == [("human", "stuck")]


# ---- exact time boxes ---------------------------------------------------------------------------------------------


def boxes(*transitions: To) -> Flow:
    """Two tasks of a minute each, as an assessment has them; the first collects a name."""
    box = PhaseLimits(duration="60s", exact=True, then="human")
    return flow(
        Phase("one", observations=("name",), limits=box, transitions=transitions or (To("two"),)),
        Phase("two", limits=box, transitions=(To("last"),)),
        Phase("last", observations=("day",), transitions=(To("bye"),)),
        rules=(Rule("zero", when=Key("0"), then=To("human")),),
    )


def test_box_goes_on_when_it_is_done_before() -> None:
    line = Line(boxes())
    line.wait(10)
    line.tell(ADA, name="Ada")
    for _ in range(5):
        line.wait(9)
        line.say(HELLO)
    assert line.phase == "one"
    assert line.engine.deadline() == 160.0


def test_box_ends_exactly_and_the_next_begins() -> None:
    line = Line(boxes())
    line.tell(ADA, name="Ada")
    effects = line.wait(60)
    assert kinds(effects) == ["TimeRanOut", "CloseTurn", "PhaseEntered", "ConfigurePhase", "AskReply"]
    assert entered(effects) == [("two", "criteria")]
    assert line.engine.deadline() == 220.0
    assert entered(line.wait(60)) == [("last", "criteria")]
    assert line.engine.state.entered_at == 220.0
    assert restored(line).state == line.engine.state


def test_box_that_is_not_done_takes_its_way_out() -> None:
    line = Line(boxes())
    effects = line.wait(60)
    assert effects[1] == CloseTurn()
    assert entered(effects) == [("human", "stuck")]


def test_box_whose_guards_leave_a_gap_takes_its_way_out() -> None:
    line = Line(boxes(To("two", when=it.sure.yes)))
    line.tell(ADA, name="Ada")
    assert entered(line.wait(60)) == [("human", "stuck")]


def test_box_that_asks_for_nothing_lasts_as_long() -> None:
    line = Line(
        flow(Phase("one", limits=PhaseLimits(duration="60s", exact=True, then="human"), transitions=(To("bye"),)))
    )
    for _ in range(5):
        line.say(HELLO)
    assert line.phase == "one"
    assert entered(line.wait(60)) == [("bye", "criteria")]
    assert line.engine.state.closing == "completed"


def test_turn_that_was_cut_belongs_to_the_phase_before() -> None:
    line = Line(boxes())
    line.tell(ADA, name="Ada")
    line.wait(60)
    effects = line.take(CallerTurnEnded("item-2", cut=True))
    assert written(effects) == [CallerTurnTaken(2, "item-2", cut=True)]
    assert line.engine.state.turns_in_phase == 0
    assert line.record(ADA, name="Ada L.")["accepted"] == ["name"]
    line.say(HELLO)
    assert line.engine.state.turns_in_phase == 1


def test_cut_turn_does_not_end_a_phase_that_lasts_one_turn() -> None:
    news = flow(
        Phase("one", limits=PhaseLimits(duration="60s", exact=True, then="human"), transitions=(To("news"),)),
        Phase("news", transitions=(To("bye"),)),
    )
    line = Line(news)
    line.wait(60)
    line.take(CallerTurnEnded("item-1", cut=True))
    assert line.phase == "news"
    line.turn()
    assert line.phase == "bye"


def test_caller_may_leave_a_box_by_a_rule() -> None:
    line = Line(boxes())
    line.wait(30)
    line.take(KeyPressed("0"))
    assert line.phase == "human"
    assert entered(line.wait(60)) == []


def test_box_that_was_left_for_a_correction_begins_anew() -> None:
    box = PhaseLimits(duration="60s", exact=True, then="human")
    phases = (
        Phase("a", observations=("name",), transitions=(To("task"),)),
        Phase("task", limits=box, transitions=(To("b"),)),
        Phase("b", observations=("day",), transitions=(To("bye"),)),
    )
    line = Line(flow(*phases))
    line.turn()
    line.record(ADA, name="Ada")
    line.wait(30)
    line.hear("what is the weather like in Rome today")
    line.wait(5)
    line.tell(ADA, name="Ada")
    assert (line.path, line.causes[-1]) == (["a", "task", "a", "task"], "return")
    assert line.engine.deadline() == line.now + 60
    assert entered(line.wait(60)) == [("b", "criteria")]


def test_nothing_is_timed_during_the_goodbye() -> None:
    line = Line(boxes())
    line.say(HELLO)
    line.call("end_call", {"reason": "wrong_number"})
    assert line.engine.deadline() is None
    assert line.engine.on_deadline(1000.0) == []


# ---- limits while something is being done -------------------------------------------------------------------------


@tool
def book(name: str) -> str:
    """Book."""
    return name


def commits(bounds: PhaseLimits) -> Flow:
    return flow(
        Phase(
            "a",
            observations=("name",),
            limits=bounds,
            commit=book.once(on_failure="failed"),
            transitions=(To("b"),),
        ),
        Phase("b", observations=("day",)),
        Phase("failed", observations=("note",), success_criteria=(it.note.filled,)),
    )


BOUNDS = [
    PhaseLimits(duration="60s", then="human"),
    PhaseLimits(duration="60s", turns=1, then="human"),
]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_phase_is_not_given_up_while_its_commit_is_under_way(bounds: PhaseLimits) -> None:
    line = Line(commits(bounds))
    line.wait(58)
    line.turn()
    line.record(ADA, name="Ada")
    assert line.engine.state.held
    assert line.engine.deadline() == 158.0 + EVIDENCE_LIMIT_S
    line.turn()
    assert entered(line.wait(3.9)) == []
    line.hear(ADA, 1)
    assert line.engine.state.running
    line.turn()
    line.turn()
    assert entered(line.wait(60)) == []
    assert entered(line.finish("booked")) == [("b", "criteria")]


def test_phase_is_not_given_up_for_a_change_while_its_commit_is_under_way() -> None:
    phase = Phase(
        "a",
        observations=("name", "sure"),
        success_criteria=(it.sure.yes,),
        limits=PhaseLimits(turns=1, then="human"),
        commit=book.once(on_failure="human"),
        transitions=(To("bye"),),
    )
    line = Line(flow(phase))
    line.tell(ADA, name="Ada", sure=True)
    line.tell("no wait please", sure=False)
    line.turn()
    assert line.phase == "a"
    line.finish("booked")
    line.turn()
    assert line.phase == "human"


@pytest.mark.parametrize("transitions", [(), (To("bye"),)])
def test_phase_is_given_up_if_its_commit_stays_refused(transitions: tuple[To, ...]) -> None:
    phase = Phase(
        "a",
        observations=("name",),
        limits=PhaseLimits(turns=2, then="human"),
        commit=book.once(on_failure="human"),
        transitions=transitions,
    )
    line = Line(flow(phase))
    line.tell(ADA, name="Ada")
    line.finish("full", ok=False, refused=True)
    line.say(HELLO)
    line.say(HELLO)
    assert (line.phase, line.causes[-1]) == ("human", "stuck")


def test_phase_is_given_up_once_its_commit_was_refused_too_late() -> None:
    line = Line(commits(BOUNDS[0]))
    line.tell(ADA, name="Ada")
    line.wait(70)
    line.finish("full", ok=False, refused=True)
    assert line.engine.deadline() == 160.0
    assert entered(line.wait(0)) == [("human", "stuck")]


def test_box_commits_when_its_time_is_over() -> None:
    line = Line(commits(PhaseLimits(duration="60s", exact=True, then="human")))
    line.tell(ADA, name="Ada")
    assert line.started == []
    line.wait(60)
    assert [run.tool for run in line.started] == ["book"]
    assert line.phase == "a"
    line.wait(3)
    line.finish("booked")
    line.wait(0)
    assert line.path == ["a", "b"]


def test_box_whose_commit_fails_takes_the_way_of_failure() -> None:
    line = Line(commits(PhaseLimits(duration="60s", exact=True, then="human")))
    line.tell(ADA, name="Ada")
    line.wait(60)
    assert entered(line.finish("broken", ok=False)) == [("failed", "failure")]


def test_box_whose_commit_is_refused_takes_its_way_out() -> None:
    line = Line(commits(PhaseLimits(duration="60s", exact=True, then="human")))
    line.tell(ADA, name="Ada")
    line.wait(60)
    line.finish("full", ok=False, refused=True)
    line.wait(0)
    assert line.path == ["a", "human"]
    assert len(line.started) == 1
