"""Callers who are joined to a human being, and who come back where nobody answers: the whole path, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.cakes import journal
from voicebot.call.statements import words_when_unreached
from voicebot.flow import Limits
from voicebot.flow.loader import FlowShelf, load_file, load_flow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.caller import HangUp as PutDown
from voicebot.sim.caller import Hear, Listen, Say, Wait
from voicebot.sim.clock import run_virtual
from voicebot.sim.phone import DialOutcome
from voicebot.sim.scenario import Exchange, Expected, Scenario, noted
from voicebot.sim.stage import Rehearsal, rehearse
from voicebot.sim.timeline import StreamOpened, VerbPlayed, WebhookAnswered, Whispered
from voicebot.telephony.twiml import FALLBACK_SENTENCES

WORDS = FALLBACK_SENTENCES["en"]
SWITCHBOARD = load_file(Path(__file__).parents[1] / "flow" / "clean_flows" / "switchboard.py").flow
FLOW = replace(SWITCHBOARD, opening="Workshop, good morning.", limits=Limits(silence=()), fallback=())
SHELF = FlowShelf({"switchboard": load_flow("switchboard", FLOW)})
BENCH = "I am connecting you to the workshop."
UNREACHED = words_when_unreached(FLOW).text  # type: ignore[union-attr]
BUSY, SILENT, FAILED = DialOutcome("busy"), DialOutcome("no-answer"), DialOutcome("failed")
ANSWERED = DialOutcome(talk_s=9.0)

REPAIR = Exchange(
    Say("This is Ada Lovelace, my bicycle is broken."),
    ((noted(name=("Ada Lovelace", "This is Ada Lovelace"), about=("repair", "my bicycle is broken")),),),
)
HEARS = Exchange(Hear())  # that they are being connected
ASKS = Exchange(None, ((Says("Shall somebody call you back?"),),))
YES = Exchange(
    Say("Yes, please."),
    ((noted(call_back=(True, "Yes, please")),), (Says("Then somebody calls you this afternoon. Goodbye."),)),
)
PATIENT = Exchange(Listen(120_000))  # whoever was rung says nothing


def play(
    *exchanges: Exchange, dial: DialOutcome | Sequence[DialOutcome] = (), shelf: FlowShelf = SHELF, **expected: Any
) -> Rehearsal:
    scenario = Scenario("transfer", "switchboard", exchanges, Expected(**expected))
    return run_virtual(rehearse(scenario, shelf, codec="pcmu", dial=dial))


def verbs(rehearsal: Rehearsal) -> list[tuple[str, str]]:
    played = [event for event in rehearsal.result.events if isinstance(event, VerbPlayed)]
    return [(verb.verb, "" if verb.verb == "Connect" else verb.detail) for verb in played]


def transfer(rehearsal: Rehearsal) -> dict[str, Any]:
    return {name: value for name, value in rehearsal.report["transfer"].items() if name != "at"}


def came(result: str | None, talk_s: int | None = None) -> dict[str, Any]:
    told = {"target": "bench", "number": "+15550100011", "result": result, "talk_s": talk_s}
    return told | {"quote": None}


def test_caller_is_joined_to_whom_the_flow_names() -> None:
    rehearsal = play(REPAIR, PATIENT, dial=ANSWERED, phases=("reception", "bench"), passed_on=("transfer: completed",))
    assert rehearsal.problems == ()
    assert verbs(rehearsal) == [("Connect", ""), ("Dial", "+15550100011"), ("Hangup", "")]
    assert transfer(rehearsal) == came("completed", 9)
    assert rehearsal.report["ended_reason"] == "transferred"


def test_whoever_answers_is_told_first_who_calls() -> None:
    rehearsal = play(REPAIR, PATIENT, dial=ANSWERED)
    [whispered] = [event for event in rehearsal.result.events if isinstance(event, Whispered)]
    assert whispered.text == "A call from 1 5 5 5 0 1 2 3 4 5 6. name: Ada Lovelace. about: repair."
    heard = [said.text for said in rehearsal.result.bot_said]
    assert heard == ["Workshop, good morning.", BENCH]


@pytest.mark.parametrize("dial", [BUSY, SILENT, FAILED])
def test_caller_whom_nobody_answers_goes_on_in_the_flow(dial: DialOutcome) -> None:
    result = dial.status.replace("-", "_")
    rehearsal = play(
        REPAIR,
        HEARS,
        ASKS,
        YES,
        dial=dial,
        phases=("reception", "bench", "nobody_free", "bye"),
        ended_reason="completed",
        observations={"name": "Ada Lovelace", "about": "repair", "call_back": True},
        passed_on=(f"transfer: {result}",),
    )
    assert rehearsal.problems == ()
    assert transfer(rehearsal) == came(result)
    said = [one.text for one in rehearsal.result.bot_said]
    assert said[1:4] == [BENCH, UNREACHED, "Shall somebody call you back?"]
    assert [phase["cause"] for phase in rehearsal.report["phases"]] == ["start", "criteria", "no_answer", "criteria"]
    assert rehearsal.report["problems"] == []
    assert sum(isinstance(event, StreamOpened) for event in rehearsal.result.events) == 2


def test_model_has_the_caller_joined_because_they_ask() -> None:
    asks = "I want to talk to the office, please."
    rehearsal = play(
        Exchange(
            Say(asks),
            (
                (
                    Says("I am connecting you to the office."),
                    Calls("transfer_call", {"target": "office", "quote": asks}),
                ),
            ),
        ),
        PATIENT,
        dial=ANSWERED,
        phases=("reception",),
        ended_reason="transferred",
    )
    assert rehearsal.problems == ()
    assert verbs(rehearsal) == [("Connect", ""), ("Dial", "sip:office@pbx.example.com"), ("Hangup", "")]
    assert rehearsal.report["transfer"]["quote"] == asks
    last = rehearsal.result.bot_said[-1]
    assert (last.text, last.complete) == ("I am connecting you to the office.", True)


def test_number_that_nobody_declared_is_not_rung() -> None:
    asks = "Connect me to 1 900 555 0100."
    fraud = Calls("transfer_call", {"target": "+19005550100", "quote": asks})
    rehearsal = play(
        Exchange(Say(asks), ((fraud,), (Says("I cannot do that. What is your name?"),))),
        HEARS,
        Exchange(PutDown()),
        phases=("reception",),
        ended_reason="caller_hung_up",
        passed_on=(),
    )
    assert rehearsal.problems == ()
    assert rehearsal.report["transfer"] is None
    [refused] = journal(rehearsal, "proposal_refused")
    assert refused["subject"] == "transfer_call"


@pytest.mark.parametrize(
    ("wait_ms", "reason", "result"),
    [
        (500.0, "caller_hung_up", None),  # in the goodbye: nobody is rung
        (6_000.0, "caller_hung_up", "canceled"),  # while it rings
        (25_000.0, "transferred", "completed"),  # in the talk
    ],
)
def test_caller_who_hangs_up_meanwhile_has_one_report(wait_ms: float, reason: str, result: str | None) -> None:
    rehearsal = play(
        REPAIR,
        Exchange(Wait(wait_ms)),
        Exchange(PutDown()),
        dial=DialOutcome("completed", ring_s=12.0, talk_s=60.0),
        ended_reason=reason,
    )
    assert [problem for problem in rehearsal.problems if "interruptions" not in problem] == []
    assert transfer(rehearsal)["result"] == result
    assert len(rehearsal.received) == 1


def test_caller_hears_a_sentence_where_the_flow_has_no_way_back() -> None:
    bench = replace(FLOW.targets["bench"], no_answer="")
    shelf = FlowShelf(
        {"switchboard": load_flow("switchboard", replace(FLOW, targets={**FLOW.targets, "bench": bench}))}
    )
    rehearsal = play(REPAIR, PATIENT, dial=BUSY, shelf=shelf, ended_reason="transfer_failed")
    assert rehearsal.problems == ()
    assert verbs(rehearsal)[-2:] == [("Say", WORDS.goodbye), ("Hangup", "")]
    assert transfer(rehearsal) == came("busy")


def test_line_is_asked_once_each() -> None:
    rehearsal = play(REPAIR, HEARS, ASKS, YES, dial=BUSY)
    asked = [event.url for event in rehearsal.result.events if isinstance(event, WebhookAnswered)]
    paths = [url.partition("/twilio/")[2] for url in asked]
    assert [path for path in paths if "stream" not in path] == ["voice", "after", "passed?way=1", "after", "status"]
