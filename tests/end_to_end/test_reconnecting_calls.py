"""The model's socket drops in mid-call: the call goes on with another one, and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.end_to_end.reception import VISIT, shelf
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ToolContext, ask, it, tool
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.clock import run_virtual
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario, noted
from voicebot.sim.stage import Rehearsal, rehearse

booked: list[str] = []


@tool(timeout_s=10)
async def book(context: ToolContext) -> str:
    """Book the visit. Use it once the name is known."""
    booked.append(context.idempotency_key)
    await asyncio.sleep(3)
    return "booked for Monday"


class Visit(Observations):
    name: str = ask("the caller's full name")
    thanks: bool = ask("whether the caller is content")


flow = Flow(
    goal="Book a visit.",
    observations=Visit,
    opening="Good morning, practice of Doctor Rossi.",
    phases=[
        Phase(
            "reception",
            instructions="Find out who is calling, and book.",
            observations=[it.name, it.thanks],
            tools=[book.once(on_failure="sorry")],
            transitions=[To("bye")],
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
        Phase("sorry", instructions="Apologise.", end=HangUp()),
    ],
)
BOOKING = Scenario(
    "booking",
    "booking",
    (
        Exchange(
            Say("Hello, this is Ada Lovelace."),
            (
                (noted(name=("Ada Lovelace", "this is Ada Lovelace")), Calls("book", {})),
                (Says("You are booked for Monday. Is that all right?"),),
            ),
        ),
        Exchange(
            Say("Lovely, thank you."),
            ((noted(thanks=(True, "Lovely, thank you")),), (Says("Goodbye!"),)),
        ),
    ),
    Expected(phases=("reception", "bye"), observations={"name": "Ada Lovelace", "thanks": True}),
)
SHELF = FlowShelf({"booking": load_flow("booking", flow)})


def server_events(rehearsal: Rehearsal) -> list[dict[str, Any]]:
    """What the model's side sent on its first connection, in order."""
    return [
        dict(one.event) for one in rehearsal.sessions[0].transcript if one.sender == "server" and one.event is not None
    ]


def test_tool_that_runs_once_does_so_though_the_socket_drops_before_its_answer() -> None:
    booked.clear()
    whole = run_virtual(rehearse(BOOKING, SHELF))
    assert whole.problems == ()
    assert len(booked) == 1
    events = server_events(whole)
    asked = next(
        n for n, event in enumerate(events) if "function_call" in json.dumps(event) and event["type"] == "response.done"
    )
    for after in (1, 3):
        booked.clear()
        cut = run_virtual(rehearse(BOOKING, SHELF, quirks=(Quirks(drop_at_event=asked + after), Quirks())))
        assert cut.problems == ()
        assert len(cut.sessions) == 2
        assert len(booked) == 1
        assert cut.report["observations"] == whole.report["observations"]
        assert [one["tool"] for one in cut.report["tools"]] == ["book"]


def test_call_goes_on_where_it_was_wherever_the_socket_drops() -> None:
    for events in (5, 12, 30, 50):
        cut = run_virtual(rehearse(VISIT, shelf, quirks=(Quirks(drop_at_event=events), Quirks())))
        assert len(cut.sessions) == 2
        assert cut.problems == ()
