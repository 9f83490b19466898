"""Calls that we place, on the whole path: who answers, who does not, and what Twilio's REST API makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.sim.virtual_time import virtual
from voicebot.engine.entries import EndedReason
from voicebot.errors import OutboundRefusedError, SettingsError, VoicebotError
from voicebot.flow import Flow, HangUp, LeaveMessage, Observations, Phase, To, ask, it
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.server.place_call import place_and_follow
from voicebot.sim.brain import Calls, Says
from voicebot.sim.callee import GREETING, Callee, machine
from voicebot.sim.caller import Caller
from voicebot.sim.caller import Say as Speak
from voicebot.sim.cooperative import CooperativeBrain
from voicebot.sim.scenario import Exchange, Expected, Scenario
from voicebot.sim.stage import OWN_NUMBERS, Stage, stage
from voicebot.sim.timeline import CallEnded, WebhookAnswered
from voicebot.sim.twilio_rest import RestAnswer

TOKEN = "the stage's API token"
ADA = "+15550123456"
MESSAGE = "This is the cake shop. Please call us back about your order."
BOT_OPENS = "Hello, this is the cake shop."


class Reminder(Observations):
    order: str = ask("the number of the order", default_from="variables.order")
    comes: bool = ask("whether they come to fetch it")


flow = Flow(
    goal="Remind somebody of a cake.",
    observations=Reminder,
    opening=BOT_OPENS,
    numbers=OWN_NUMBERS,
    on_voicemail=LeaveMessage(MESSAGE),
    phases=[
        Phase("remind", instructions="Ask.", observations=[it.order, it.comes], transitions=[To("bye")]),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
SHELF = FlowShelf({"reminder": load_flow("reminder", flow)})
TALK = Scenario(
    "talk",
    "reminder",
    (
        Exchange(
            Speak("Yes, I come today."),
            ((Calls("record", {"comes": {"value": True, "quote": "Yes, I come"}}),), (Says("Lovely. Goodbye!"),)),
        ),
    ),
    Expected(),
)
HUMAN = Callee(behaviour=lambda: Caller(TALK.steps()))


@dataclass
class Shop:
    """A server with numbers to call, and somebody who holds its token."""

    stage: Stage
    http: aiohttp.ClientSession

    async def ask(self, body: object, key: str | None = None, token: str = TOKEN) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        async with self.http.post(f"{self.stage.public_url}/calls", json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type.endswith("json") else text

    async def place(self, **changes: object) -> tuple[int, Any]:
        body: dict[str, object] = {"to": ADA, "flow": "reminder", "variables": {"order": "A 17"}}
        return await self.ask(body | changes)

    async def show(self, order_id: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.http.get(f"{self.stage.public_url}/calls/placed/{order_id}", headers=headers) as answer:
            assert answer.status == 200
            found: dict[str, Any] = await answer.json()
            return found

    async def ended(self, order_id: str, limit_s: float = 600) -> dict[str, Any]:
        for _ in range(round(limit_s)):
            if (shown := await self.show(order_id))["state"] == "ended":
                return shown
            await asyncio.sleep(1)
        raise TimeoutError(f"it is still {shown['state']}")

    async def report(self, n: int = 1) -> dict[str, Any]:
        """The n-th, when it has come; and none comes after it for a while."""
        received = await self.stage.crm.wait_for(n, 300)
        await asyncio.sleep(30)
        assert len(self.stage.crm.received) == n
        found: dict[str, Any] = json.loads(received[n - 1].body)["data"]
        return found

    async def metric(self, name: str) -> float:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.http.get(f"{self.stage.public_url}/metrics", headers=headers) as answer:
            lines = (await answer.text()).splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@asynccontextmanager
async def shop(
    callees: Mapping[str, Callee | Sequence[Callee]] | None = None,
    *,
    shelf: FlowShelf = SHELF,
    cooperative: bool = False,
    **settings: object,
) -> AsyncIterator[Shop]:
    brain = CooperativeBrain() if cooperative else TALK.brain()
    given = {"VOICEBOT_API_TOKEN": TOKEN, "VOICEBOT_OUTBOUND_ALLOW": "+1555"} | settings
    async with (
        stage(shelf, lambda: brain, default_flow="reminder", settings=given, callees=callees or {ADA: HUMAN}) as made,
        aiohttp.ClientSession() as http,
    ):
        yield Shop(made, http)
        assert made.vendor.violations == []
        assert [line for result in made.switchboard.results for line in result.violations] == []


def without_times(report: Mapping[str, Any], *also: str) -> dict[str, Any]:
    """A report of a call that nobody has answered, but for what differs each time."""
    changing = {"call_sid", "started_at", "ended_at", "flow_version", *also}
    return {name: value for name, value in report.items() if name not in changing}


NOBODY_SPOKE = {
    "recording": None,
    "language": "en",
    "languages": [],
    "cost": None,
    "transfer": None,
    "flow": "reminder",
    "direction": "outbound",
    "caller": OWN_NUMBERS[0],
    "called": ADA,
    "variables": {"order": "A 17"},
    "answered_at": None,
    "answered_by": None,
    "duration_s": 0.0,
    "outcome": None,
    "progress": 0.0,
    "observations": {"order": None, "comes": None},
    "observation_status": {"order": "unasked", "comes": "unasked"},
    "evidence": {"order": None, "comes": None},
    "analysis": None,
    "summary": None,
    "filled_after": [],
    "judgements": [],
    "rules": [],
    "phases": [],
    "statements": [],
    "tools": [],
    "messages": [],
    "passed_on": [],
    "transcript": [],
    "transcript_url": None,
    "response_ms": None,
    "line": None,
    "tokens": dict.fromkeys(
        ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio"), 0
    ),
    "problems": [],
}


# ---- somebody answers -----------------------------------------------------------------------------------------------


@virtual
async def test_human_answers_and_the_flow_completes() -> None:
    async with shop() as made:
        status, placed = await made.place()
        assert (status, placed["state"]) == (201, "ringing")
        report = await made.report()
        [result] = made.stage.switchboard.results
        assert result.problems == ()
        assert [said.text for said in result.bot_said] == [BOT_OPENS, "Lovely. Goodbye!"]
        shown = await made.ended(placed["id"])
        assert await made.metric('voicebot_outbound_calls_total{result="answered"}') == 1
    assert shown == {
        "id": placed["id"],
        "state": "ended",
        "tries": 1,
        "call_sid": result.call_sid,
        "next_try_at": None,
        "ended_reason": "completed",
        "outcome": None,
        "answered_by": "human",
    }
    assert report["call_sid"] == result.call_sid == placed["call_sid"]
    assert (report["direction"], report["caller"], report["called"]) == ("outbound", OWN_NUMBERS[0], ADA)
    assert (report["ended_reason"], report["answered_by"]) == ("completed", "human")
    assert report["variables"] == {"order": "A 17"}
    assert report["observations"] == {"order": "A 17", "comes": True}
    assert report["evidence"]["order"]["kind"] == "default"
    assert [one["name"] for one in report["phases"]] == ["remind", "bye"]


@virtual
async def test_request_is_as_the_vendor_documents_it() -> None:
    async with shop() as made:
        _, placed = await made.place()
        [request] = made.stage.vendor.requests
        url, query = made.stage.public_url, f"?order={placed['id']}&try=1"
        assert (request.method, request.status) == ("POST", 201)
        assert request.form == {
            "To": ADA,
            "From": OWN_NUMBERS[0],
            "Url": f"{url}/twilio/answered{query}",
            "Method": "POST",
            "StatusCallback": f"{url}/twilio/progress{query}",
            "StatusCallbackMethod": "POST",
            "StatusCallbackEvent": "initiated ringing answered completed",
            "Timeout": "30",
            "MachineDetection": "DetectMessageEnd",
            "AsyncAmd": "true",
            "AsyncAmdStatusCallback": f"{url}/twilio/answerer{query}",
            "AsyncAmdStatusCallbackMethod": "POST",
        }
        await made.report()
        asked = [event for event in made.stage.switchboard.results[0].events if isinstance(event, WebhookAnswered)]
        assert {event.status for event in asked} <= {200, 204}


@virtual
async def test_model_knows_what_the_call_is_about() -> None:
    async with shop() as made:
        await made.place()
        await made.report()
        [session] = made.stage.model.sessions
        told = json.dumps([one.event for one in session.transcript if one.sender == "client"])
        assert f"You have called {ADA}" in told
        assert "order: A 17" in told


# ---- an answering machine -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tone", [True, False])
def test_machine_hears_the_message_and_nothing_else_after_its_greeting(tone: bool) -> None:
    @virtual
    async def play() -> None:
        async with shop({ADA: machine(tone=tone)}, cooperative=True) as made:
            _, placed = await made.place()
            report = await made.report()
            shown = await made.ended(placed["id"])
            [result] = made.stage.switchboard.results
        said = [one for one in result.bot_said if one.complete]
        assert said[-1].text == MESSAGE
        [greeting] = [one for one in result.caller_said if one.text == GREETING]
        assert greeting.complete
        assert said[-1].start_ms > result.caller_said[-1].end_ms
        by = "machine_end_beep" if tone else "machine_end_silence"
        assert (report["ended_reason"], report["answered_by"]) == ("voicemail", by)
        assert (shown["ended_reason"], shown["answered_by"]) == ("voicemail", by)
        last = report["transcript"][-1]
        assert (last["speaker"], last["text"]) == ("bot", MESSAGE)
        assert "interrupted" not in last
        assert report["problems"] == []

    play()


@virtual
async def test_machine_is_put_down_where_the_flow_has_no_message() -> None:
    silent = FlowShelf({"reminder": load_flow("reminder", replace(flow, on_voicemail=None))})
    async with shop({ADA: machine()}, shelf=silent, cooperative=True) as made:
        await made.place()
        report = await made.report()
        [result] = made.stage.switchboard.results
    assert (report["ended_reason"], report["answered_by"]) == ("voicemail", "machine_end_beep")
    assert MESSAGE not in str(report["transcript"])
    [ended] = [event for event in result.events if isinstance(event, CallEnded)]
    assert ended.at_ms < result.caller_said[-1].end_ms + 3_000


# ---- nobody answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("callee", "reason"),
    [
        (Callee("busy"), "busy"),
        (Callee("no-answer"), "no_answer"),
        (Callee(ring_s=45), "no_answer"),
        (Callee("failed"), "failed"),
    ],
)
def test_call_that_nobody_answers_is_reported_without_a_model(callee: Callee, reason: EndedReason) -> None:
    @virtual
    async def play() -> None:
        async with shop({ADA: callee}) as made:
            status, placed = await made.place()
            assert status == 201
            report = await made.report()
            shown = await made.ended(placed["id"])
            assert made.stage.model.sessions == []
            assert await made.metric(f'voicebot_outbound_calls_total{{result="{reason}"}}') == 1
        assert without_times(report) == NOBODY_SPOKE | {"ended_reason": reason}
        assert report["call_sid"] == placed["call_sid"]
        assert (shown["state"], shown["ended_reason"], shown["tries"]) == ("ended", reason, 1)

    play()


@virtual
async def test_call_that_is_taken_back_is_reported() -> None:
    async with shop({ADA: Callee(ring_s=20)}) as made:
        await made.place()
        await asyncio.sleep(2)
        [call] = made.stage.book.on_the_line()
        call.hang_up()
        report = await made.report()
    assert without_times(report) == NOBODY_SPOKE | {"ended_reason": "canceled"}


@virtual
async def test_busy_number_is_called_again_and_never_twice_at_once() -> None:
    async with shop({ADA: [Callee("busy"), Callee("no-answer"), HUMAN]}, VOICEBOT_OUTBOUND_RETRIES="2/15m") as made:
        _, placed = await made.place()
        first = await made.report(1)
        shown = await made.show(placed["id"])
        assert (shown["state"], shown["ended_reason"]) == ("waiting", "busy")
        assert (await made.place())[1]["code"] == "line_busy"
        await asyncio.sleep(15 * 60)
        second = await made.report(2)
        await asyncio.sleep(15 * 60)
        third = await made.report(3)
        shown = await made.ended(placed["id"])
    assert [one["ended_reason"] for one in (first, second, third)] == ["busy", "no_answer", "completed"]
    assert len({one["call_sid"] for one in (first, second, third)}) == 3
    began = [datetime.fromisoformat(one["started_at"]) for one in (first, second, third)]
    ended = [datetime.fromisoformat(one["ended_at"]) for one in (first, second)]
    for end, begin in zip(ended, began[1:], strict=True):
        assert timedelta(minutes=15) <= begin - end < timedelta(minutes=16)
    assert (shown["tries"], shown["ended_reason"]) == (3, "completed")


# ---- Twilio's REST API ----------------------------------------------------------------------------------------------


@virtual
async def test_vendor_that_is_busy_is_asked_again() -> None:
    async with shop() as made:
        made.stage.vendor.answer_with(RestAnswer(429, retry_after="2"), RestAnswer(500))
        status, _ = await made.place()
        assert status == 201
        assert (await made.report())["ended_reason"] == "completed"
        assert [request.status for request in made.stage.vendor.requests] == [429, 500, 201]
        assert len(made.stage.switchboard.placed) == 1


@virtual
async def test_vendor_that_fails_for_ever_is_given_up_and_reported() -> None:
    async with shop() as made:
        made.stage.vendor.available = False
        status, placed = await made.place()
        assert (status, placed["state"], placed["ended_reason"]) == (502, "ended", "failed")
        report = await made.report()
        assert report["call_sid"] == placed["id"]
        assert without_times(report) == NOBODY_SPOKE | {"ended_reason": "failed"}
        assert 2 <= len(made.stage.vendor.requests) <= 5
        made.stage.vendor.available = True
        assert (await made.place())[0] == 201  # the line is free


@virtual
async def test_number_that_the_vendor_does_not_know_is_not_asked_for_again() -> None:
    async with shop() as made:
        status, placed = await made.place(**{"from": "+15550100999"})
        assert (status, placed["ended_reason"]) == (502, "failed")
        assert [request.code for request in made.stage.vendor.requests] == [21210]
        assert (await made.report())["ended_reason"] == "failed"


@virtual
async def test_call_of_which_nobody_knows_is_not_placed_twice() -> None:
    """Twilio takes the request, and its answer is lost: what comes of the call tells."""
    async with shop() as made:
        made.stage.vendor.answer_with(RestAnswer(lost=True))
        status, placed = await made.place()
        assert (status, placed["state"]) == (201, "ringing")
        assert (await made.report())["ended_reason"] == "completed"
        assert len(made.stage.switchboard.placed) == 1
        assert (await made.ended(placed["id"]))["ended_reason"] == "completed"


@virtual
async def test_call_that_never_was_is_reported_in_the_end() -> None:
    async with shop() as made:
        made.stage.vendor.answer_with(RestAnswer(reset=True))
        _, placed = await made.place()
        assert placed["call_sid"] is None
        assert (await made.ended(placed["id"]))["ended_reason"] == "failed"
        report = await made.report()
        assert without_times(report) == NOBODY_SPOKE | {"ended_reason": "failed"}
        assert made.stage.switchboard.placed == []


# ---- from the command line ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("callee", "lines", "last", "talked"),
    [
        (HUMAN, ["ringing", "answered"], "ended: completed, answered by: human, CA", True),
        (Callee("busy"), ["ringing"], "ended: busy, CA", False),
    ],
)
def test_call_is_followed_to_its_end(callee: Callee, lines: list[str], last: str, talked: bool) -> None:
    @virtual
    async def play() -> None:
        told: list[str] = []
        async with shop({ADA: callee}) as made:
            body = {"to": ADA, "flow": "reminder", "variables": {"order": "A 17"}}
            outcome = await place_and_follow(made.stage.public_url + "/", TOKEN, body, told.append)
        assert told == lines
        assert str(outcome).startswith(last)
        assert outcome.talked is talked

    play()


@virtual
async def test_follower_says_why_nothing_is_placed() -> None:
    async with shop() as made:
        server, body = made.stage.public_url, {"to": "+3906123456", "flow": "reminder"}
        with pytest.raises(OutboundRefusedError) as refused:
            await place_and_follow(server, TOKEN, body, print)
        assert refused.value.reason == "not_allowed"
        with pytest.raises(VoicebotError, match="401"):
            await place_and_follow(server, "wrong", body, print)
        with pytest.raises(SettingsError, match="VOICEBOT_API_TOKEN"):
            await place_and_follow(server, "", body, print)
        with pytest.raises(VoicebotError, match="cannot be asked"):
            await place_and_follow("http://127.0.0.1:9", TOKEN, body, print)


# ---- who may be called ----------------------------------------------------------------------------------------------


@virtual
async def test_same_key_gives_the_same_call() -> None:
    body: dict[str, object] = {"to": ADA, "flow": "reminder", "variables": {"order": "A 17"}}
    async with shop() as made:
        (first, one), (again, other) = [await made.ask(body, key="order 17") for _ in range(2)]
        assert (first, again) == (201, 201)
        assert one["id"] == other["id"]
        await made.report()
        _, later = await made.ask(body, key="order 17")
        assert (later["id"], later["state"], later["ended_reason"]) == (one["id"], "ended", "completed")
        status, refused = await made.ask(body | {"variables": {"order": "B"}}, key="order 17")
        assert (status, refused["code"]) == (409, "key_used")
        assert len(made.stage.switchboard.placed) == 1


@virtual
async def test_same_request_many_times_at_once_places_one_call() -> None:
    body = {"to": ADA, "flow": "reminder", "variables": {"order": "A 17"}}
    async with shop() as made:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(made.ask(body, key="order 17")) for _ in range(5)]
        answers = [one.result() for one in asked]
        assert {status for status, _ in answers} == {201}
        assert len({shown["id"] for _, shown in answers}) == 1
        assert len(made.stage.switchboard.placed) == 1
        await made.report()


@virtual
async def test_many_requests_at_once_place_one_call() -> None:
    async with shop() as made:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(made.place()) for _ in range(5)]
        statuses = sorted(one.result()[0] for one in asked)
        assert statuses == [201, 409, 409, 409, 409]
        assert len(made.stage.switchboard.placed) == 1
        await made.report()


@pytest.mark.parametrize(
    ("body", "settings", "status", "reason"),
    [
        ({"to": "+3906123456"}, {}, 403, "not_allowed"),
        ({}, {"VOICEBOT_OUTBOUND_ALLOW": ""}, 403, "not_allowed"),
        ({}, {"VOICEBOT_OUTBOUND_ALLOW": "+1,!+15550"}, 403, "not_allowed"),
        ({"to": "15550123456"}, {}, 422, "number"),
        ({}, {"VOICEBOT_OUTBOUND_HOURS": "03:00-03:01 Europe/Rome"}, 403, "hours"),
        ({}, {"VOICEBOT_DO_NOT_CALL": "/nowhere/at/all"}, 403, "do_not_call"),
    ],
)
def test_call_that_may_not_be_placed_is_refused_and_counted(
    body: dict[str, object], settings: dict[str, object], status: int, reason: str
) -> None:
    @virtual
    async def play() -> None:
        async with shop(**settings) as made:
            answered, told = await made.place(**body)
            assert (answered, told["code"]) == (status, reason)
            assert made.stage.vendor.requests == []
            assert await made.metric(f'voicebot_outbound_refused_total{{reason="{reason}"}}') == 1

    play()


@virtual
async def test_more_calls_than_a_minute_may_have_are_refused() -> None:
    numbers = [f"+1555012345{digit}" for digit in range(4)]
    busy = {number: Callee("busy") for number in numbers}
    async with shop(busy, VOICEBOT_OUTBOUND_RATE=2) as made:
        answers = [await made.place(to=number) for number in numbers[:3]]
        assert [status for status, _ in answers] == [201, 201, 429]
        assert answers[2][1]["code"] == "rate"
        await asyncio.sleep(61)
        assert (await made.place(to=numbers[3]))[0] == 201


@virtual
async def test_wrong_token_and_odd_bodies_are_refused() -> None:
    async with shop() as made:
        assert (await made.ask({"to": ADA, "flow": "reminder"}, token="wrong"))[0] == 401
        for body in (
            {},
            {"to": ADA},
            [],
            {"to": ADA, "flow": "reminder", "record": True},
            {"to": ADA, "flow": "reminder", "variables": {"Order": "x"}},
            {"to": ADA, "flow": "reminder", "variables": {"order": "x\ny"}},
            {"to": ADA, "flow": "reminder", "from": "shop"},
        ):
            assert (await made.ask(body))[0] == 422
        assert (await made.place(flow="nothing"))[0] == 404
        assert (await made.place(**{"flow": "nothing", "from": OWN_NUMBERS[0]}))[0] == 404
        assert made.stage.vendor.requests == []


@virtual
async def test_forged_requests_begin_no_call() -> None:
    async with shop({ADA: Callee(ring_s=20)}) as made:
        _, placed = await made.place()
        form = {"CallSid": "CA" + "6" * 32, "CallStatus": "in-progress", "AnsweredBy": "human"}
        for path in ("answered", "progress", "answerer"):
            url = f"{made.stage.public_url}/twilio/{path}?order={placed['id']}&try=1"
            async with made.http.post(url, data=form, headers={"X-Twilio-Signature": "forged"}) as answer:
                assert answer.status == 403
        assert made.stage.model.sessions == []
        assert await made.metric('voicebot_turned_away_total{reason="forged"}') == 3
