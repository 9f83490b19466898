"""A small shop whose flow guards its calls: for tests of one of the engine's promises at a time, on the whole path."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from voicebot.flow import (
    After,
    AskAgain,
    Flow,
    HangUp,
    Key,
    Limits,
    Observations,
    Phase,
    PhoneNumber,
    Rule,
    Say,
    To,
    ask,
    computed,
    heard,
    it,
    tool,
)
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Says
from voicebot.sim.scenario import Exchange, noted
from voicebot.sim.scenario import Say as Speak
from voicebot.sim.stage import Rehearsal

Kind = Literal["lemon", "nut"]
Mode = Literal["pickup", "delivery"]
APOLOGY = "I am sorry, our line has failed."
FILLER = "One moment, I am asking the baker."


def price_of(kind: Kind, mode: Mode) -> int:
    """the price in euro"""
    return {"lemon": 20, "nut": 25}[kind] + (5 if mode == "delivery" else 0)


class Cake(Observations):
    kind: Kind = ask("which cake")
    mode: Mode = ask("pickup or delivery")
    street: str = ask("the street and the number", needed_if=it.mode == "delivery", confirm="read back")
    name: str = ask("the name for the order")
    day: Literal["Monday", "Friday"] = ask("on which day")
    total: int = computed(price_of)
    accepted: bool = ask("a clear yes or no to the price")
    phone: PhoneNumber = ask("a number to reach them", default_from="caller")


@tool(filler=FILLER, timeout_s=20)
async def ask_baker() -> str:
    """Which cakes there are today. Use it when they ask."""
    await asyncio.sleep(10)
    return "lemon and nut"


@tool
def bake(kind: Kind, name: str, day: str, total: int, street: str = "") -> str:
    """Bake the cake."""
    return f"{kind} for {name}"


flow = Flow(
    goal="Sell one cake.",
    observations=Cake,
    opening="Cake shop, good morning.",
    apology=Say(APOLOGY),
    rules=[Rule("zero", when=Key("0"), then=To("human"))],
    limits=Limits(silence=[After("6s", AskAgain("Are you still there?")), After("20s", HangUp())]),
    phases=[
        Phase(
            "cake",
            instructions="Ask which cake, and how.",
            observations=[it.kind, it.mode],
            tools=[ask_baker],
            transitions=[To("street", when=it.mode == "delivery"), To("who")],
        ),
        Phase("street", instructions="Ask where to.", observations=[it.street], transitions=[To("who")]),
        Phase("who", instructions="Ask for the name.", observations=[it.name], transitions=[To("when")]),
        Phase("when", instructions="Ask for the day.", observations=[it.day], transitions=[To("confirm")]),
        Phase(
            "confirm",
            instructions="Get a yes to the price.",
            must_say=[Say("That is {total} euro.", name="total")],
            observations=[it.accepted],
            success_criteria=[heard("total"), it.accepted.yes],
            commit=bake.once(on_failure="human"),
            transitions=[To("bye")],
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
        Phase("human", instructions="Promise a call back.", observations=[it.phone], transitions=[To("bye")]),
    ],
)
shelf = FlowShelf({"cakes": load_flow("cakes", flow)})

LEMON = Exchange(
    Speak("A lemon cake, I collect it."),
    ((noted(kind=("lemon", "A lemon cake"), mode=("pickup", "I collect it")),), (Says("What is your name?"),)),
)
ADA = Exchange(Speak("Ada Lovelace."), ((noted(name=("Ada Lovelace", "Ada Lovelace")),), (Says("On which day?"),)))
FRIDAY = Exchange(Speak("On Friday."), ((noted(day=("Friday", "On Friday")),), (Says("Is that all right?"),)))
YES = Exchange(Speak("Yes, it is."), ((noted(accepted=(True, "Yes, it is")),), (Says("Until then. Goodbye!"),)))


def journal(rehearsal: Rehearsal, *kinds: str) -> list[dict[str, Any]]:
    """What entries of these kinds say, in order, each with its kind and its time."""
    entries = (one for one in rehearsal.journal if one.kind in kinds)
    return [json.loads(one.body) | {"entry": one.kind, "at_ms": one.at_ms} for one in entries]


def phases(rehearsal: Rehearsal) -> list[str]:
    """The phases that were entered, in order."""
    return [str(entry["phase"]) for entry in journal(rehearsal, "phase_entered")]


def replies(rehearsal: Rehearsal) -> Iterator[str]:
    """The instructions of each reply that the model was asked for, in order; clips left out."""
    for session in rehearsal.sessions:
        for one in session.transcript:
            if one.sender == "client" and one.event is not None and one.event["type"] == "response.create":
                asked = one.event["response"]
                if isinstance(asked, dict) and asked.get("conversation") != "none":
                    yield str(asked["instructions"])


def listed(instructions: str, heading: str) -> set[str]:
    """The names under a heading of instructions."""
    found = re.search(rf"^# {heading}\n(.*?)(?:\n\n|\Z)", instructions, re.DOTALL | re.MULTILINE)
    return set(re.findall(r"^- (\w+):", found[1], re.MULTILINE)) if found else set()
