"""Answers about other values: they count if they are said after these, and are none any more when one changes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import pytest

from tests.engine.line import Line, answers, entered, recorded, restored, written
from voicebot.engine.entries import ObservationWithdrawn
from voicebot.flow import Flow, HangUp, Observations, Phase, Say, To, ask, computed, heard, it

PRICES = {"pizza": Decimal("8.50"), "soup": Decimal("5.00"), "pie": Decimal("5.00")}


def price_of(items: list[str]) -> Decimal:
    """What it all costs."""
    if len(items) > 5:
        raise ValueError("too many; ask the kitchen first")
    return sum((PRICES[item] for item in items), Decimal(0))


class Order(Observations):
    accepted: bool = ask("a clear yes or no to the total", about=it.total)
    items: list[Literal["pizza", "soup", "pie"]] = ask("what they would like")
    day: str = ask("on which day")
    sure: bool = ask("whether the day is certain", about=[it.day, it.accepted], optional=True)
    total: Decimal = computed(price_of)


ONE = Flow(goal="g", observations=Order, phases=(Phase("a", observations=("items", "accepted")),))
STEPS = Flow(
    goal="g",
    observations=Order,
    phases=(
        Phase("order", observations=("items",), transitions=(To("confirm"),)),
        Phase(
            "confirm",
            observations=("accepted",),
            must_say=(Say("That is {total}.", name="total"),),
            success_criteria=(heard("total"),),
            transitions=(To("when", when=it.accepted.yes), To("bye")),
        ),
        Phase("when", observations=("day",), transitions=(To("bye"),)),
        Phase("bye", end=HangUp()),
    ),
)
PIZZA, YES, MORE, WHEN = "a pizza please", "yes that is fine", "and a soup as well", "on Friday then"
CHANGED = "it was about total, which has changed: ask anew"


def accepted(flow: Flow = ONE) -> Line:
    line = Line(flow)
    line.tell(PIZZA, items=["pizza"])
    if line.engine.state.saying:
        line.heard("total")
    line.tell(YES, accepted=True)
    return line


def test_answer_goes_when_what_it_was_about_changes() -> None:
    line = accepted()
    assert line.known["accepted"] is True
    line.say(MORE)
    effects = line.call("record", {"items": {"value": ["pizza", "soup"], "quote": MORE}})
    assert recorded(effects) == {"items": ["pizza", "soup"], "total": "13.50", "accepted": None}
    assert ObservationWithdrawn("accepted", "outdated") in written(effects)
    assert [*answers(effects).values()] == [
        '{"accepted": ["items"], "taken_back": {"accepted": "' + CHANGED + '"}, "still_missing": ["accepted"]}'
    ]
    assert restored(line).state == line.engine.state
    line.tell(YES, accepted=True)
    assert line.known["accepted"] is True
    assert line.engine.missing() == []


@pytest.mark.parametrize("names", [("items", "accepted"), ("accepted", "items")])
def test_yes_in_the_breath_of_a_change_is_none(names: tuple[str, str]) -> None:
    line = accepted()
    line.say(MORE)
    values: dict[str, Any] = {"items": ["soup"], "accepted": True}
    told = line.record(MORE, **{name: values[name] for name in names})
    assert told["accepted"] == [*names]
    assert told["taken_back"] == {"accepted": CHANGED}
    assert "accepted" not in line.known


def test_yes_before_there_is_anything_to_accept_is_none() -> None:
    line = Line(ONE)
    told = line.tell(PIZZA, items=["pizza"], accepted=True)
    assert told["still_missing"] == ["accepted"]
    assert line.known == {"items": ["pizza"], "total": "8.50"}


def test_change_that_leaves_the_value_alone_leaves_the_answer_too() -> None:
    line = accepted()
    line.tell("no, a pizza and nothing else", items=["pizza"])
    assert line.known["accepted"] is True
    line.tell("two soups instead", items=["soup", "soup"])
    line.tell(YES, accepted=True)
    told = line.tell("no, a soup and a pie", items=["soup", "pie"])  # they cost the same
    assert "taken_back" not in told
    assert line.known["accepted"] is True


def test_same_value_said_again_is_as_old_as_before() -> None:
    line = accepted()
    line.say("as I said, a pizza, and yes")
    told = line.record("as I said, a pizza, and yes", items=["pizza"], accepted=True)
    assert "taken_back" not in told
    assert line.known["accepted"] is True


def test_answer_goes_with_a_value_that_cannot_be_told_any_more() -> None:
    line = accepted()
    told = line.tell("six soups", items=["soup"] * 6)
    assert told["taken_back"] == {"accepted": CHANGED}
    assert "total" in told["problems"]


def test_answer_about_an_answer_goes_with_it() -> None:
    line = accepted(Flow(goal="g", observations=Order, phases=(Phase("a"),)))
    line.tell(WHEN, day="Friday")
    line.tell("yes, certainly", sure=True)
    told = line.tell(MORE, items=["pizza", "soup"])
    assert told["taken_back"] == {
        "accepted": CHANGED,
        "sure": "it was about day and accepted, which has changed: ask anew",
    }
    assert line.engine.status("sure") == "unasked"


def test_answer_goes_when_nobody_said_the_new_value() -> None:
    line = accepted()
    line.turn()
    line.record(MORE, items=["pizza", "soup"])
    line.turn()
    line.record("yes fine", accepted=True)
    line.hear("a table by the window would be nice", turn=3)
    assert (line.known["items"], line.known["total"]) == (["pizza"], "8.50")
    assert "accepted" not in line.known  # it was a yes to 13.50
    assert restored(line).state == line.engine.state


def test_call_comes_back_for_the_answer_and_goes_on_where_it_was() -> None:
    line = accepted(STEPS)
    assert line.phase == "when"
    line.say(MORE)
    effects = line.call("record", {"items": {"value": ["pizza", "soup"], "quote": MORE}})
    assert entered(effects) == [("confirm", "correction")]
    line.heard("total")
    assert line.phase == "confirm"  # the new total was heard, but not yet agreed to
    line.tell(YES, accepted=True)
    assert (line.phase, line.causes[-1]) == ("when", "return")
