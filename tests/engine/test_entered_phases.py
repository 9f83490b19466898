"""Phases as they are entered: what is known before, what is said in them, and what the model is told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.engine.line import Line, entered, notes, spoken
from voicebot.engine.events import Answer, EngineEffect, KeyPressed
from voicebot.flow import (
    Flow,
    HangUp,
    Key,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    PhoneNumber,
    Rule,
    Say,
    To,
    ask,
    computed,
    heard,
    it,
    tool,
)


def price_of(size: str, mode: str) -> int:
    """the price"""
    if mode == "delivery" and size == "small":
        raise ValueError("we deliver large ones only")
    return {"small": 8, "large": 10}[size] + (2 if mode == "delivery" else 0)


class Order(Observations):
    size: str = ask("small or large")
    mode: str = ask("pickup or delivery")
    price: int = computed(price_of)
    accepted: bool = ask("a yes to the price")
    phone: PhoneNumber = ask("a number", default_from="caller")


@tool
def cook(size: str) -> str:
    """Cook it."""
    return "done"


FLOW = Flow(
    goal="g",
    observations=Order,
    rules=(Rule("zero", when=Key("0"), then=To("human")),),
    limits=Limits(phase=PhaseLimits(turns=2, then="human")),
    phases=(
        Phase("order", observations=(it.size, it.mode), success_criteria=(it.price.filled,), transitions=(To("sure"),)),
        Phase(
            "sure",
            must_say=(Say("That is {price} euro.", name="price"),),
            observations=(it.accepted,),
            success_criteria=(heard("price"),),
            transitions=(To("kitchen"),),
        ),
        Phase(
            "kitchen",
            success_criteria=(it.accepted.yes,),
            commit=cook.once(on_failure="human"),
            transitions=(To("bye"),),
        ),
        Phase("human", observations=(it.phone,), transitions=(To("bye"),)),
        Phase("bye", end=HangUp()),
    ),
)


def at_the_price() -> Line:
    line = Line(FLOW)
    line.tell("a large one to take away", size="large", mode="pickup")
    assert line.phase == "sure"
    return line


def last_answer(effects: list[EngineEffect]) -> object:
    return json.loads([effect for effect in effects if isinstance(effect, Answer)][-1].output)


# ---- a phase in which nothing is missing ----------------------------------------------------------------------------


def by_key(line: Line) -> list[EngineEffect]:
    return line.take(KeyPressed("0"))


def by_turns(line: Line) -> list[EngineEffect]:
    return [effect for _ in range(3) for effect in line.say("er, well")]


@pytest.mark.parametrize("sent", [by_key, by_turns])
def test_phase_one_is_sent_to_has_a_turn_though_nothing_is_missing(
    sent: Callable[[Line], list[EngineEffect]],
) -> None:
    line = at_the_price()
    sent(line)
    assert line.phase == "human"
    line.heard("price")  # something of the phase before: it is no reason to move on
    assert line.phase == "human"
    assert entered(line.say("thank you")) == [("bye", "criteria")]


def test_phase_after_a_failure_has_a_turn_though_nothing_is_missing() -> None:
    line = at_the_price()
    line.heard("price")
    line.tell("yes please", accepted=True)
    line.finish("it broke", ok=False)
    assert line.phase == "human"
    assert entered(line.say("what a pity")) == [("bye", "criteria")]


def test_phase_on_the_way_is_passed_when_nothing_is_missing() -> None:
    line = at_the_price()
    line.heard("price")
    line.tell("yes please", accepted=True)
    assert [one.tool for one in line.started] == ["cook"]
    assert entered(line.finish())[-1] == ("bye", "criteria")


# ---- a reply that would come too soon -------------------------------------------------------------------------------


def test_call_that_moves_on_when_heard_says_so() -> None:
    line = at_the_price()
    assert not line.engine.leaves_when_heard  # a yes is still missing
    line.tell("yes please", accepted=True)
    assert line.engine.leaves_when_heard
    line.heard("price", complete=False)
    assert line.engine.leaves_when_heard is bool(line.engine.state.saying)
    line.turn()  # it is said again
    assert line.engine.leaves_when_heard
    line.heard("price")
    assert line.phase == "kitchen"
    assert not line.engine.leaves_when_heard


def test_changed_price_is_heard_before_the_call_goes_on() -> None:
    line = at_the_price()
    line.heard("price")
    line.say("please bring it")
    effects = line.together(
        ("record", {"mode": {"value": "delivery", "quote": "please bring it"}}),
        ("record", {"accepted": {"value": True, "quote": "please bring it"}}),
    )
    assert spoken(effects) == ["That is 12 euro."]
    assert line.engine.leaves_when_heard
    assert entered(line.heard("price")) == [("kitchen", "criteria")]


# ---- what the model is told -----------------------------------------------------------------------------------------


def test_model_is_told_why_the_call_is_back_where_it_was() -> None:
    line = Line(FLOW)
    line.tell("a small one to take away", size="small", mode="pickup")
    assert line.phase == "sure"
    line.say("please bring it")
    effects = line.call("record", {"mode": {"value": "delivery", "quote": "please bring it"}})
    assert entered(effects) == [("order", "correction")]
    assert last_answer(effects) == {
        "accepted": ["mode"],
        "next": "This part is complete. Go on with the new instructions.",
        "problems": {"price": "we deliver large ones only (worked out from size, mode)"},
    }


def test_goodbye_knows_what_the_commit_came_to() -> None:
    line = at_the_price()
    line.heard("price")
    line.tell("yes please", accepted=True)
    effects = line.finish("ready in ten minutes")
    assert line.phase == "bye"
    assert notes(effects) == ["cook has been done: ready in ten minutes"]
