"""Keys of the telephone in whole calls, on the twin and at the table: a menu, an answer, a secret, and no card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.end_to_end.test_secret_canaries import CARD, NAME, PROMPT, flow_for
from voicebot.flow import Flow, HangUp, Keypad, Limits, Observations, Phase, PhaseLimits, To, ask, it
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.clock import run_virtual
from voicebot.sim.scenario import Exchange, Expected, Hear, Press, Say, Scenario
from voicebot.sim.stage import rehearse
from voicebot.sim.table import table_read


class Meter(Observations):
    number: str = ask("the number of the meter", keypad=Keypad(length=6, tries=2))
    reading: int = ask("what the meter shows", keypad=True)


METER = Flow(
    goal="Take a reading.",
    observations=Meter,
    opening="Press one for a reading, and two for a colleague.",
    limits=Limits(phase=PhaseLimits(turns=9, then="desk")),
    phases=[
        Phase(
            "menu",
            instructions="Ask what they want.",
            keys={"1": To("meter"), "2": To("desk")},
            transitions=[To("meter")],
        ),
        Phase("meter", instructions="Ask for it.", observations=[it.number, it.reading], transitions=[To("bye")]),
        Phase("desk", instructions="Say that a colleague calls.", end=HangUp()),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
SHOP = flow_for("https://bank.example.com/in", "https://ledger.example.com/in")
SHELF = FlowShelf({"meter": load_flow("meter", METER), "shop": load_flow("shop", SHOP)})
THANKS = {"thanks": {"value": "that is all", "quote": "that is all"}}

READING = Scenario(
    "reading",
    "meter",
    (
        Exchange(Press("1"), ((Says("What is the number of the meter?"),),)),
        Exchange(Press("123456"), ((Says("And what does it show?"),),)),
        Exchange(Press("0815#"), ((Says("Thank you, goodbye."),),)),
    ),
    Expected(
        phases=("menu", "meter", "bye"),
        observations={"number": "123456", "reading": 815},
        evidence={"number": "confirmed", "reading": "confirmed"},
        ended_reason="completed",
    ),
)  # fmt: skip
COLLEAGUE = Scenario(
    "colleague",
    "meter",
    (Exchange(Press("2"), ((Says("A colleague will call you. Goodbye."),),)),),
    Expected(phases=("menu", "desk"), ended_reason="completed"),
)
PAID = Scenario(
    "paid",
    "shop",
    (
        Exchange(
            Say("Hello, this is Ada Lovelace."),
            ((Calls("record", NAME),), (Says("Thank you. Is there anything else?"),)),
        ),
        Exchange(Hear()),
        Exchange(Press(f"{CARD}#", after_bot=False)),
        Exchange(
            Say("Thank you, that is all."),
            ((Calls("record", THANKS),), (Says("Goodbye, Ada."),)),
        ),
    ),
    Expected(
        observations={"name": "Ada Lovelace", "card": "***", "thanks": "that is all"},
        outcome="paid",
        ended_reason="completed",
        statements=(PROMPT,),
    ),
)  # fmt: skip
NO_CARD = replace(
    PAID,
    name="no card",
    exchanges=(
        Exchange(Say("Hello, this is Ada Lovelace."), ((Calls("record", NAME),), (Says("Then goodbye."),))),
    ),
    expected=Expected(
        phases=("order", "bye"), observations={"name": "Ada Lovelace", "card": None}, ended_reason="completed"
    ),
)  # fmt: skip
SCENARIOS = (READING, COLLEAGUE, PAID, NO_CARD)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_keys_on_the_twin(scenario: Scenario) -> None:
    assert run_virtual(rehearse(scenario, SHELF)).problems == ()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_keys_at_the_table(scenario: Scenario) -> None:
    assert table_read(scenario, SHELF.get(scenario.flow)).problems == ()
