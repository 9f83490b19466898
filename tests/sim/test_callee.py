"""The phones that the account calls, against a server that answers with TwiML alone."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.sim.virtual_time import virtual
from voicebot.sim.account import ACCOUNT_SID, AUTH_TOKEN
from voicebot.sim.call_book import CallBook
from voicebot.sim.callee import GREETING, Callee, machine
from voicebot.sim.carrier import signature
from voicebot.sim.switchboard import Switchboard
from voicebot.sim.twilio_rest import TwilioRest

OURS, ADA = "+15550100000", "+15550123456"
PORT = 8099
BASE = f"http://127.0.0.1:{PORT}"


class Business:
    """A server that has Ada called, says one sentence, and writes down what it is told, in order."""

    def __init__(self, twiml: str = "<Response><Say>Hello Ada.</Say></Response>") -> None:
        self.told: list[tuple[str, dict[str, str]]] = []
        self._twiml = twiml

    async def _take(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        assert request.headers["X-Twilio-Signature"] == signature(AUTH_TOKEN, BASE + request.path, form)
        self.told.append((request.path, form))
        if request.path == "/answered":
            return web.Response(text=self._twiml, content_type="text/xml")
        return web.Response(status=204)

    async def call(self, callee: Callee, **changes: str) -> Any:
        """Have Ada called, and wait until the call is over."""
        app = web.Application()
        app.router.add_post("/{what}", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", PORT).start()
        book = CallBook()
        try:
            async with (
                Switchboard({ADA: callee}, book=book) as board,
                TwilioRest(ACCOUNT_SID, AUTH_TOKEN, book, numbers=[OURS], place=board.ring) as rest,
                aiohttp.ClientSession() as http,
            ):
                form = {
                    "To": ADA,
                    "From": OURS,
                    "Url": f"{BASE}/answered",
                    "StatusCallback": f"{BASE}/progress",
                    "MachineDetection": "DetectMessageEnd",
                    "AsyncAmd": "true",
                    "AsyncAmdStatusCallback": f"{BASE}/answerer",
                } | changes
                data = [*form.items(), *(("StatusCallbackEvent", one) for one in _EVENTS)]
                headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)}
                path = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json"
                async with http.post(rest.url + path, data=aiohttp.FormData(data), headers=headers) as answer:
                    assert answer.status == 201
                    shown = await answer.json()
                assert (shown["status"], shown["direction"]) == ("queued", "outbound-api")
                [result] = await board.wait_for(1, 300)
                assert result.call_sid == shown["sid"]
                assert rest.violations == []
                return result
        finally:
            await runner.cleanup()

    @property
    def progress(self) -> list[tuple[str, str]]:
        """Sequence numbers with statuses, in the order in which they came."""
        return [(form["SequenceNumber"], form["CallStatus"]) for path, form in self.told if path == "/progress"]


_EVENTS = ("initiated", "ringing", "answered", "completed")


@virtual
async def test_human_answers() -> None:
    business = Business("<Response><Say>Hello Ada.</Say><Pause length='5'/></Response>")
    result = await business.call(Callee(ring_s=2, detected_s=2))
    assert [said.text for said in result.bot_said] == ["Hello Ada."]
    assert sorted(business.progress) == [
        *(("0", "initiated"), ("1", "ringing"), ("2", "in-progress"), ("3", "completed")),
    ]
    [answered] = [form for path, form in business.told if path == "/answered"]
    assert (answered["CallStatus"], answered["Direction"]) == ("in-progress", "outbound-api")
    assert (answered["From"], answered["To"]) == (OURS, ADA)
    [detected] = [form for path, form in business.told if path == "/answerer"]
    assert (detected["AnsweredBy"], detected["MachineDetectionDuration"]) == ("human", "2000")


@pytest.mark.parametrize("tone", [True, False])
def test_machine_is_known_once_a_message_can_be_left(tone: bool) -> None:
    @virtual
    async def play() -> None:
        business = Business("<Response><Pause length='30'/></Response>")
        callee = machine(tone=tone)
        result = await business.call(callee)
        greeting = result.caller_said[0]
        assert greeting.text == GREETING
        assert greeting.complete
        [detected] = [form for path, form in business.told if path == "/answerer"]
        assert detected["AnsweredBy"] == ("machine_end_beep" if tone else "machine_end_silence")
        assert int(detected["MachineDetectionDuration"]) > greeting.end_ms - greeting.start_ms

    play()


@pytest.mark.parametrize(
    ("callee", "changes", "status"),
    [
        (Callee("busy"), {}, "busy"),
        (Callee("failed"), {}, "failed"),
        (Callee("no-answer"), {"Timeout": "20"}, "no-answer"),
        (Callee(ring_s=30), {"Timeout": "20"}, "no-answer"),
    ],
)
def test_call_that_nobody_answers_ends_with_its_status(callee: Callee, changes: dict[str, str], status: str) -> None:
    @virtual
    async def play() -> None:
        business = Business()
        began = asyncio.get_running_loop().time()
        await business.call(callee, **changes)
        assert business.progress == [("0", "initiated"), ("1", "ringing"), ("2", status)]
        assert {path for path, _ in business.told} == {"/progress"}
        if status == "no-answer":
            assert asyncio.get_running_loop().time() - began == pytest.approx(20, abs=1)

    play()


@virtual
async def test_number_that_nobody_has_fails() -> None:
    business = Business()
    await business.call(Callee(), To="+15550999999")
    assert business.progress[-1][1] == "failed"
