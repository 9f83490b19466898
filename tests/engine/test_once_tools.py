"""Tools with an effect outside, called by the model: once in a call, and only on words that were said."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from tests.engine.line import (
    Line,
    answers,
    entered,
    kinds,
    notes,
    outputs,
    quoting,
    refusal,
    restored,
    spoken,
    written,
)
from voicebot.engine.engine import EVIDENCE_LIMIT_S
from voicebot.engine.entries import ProposalRefused, ToolAnswered, ToolHeld, ToolStarted
from voicebot.engine.events import RunTool, ToolFinished
from voicebot.flow import Flow, HangUp, Observations, Phase, PhoneNumber, Say, To, ask, it, tool

TWO = "a table for two please"
THREE = "make it three of us then"
ELSEWHERE = "what is the weather like in Rome today"


class Booking(Observations):
    seats: int = ask("how many")
    name: str = ask("a name")
    phone: PhoneNumber = ask("a number", default_from="caller")
    note: str = ask("a note", optional=True)


@tool(filler="One moment.")
def reserve(seats: Annotated[int, Field(ge=1)]) -> str:
    """Reserve a table."""
    return str(seats)


@tool
def look_up(name: str) -> str:
    """Look somebody up."""
    return name


SORRY = Say("I am sorry, that did not work.", name="sorry")


def flow(*, idempotent: bool = False, unverified: Any = "ask") -> Flow:
    return Flow(
        goal="g",
        observations=Booking,
        tools_everywhere=(
            reserve.once(on_failure="failed", idempotent=idempotent, unverified=unverified),
            look_up,
        ),
        phases=(
            Phase("a", observations=("seats", "note"), transitions=(To("b"),)),
            Phase("b", observations=("name",), transitions=(To("bye"),)),
            Phase("failed", must_say=(SORRY,), observations=("note",), success_criteria=(it.note.filled,)),
            Phase("bye", end=HangUp()),
        ),
    )


def talking(**given: Any) -> Line:
    line = Line(flow(**given))
    line.say(TWO)
    line.effects.clear()
    return line


def running(**given: Any) -> Line:
    line = talking(**given)
    line.call("reserve", {"seats": 2})
    line.effects.clear()
    return line


def held(**given: Any) -> Line:
    """It was called on words whose transcript is still to come."""
    line = Line(flow(**given))
    line.turn()
    line.record(TWO, seats=2)
    line.call("reserve", {"seats": 2})
    assert list(line.engine.state.held) == ["call-2"]
    line.effects.clear()
    return line


# ---- once ---------------------------------------------------------------------------------------------------------


def test_tool_runs_with_a_key_of_its_own() -> None:
    line = talking()
    assert line.call("reserve", {"seats": 2})[1:] == [RunTool("call-1", "reserve", {"seats": 2}, "CA1:reserve")]
    assert [say.text for say in line.engine.fillers()] == ["One moment."]
    assert line.call("look_up", {"name": "Ada"})[1:] == [RunTool("call-2", "look_up", {"name": "Ada"}, "CA1:call-2")]
    assert restored(line).state == line.engine.state


def test_tool_gives_its_first_result_when_asked_again() -> None:
    line = running()
    assert answers(line.finish("table nine")) == {"call-1": "table nine"}
    assert answers(line.call("reserve", {"seats": 2})) == {"call-2": "table nine"}
    line.tell(TWO, seats=2)
    assert answers(line.call("reserve", {"seats": 3})) == {"call-4": "table nine"}
    assert line.started == []


def test_tool_at_work_is_not_started_again() -> None:
    line = running()
    assert "being done already" in refusal(line.call("reserve", {"seats": 2}))
    assert "being done already" in refusal(held().call("reserve", {"seats": 3}))


def test_tool_runs_once_within_a_response() -> None:
    line = talking()
    effects = line.together(("reserve", {"seats": 2}), ("reserve", {"seats": 2}), ("look_up", {"name": "Ada"}))
    assert [effect.tool for effect in effects if isinstance(effect, RunTool)] == ["reserve", "look_up"]
    assert list(outputs(effects)) == ["call-2"]


def test_tools_that_do_not_run_once_may_run_again() -> None:
    line = talking()
    for _ in range(2):
        line.call("look_up", {"name": "Ada"})
        line.finish("found")
    assert [run.tool for run in line.started] == ["look_up", "look_up"]


@pytest.mark.parametrize("arguments", [{}, {"seats": 0}, {"seats": 2, "vip": True}, "[]", "{"])
def test_arguments_that_do_not_fit_are_refused(arguments: object) -> None:
    line = talking()
    refusal(line.call("reserve", arguments))
    assert line.call("reserve", {"seats": 2})[-1] == RunTool("call-2", "reserve", {"seats": 2}, "CA1:reserve")


# ---- when it does not work ----------------------------------------------------------------------------------------


def test_refused_tool_did_nothing_and_may_be_called_again() -> None:
    line = running()
    effects = line.finish("we are full", ok=False, refused=True)
    assert kinds(effects) == ["ToolAnswered", "Answer"]
    assert entered(effects) == []
    assert line.call("reserve", {"seats": 3})[-1] == RunTool("call-2", "reserve", {"seats": 3}, "CA1:reserve")


def test_failed_tool_takes_the_way_of_failure_and_never_runs_again() -> None:
    line = running()
    effects = line.finish("it broke", ok=False)
    assert kinds(effects)[:4] == ["ToolAnswered", "Answer", "PhaseEntered", "ConfigurePhase"]
    assert entered(effects) == [("failed", "failure")]
    assert spoken(effects) == ["I am sorry, that did not work."]
    assert "it is not known whether this was done" in refusal(line.call("reserve", {"seats": 2}))
    assert restored(line).state == line.engine.state


def test_failed_tool_that_may_be_repeated_runs_again_with_the_same_key() -> None:
    line = running(idempotent=True)
    line.finish("it broke", ok=False)
    assert line.phase == "failed"
    assert line.call("reserve", {"seats": 2})[-1] == RunTool("call-2", "reserve", {"seats": 2}, "CA1:reserve")
    assert answers(line.finish("table nine")) == {"call-2": "table nine"}
    assert answers(line.call("reserve", {"seats": 2})) == {"call-3": "table nine"}


def test_failure_after_a_refusal_is_a_failure() -> None:
    line = running()
    line.finish("full", ok=False, refused=True)
    line.call("reserve", {"seats": 3})
    line.finish("it broke", ok=False)
    assert line.phase == "failed"
    assert "not known" in refusal(line.call("reserve", {"seats": 2}))


def test_failure_of_another_tool_is_only_told() -> None:
    line = talking()
    line.call("look_up", {"name": "Ada"})
    assert kinds(line.finish("it broke", ok=False)) == ["ToolAnswered", "Answer"]
    assert line.phase == "a"


def test_tool_that_hands_in_and_fails_is_answered_with_both() -> None:
    line = running()
    effects = line.finish("it broke", ok=False, name="Ada", nobody=1, phone="none")
    (told,) = answers(effects).values()
    assert told.splitlines() == [
        "it broke",
        "nobody was not recorded: there is no such field",
        f"phone was not recorded: {_problem(effects, 'phone')}",
    ]
    assert line.known["name"] == "Ada"
    assert line.phase == "failed"


def _problem(effects: Any, subject: str) -> str:
    (problem,) = [e.problem for e in written(effects) if isinstance(e, ProposalRefused) and e.subject == subject]
    return problem


# ---- evidence -----------------------------------------------------------------------------------------------------


def test_tool_waits_for_the_transcript() -> None:
    line = Line(flow())
    line.turn()
    line.record(TWO, seats=2)
    effects = line.call("reserve", {"seats": 2})
    assert effects[0].entry == ToolHeld("call-2", "reserve", '{"seats": 2}', False)  # type: ignore[union-attr]
    assert len(effects) == 1
    assert line.engine.busy
    assert line.engine.deadline() == line.now + EVIDENCE_LIMIT_S
    effects = line.hear(TWO)
    assert written(effects)[-1] == ToolStarted("call-2", "reserve", '{"seats": 2}')
    assert effects[-1] == RunTool("call-2", "reserve", {"seats": 2}, "CA1:reserve")
    assert answers(line.finish("table nine")) == {"call-2": "table nine"}
    assert restored(line).state == line.engine.state


def test_tool_runs_at_last_without_a_transcript_if_it_may() -> None:
    line = held(unverified="go")
    assert line.wait(EVIDENCE_LIMIT_S)[-1] == RunTool("call-2", "reserve", {"seats": 2}, "CA1:reserve")
    line = held(unverified="go")
    assert line.miss()[-1] == RunTool("call-2", "reserve", {"seats": 2}, "CA1:reserve")


def test_tool_is_refused_if_nobody_said_so() -> None:
    line = held()
    effects = line.hear(ELSEWHERE)
    problem = "nobody said so: seats"
    assert ToolAnswered("call-2", "reserve", problem, False, 0, refused=True) in written(effects)
    assert outputs(effects) == {"call-2": {"refused": problem}}
    assert "seats" in notes(effects)[0]
    assert line.started == []
    assert not line.engine.busy
    line.tell(THREE, seats=3)
    line.call("reserve", {"seats": 3})
    assert len(line.started) == 1


def test_tool_that_does_not_run_once_waits_for_nothing() -> None:
    line = Line(flow())
    line.turn()
    line.record(TWO, seats=2)
    assert isinstance(line.call("look_up", {"name": "Ada"})[-1], RunTool)


def test_result_of_a_tool_that_is_held_is_ignored() -> None:
    line = held()
    assert line.take(ToolFinished("call-2", "too early", ok=True)) == []
    assert list(line.engine.state.held) == ["call-2"]


def test_several_tools_may_be_held() -> None:
    flow_of_two = Flow(
        goal="g",
        observations=Booking,
        tools_everywhere=(reserve.once(on_failure="a"), look_up.once(on_failure="a")),
        phases=(Phase("a", observations=("seats", "name")),),
    )
    line = Line(flow_of_two)
    line.turn()
    line.together(("reserve", {"seats": 2}), ("record", quoting(TWO, seats=2)), ("look_up", {"name": "Ada"}))
    assert list(line.engine.state.held) == ["call-1", "call-3"]
    line.hear(TWO)
    assert [run.tool for run in line.started] == ["reserve", "look_up"]


# ---- what happens meanwhile ---------------------------------------------------------------------------------------


def test_tool_that_is_held_is_answered_when_the_call_ends() -> None:
    line = held()
    effects = line.call("end_call", {"reason": "caller_wants_to_stop"})
    assert outputs(effects)["call-2"] == {"refused": "the call is ending"}
    assert kinds(effects).index("ToolAnswered") < kinds(effects).index("ClosingBegan")
    assert not line.engine.busy
    line.hear(TWO)
    assert line.started == []


def test_tool_is_not_started_once_the_call_ends() -> None:
    line = talking()
    effects = line.together(("end_call", {"reason": "caller_wants_to_stop"}), ("reserve", {"seats": 2}))
    assert outputs(effects)["call-2"] == {"refused": "the call is ending"}
    assert not line.engine.busy


@pytest.mark.parametrize("ok", [True, False])
def test_result_that_comes_during_the_goodbye_is_answered(ok: bool) -> None:
    line = running()
    line.call("end_call", {"reason": "caller_wants_to_stop"})
    effects = line.finish("so it is", ok=ok)
    assert kinds(effects) == ["ToolAnswered", "Answer"]
    assert line.phase == "a"
    assert line.engine.standing.committed("reserve") is ok


def test_tool_goes_on_beside_the_phases() -> None:
    line = running()
    line.tell(TWO, seats=2)
    assert line.phase == "b"
    assert answers(line.finish("table nine")) == {"call-1": "table nine"}
    assert line.phase == "b"


def test_tool_of_the_phase_may_run_once_too() -> None:
    line = Line(
        Flow(
            goal="g",
            observations=Booking,
            phases=(
                Phase("a", observations=("seats",), tools=(reserve.once(on_failure="b"),), transitions=(To("b"),)),
                Phase("b", observations=("name",)),
            ),
        )
    )
    line.say(TWO)
    assert line.offered() == ["record", "reserve", "end_call"]
    line.call("reserve", {"seats": 2})
    line.finish("table nine")
    line.record(TWO, seats=2)
    assert line.offered() == ["record", "end_call"]
    assert "not available now" in refusal(line.call("reserve", {"seats": 2}))
