"""What a phase commits to: done by the engine, once, with what is recorded, and only on words that were said."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import Field

from tests.engine.line import Line, entered, kinds, notes, quoting, refusal, restored, spoken, weighings, written
from voicebot.engine.engine import EVIDENCE_LIMIT_S
from voicebot.engine.entries import (
    EvidenceWeighed,
    ObservationWithdrawn,
    TimeRanOut,
    ToolAnswered,
    ToolHeld,
    ToolStarted,
)
from voicebot.engine.errands import COMMIT_TRIES
from voicebot.engine.events import EndWanted, EngineEffect, KeyPressed, RunTool, SilenceLasted
from voicebot.flow import (
    After,
    Flow,
    HangUp,
    Key,
    Limits,
    Observations,
    Phase,
    Rule,
    Say,
    To,
    ask,
    computed,
    it,
    judged,
    tool,
)

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
    name: str = ask("a name", optional=True)
    accepted: bool = ask("an explicit yes")
    address: str = ask("an address", confirm="read back")
    price: Decimal = computed(price_of)


@tool(filler="One moment, I am booking.")
def reserve(seats: Annotated[int, Field(ge=1, le=20)], price: Decimal, name: str = "") -> str:
    """Reserve a table."""
    return f"{seats} {price} {name}"


NOTICE = Say("That is {price} euro.", name="price")
HUMAN = Phase("human", observations=("name",), success_criteria=(it.name.filled,), transitions=(To("bye"),))


def booking(*, idempotent: bool = False, unverified: Any = "ask", last: bool = False, **given: Any) -> Flow:
    """One phase that commits, and a phase after it unless it is the last."""
    return Flow(
        goal="g",
        observations=Booking,
        limits=Limits(duration="10m", silence=(After("6s", To("human")), After("60s", HangUp()))),
        rules=(
            Rule("zero", when=Key("0"), then=To("human")),
            Rule("one", when=Key("1"), then=To("book")),
            Rule("star", when=Key("*"), then=HangUp()),
        ),
        phases=(
            Phase(
                "book",
                **{"observations": ("seats",)} | given,
                commit=reserve.once(on_failure="failed", idempotent=idempotent, unverified=unverified),
                transitions=() if last else (To("after"),),
            ),
            Phase("after", observations=("accepted",), may_jump=("book",), transitions=(To("bye"),)),
            Phase("failed", observations=("name",), success_criteria=(it.name.filled,), transitions=(To("book"),)),
            HUMAN,
            Phase("bye", end=HangUp()),
        ),
    )


def running(**given: Any) -> Line:
    """The commit is at work."""
    line = Line(booking(**given))
    line.tell(TWO, seats=2)
    assert list(line.engine.state.running) == ["commit-reserve-1"]
    line.effects.clear()
    return line


def held(**given: Any) -> Line:
    """The commit waits for a transcript."""
    line = Line(booking(**given))
    line.turn()
    line.record(TWO, seats=2)
    assert list(line.engine.state.held) == ["commit-reserve-1"]
    line.effects.clear()
    return line


def started(effects: list[EngineEffect]) -> list[dict[str, object]]:
    return [dict(effect.arguments) for effect in effects if isinstance(effect, RunTool)]


# ---- it is done ---------------------------------------------------------------------------------------------------


def test_commit_is_run_by_the_engine_with_what_is_recorded() -> None:
    line = Line(booking(observations=("seats", "name")))
    line.say(TWO)
    effects = line.call("record", quoting(TWO, seats=2, name="Ada"))
    arguments = '{"seats": 2, "price": "20", "name": "Ada"}'
    assert written(effects)[-1] == ToolStarted("commit-reserve-1", "reserve", arguments, commit=True)
    assert effects[-1] == RunTool(
        "commit-reserve-1", "reserve", {"seats": 2, "price": Decimal(20), "name": "Ada"}, "CA1:reserve"
    )
    assert line.phase == "book"
    assert line.engine.busy
    assert [say.text for say in line.engine.fillers()] == ["One moment, I am booking."]
    assert restored(line).state == line.engine.state


def test_intent_is_written_before_it_runs() -> None:
    line = Line(booking())
    line.say(TWO)
    effects = kinds(line.call("record", quoting(TWO, seats=2)))
    assert effects.index("ToolStarted") < effects.index("RunTool")


def test_call_goes_on_once_it_is_done() -> None:
    line = running()
    line.now += 1.5
    effects = line.finish("table nine")
    assert written(effects)[0] == ToolAnswered("commit-reserve-1", "reserve", "table nine", True, 1500)
    assert kinds(effects) == ["ToolAnswered", "PhaseEntered", "ConfigurePhase", "AskReply"]
    assert entered(effects) == [("after", "criteria")]
    assert notes(effects) == ["reserve has been done: table nine"]
    assert not line.engine.busy
    assert restored(line).state == line.engine.state


def test_model_has_no_hand_in_it() -> None:
    line = Line(booking())
    line.say(TWO)
    assert "reserve" not in line.offered()
    assert "not available now" in refusal(line.call("reserve", {"seats": 2, "price": "20"}))


def test_commit_waits_for_all_that_the_phase_asks() -> None:
    line = Line(booking(must_say=(NOTICE,), observations=("seats", "accepted"), success_criteria=(it.accepted.yes,)))
    line.tell(TWO, seats=2)
    line.tell(YES, accepted=True)
    assert line.started == []
    line.heard("price")
    assert len(line.started) == 1


def test_commit_may_lead_to_the_end() -> None:
    line = running(last=True)
    assert "is being done" in refusal(line.call("end_call", {"reason": "goal_reached"}))
    effects = line.finish("table nine")
    assert entered(effects) == []
    assert notes(effects) == ["reserve has been done: table nine"]
    assert kinds(line.call("end_call", {"reason": "goal_reached"})) == ["Answer", "ClosingBegan", "Close"]


def test_commit_is_done_once() -> None:
    line = running()
    line.finish("table nine")
    line.say(THREE)
    line.call("request_phase", {"phase": "book", "reason": "change it"})
    line.record(THREE, seats=3)
    assert line.path == ["book", "after", "book", "after"]
    assert line.started == []


def test_phases_that_commit_may_follow_each_other() -> None:
    flow = Flow(
        goal="g",
        observations=Booking,
        phases=(
            Phase("a", observations=("seats",), commit=reserve.once(on_failure="a"), transitions=(To("b"),)),
            Phase("b", observations=("seats",), commit=pay.once(on_failure="a"), transitions=(To("c"),)),
            Phase("c", observations=("accepted",)),
        ),
    )
    line = Line(flow)
    line.tell(TWO, seats=2)
    line.finish("table nine")
    assert line.phase == "b"
    line.finish("paid")
    assert line.phase == "c"
    assert [run.key for run in line.started] == ["CA1:reserve", "CA1:pay"]


@tool
def pay(price: Decimal) -> str:
    """Pay."""
    return str(price)


# ---- it waits for evidence ----------------------------------------------------------------------------------------


def test_commit_waits_for_the_transcript() -> None:
    line = Line(booking())
    line.turn()
    effects = line.call("record", quoting(TWO, seats=2))
    assert written(effects)[-1] == ToolHeld("commit-reserve-1", "reserve", '{"seats": 2, "price": "20"}', True)
    assert started(effects) == []
    assert line.engine.busy
    assert [say.text for say in line.engine.fillers()] == ["One moment, I am booking."]
    assert line.engine.deadline() == line.now + EVIDENCE_LIMIT_S
    assert restored(line).deadline() == line.engine.deadline()
    effects = line.hear(TWO)
    assert kinds(effects) == ["CallerSaid", "EvidenceWeighed", "ToolStarted", "RunTool"]
    assert line.engine.state.held == {}
    assert restored(line).state == line.engine.state


@pytest.mark.parametrize(
    "come", [lambda line: line.miss(), lambda line: line.hear(""), lambda line: line.wait(EVIDENCE_LIMIT_S)]
)
def test_commit_goes_ahead_on_what_cannot_be_had_if_it_may(come: Callable[[Line], list[EngineEffect]]) -> None:
    line = held(unverified="go")
    assert started(come(line)) == [{"seats": 2, "price": Decimal(20), "name": ""}]
    assert line.evidence("seats") == "unverifiable"


def test_wait_for_evidence_is_bounded() -> None:
    line = held(unverified="go")
    assert line.wait(EVIDENCE_LIMIT_S - 0.1) == []
    effects = line.wait(0.1)
    assert kinds(effects) == ["TimeRanOut", "EvidenceWeighed", "ToolStarted", "RunTool"]
    assert written(effects)[:2] == [
        TimeRanOut("evidence"),
        EvidenceWeighed("seats", "value", "unverifiable", None),
    ]
    assert line.engine.deadline() == 700.0


def test_late_transcript_does_not_undo_it() -> None:
    line = held(unverified="go")
    line.wait(EVIDENCE_LIMIT_S)
    assert weighings(line.hear(ELSEWHERE)) == []
    line.finish("table nine")
    assert line.phase == "after"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("record", quoting("my name is Ada Lovelace", name="Ada")),
        ("judge", {"criterion": SURE, "holds": True, "quote": "my name is Ada Lovelace"}),
        ("record", {"address": {"confirmed": True, "quote": "my name is Ada Lovelace"}}),
    ],
)
def test_commit_waits_for_whatever_is_still_open(name: str, arguments: object) -> None:
    criteria = (it.seats.filled & (judged(SURE) | it.seats.filled),)
    line = Line(booking(observations=("address", "name", "seats"), success_criteria=criteria))
    line.tell("it is twelve Baker Street", address="12 Baker Street")
    line.turn()
    if name != "record" or "address" not in dict(arguments):  # type: ignore[call-overload]
        line.confirm("address", "my name is Ada Lovelace")
    line.call(name, arguments)
    line.record("my name is Ada Lovelace", seats=2)
    assert list(line.engine.state.held) == ["commit-reserve-1"]
    assert len(started(line.hear("my name is Ada Lovelace"))) == 1


def test_value_that_comes_while_it_is_held_is_used() -> None:
    line = held()
    line.turn()
    line.record(THREE, seats=3)
    assert started(line.hear(TWO, 1)) == []
    assert started(line.hear(THREE, 2)) == [{"seats": 3, "price": Decimal(30), "name": ""}]


def test_wait_is_not_prolonged_by_new_values() -> None:
    line = held(unverified="go")
    line.wait(3)
    line.turn()
    line.record(THREE, seats=3)
    assert started(line.wait(1)) == [{"seats": 3, "price": Decimal(30), "name": ""}]


# ---- it never rests on what nobody said ---------------------------------------------------------------------------


def test_commit_is_dropped_with_a_value_that_nobody_said() -> None:
    line = held()
    effects = line.hear(ELSEWHERE)
    assert ObservationWithdrawn("seats", "contradicted") in written(effects)
    assert ToolAnswered("commit-reserve-1", "reserve", "not done", False, 0, refused=True) in written(effects)
    assert started(effects) == []
    assert "seats" in notes(effects)[0]
    assert line.engine.state.held == line.engine.state.running == {}
    assert line.engine.state.results == {}
    assert line.wait(60) == []
    assert line.phase == "book"
    assert restored(line).state == line.engine.state


def test_commit_is_done_once_the_value_was_said() -> None:
    line = held()
    line.hear(ELSEWHERE)
    line.say(THREE)
    assert started(line.call("record", quoting(THREE, seats=3))) == [{"seats": 3, "price": Decimal(30), "name": ""}]


def test_commit_is_done_with_the_value_that_came_back() -> None:
    line = Line(booking(observations=("seats", "accepted")))
    line.tell(TWO, seats=2)
    line.turn()
    line.call("record", {**quoting(THREE, seats=3), **quoting("yes that is right", accepted=True)})
    effects = line.hear("yes that is right, thank you")
    assert weighings(effects) == [("seats", "value", "contradicted"), ("accepted", "value", "confirmed")]
    assert started(effects) == [{"seats": 2, "price": Decimal(20), "name": ""}]


def test_commit_is_dropped_when_a_criterion_fails_meanwhile() -> None:
    line = Line(booking(observations=("seats", "accepted"), success_criteria=(it.accepted.yes,)))
    line.turn()
    line.record(YES, seats=2, accepted=True)
    line.turn()
    line.record("no wait please", accepted=False)
    line.hear(YES, 1)
    assert started(line.hear("no wait please", 2)) == []
    assert line.engine.state.held == {}
    line.say(YES)
    assert len(started(line.call("record", quoting(YES, accepted=True)))) == 1


def test_commit_is_dropped_with_an_agreement_that_nobody_gave() -> None:
    line = Line(booking(observations=("address", "seats")))
    line.tell("it is twelve Baker Street", address="12 Baker Street", seats=2)
    line.turn()
    line.confirm("address", YES)
    assert line.engine.state.held
    assert started(line.hear(ELSEWHERE)) == []
    assert line.engine.state.held == {}
    line.say(YES)
    line.confirm("address", YES)
    assert len(line.started) == 1


def test_commit_that_no_longer_fits_takes_the_way_of_failure() -> None:
    line = held()
    line.record("nobody at all", seats=0)
    effects = line.hear(f"{TWO}, or nobody at all")
    assert started(effects) == []
    assert entered(effects) == [("failed", "failure")]


@pytest.mark.parametrize("seats", [0, 21])
def test_arguments_that_do_not_fit_take_the_way_of_failure(seats: int) -> None:
    line = Line(booking())
    line.tell(TWO, seats=seats)
    assert line.started == []
    assert line.path == ["book", "failed"]
    assert "reserve could not be done: seats: Input should be" in notes(line.effects)[-1]


# ---- it is refused ------------------------------------------------------------------------------------------------


def test_refused_commit_is_told_and_changes_nothing() -> None:
    line = running()
    effects = line.finish("we are full at eight", ok=False, refused=True)
    assert kinds(effects) == ["ToolAnswered", "AskReply"]
    assert notes(effects) == ["reserve was not done: we are full at eight"]
    assert line.phase == "book"
    assert restored(line).state == line.engine.state


def test_refused_commit_is_not_tried_again_before_something_changed() -> None:
    line = running()
    line.finish("full", ok=False, refused=True)
    line.say(ELSEWHERE)
    line.miss()
    line.call("end_call", {})
    line.take(KeyPressed("1"))
    line.take(SilenceLasted(5))
    assert line.started == []
    assert not line.engine.busy


def test_refused_commit_is_tried_again_after_a_change() -> None:
    line = running()
    line.finish("full", ok=False, refused=True)
    line.tell(THREE, seats=3)
    assert [run.call_id for run in line.started] == ["commit-reserve-2"]
    assert line.started[0].key == "CA1:reserve"
    line.finish("table nine")
    assert line.phase == "after"


def test_refused_commit_is_tried_at_once_with_what_changed_while_it_worked() -> None:
    line = running()
    line.tell(THREE, seats=3)
    effects = line.finish("full", ok=False, refused=True)
    assert started(effects) == [{"seats": 3, "price": Decimal(30), "name": ""}]
    assert notes(effects) == []


def test_change_is_not_forgotten_over_another_tool() -> None:
    criteria = (judged(SURE),)
    flow = Flow(
        goal="g",
        observations=Booking,
        tools_everywhere=(pay.once(on_failure="a"),),
        phases=(
            Phase(
                "a",
                observations=("seats",),
                success_criteria=criteria,
                commit=reserve.once(on_failure="a"),
                transitions=(To("b"),),
            ),
            Phase("b", observations=("accepted",)),
        ),
    )
    line = Line(flow)
    verdict = {"criterion": SURE, "quote": TWO}
    line.tell(TWO, seats=2)
    line.call("judge", {**verdict, "holds": True})
    line.finish("full", ok=False, refused=True)
    line.together(("judge", {**verdict, "holds": False}), ("record", quoting(TWO, seats=3)))
    line.call("pay", {"price": "20"})
    line.finish("paid")
    line.call("judge", {**verdict, "holds": True})
    assert [run.tool for run in line.started] == ["reserve", "pay", "reserve"]


def test_commit_is_refused_a_bounded_number_of_times() -> None:
    line = Line(booking())
    for number in range(1, COMMIT_TRIES + 1):
        line.tell(f"a table for {number} of us", seats=number)
        assert len(line.started) == number
        assert line.phase == "book"
        effects = line.finish("full", ok=False, refused=True)
    assert entered(effects) == [("failed", "failure")]
    assert notes(effects) == ["reserve failed: full"]
    line.tell(THREE, name="Ada")
    line.tell(TWO, seats=2)
    assert len(line.started) == COMMIT_TRIES


# ---- it fails -----------------------------------------------------------------------------------------------------


def test_failed_commit_takes_the_way_of_failure_and_is_never_done_again() -> None:
    line = running()
    effects = line.finish("it broke", ok=False)
    assert kinds(effects) == ["ToolAnswered", "PhaseEntered", "ConfigurePhase", "AskReply"]
    assert entered(effects) == [("failed", "failure")]
    assert notes(effects) == ["reserve failed: it broke"]
    line.tell("my name is Ada", name="Ada")  # leads back to the phase that commits
    assert line.path == ["book", "failed", "book", "failed"]
    assert line.started == []
    assert restored(line).state == line.engine.state


def test_failed_commit_that_may_be_repeated_is_tried_again_with_the_same_key() -> None:
    line = running(idempotent=True)
    for _ in range(COMMIT_TRIES - 1):
        effects = line.finish("it broke", ok=False)
        assert kinds(effects) == ["ToolAnswered", "ToolStarted", "RunTool"]
    assert {run.key for run in line.started} == {"CA1:reserve"}
    assert entered(line.finish("it broke", ok=False)) == [("failed", "failure")]
    assert not line.engine.busy


def test_failed_commit_is_not_tried_again_on_what_does_not_hold_any_more() -> None:
    criteria = (it.accepted.yes,)
    line = Line(booking(idempotent=True, observations=("seats", "accepted"), success_criteria=criteria))
    line.tell(TWO, seats=2, accepted=True)
    line.tell("no wait please", accepted=False)
    effects = line.finish("it broke", ok=False)
    assert kinds(effects) == ["ToolAnswered", "AskReply"]
    assert len(line.started) == 1
    line.tell(YES, accepted=True)
    assert len(line.started) == 2


def test_failed_commit_may_succeed_at_another_try() -> None:
    line = running(idempotent=True)
    line.finish("it broke", ok=False)
    assert entered(line.finish("table nine")) == [("after", "criteria")]


# ---- what it hands in ---------------------------------------------------------------------------------------------


def test_commit_may_hand_in_what_it_found() -> None:
    line = running()
    effects = line.finish("table nine", name="Ada")
    assert line.known["name"] == "Ada"
    assert entered(effects) == [("after", "criteria")]


def test_commit_that_fails_with_findings_fails_once() -> None:
    line = running()
    effects = line.finish("it broke", ok=False, seats=4)
    assert entered(effects) == [("failed", "failure")]


def test_commit_that_is_refused_with_findings_is_tried_with_them() -> None:
    line = running()
    effects = line.finish("full, but not for four", ok=False, refused=True, seats=4)
    assert started(effects) == [{"seats": 4, "price": Decimal(40), "name": ""}]
    assert notes(effects) == []


# ---- what happens meanwhile ---------------------------------------------------------------------------------------

LEAVINGS: list[tuple[str, Callable[[Line], list[EngineEffect]]]] = [
    ("human", lambda line: line.take(KeyPressed("0"))),
    ("human", lambda line: line.take(SilenceLasted(0))),
]
ENDS: list[tuple[str, Callable[[Line], list[EngineEffect]]]] = [
    ("caller_finished", lambda line: line.take(KeyPressed("*"))),
    ("silence", lambda line: line.take(SilenceLasted(1))),
    ("completed", lambda line: line.take(EndWanted())),
]


@pytest.mark.parametrize(("phase", "leave"), LEAVINGS)
def test_commit_that_is_held_is_dropped_when_the_call_goes_elsewhere(
    phase: str, leave: Callable[[Line], list[EngineEffect]]
) -> None:
    line = held()
    leave(line)
    assert line.phase == phase
    effects = line.hear(TWO)
    assert ToolAnswered("commit-reserve-1", "reserve", "not done", False, 0, refused=True) in written(effects)
    assert started(effects) == []
    assert not line.engine.busy


@pytest.mark.parametrize(("phase", "leave"), LEAVINGS)
@pytest.mark.parametrize("ok", [True, False])
def test_commit_that_comes_back_elsewhere_is_told_there(
    phase: str, leave: Callable[[Line], list[EngineEffect]], ok: bool
) -> None:
    line = running()
    leave(line)
    effects = line.finish("so it is", ok=ok)
    assert entered(effects) == []
    assert notes(effects) == [f"reserve {'has been' if ok else 'was not'} done: so it is"]
    assert line.phase == phase


def test_commit_that_was_done_meanwhile_is_not_done_again() -> None:
    line = running()
    line.take(KeyPressed("0"))
    line.finish("table nine")
    line.take(KeyPressed("1"))
    line.say(TWO)
    line.say(TWO)
    assert line.phase == "after"
    assert line.started == []


def test_commit_that_was_dropped_is_done_when_the_call_is_back() -> None:
    line = held()
    line.take(KeyPressed("0"))
    line.hear(TWO)
    line.take(KeyPressed("1"))
    line.say(TWO)
    line.say(TWO)
    assert line.phase == "book"
    assert len(line.started) == 1


@pytest.mark.parametrize("under_way", [True, False])
def test_model_cannot_end_the_call_while_what_was_agreed_is_being_done(under_way: bool) -> None:
    line = running() if under_way else held()
    effects = line.call("end_call", {"reason": "caller_wants_to_stop"})
    assert "is being done" in refusal(effects)
    assert line.engine.state.closing is None
    if not under_way:
        assert len(started(line.hear(TWO))) == 1


@pytest.mark.parametrize(("reason", "end"), ENDS)
def test_commit_that_is_held_is_dropped_when_the_call_ends(
    reason: str, end: Callable[[Line], list[EngineEffect]]
) -> None:
    line = held()
    effects = end(line)
    assert ToolAnswered("commit-reserve-1", "reserve", "the call is ending", False, 0, refused=True) in written(effects)
    assert line.engine.state.closing == reason
    assert started(line.hear(TWO)) == []
    assert not line.engine.busy
    assert line.engine.deadline() is None
    assert restored(line).state == line.engine.state


@pytest.mark.parametrize(("reason", "end"), ENDS)
@pytest.mark.parametrize("ok", [True, False])
def test_commit_that_comes_back_during_the_goodbye_is_noted(
    reason: str, end: Callable[[Line], list[EngineEffect]], ok: bool
) -> None:
    line = running()
    end(line)
    assert line.engine.busy
    assert kinds(line.finish("so it is", ok=ok)) == ["ToolAnswered"]
    assert line.engine.standing.committed("reserve") is ok
    assert (line.phase, line.engine.state.closing) == ("book", reason)


@pytest.mark.parametrize("busy", [held, running])
def test_time_of_the_call_ends_it_whatever_is_under_way(busy: Callable[[], Line]) -> None:
    line = busy()
    assert kinds(line.engine.on_deadline(700.0))[0] == "TimeRanOut"
    assert line.engine.state.closing == "duration_limit"
    assert line.engine.state.held == {}


def test_caller_may_talk_on_while_it_works() -> None:
    line = running()
    line.say(ELSEWHERE)
    line.tell(THREE, seats=3)
    assert line.started == []
    assert line.phase == "book"
    line.finish("table nine")
    assert line.phase == "after"


def test_commit_of_another_phase_waits_its_turn() -> None:
    flow = Flow(
        goal="g",
        observations=Booking,
        rules=(Rule("two", when=Key("2"), then=To("b")),),
        phases=(
            Phase("a", observations=("seats",), commit=reserve.once(on_failure="c"), transitions=(To("c"),)),
            Phase("b", observations=("seats",), commit=pay.once(on_failure="c"), transitions=(To("c"),)),
            Phase("c", observations=("accepted",)),
        ),
    )
    line = Line(flow)
    line.turn()
    line.record(TWO, seats=2)
    line.take(KeyPressed("2"))
    line.turn()
    assert line.started == []
    line.hear(TWO, 1)
    assert [run.tool for run in line.started] == ["pay"]


def test_statements_are_said_beside_it() -> None:
    line = Line(booking(must_say=(NOTICE,)))
    line.tell(TWO, seats=2)
    assert spoken(line.effects) == ["That is 20 euro."]
    line.heard("price")
    line.finish("table nine")
    assert line.phase == "after"
