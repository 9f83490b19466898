"""Callers outside the hours: the phone line serves them, no model is ever reached, and each has one report."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.sim.virtual_time import virtual
from voicebot.flow import Closed, Flow, Hours, Number, Phase, Transfer, Voicemail
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.sim.brain import ScriptedBrain
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import Caller, HangUp, LeaveMessage, Wait
from voicebot.sim.phone import DialOutcome
from voicebot.sim.scenario import Expected, Scenario
from voicebot.sim.stage import Stage, stage
from voicebot.sim.timeline import MessageRecorded, StreamOpened, VerbPlayed

OWNER, MESSAGE = "+15550199199", "This is Ada, please call me back."
WORDS = "Siamo chiusi fino alle undici."

flow = Flow(
    goal="Say hello.",
    languages=["it"],
    timezone="Europe/Rome",
    opening="Pronto!",
    hours=Hours({"mon": "11:00-12:00"}),  # the twin's day is a Monday, and begins at half past ten in Rome
    closed=Closed(WORDS, then=[Transfer("owner"), Voicemail(max="30s")]),
    targets={"owner": Number(OWNER, timeout="10s")},
    phases=[Phase("hello", instructions="Say hello.")],
)
SCENARIO = Scenario("one", "hello", (), Expected())


def shelf_of(of: Flow) -> FlowShelf:
    return FlowShelf({"hello": load_flow("hello", of)})


def verbs(result: CallResult) -> list[tuple[str, str]]:
    return [(one.verb, one.detail) for one in result.events if isinstance(one, VerbPlayed)]


async def report_of(made: Stage) -> dict[str, Any]:
    [received] = await made.crm.wait_for(1, 120)
    found: dict[str, Any] = json.loads(received.body)["data"]
    return found


@virtual
async def test_caller_outside_the_hours_leaves_a_message() -> None:
    async with stage(shelf_of(flow), lambda: ScriptedBrain([]), default_flow="hello", codec="pcmu") as made:
        phone = replace(
            made.phone(SCENARIO, dial=DialOutcome("busy", ring_s=1.0)), behaviour=Caller([LeaveMessage(MESSAGE)])
        )
        result = await phone.call()
        assert verbs(result)[:2] == [("Say", WORDS), ("Dial", OWNER)]
        assert result.problems == () and result.violations == ()
        [message] = [one for one in result.events if isinstance(one, MessageRecorded)]
        assert message.text == MESSAGE
        report = await report_of(made)
        assert made.model.sessions == []
    told = {
        name: report[name] for name in ("ended_reason", "answered_at", "duration_s", "flow", "direction", "outcome")
    }
    assert told == {
        "ended_reason": "closed",
        "answered_at": None,
        "duration_s": 0.0,
        "flow": "hello",
        "direction": "inbound",
        "outcome": None,
    }
    rung, left = report["passed_on"]
    assert (rung["to"], rung["target"], rung["status"]) == ("transfer", OWNER, "busy")
    assert (left["to"], left["status"], left["duration_s"]) == ("voicemail", "recorded", message.length_s)
    assert left["recording_sid"] == message.recording_sid
    assert report["transcript"] == [] and report["phases"] == []


@virtual
async def test_caller_within_the_hours_talks() -> None:
    open_now = replace(flow, hours=Hours({"mon": "10:00-12:00"}))
    async with stage(shelf_of(open_now), lambda: ScriptedBrain([]), default_flow="hello", codec="pcmu") as made:
        result = await replace(made.phone(SCENARIO), behaviour=Caller([Wait(4_000), HangUp()])).call()
        assert any(isinstance(one, StreamOpened) for one in result.events)
        assert (await report_of(made))["ended_reason"] == "caller_hung_up"
