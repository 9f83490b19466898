"""The functions a phase offers: schemas that any model can fill in, closed against invention."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Literal

import jsonschema
import pytest

from voicebot.engine.engine import PhaseEngine
from voicebot.engine.events import CallContext, CallStarted, KeyPressed
from voicebot.engine.offers import (
    END_REASONS,
    apply_rule_offer,
    end_call_offer,
    judge_offer,
    record_offer,
    request_phase_offer,
    tool_offers,
)
from voicebot.flow import (
    Flow,
    HangUp,
    Key,
    Observations,
    Phase,
    PhoneNumber,
    Rule,
    Say,
    To,
    ToolContext,
    ask,
    computed,
    it,
    judged,
    tool,
)
from voicebot.flow.tools import RESERVED
from voicebot.tool_schema import ToolSchema


class Visit(Observations):
    name: str = ask("the caller's full name")
    day: date = ask("the day they want")
    how: Literal["here", "online"] = ask("here or online", optional=True)
    phone: PhoneNumber = ask("a number to call back", confirm="read back")


RULES = (
    Rule("human", when="the caller asks for a human being", then=To("bye")),
    Rule("off_topic", when="the caller speaks of something else", then=Say("I cannot help with that.")),
)


@tool
def free_days(context: ToolContext, month: Literal["march", "april"]) -> str:
    """Which days are free."""
    return f"{context.call_sid} {month}"


FLOW = Flow(
    goal="g",
    observations=Visit,
    tools_everywhere=(free_days,),
    phases=(
        Phase("a", observations=("name", "day", "how"), transitions=(To("b"),), may_jump=("b", "bye")),
        Phase("b", observations=("phone",)),
        Phase("bye", end=HangUp()),
    ),
)
SPECS = list(FLOW.specs.values())
OFFERS = [
    record_offer(SPECS),
    judge_offer(["the caller is sure", "the caller is calm"]),
    apply_rule_offer(RULES),
    request_phase_offer(FLOW.phases[0]),
    end_call_offer(),
    *tool_offers([free_days]),
]


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.name)
def test_parameters_are_a_closed_object(offer: ToolSchema) -> None:
    jsonschema.Draft202012Validator.check_schema(offer.parameters)
    assert offer.parameters["type"] == "object"
    assert offer.parameters["additionalProperties"] is False
    assert offer.description


def test_names_of_the_engine_are_reserved() -> None:
    assert {offer.name for offer in OFFERS} - {"free_days"} <= RESERVED


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({}, True),
        ({"name": {"value": "Ada", "quote": "Ada"}}, True),
        ({"name": {"value": "Ada", "quote": "Ada"}, "day": {"value": "2026-03-01", "quote": "the first"}}, True),
        ({"how": {"declined": True, "quote": "no"}}, True),
        ({"name": {"value": "Ada"}}, False),
        ({"name": "Ada"}, False),
        ({"name": {"value": 7, "quote": "so"}}, False),
        ({"how": {"value": "by mail", "quote": "so"}}, False),
        ({"name": {"value": "Ada", "quote": "Ada", "sure": True}}, False),
        ({"nmae": {"value": "Ada", "quote": "Ada"}}, False),
        ({"phone": {"confirmed": True, "quote": "yes"}}, True),
        ({"phone": {"value": "+14155550123", "confirmed": True, "quote": "yes"}}, True),
        ({"phone": {"confirmed": True}}, False),
        ({"phone": {"confirmed": "yes", "quote": "yes"}}, False),
        ({"name": {"confirmed": True, "quote": "yes"}}, False),
    ],
)
def test_record_asks_for_value_and_quote(arguments: object, fits: bool) -> None:
    assert jsonschema.Draft202012Validator(record_offer(SPECS).parameters).is_valid(arguments) is fits


def test_record_describes_each_field() -> None:
    properties: Any = record_offer(SPECS).parameters["properties"]
    assert {name: field["description"] for name, field in properties.items()} == {
        "name": "the caller's full name",
        "day": "the day they want",
        "how": "here or online",
        "phone": "a number to call back",
    }
    assert properties["day"]["properties"]["value"] == {"type": "string", "format": "date"}


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"criterion": "the caller is sure", "holds": True, "quote": "yes"}, True),
        ({"criterion": "the caller is sure", "holds": False, "quote": "hm"}, True),
        ({"criterion": "the caller is tall", "holds": True, "quote": "yes"}, False),
        ({"criterion": "the caller is sure", "holds": "true", "quote": "yes"}, False),
        ({"criterion": "the caller is sure", "holds": True}, False),
        ({"holds": True, "quote": "yes"}, False),
    ],
)
def test_judge_asks_for_criterion_verdict_and_quote(arguments: object, fits: bool) -> None:
    offer = judge_offer(["the caller is sure", "the caller is calm"])
    assert jsonschema.Draft202012Validator(offer.parameters).is_valid(arguments) is fits


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"rule": "human", "quote": "a human please"}, True),
        ({"rule": "human"}, False),
        ({"rule": "robot", "quote": "a robot please"}, False),
        ({"rule": "human", "quote": "a human please", "phase": "bye"}, False),
    ],
)
def test_rule_asks_for_its_name_and_a_quote(arguments: object, fits: bool) -> None:
    assert jsonschema.Draft202012Validator(apply_rule_offer(RULES).parameters).is_valid(arguments) is fits


def test_rules_are_told_with_when_they_apply() -> None:
    assert "human: the caller asks for a human being; off_topic: the caller speaks of something else." in (
        apply_rule_offer(RULES).description
    )


def test_jump_lists_where_it_may_go() -> None:
    properties: Any = request_phase_offer(FLOW.phases[0]).parameters["properties"]
    assert properties["phase"]["enum"] == ["b", "bye"]


def test_end_lists_its_reasons() -> None:
    properties: Any = end_call_offer().parameters["properties"]
    assert properties["reason"]["enum"] == list(END_REASONS)


def test_tool_is_offered_without_its_context() -> None:
    (offer,) = tool_offers([free_days])
    properties: Any = offer.parameters["properties"]
    assert (offer.name, offer.description, list(properties)) == ("free_days", "Which days are free.", ["month"])


def test_engine_offers_what_is_open_in_the_phase() -> None:
    engine = PhaseEngine(FLOW, CallContext("CA1", None, None, datetime(2026, 3, 1, tzinfo=UTC)))
    engine.handle(CallStarted(), 0.0)
    record, jump, own, end = engine.tools()
    assert record == record_offer([FLOW.specs[name] for name in ("name", "day", "how")])
    assert jump == request_phase_offer(FLOW.phases[0])
    assert (own, end) == (*tool_offers([free_days]), end_call_offer())
    assert it.name.filled.evaluate(engine.values) is False


def days_until(day: date) -> int:
    """How many days it takes."""
    return day.day


class Trip(Observations):
    day: date = ask("the day")
    days: int = computed(days_until)


@tool
def buy(day: date) -> str:
    """Buy a ticket."""
    return str(day)


def test_engine_offers_what_the_phase_decides_by() -> None:
    phases = (
        Phase(
            "a",
            observations=("day", "days"),
            success_criteria=(judged("the caller is sure"),),
            transitions=(To("b", when=judged("the caller is calm")), To("bye")),
            commit=buy.once(on_failure="b"),
        ),
        Phase("b", tools=(free_days.once(on_failure="a"),)),
        Phase("bye", end=HangUp()),
    )
    key = Rule("zero", when=Key("0"), then=To("bye"))
    flow = Flow(goal="g", observations=Trip, rules=(*RULES, key), phases=phases)
    engine = PhaseEngine(flow, CallContext("CA1", None, None, datetime(2026, 3, 1, tzinfo=UTC)))
    engine.handle(CallStarted(), 0.0)
    assert engine.tools() == (
        record_offer([flow.specs["day"]]),  # neither what is worked out
        judge_offer(["the caller is sure", "the caller is calm"]),
        apply_rule_offer(RULES),  # nor what a key does
        end_call_offer(),  # nor the commit
    )
    engine.handle(KeyPressed("0"), 1.0)
    assert engine.tools() == ()
