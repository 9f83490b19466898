"""The shortest call there is, for tests of what goes on around calls."""

from __future__ import annotations

from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario

FLOW = """
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ask, it

class Visit(Observations):
    name: str = ask("the caller's name")

flow = Flow(
    goal="Find out who is calling.",
    observations=Visit,
    opening="Hello!",
    phases=[
        Phase("reception", instructions="Ask who is calling.", observations=[it.name], transitions=[To("bye")]),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
"""
SHORT = Scenario(
    "short",
    "visit",
    (
        Exchange(
            Say("Ada here."),
            ((Calls("record", {"name": {"value": "Ada", "quote": "Ada here"}}),), (Says("Thank you. Goodbye!"),)),
        ),
    ),
    Expected(ended_reason="completed"),
)
"""A call of some four seconds, ended by the bot."""
