"""Flows read without their Python functions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voicebot.errors import FlowError
from voicebot.flow import (
    CallControl,
    CallEvent,
    Flow,
    HangUp,
    Observations,
    Phase,
    Report,
    To,
    ask,
    computed,
    handler,
    it,
    otherwise,
    tool,
)
from voicebot.flow.alone import flow_alone
from voicebot.flow.json_form import flow_to_json
from voicebot.flow.loader import load_folder

FLOWS = load_folder(Path(__file__).parents[2] / "flows").flows


def is_known(name: str) -> bool:
    return name == "Ada"


def capitalised(name: str) -> str:
    return name.capitalize()


def length(name: str) -> int:
    return len(name)


@tool
def look_up() -> str:
    """Look the caller up."""
    return ""


@tool
def book() -> str:
    """Book a table."""
    return ""


@handler("end")
def forward(event: CallEvent, call: CallControl) -> None:
    """Tell somebody."""


class Visit(Observations):
    name: str = ask("look_up", check=capitalised)  # a description that reads like a tool's name
    letters: int = computed(length, "how long the name is")
    sure: bool = ask("forward", needed_if=is_known)


FLOW = Flow(
    goal="book",
    observations=Visit,
    handlers=[forward],
    tools_everywhere=[look_up],
    phases=[
        Phase(
            "reception",
            instructions="look_up",
            observations=[it.name, it.sure],
            tools=[book.once(on_failure="bye")],
            success_criteria=[is_known],
            commit=book.once(on_failure="bye"),
            transitions=[To("bye")],
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
    report=Report(outcome={"known": is_known, "unknown": otherwise}),
)


@pytest.mark.parametrize("name", FLOWS)
def test_shipped_flow_is_read_without_its_file(name: str) -> None:
    document = FLOWS[name].document
    assert flow_to_json(flow_alone(document)) == document


def test_every_use_of_a_function_has_a_stand_in() -> None:
    document = flow_to_json(FLOW)
    alone = flow_alone(document)
    assert flow_to_json(alone) == document
    assert [one.name for one in alone.tools_in(alone.phases[0])] == ["book", "look_up"]
    assert [one.name for one in alone.handlers] == ["forward"]
    assert list(alone.once) == ["book"]


def test_guard_that_is_not_at_hand_holds_neither_way() -> None:
    alone = flow_alone(flow_to_json(FLOW))
    (criterion,) = alone.phases[0].success_criteria
    assert criterion.evaluate({"name": "Ada"}) is None
    needed_if = alone.specs["sure"].ask.needed_if
    assert needed_if is not None and needed_if.evaluate({"name": "Ada"}) is None
    assert [when.evaluate({}) for when in alone.report.outcome.values()] == [None, True]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "flow JSON: is not JSON"),
        ("\ud800", "flow JSON: is not JSON"),
        ("{", "flow JSON: is not JSON"),
        ("[]", "flow JSON: "),
        ('{"goal": "x"}', "flow JSON: .*phases"),
        ('{"goal": "x", "phases": [{"name": 5}]}', "flow JSON: "),
        ('{"goal": "x", "phases": 5, "handlers": {"a": "b"}}', "flow JSON: "),
        (json.dumps({"goal": "x", "phases": [{"name": "a", "tools": [["b"]]}]}), "flow JSON: "),
    ],
)
def test_what_is_no_flow_is_refused(document: str, words: str) -> None:
    with pytest.raises(FlowError, match=f"^{words}"):
        flow_alone(document)
