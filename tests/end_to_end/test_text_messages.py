"""A tool has a text message sent to the caller: through Twilio's REST API, counted, and in journal and report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sim.virtual_time import virtual
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ToolContext, ask, it, tool
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.caller import Say as Speak
from voicebot.sim.scenario import Exchange, Expected, Scenario
from voicebot.sim.stage import OWN_NUMBERS, Stage, stage
from voicebot.sim.twilio_rest import RestAnswer

TEXT = "Your table is booked for Monday."


class Table(Observations):
    day: str = ask("the day")


@tool
async def confirm(context: ToolContext) -> str:
    """Send the caller a confirmation."""
    await context.send_sms(TEXT)
    return "It is sent."


@tool
async def flood(context: ToolContext) -> str:
    """Send the caller more than anybody wants."""
    for number in range(5):
        await context.send_sms(f"Message {number}")
    return "It is sent."


flow = Flow(
    goal="Book a table.",
    observations=Table,
    opening="Hello!",
    tools_everywhere=[confirm, flood],
    phases=[
        Phase("table", instructions="Ask.", observations=[it.day], transitions=[To("bye")]),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
SHELF = FlowShelf({"table": load_flow("table", flow)})


def calling(name: str) -> Scenario:
    """The caller wants a table, and the model uses this tool before it records the day."""
    replies = (
        (Calls(name, {}),),
        (Calls("record", {"day": {"value": "Monday", "quote": "On Monday"}}),),
        (Says("Thank you. Goodbye!"),),
    )
    return Scenario("table", "table", (Exchange(Speak("On Monday, please."), replies),), Expected())


async def played(made: Stage, scenario: Scenario) -> dict[str, Any]:
    """The report of the scenario's call."""
    await made.phone(scenario).call()
    [received] = await made.crm.wait_for(1, 60)
    found: dict[str, Any] = json.loads(received.body)["data"]
    return found


def on_stage(name: str, **settings: object) -> Any:
    scenario = calling(name)
    brain = scenario.brain()
    given = {"VOICEBOT_OUTBOUND_ALLOW": "+1"} | settings
    return scenario, stage(SHELF, lambda: brain, default_flow="table", settings=given)


@virtual
async def test_caller_gets_a_text_message() -> None:
    scenario, staged = on_stage("confirm")
    async with staged as made:
        made.vendor.answer_with(RestAnswer(500))
        report = await played(made, scenario)
        assert made.vendor.messages == [{"To": scenario.caller_number, "From": OWN_NUMBERS[0], "Body": TEXT}]
        assert made.vendor.violations == []
    [message] = report["messages"]
    assert (message["text"], message["problem"]) == (TEXT, None)
    assert [(one["tool"], one["ok"]) for one in report["tools"]] == [("confirm", True)]
    assert report["ended_reason"] == "completed"


@pytest.mark.parametrize(
    ("settings", "requests", "problem"),
    [
        ({"VOICEBOT_OUTBOUND_ALLOW": "+39"}, 0, "VOICEBOT_OUTBOUND_ALLOW"),
        ({"VOICEBOT_OUTBOUND_ALLOW": ""}, 0, "VOICEBOT_OUTBOUND_ALLOW"),
        ({}, 1, "code 21610"),
    ],
)
def test_message_that_is_not_sent_is_told(settings: dict[str, object], requests: int, problem: str) -> None:
    @virtual
    async def play() -> None:
        scenario, staged = on_stage("confirm", **settings)
        async with staged as made:
            made.vendor.unsubscribed.add(scenario.caller_number)
            report = await played(made, scenario)
            assert made.vendor.messages == []
            assert len(made.vendor.requests) == requests
        [message] = report["messages"]
        assert problem in message["problem"]
        assert report["observations"] == {"day": "Monday"}
        assert report["ended_reason"] == "completed"

    play()


@virtual
async def test_messages_of_a_call_are_bounded() -> None:
    scenario, staged = on_stage("flood")
    async with staged as made:
        report = await played(made, scenario)
        assert [one["Body"] for one in made.vendor.messages] == ["Message 0", "Message 1", "Message 2"]
    assert len(report["messages"]) == 3
    assert report["ended_reason"] == "completed"
