"""A call ends with a text message, because its flow says so: through Twilio's REST API, and in the only report."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from tests.sim.virtual_time import virtual
from voicebot.flow import Flow, HangUp, Observations, Phase, Report, Sms, To, ask, it
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.caller import Say as Speak
from voicebot.sim.scenario import Exchange, Expected, Scenario
from voicebot.sim.stage import OWN_NUMBERS, stage
from voicebot.sim.twilio_rest import RestAnswer

TEXT = "Your table is booked for Monday."


class Table(Observations):
    day: str = ask("the day")


flow = Flow(
    goal="Book a table.",
    observations=Table,
    opening="Hello!",
    phases=[
        Phase("table", instructions="Ask.", observations=[it.day], transitions=[To("bye")]),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
    report=Report(
        sms=[
            Sms("Your table is booked for {day}.", when=it.day.filled),
            Sms("You have not told us a day.", when=~it.day.filled),
        ]
    ),
)
SHELF = FlowShelf({"table": load_flow("table", flow)})
REPLIES = (
    (Calls("record", {"day": {"value": "Monday", "quote": "On Monday"}}),),
    (Says("Thank you. Goodbye!"),),
)
SCENARIO = Scenario("table", "table", (Exchange(Speak("On Monday, please."), REPLIES),), Expected())


@pytest.mark.parametrize("case", ["in trouble", "unsubscribed", "not allowed"])
def test_call_ends_with_its_message_or_says_why_not(case: str) -> None:
    @virtual
    async def play() -> None:
        brain = SCENARIO.brain()
        settings: dict[str, object] = {"VOICEBOT_OUTBOUND_ALLOW": "+39" if case == "not allowed" else "+1"}
        async with stage(SHELF, lambda: brain, default_flow="table", codec="pcmu", settings=settings) as made:
            made.vendor.answer_with(RestAnswer(429, retry_after="1"), RestAnswer(503))
            if case == "unsubscribed":
                made.vendor.unsubscribed.add(SCENARIO.caller_number)
            await made.phone(SCENARIO).call()
            [received] = await made.crm.wait_for(1, 60)
            async with aiohttp.ClientSession() as http, http.get(made.public_url + "/metrics") as answer:
                metrics = set((await answer.text()).splitlines())
            sent = {"To": SCENARIO.caller_number, "From": OWN_NUMBERS[0], "Body": TEXT}
            assert made.vendor.messages == ([sent] if case == "in trouble" else [])
            assert made.vendor.violations == []
            assert len(made.vendor.requests) == (0 if case == "not allowed" else 3)
        report: dict[str, Any] = json.loads(received.body)["data"]
        [message] = report["messages"]
        assert (message["text"], message["to"]) == (TEXT, SCENARIO.caller_number)
        assert report["ended_reason"] == "completed"
        assert report["observations"] == {"day": "Monday"}
        result = "sent" if case == "in trouble" else "failed"
        assert f'voicebot_text_messages_total{{flow="table",result="{result}"}} 1' in metrics
        refused = 1 if case == "not allowed" else 0
        assert f'voicebot_outbound_refused_total{{reason="not_allowed"}} {refused}' in metrics
        match case:
            case "in trouble":
                assert message["sid"].startswith("SM")
                assert (message["problem"], message["code"]) == (None, None)
            case "unsubscribed":
                assert (message["sid"], message["code"]) == (None, 21610)
            case _:
                assert (message["sid"], message["code"]) == (None, None)
                assert "VOICEBOT_OUTBOUND_ALLOW" in message["problem"]

    play()
