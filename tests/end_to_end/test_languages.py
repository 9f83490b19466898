"""A call in the caller's language: asked for, refused, detected, gone on with after a break; and what it may cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from voicebot.flow import Flow, HangUp, Limits, Observations, Phase, Rule, To, ask, it
from voicebot.flow import Say as Exactly
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import LineFaults
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario, noted
from voicebot.sim.stage import Rehearsal, rehearse
from voicebot.sim.table import table_read


class Stay(Observations):
    nights: int = ask("how many nights")
    agreed: bool = ask("a clear yes to the price")


FLOW = Flow(
    goal="Take a booking.",
    languages=["en", "it"],
    observations=Stay,
    opening={"en": "Villa Iris, good evening.", "it": "Villa Iris, buonasera."},
    rules=[
        Rule("dogs", when="dogs", then=Exactly({"en": "Dogs are welcome here.", "it": "Qui i cani sono benvenuti."}))
    ],
    phases=[
        Phase("stay", instructions="For how long?", observations=[it.nights], transitions=[To("price")]),
        Phase(
            "price",
            instructions="Ask whether they agree.",
            must_say=[
                Exactly(
                    {
                        "en": "The price for {nights} nights is ninety euro.",
                        "it": "Il prezzo per {nights} notti è di novanta euro.",
                    },
                    name="price",
                )
            ],
            observations=[it.agreed],
            success_criteria=[it.agreed.yes],
            transitions=[To("bye")],
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
DEAR = replace(FLOW, limits=Limits(cost_usd=0.01))
SHELF = FlowShelf({"villa": load_flow("villa", FLOW), "dear": load_flow("dear", DEAR)})

ASKS = "Possiamo parlare in italiano, per favore?"
PRICE = "Il prezzo per 3 notti è di novanta euro."
SWITCH = Calls("switch_language", {"language": "it", "quote": ASKS})
NIGHTS = Exchange(Say("Tre notti."), ((noted(nights=(3, "Tre notti")),), (Says("Va bene così?"),)))
AGREES = Exchange(Say("Sì, va benissimo."), ((noted(agreed=(True, "Sì, va benissimo")),), (Says("Arrivederci!"),)))
BOOKED = Expected(
    phases=("stay", "price", "bye"),
    observations={"nights": 3, "agreed": True},
    ended_reason="completed",
    statements=(PRICE,),
)
ON_REQUEST = Scenario(
    "on request",
    "villa",
    (Exchange(Say(ASKS), ((SWITCH,), (Says("Volentieri! Quante notti?"),))), NIGHTS, AGREES),
    BOOKED,
)
DETECTED = Scenario(
    "detected",
    "villa",
    (
        Exchange(Say("Buonasera, vorrei prenotare una camera."), ((Says("Certo."),),)),
        Exchange(Say("Vorrei una camera con vista, se è possibile."), ((Says("Per quante notti?"),),)),
        NIGHTS,
        AGREES,
    ),
    BOOKED,
)
UNDECLARED = Scenario(
    "undeclared",
    "villa",
    (
        Exchange(
            Say("Parlez-vous français?"),
            (
                (Calls("switch_language", {"language": "fr", "quote": "Parlez-vous français"}),),
                (Says("I am sorry, I do not. How many nights?"),),
            ),
        ),
        Exchange(Say("Three nights."), ((noted(nights=(3, "Three nights")),), (Says("Is that all right?"),))),
        Exchange(Say("Yes, it is."), ((noted(agreed=(True, "Yes, it is")),), (Says("Goodbye!"),))),
    ),
    replace(BOOKED, statements=("The price for 3 nights is ninety euro.",)),
)


def heard_statement(rehearsal: Rehearsal) -> str:
    found: str = rehearsal.report["statements"][0]["heard"]
    return found


def hints(rehearsal: Rehearsal, number: int = -1) -> list[object]:
    """What the model was told of the caller's language for its transcripts, in order."""
    found = []
    for one in rehearsal.sessions[number].transcript:
        if one.sender == "client" and one.event is not None and one.event["type"] == "session.update":
            session: dict[str, Any] = one.event["session"]
            heard = session.get("audio", {}).get("input", {})
            if "transcription" in heard:
                found.append({name: heard["transcription"].get(name) for name in ("language", "languages")})
    return found


@pytest.mark.parametrize("scenario", [ON_REQUEST, DETECTED, UNDECLARED], ids=lambda one: one.name)
def test_languages_on_the_twin(scenario: Scenario) -> None:
    assert run_virtual(rehearse(scenario, SHELF)).problems == ()


@pytest.mark.parametrize("scenario", [ON_REQUEST, DETECTED, UNDECLARED], ids=lambda one: one.name)
def test_languages_at_the_table(scenario: Scenario) -> None:
    assert table_read(scenario, SHELF.get(scenario.flow)).problems == ()


def test_language_that_is_asked_for_is_gone_on_in() -> None:
    rehearsal = run_virtual(rehearse(ON_REQUEST, SHELF))
    assert rehearsal.problems == ()
    assert rehearsal.report["language"] == "it"
    [switched] = rehearsal.report["languages"]
    assert (switched["language"], switched["cause"], switched["quote"]) == ("it", "request", ASKS)
    assert heard_statement(rehearsal) == PRICE
    first, *later = hints(rehearsal)
    assert first == {"language": None, "languages": ["en", "it"]}
    assert later == [{"language": None, "languages": ["it", "en"]}]


def test_language_that_is_heard_is_gone_on_in() -> None:
    rehearsal = run_virtual(rehearse(DETECTED, SHELF))
    [switched] = rehearsal.report["languages"]
    assert (switched["language"], switched["cause"], switched["quote"]) == ("it", "detection", None)
    assert heard_statement(rehearsal) == PRICE


def test_language_that_the_flow_has_not_is_refused() -> None:
    rehearsal = run_virtual(rehearse(UNDECLARED, SHELF))
    assert (rehearsal.report["language"], rehearsal.report["languages"]) == ("en", [])
    [refused] = [one for one in rehearsal.journal if one.kind == "proposal_refused"]
    assert "language must be one of: it" in refused.body


def test_call_that_is_cut_off_goes_on_in_the_language_it_had() -> None:
    whole = run_virtual(rehearse(ON_REQUEST, SHELF))
    switched_ms = next(one.at_ms for one in whole.journal if one.kind == "language_switched")
    asks = Exchange(Say(ASKS), ((SWITCH,), (Says("Volentieri! Quante notti?"),), (Says("Quante notti, dicevamo?"),)))
    scenario = replace(ON_REQUEST, name="cut off", exchanges=(asks, NIGHTS, AGREES))
    cut = run_virtual(rehearse(scenario, SHELF, faults=LineFaults(drop_socket_at_ms=switched_ms + 1000)))
    said = [one.text for one in cut.result.bot_said]
    assert "Scusi, è caduta la linea per un attimo." in said
    assert cut.report["language"] == "it"
    assert heard_statement(cut) == PRICE
    assert len(cut.report["languages"]) == 1
    assert hints(cut)[-1] == {"language": None, "languages": ["it", "en"]}  # the new model's ear is told


def test_call_that_costs_too_much_ends_in_the_language_of_the_caller() -> None:
    scenario = replace(
        ON_REQUEST,
        name="dear",
        flow="dear",
        exchanges=ON_REQUEST.exchanges[:1],
        expected=Expected(ended_reason="cost_limit"),
    )
    rehearsal = run_virtual(rehearse(scenario, SHELF))
    assert rehearsal.report["ended_reason"] == "cost_limit"
    assert rehearsal.report["cost"]["limit_reached"] is True
    assert rehearsal.report["cost"]["usd"] >= 0.01
    assert rehearsal.result.bot_said[-1].text == "Mi dispiace, devo concludere qui la chiamata. Grazie e arrivederci."
    assert rehearsal.result.bot_said[-1].complete
