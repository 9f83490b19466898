"""A bot with patience, in whole calls on the twin: hums and coughs do not stop it, words do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.end_to_end.reception import flow, gives_reason
from voicebot.call.entries import read_entry
from voicebot.flow import Flow, Patience
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.clock import run_virtual
from voicebot.sim.scenario import Exchange, Expected, Interrupt, Say, Scenario
from voicebot.sim.stage import Rehearsal, rehearse
from voicebot.sim.table import table_read

PATIENT = replace(flow, patience=Patience(pause="300ms", stops_after="700ms", hums=True), noise_reduction="near_field")
NAME = {"name": {"value": "Ada Lovelace", "quote": "this is Ada Lovelace"}}
LONG = "Hello Ada, what can I do for you today? Take your time, we have all the morning for you and for your teeth."
ASKED = Exchange(Say("Hello, this is Ada Lovelace."), ((Calls("record", NAME),), (Says(LONG),)))


def called(*exchanges: Exchange, interruptions: int) -> Scenario:
    observations = {"name": "Ada Lovelace", "reason": "toothache"}
    return Scenario(
        "patience",
        "visit",
        (ASKED, *exchanges),
        Expected(observations=observations, ended_reason="completed", interruptions=interruptions),
    )


NUDGE = Exchange(None, ((Says("Are you still there?"),),))  # by the silence ladder: a hum asks for no reply
HUMS = called(Exchange(Interrupt("Mhm.")), NUDGE, gives_reason(Say("I have a toothache.")), interruptions=0)
BREAKS_IN = called(gives_reason(Interrupt("I have a toothache, since Monday, I have a toothache.")), interruptions=1)


def shelf(given: Flow) -> FlowShelf:
    return FlowShelf({"visit": load_flow("visit", given)})


def played(scenario: Scenario, codec: str) -> Rehearsal:
    return run_virtual(rehearse(scenario, shelf(PATIENT), codec=codec))


@pytest.mark.parametrize("codec", ["pcm", "pcmu"])
def test_hum_does_not_stop_the_bot(codec: str) -> None:
    rehearsal = played(HUMS, codec)
    assert rehearsal.problems == ()
    journal = [read_entry(one.kind, one.body) for one in rehearsal.journal]
    assert [type(one).__name__ for one in journal].count("CallerHummed") == 1
    assert [said.complete for said in rehearsal.result.bot_said if said.text == LONG] == [True]


@pytest.mark.parametrize("codec", ["pcm", "pcmu"])
def test_words_that_last_stop_the_bot(codec: str) -> None:
    rehearsal = played(BREAKS_IN, codec)
    assert rehearsal.problems == ()


@pytest.mark.parametrize("scenario", [HUMS, BREAKS_IN], ids=["hums", "breaks in"])
def test_patience_at_the_table(scenario: Scenario) -> None:
    assert table_read(scenario, shelf(PATIENT).get("visit")).problems == ()


def test_model_hears_as_the_flow_wants() -> None:
    (session,) = played(HUMS, "pcm").sessions
    heard = session.config.audio.input
    assert heard.noise_reduction is not None
    assert heard.noise_reduction.type == "near_field"
    assert getattr(heard.turn_detection, "silence_duration_ms", None) == 300
