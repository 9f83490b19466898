"""A short call for tests of one thing at a time: the least flow that has phases, and scenarios over it."""

from __future__ import annotations

from voicebot.flow import Flow, HangUp, Observations, Phase, To, ask, it
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import Exchange, Expected, Interrupt, Say, Scenario, Step, Wait
from voicebot.sim.scenario import HangUp as PutDown


class Visit(Observations):
    name: str = ask("the caller's full name")
    reason: str = ask("why they are calling")


flow = Flow(
    goal="Find out who is calling and why.",
    observations=Visit,
    opening="Good morning, practice of Doctor Rossi.",
    phases=[
        Phase(
            "reception",
            instructions="Find out who is calling, and why.",
            observations=[it.name, it.reason],
            transitions=[To("bye")],
        ),
        Phase("bye", instructions="Promise a call back and say goodbye.", end=HangUp()),
    ],
)
shelf = FlowShelf({"visit": load_flow("visit", flow)})

GIVES_NAME = Exchange(
    Say("Hello, this is Ada Lovelace."),
    (
        (Calls("record", {"name": {"value": "Ada Lovelace", "quote": "this is Ada Lovelace"}}),),
        (Says("Hello Ada, what can I do for you today? Take your time, we have all morning."),),
    ),
)


def gives_reason(step: Step) -> Exchange:
    return Exchange(
        step,
        (
            (Calls("record", {"reason": {"value": "toothache", "quote": "I have a toothache"}}),),
            (Says("Oh dear. The doctor will call you back. Goodbye!"),),
        ),
    )


VISIT = Scenario(
    "visit",
    "visit",
    (GIVES_NAME, gives_reason(Interrupt("I have a toothache.", after_ms=1500))),
    Expected(
        phases=("reception", "bye"),
        observations={"name": "Ada Lovelace", "reason": "toothache"},
        ended_reason="completed",
        interruptions=1,
    ),
)
"""A whole call with an interruption, ended by the bot."""

HANGS_UP = Scenario(
    "hangs up",
    "visit",
    (GIVES_NAME, Exchange(Wait(3000)), Exchange(PutDown())),
    Expected(
        phases=("reception",), observations={"name": "Ada Lovelace", "reason": None}, ended_reason="caller_hung_up"
    ),
)
"""The caller hangs up while the bot speaks."""

HANGS_UP_AT_ONCE = Scenario(
    "hangs up at once",
    "visit",
    (Exchange(Say("Sorry, I dialled the wrong number.")), Exchange(PutDown())),
    Expected(phases=("reception",), ended_reason="caller_hung_up"),
)
"""The caller hangs up on his own last word, before the model's ear could close the turn."""
