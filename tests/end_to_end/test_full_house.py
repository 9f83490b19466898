"""Callers without a place: they wait for one, leave a message, are joined to somebody, or hear that there is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from tests.sim.virtual_time import virtual
from voicebot.delivery.report_schema import report_schema
from voicebot.flow import Flow, Phase
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.server.lobby import STALE_S
from voicebot.sim.account import AUTH_TOKEN
from voicebot.sim.brain import ScriptedBrain
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import Caller, LeaveMessage, Step, Wait
from voicebot.sim.caller import HangUp as PutDown
from voicebot.sim.carrier import Carrier
from voicebot.sim.phone import DialOutcome, Phone
from voicebot.sim.scenario import Expected, Scenario
from voicebot.sim.stage import Stage, stage
from voicebot.sim.timeline import MessageRecorded, VerbPlayed, WebhookAnswered
from voicebot.store.contract import CallRecord, Store
from voicebot.telephony.twiml import FALLBACK_SENTENCES

WORDS = FALLBACK_SENTENCES["it"]
MESSAGE = "This is Ada, please call me back."
COLLEAGUE = "+15550199199"
TAKEN = "CA" + "9" * 32

flow = Flow(
    goal="Say hello.",
    languages=["it"],
    opening="Pronto!",
    phases=[Phase("hello", instructions="Say hello.", end=None)],
)
SHELF = FlowShelf({"hello": load_flow("hello", flow)})


class House:
    """A server with one place, which a call of another instance has until `free`; and phones around it."""

    def __init__(self, made: Stage, store: Store) -> None:
        self.made, self.store = made, store

    async def take(self) -> None:
        known = CallRecord(TAKEN, "hello", "1", None, None, "inbound", self.made.wall(), "B-000009", 1, 0)
        assert (await self.store.open_call(known, max_calls=1))[1]

    async def free(self) -> None:
        assert await self.store.finish(TAKEN, "{}", (), attempt=1, ended=self.made.wall())

    async def beat(self) -> None:
        """The other instance lives."""
        while True:
            await self.store.beat("B-000009", takes_calls=False)
            await asyncio.sleep(1)

    def phone(self, steps: Sequence[Step], *, dial: DialOutcome | None = None, **changes: Any) -> Phone:
        scenario = Scenario("one", "hello", (), Expected())
        phone = self.made.phone(scenario, dial=dial or DialOutcome())
        return replace(phone, behaviour=Caller(steps), **changes)

    def call(self, steps: Sequence[Step], **given: Any) -> asyncio.Task[CallResult]:
        """A call that goes on beside the test."""
        return asyncio.get_running_loop().create_task(self.phone(steps, **given).call())

    async def reports(self, n: int) -> dict[str, dict[str, Any]]:
        """`data` of the reports, by CallSid, once there are so many; each call has one."""
        received = await self.made.crm.wait_for(n, 600)
        await asyncio.sleep(120)  # for any that is too many
        assert len(self.made.crm.received) == n
        bodies = [json.loads(one.body)["data"] for one in received]
        found = {one["call_sid"]: one for one in bodies}
        assert len(found) == n
        return found

    async def guests(self) -> list[str]:
        """The CallSids of those who are in the lobby."""
        return [key.removeprefix("guest:") for key in await self.store.notes("guest:")]

    async def metrics(self) -> set[str]:
        async with aiohttp.ClientSession() as http, http.get(self.made.public_url + "/metrics") as answer:
            return set((await answer.text()).splitlines())

    async def post(self, path: str, **form: str) -> int | None:
        """A request of the vendor's, once more or late."""
        async with aiohttp.ClientSession() as http:
            carrier = Carrier(AUTH_TOKEN)
            return (await carrier.request(http, self.made.public_url + path, form)).status


@asynccontextmanager
async def house(overflow: str, shelf: FlowShelf = SHELF, max_calls: int = 1) -> AsyncIterator[House]:
    settings = {"VOICEBOT_OVERFLOW": overflow, "VOICEBOT_MAX_CALLS": max_calls}
    async with (
        stage(shelf, lambda: ScriptedBrain([]), default_flow="hello", codec="pcmu", settings=settings) as made,
        made.reading() as store,
    ):
        full = House(made, store)
        await full.take()
        beating = asyncio.get_running_loop().create_task(full.beat())
        await asyncio.sleep(1)
        yield full
        beating.cancel()


def verbs(result: CallResult) -> list[tuple[str, str]]:
    return [(one.verb, one.detail) for one in result.events if isinstance(one, VerbPlayed)]


def passed_on(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(one["to"], one["target"], one["status"], one["duration_s"]) for one in report["passed_on"]]


def stays(seconds: float) -> list[Step]:
    """A caller who hangs up after so long."""
    return [Wait(seconds * 1000), PutDown()]


# ---- the queue ------------------------------------------------------------------------------------------------------


@virtual
async def test_caller_waits_and_then_talks() -> None:
    async with house("queue") as full:
        calling = full.call(stays(38))
        await asyncio.sleep(25)
        await full.free()
        second = await calling
        heard = [one.text for one in second.bot_said if one.complete]
        assert heard[:3] == [WORDS.waiting, WORDS.still_waiting, "Pronto!"]
        assert second.problems == () and second.violations == ()
        report = (await full.reports(1))[second.call_sid]
        assert report["ended_reason"] == "caller_hung_up"
        assert report["answered_at"] is not None
        assert report["passed_on"] == []
        lines = await full.metrics()
        assert 'voicebot_queue_wait_seconds_count{result="admitted"} 1' in lines
        assert 'voicebot_calls_refused_total{reason="full"} 0' in lines
        assert 'voicebot_turned_away_total{reason="calls_full"} 0' in lines


@virtual
async def test_caller_who_hangs_up_while_waiting_is_reported_once() -> None:
    async with house("queue") as full:
        second = await full.call(stays(25))
        for _ in range(2):
            status = {"CallSid": second.call_sid, "CallStatus": "completed"}
            assert await full.post("/twilio/status", **status) == 204
        report = (await full.reports(1))[second.call_sid]
        assert report["ended_reason"] == "full"
        assert (report["answered_at"], report["duration_s"], report["outcome"]) == (None, 0.0, None)
        assert (report["direction"], report["flow"], report["phases"]) == ("inbound", "hello", [])
        assert report["caller"] and report["called"]
        [(to, target, result, waited_s)] = passed_on(report)
        assert (to, target, result) == ("queue", None, "canceled")
        assert 24 <= waited_s <= 26
        schema = report_schema("hello", SHELF.get("hello").flow)
        assert set(report) == set(schema["properties"]["data"]["properties"])
        lines = await full.metrics()
        assert 'voicebot_queue_wait_seconds_count{result="hung_up"} 1' in lines
        assert 'voicebot_calls_refused_total{reason="full"} 1' in lines
        assert 'voicebot_turned_away_total{reason="calls_full"} 1' in lines
        assert 'voicebot_calls_ended_total{flow="hello",reason="full",outcome="none"} 1' in lines


@virtual
async def test_whose_waiting_was_in_vain_leaves_a_message() -> None:
    async with house("queue/30s,voicemail") as full:
        second = await full.call([LeaveMessage(MESSAGE)])
        report = (await full.reports(1))[second.call_sid]
        assert [one[:3] for one in passed_on(report)] == [
            ("queue", None, "no_answer"),
            ("voicemail", None, "recorded"),
        ]
        assert report["ended_reason"] == "full"


@virtual
async def test_caller_who_is_lost_while_waiting_is_reported_and_holds_up_nobody() -> None:
    """The vendor does not say that the call is over."""
    async with house("queue/10m") as full:
        lost = await full.call(stays(5), status_url=None)
        await full.free()
        await asyncio.sleep(STALE_S)
        assert "Pronto!" in [one.text for one in (await full.call(stays(8))).bot_said]
        report = (await full.reports(2))[lost.call_sid]
        assert report["ended_reason"] == "full"
        assert passed_on(report)[0][:3] == ("queue", None, "canceled")


# ---- a message ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [[Wait(400), PutDown()]])
def test_message_is_in_the_only_report(after: list[Step]) -> None:
    @virtual
    async def play() -> None:
        async with house("voicemail") as full:
            second = await full.call([LeaveMessage(MESSAGE), *after])
            assert verbs(second)[:2] == [("Say", WORDS.voicemail), ("Record", "at most 120 s")]
            [message] = [one for one in second.events if isinstance(one, MessageRecorded)]
            assert message.text == MESSAGE
            asked = [one.url for one in second.events if isinstance(one, WebhookAnswered)]
            assert sum("/twilio/recorded?way=1" in url for url in asked) == 1
            assert sum("/twilio/passed?way=1" in url for url in asked) == 1
            told = {
                "CallSid": second.call_sid,
                "RecordingSid": message.recording_sid,
                "RecordingUrl": f"https://api.twilio.com/Recordings/{message.recording_sid}",
                "RecordingDuration": str(message.length_s),
                "RecordingStatus": "completed",
            }
            await full.reports(1)
            for path in ("/twilio/recorded?way=1", "/twilio/passed?way=1", "/twilio/recorded?way=1"):  # late
                assert await full.post(path, **told) in (200, 204)
            report = (await full.reports(1))[second.call_sid]
            assert report["ended_reason"] == "full"
            assert passed_on(report) == [("voicemail", None, "recorded", message.length_s)]
            [left] = report["passed_on"]
            assert left["recording_sid"] == message.recording_sid
            assert left["recording_url"].endswith(f"/Recordings/{message.recording_sid}")
            assert 'voicebot_calls_refused_total{reason="full"} 1' in await full.metrics()
            assert 'voicebot_calls_passed_on_total{to="voicemail",status="recorded"} 1' in await full.metrics()

    play()


# ---- what was there before ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overflow", "played"),
    [
        ("sentence", [("Say", WORDS.goodbye), ("Hangup", "")]),
        ("busy", [("Reject", "busy")]),
        (COLLEAGUE, [("Say", WORDS.transfer), ("Dial", COLLEAGUE), ("Hangup", "")]),
    ],
)
def test_others_get_what_the_operator_chose_and_no_report(overflow: str, played: list[tuple[str, str]]) -> None:
    @virtual
    async def play() -> None:
        async with house(overflow) as full:
            assert verbs(await full.call([])) == played
            await asyncio.sleep(60)
            assert full.made.crm.received == []
            assert 'voicebot_calls_refused_total{reason="full"} 1' in await full.metrics()

    play()


@virtual
async def test_answer_that_is_lost_while_waiting_is_asked_of_the_fallback() -> None:
    async with house("queue") as full:
        second = full.call(stays(30))
        await asyncio.sleep(5)
        [call_sid] = await full.guests()
        form = {"CallSid": call_sid, "From": "+15550123456", "To": "+15550100000", "CallStatus": "in-progress"}
        wrong = {"ErrorCode": "11205", "ErrorUrl": full.made.public_url + "/twilio/voice?waited=1"}
        async with aiohttp.ClientSession() as http:
            carrier = Carrier(AUTH_TOKEN)
            answer = await carrier.request(http, full.made.public_url + "/twilio/fallback", form | wrong)
        assert "/twilio/voice?waited=" in answer.body
        await second
        await full.reports(1)
