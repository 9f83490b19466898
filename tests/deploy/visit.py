"""A call of some six seconds in three phases, whose words and numbers stand nowhere else."""

from __future__ import annotations

from voicebot.sim.brain import Says
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario, noted

FLOW = """
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ask, it

class Visit(Observations):
    name: str = ask("the caller's name")
    day: str = ask("the day that suits them")

flow = Flow(
    goal="Find out who comes when.",
    observations=Visit,
    opening="Surgery.",
    phases=[
        Phase("reception", instructions="Ask who is calling.", observations=[it.name], transitions=[To("date")]),
        Phase("date", instructions="Ask for a day.", observations=[it.day], transitions=[To("bye")]),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
"""
NAME, CALLER, CALLED = "Zebulon", "+15557654321", "+15551112223"
ASKS, BYE = "Which day?", "Goodbye!"
LINES = ("Surgery.", ASKS, BYE)
VISIT = Scenario(
    "visit",
    "visit",
    (
        Exchange(Say(f"{NAME}."), ((noted(name=(NAME, NAME)),), (Says(ASKS),))),
        Exchange(Say("Monday."), ((noted(day=("Monday", "Monday")),), (Says(BYE),))),
    ),
    Expected(ended_reason="completed"),
    called_number=CALLED,
    caller_number=CALLER,
)
OBSERVATIONS = {"name": NAME, "day": "Monday"}
