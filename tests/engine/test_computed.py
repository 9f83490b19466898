"""Fields that are worked out by us: again on every change, and gone with what they came from."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from tests.engine.line import Line, answer, entered, recorded, restored, spoken, weighings, written
from voicebot.engine.entries import ObservationRecorded, ObservationWithdrawn
from voicebot.flow import Flow, HangUp, Observations, Phase, Say, To, ask, computed, it, tool

MENU = {"pizza": Decimal("8.50"), "soup": Decimal("5.00")}


def price_of(items: list[str], tip: Decimal = Decimal(0)) -> Decimal:
    """What it all costs, in euro."""
    if len(items) > 5:
        raise ValueError("more than five dishes are a banquet; ask the kitchen first")
    return sum((MENU[item] for item in items), Decimal(0)) + tip


def tax_of(total: Decimal) -> Decimal:
    """The tax in it."""
    return (total / 10).quantize(Decimal("0.01"))


def text_of(tax: Decimal, total: Decimal) -> str:
    return f"{total} with {tax} tax"


def fee_of(mode: str) -> int:
    """The fee."""
    return 3 if mode == "delivery" else 0


class Order(Observations):
    bill: str = computed(text_of)  # declared before what it is worked out from
    tax: Decimal = computed(tax_of)
    total: Decimal = computed(price_of)
    items: list[Literal["pizza", "soup", "stone"]] = ask("what they would like")
    tip: Decimal = ask("a tip", optional=True)
    mode: Literal["pickup", "delivery"] = ask("pickup or delivery")
    fee: int = computed(fee_of, "the fee for bringing it", needed_if=it.mode == "delivery")
    accepted: bool = ask("a yes to the total")


ALL = Flow(goal="g", observations=Order, phases=(Phase("a"),))
DISHES = "a pizza and a soup please"
ELSEWHERE = "what is the weather like in Rome today"


def ordered(*items: str, flow: Flow = ALL) -> Line:
    line = Line(flow)
    line.tell(DISHES, items=list(items))
    return line


def amounts(line: Line) -> dict[str, Any]:
    return {name: line.known.get(name) for name in ("total", "tax", "bill")}


def test_field_is_worked_out_when_its_inputs_are_there() -> None:
    line = Line(ALL)
    line.say(DISHES)
    effects = line.call("record", {"items": {"value": ["pizza", "soup"], "quote": DISHES}})
    assert written(effects)[2:] == [
        ObservationRecorded("total", "13.50", "computed", "", 1),
        ObservationRecorded("tax", "1.35", "computed", "", 1),
        ObservationRecorded("bill", "13.50 with 1.35 tax", "computed", "", 1),
    ]
    assert line.engine.values["total"] == Decimal("13.50")
    assert restored(line).state == line.engine.state


def test_field_is_worked_out_again_on_every_change() -> None:
    line = ordered("pizza")
    assert amounts(line) == {"total": "8.50", "tax": "0.85", "bill": "8.50 with 0.85 tax"}
    line.record(DISHES, items=["pizza", "pizza"])
    assert amounts(line) == {"total": "17.00", "tax": "1.70", "bill": "17.00 with 1.70 tax"}
    line.record(DISHES, tip="3.00")
    assert amounts(line) == {"total": "20.00", "tax": "2.00", "bill": "20.00 with 2.00 tax"}


def test_same_result_is_not_written_again() -> None:
    line = ordered("pizza", "soup")
    effects = line.call("record", {"items": {"value": ["soup", "pizza"], "quote": DISHES}})
    assert recorded(effects) == {"items": ["soup", "pizza"]}


def test_field_that_reads_what_is_to_come_waits() -> None:
    line = Line(ALL)
    line.say(DISHES)
    line.record(DISHES, tip="3.00")
    assert "total" not in line.known
    line.record(DISHES, items=["pizza"])
    assert line.known["total"] == "11.50"


def test_field_with_a_default_does_not_wait_for_what_is_optional() -> None:
    assert ordered("pizza").known["total"] == "8.50"


def test_field_goes_with_what_it_came_from() -> None:
    line = Line(ALL)
    line.turn()
    line.record(DISHES, items=["pizza"])
    effects = line.hear(ELSEWHERE)
    assert recorded(effects) == {"items": None, "total": None, "tax": None, "bill": None}
    assert ObservationWithdrawn("total", "not_computed") in written(effects)
    assert line.known == {}
    assert restored(line).state == line.engine.state


def test_words_of_the_function_reach_the_model() -> None:
    line = ordered("pizza")
    line.say(DISHES)
    told = line.record(DISHES, items=["soup"] * 6)
    assert told["problems"] == {
        "total": "more than five dishes are a banquet; ask the kitchen first (worked out from items)"
    }
    assert amounts(line) == {"total": None, "tax": None, "bill": None}
    assert "problems" not in line.record(DISHES, items=["soup"])
    assert line.known["total"] == "5.00"


def test_model_is_told_in_every_reply_what_cannot_be_worked_out() -> None:
    line = ordered("pizza")
    assert "# Could not be worked out" not in line.engine.instructions(line.now)
    line.tell(DISHES, items=["soup"] * 6)
    said = "- total: more than five dishes are a banquet; ask the kitchen first (worked out from items)"
    assert said in line.engine.instructions(line.now).splitlines()
    line.tell(DISHES, items=["soup"])
    assert said not in line.engine.instructions(line.now)


def test_function_that_breaks_harms_nothing() -> None:
    told = ordered("pizza").record(DISHES, items=["stone"])
    assert told["accepted"] == ["items"]
    assert told["problems"] == {"total": "price_of failed (KeyError) (worked out from items)"}


@pytest.mark.parametrize(("mode", "fee"), [("delivery", 3), ("pickup", None)])
def test_field_is_worked_out_only_while_it_is_needed(mode: str, fee: int | None) -> None:
    line = ordered("pizza")
    line.record(DISHES, mode=mode)
    assert line.known.get("fee") == fee
    assert line.engine.status("fee") == ("filled" if fee else "not_needed")
    line.record(DISHES, mode="delivery")
    assert line.known["fee"] == 3
    line.record(DISHES, mode="pickup")
    assert "fee" not in line.known


# ---- the model has no say in it -----------------------------------------------------------------------------------


def test_field_is_neither_offered_nor_asked_for() -> None:
    line = ordered("pizza")
    (record,) = [offer for offer in line.engine.tools() if offer.name == "record"]
    properties: Any = record.parameters["properties"]
    assert list(properties) == ["items", "tip", "mode", "accepted"]
    assert "total" not in line.record(DISHES, mode="pickup")["still_missing"]
    assert "- total: 8.50" in line.engine.instructions(line.now)


def test_field_cannot_be_recorded() -> None:
    line = ordered("pizza")
    told = line.record(DISHES, total="1.00")
    assert "worked out from the other fields" in told["refused"]["total"]
    assert line.known["total"] == "8.50"


@tool
def cheapen() -> str:
    """Make it cheaper."""
    return ""


def test_tool_cannot_hand_it_in() -> None:
    line = Line(Flow(goal="g", observations=Order, phases=(Phase("a"),), tools_everywhere=(cheapen,)))
    line.say(DISHES)
    line.call("cheapen")
    effects = line.finish("done", total="1.00", items=["soup"])
    (told,) = [one.output for one in effects if hasattr(one, "output")]
    assert told == "done\ntotal was not recorded: it is worked out from the other fields"
    assert line.known["total"] == "5.00"


# ---- what it does to the call -------------------------------------------------------------------------------------

TOTAL = Say("That is {total} euro.", name="total")
CONFIRM = Flow(
    goal="g",
    observations=Order,
    phases=(
        Phase("order", observations=("items", "total"), transitions=(To("confirm"),)),
        Phase("confirm", must_say=(TOTAL,), observations=("accepted",), transitions=(To("bye"),)),
        Phase("bye", end=HangUp()),
    ),
)


def test_phase_may_wait_for_it() -> None:
    line = ordered("stone", flow=CONFIRM)
    assert line.phase == "order"
    line.record(DISHES, items=["soup"])
    assert line.phase == "confirm"


def test_phase_that_waits_for_it_does_not_ask_for_it() -> None:
    line = ordered("stone", flow=CONFIRM)
    told = line.record(DISHES, items=["stone", "soup"])
    assert told["still_missing"] == []
    assert "total" in told["problems"]
    assert "total" not in line.engine.instructions(line.now).partition("# Still to find out now")[2]


def test_change_unhears_what_quoted_it() -> None:
    line = ordered("pizza", flow=CONFIRM)
    assert line.engine.state.saying == {"total": "That is 8.50 euro."}
    line.heard("total")
    line.say("oh and a soup as well")
    effects = line.call("record", {"items": {"value": ["pizza", "soup"], "quote": "a soup as well"}})
    assert spoken(effects) == ["That is 13.50 euro."]
    line.tell("yes that is fine", accepted=True)
    assert line.phase == "confirm"
    line.heard("total")
    assert line.engine.state.closing == "completed"


def test_statement_is_not_said_while_its_value_is_gone() -> None:
    line = ordered("pizza", flow=CONFIRM)
    line.heard("total")
    line.say("six soups then")
    effects = line.call("record", {"items": {"value": ["soup"] * 6, "quote": "six soups then"}})
    assert spoken(effects) == []
    assert entered(effects) == [("order", "correction")]


def test_change_of_a_computed_field_may_change_the_path() -> None:
    flow = Flow(
        goal="g",
        observations=Order,
        phases=(
            Phase("order", observations=("items",), transitions=(To("manager", when=it.total > 20), To("confirm"))),
            Phase("manager", observations=("tip",), success_criteria=(it.tip.filled,), transitions=(To("confirm"),)),
            Phase("confirm", observations=("accepted",)),
        ),
    )
    line = ordered("pizza", flow=flow)
    assert line.phase == "confirm"
    line.tell("three pizzas I mean", items=["pizza"] * 3)
    assert (line.phase, line.causes[-1]) == ("manager", "correction")


def test_new_answer_that_changes_a_computed_field_may_change_the_path() -> None:
    flow = Flow(
        goal="g",
        observations=Order,
        phases=(
            Phase("order", observations=("items", "tip"), transitions=(To("manager", when=it.total > 20), To("b"))),
            Phase("manager", observations=("mode",), transitions=(To("b"),)),
            Phase("b", observations=("accepted",)),
        ),
    )
    line = ordered("pizza", flow=flow)
    assert line.phase == "b"
    line.tell("and a fat tip of twenty euro", tip="20")
    assert (line.phase, line.causes[-1]) == ("manager", "correction")


def test_it_waits_for_evidence_like_what_it_came_from() -> None:
    line = Line(ALL)
    line.turn()
    line.record(DISHES, items=["pizza"])
    assert line.evidence("total") == "confirmed"
    assert line.engine.standing.unweighed()
    assert weighings(line.hear(DISHES)) == [("items", "value", "confirmed")]


# ---- functions that are not nice ----------------------------------------------------------------------------------


def nonsense(items: list[str]) -> Any:
    """Whatever."""
    values = {"pizza": math.nan, "soup": math.inf, "stone": "\ud800"}
    return values[items[0]] if items else None


class Odd(Observations):
    items: list[str] = ask("items")
    number: float = computed(nonsense)
    word: str = computed(nonsense)
    small: Annotated[int, Field(le=3)] = computed(nonsense)


@pytest.mark.parametrize("item", ["pizza", "soup", "stone"])
def test_value_that_has_no_place_in_a_journal_is_none(item: str) -> None:
    line = Line(Flow(goal="g", observations=Odd, phases=(Phase("a"),)))
    told = line.tell(DISHES, items=[item])
    assert line.known == {"items": [item]}
    assert set(told["problems"]) == {"number", "word", "small"}


def test_none_is_no_value() -> None:
    line = Line(Flow(goal="g", observations=Odd, phases=(Phase("a"),)))
    told = line.tell(DISHES, items=[])
    assert line.known == {"items": []}
    assert set(told["problems"]) == {"number", "word", "small"}


def there(back: int = 0) -> int:
    """There and back again."""
    return 1 - back


def back(there: int = 0) -> int:
    """And back."""
    return there


class Circle(Observations):
    items: list[str] = ask("items")
    there: int = computed(there)
    back: int = computed(back)


def test_circle_comes_to_rest() -> None:
    line = Line(Flow(goal="g", observations=Circle, phases=(Phase("a"),)))
    line.say(DISHES)
    for _ in range(3):
        assert len(recorded(line.call("record", {"items": {"value": [], "quote": DISHES}}))) <= 3
    assert answer(line.call("end_call", {"reason": "goal_reached"})) == {"ending": True}


def other(elsewhere: str) -> str:
    """Reads what is no observation."""
    return elsewhere


class Lost(Observations):
    items: list[str] = ask("items")
    never: str = computed(other)


def test_function_that_reads_no_observation_harms_nothing() -> None:
    line = Line(Flow(goal="g", observations=Lost, phases=(Phase("a"),)))
    assert line.tell(DISHES, items=["soup"])["problems"] == {"never": "other failed (TypeError)"}
    assert line.known == {"items": ["soup"]}
