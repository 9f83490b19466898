"""The model is gone, and the phone line takes the caller where the flow says: the whole path, and the twin's phone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.cakes import APOLOGY, LEMON, flow, journal
from tests.fakes import environment
from voicebot.flow import Limits, Transfer, Voicemail
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.caller import Caller, LeaveMessage, Listen, Step, Wait
from voicebot.sim.caller import HangUp as PutDown
from voicebot.sim.clock import run_virtual
from voicebot.sim.fleet import fleet
from voicebot.sim.phone import DialOutcome
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.scenario import Exchange, Expected, Scenario
from voicebot.sim.stage import Rehearsal, Stage, rehearse
from voicebot.sim.timeline import Event, MessageRecorded, StreamOpened, VerbPlayed, WebhookAnswered
from voicebot.telephony.twiml import FALLBACK_SENTENCES

COLLEAGUE, MANAGER = "+15550199", "+15550188"
WORDS = FALLBACK_SENTENCES["en"]
PATIENT = Exchange(Listen(120_000))  # whoever was rung says nothing
BUSY, SILENT, FAILED = DialOutcome("busy"), DialOutcome("no-answer"), DialOutcome("failed")
ANSWERED = DialOutcome(talk_s=9.0)
MESSAGE = "This is Ada, please call me back."


def shelf_of(*ways: Transfer | Voicemail) -> FlowShelf:
    unhurried = replace(flow, fallback=ways, limits=Limits(silence=()))
    return FlowShelf({"cakes": load_flow("cakes", unhurried)})


BOTH = shelf_of(Transfer(COLLEAGUE, timeout="20s"), Voicemail(max="1m"))


@cache
def events_of_the_first_exchange() -> int:
    """How many events the model has sent when it falls silent."""
    expected = Expected(ended_reason="caller_hung_up")
    scenario = Scenario("whole", "cakes", (LEMON, Exchange(Wait(4_000)), Exchange(PutDown())), expected)
    whole = run_virtual(rehearse(scenario, BOTH, codec="pcmu"))
    assert whole.problems == ()
    return sum(one.sender == "server" for one in whole.sessions[0].transcript)


def gone(*exchanges: Exchange, passed_on: tuple[str, ...]) -> Scenario:
    """A call whose model goes for good after the first exchange."""
    expected = Expected(ended_reason="model_failed", passed_on=passed_on)
    return Scenario("gone", "cakes", (LEMON, *(exchanges or (PATIENT,))), expected)


def play(scenario: Scenario, shelf: FlowShelf = BOTH, *, dial: DialOutcome | Sequence[DialOutcome] = ()) -> Rehearsal:
    lost = (Quirks(drop_at_event=events_of_the_first_exchange()), *(Quirks(drop_at_event=1) for _ in range(12)))
    return run_virtual(rehearse(scenario, shelf, codec="pcmu", quirks=lost, dial=dial))


def verbs(rehearsal: Rehearsal) -> list[tuple[str, str]]:
    """What the phone line did after the stream."""
    played = [event for event in rehearsal.result.events if isinstance(event, VerbPlayed)]
    return [(verb.verb, verb.detail) for verb in played if verb.verb != "Connect"]


def passed_on(rehearsal: Rehearsal) -> list[dict[str, Any]]:
    return [{name: one[name] for name in one if name != "at"} for one in rehearsal.report["passed_on"]]


def transfer(status: str | None, duration_s: int | None = None, target: str = COLLEAGUE) -> dict[str, Any]:
    told = {"to": "transfer", "target": target, "status": status}
    return {**told, "duration_s": duration_s, "recording_sid": None, "recording_url": None}


def test_caller_is_joined_to_somebody_after_the_apology() -> None:
    rehearsal = play(gone(passed_on=("transfer: completed",)), dial=ANSWERED)
    assert rehearsal.problems == ()
    assert verbs(rehearsal) == [("Say", WORDS.transfer), ("Dial", COLLEAGUE), ("Hangup", "")]
    said = [one.text for one in rehearsal.result.bot_said if one.complete]
    assert said.index(APOLOGY) < said.index(WORDS.transfer)
    assert passed_on(rehearsal) == [transfer("completed", 9)]
    assert rehearsal.report["duration_s"] > 9
    assert rehearsal.report["phases"][-1]["left_at"] <= rehearsal.report["passed_on"][0]["at"]


def test_caller_leaves_a_message_where_nobody_answers() -> None:
    scenario = gone(Exchange(LeaveMessage(MESSAGE)), passed_on=("transfer: busy", "voicemail: recorded"))
    rehearsal = play(scenario, dial=BUSY)
    assert rehearsal.problems == ()
    assert verbs(rehearsal) == [
        ("Say", WORDS.transfer),
        ("Dial", COLLEAGUE),
        ("Say", WORDS.voicemail),
        ("Record", "at most 60 s"),
        ("Say", WORDS.received),
        ("Hangup", ""),
    ]
    [message] = [event for event in rehearsal.result.events if isinstance(event, MessageRecorded)]
    assert message.text == MESSAGE
    _, left = passed_on(rehearsal)
    assert left["duration_s"] == message.length_s
    assert left["recording_url"].endswith(f"/Recordings/{message.recording_sid}")
    assert MESSAGE not in str(rehearsal.report["transcript"])


def test_ways_are_taken_one_after_the_other() -> None:
    shelf = shelf_of(Transfer(COLLEAGUE, timeout="20s"), Transfer(MANAGER, timeout="10s"))
    rehearsal = play(gone(passed_on=("transfer: no_answer", "transfer: completed")), shelf, dial=(SILENT, ANSWERED))
    assert rehearsal.problems == ()
    assert passed_on(rehearsal) == [transfer("no_answer"), transfer("completed", 9, MANAGER)]


def test_caller_for_whom_nobody_is_there_hears_so() -> None:
    rehearsal = play(gone(passed_on=("transfer: failed", "voicemail: empty")), dial=FAILED)
    assert rehearsal.problems == ()
    assert verbs(rehearsal)[-2:] == [("Say", WORDS.trouble), ("Hangup", "")]


@pytest.mark.parametrize(
    ("dial", "wait_ms", "came"),
    [
        (SILENT, 18_000, transfer(None)),  # while the line still announces what it is about to do: nobody tells
        (SILENT, 25_000, transfer("canceled")),
        (DialOutcome(talk_s=60.0), 25_000, transfer("completed")),
    ],
)
def test_caller_who_hangs_up_meanwhile_is_not_passed_on_further(
    dial: DialOutcome, wait_ms: float, came: dict[str, Any]
) -> None:
    scenario = gone(Exchange(Wait(wait_ms)), Exchange(PutDown()), passed_on=(f"transfer: {came['status']}",))
    rehearsal = play(scenario, dial=dial)
    assert rehearsal.problems == ()
    [told] = passed_on(rehearsal)
    assert told | {"duration_s": None} == came


def test_message_that_the_hang_up_ends_is_kept() -> None:
    shelf = shelf_of(Voicemail(max="1m"))
    scenario = gone(
        Exchange(LeaveMessage(MESSAGE)), Exchange(Wait(500)), Exchange(PutDown()), passed_on=("voicemail: recorded",)
    )
    rehearsal = play(scenario, shelf)
    assert rehearsal.problems == ()
    assert len(rehearsal.received) == 1


def test_model_that_never_came_leads_there_at_once() -> None:
    @asynccontextmanager
    async def no_model(on_stage: Stage, call_sid: str) -> AsyncIterator[None]:
        on_stage.model.available = False
        yield

    scenario = Scenario(
        "never", "cakes", (PATIENT,), Expected(ended_reason="model_failed", passed_on=("transfer: completed",))
    )
    rehearsal = run_virtual(rehearse(scenario, BOTH, beside=no_model, dial=ANSWERED))
    assert [said.text for said in rehearsal.result.bot_said] == [WORDS.transfer]
    assert passed_on(rehearsal) == [transfer("completed", 9)]
    assert len(rehearsal.received) == 1


@pytest.mark.parametrize(
    ("ways", "dial", "caller", "came", "played"),
    [
        (
            (Voicemail(max="1m"),),
            (),
            LeaveMessage(MESSAGE),
            ("voicemail: recorded",),
            [("Say", WORDS.voicemail), ("Record", "at most 60 s"), ("Say", WORDS.received), ("Hangup", "")],
        ),
        (
            (Transfer(COLLEAGUE, timeout="20s"), Voicemail(max="1m")),
            SILENT,
            LeaveMessage(MESSAGE),
            ("transfer: no_answer", "voicemail: recorded"),
            [
                *(("Say", WORDS.transfer), ("Dial", COLLEAGUE), ("Say", WORDS.voicemail), ("Record", "at most 60 s")),
                *(("Say", WORDS.received), ("Hangup", "")),
            ],
        ),
        ((), (), Listen(120_000), (), [("Say", WORDS.trouble), ("Hangup", "")]),
    ],
)
def test_every_way_is_taken_when_the_model_never_came(
    ways: tuple[Transfer | Voicemail, ...],
    dial: Any,
    caller: Step,
    came: tuple[str, ...],
    played: list[tuple[str, str]],
) -> None:
    """Its server cannot be reached when the call comes in."""

    @asynccontextmanager
    async def no_model(on_stage: Stage, call_sid: str) -> AsyncIterator[None]:
        on_stage.model.available = False
        yield

    expected = Expected(ended_reason="model_failed", passed_on=came)
    scenario = Scenario("never", "cakes", (Exchange(caller),), expected)
    rehearsal = run_virtual(rehearse(scenario, shelf_of(*ways), codec="pcmu", beside=no_model, dial=dial))
    assert verbs(rehearsal) == played
    assert len(rehearsal.received) == 1
    assert rehearsal.sessions == ()
    assert rehearsal.report["ended_reason"] == "model_failed"
    assert tuple(f"{one['to']}: {one['status']}" for one in passed_on(rehearsal)) == came


def test_handlers_and_phone_line_are_told_once_each() -> None:
    rehearsal = play(gone(passed_on=("transfer: completed",)), dial=ANSWERED)
    assert [
        entry["entry"] for entry in journal(rehearsal, "line_closed", "passed_on", "passing_ended", "call_ended")
    ] == [
        "line_closed",
        "passed_on",
        "passing_ended",
        "call_ended",
    ]
    answered = [event for event in rehearsal.result.events if isinstance(event, WebhookAnswered)]
    assert [event.url.partition("/twilio/")[2] for event in answered if "passed" in event.url] == ["passed?way=1"]


FLOW = """
from voicebot.flow import Flow, Phase, Transfer, Voicemail
flow = Flow(
    goal="Say hello.",
    fallback=[Transfer("+15550199", timeout="20s"), Voicemail(max="1m")],
    phases=[Phase("hello", instructions="Say hello.")],
)
"""


@pytest.mark.slow
async def test_instance_that_passed_the_caller_on_dies(tmp_path: Path) -> None:
    """Another one is told what came of it, takes the next way, and writes the only report."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "hello.py").write_text(FLOW)
    brain = Scenario("none", "hello", (), Expected()).brain()
    killed: list[str] = []
    async with fleet(tmp_path, lambda: brain, flows=tmp_path / "flows", environment=environment()) as made:
        made.model.available = False

        def kill(event: Event) -> None:
            if isinstance(event, StreamOpened):
                killed.append(made.balancer.streams()[0].backend)
            elif isinstance(event, VerbPlayed) and event.verb == "Dial":
                made.instances[killed[0]].kill()

        caller = Caller([LeaveMessage(MESSAGE)])
        async with asyncio.timeout(180):
            result = await made.phone(caller, dial=DialOutcome("busy", ring_s=4.0), on_event=kill).call()
            await made.crm.wait_for(1, 60)
        assert result.problems == ()
        assert len(made.running()) == 1
    [received] = made.crm.received
    told = json.loads(received.body)["data"]
    assert [(one["to"], one["status"]) for one in told["passed_on"]] == [
        ("transfer", "busy"),
        ("voicemail", "recorded"),
    ]
    assert told["ended_reason"] == "model_failed"
