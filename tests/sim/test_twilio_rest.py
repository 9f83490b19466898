"""The twin of Twilio's REST API: by plain requests in virtual time, and by the vendor's own library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from tests.sim.phone_server import ACCOUNT, CALL_SID, TOKEN, Server, conversation, dial, reader, sample, steps
from tests.sim.virtual_time import virtual
from voicebot.sim.call_book import CallBook, CallStatus
from voicebot.sim.caller import Listen
from voicebot.sim.clock import run_virtual
from voicebot.sim.twilio_rest import RestAnswer, TwilioRest
from voicebot.sim.twiml_player import parse_twiml

OTHER = "CA" + "9" * 32
CALL = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL_SID}.json"


@dataclass
class Told:
    """A call that writes down what it is told."""

    status: CallStatus = "in-progress"
    told: list[tuple[str, ...]] = field(default_factory=list)
    call_sid: str = CALL_SID
    parties: tuple[str, str] = ("+14155550123", "+14155550100")

    def go_to(self, url: str, method: str = "POST") -> None:
        self.told.append((url, method))

    def play(self, twiml: str) -> None:
        parse_twiml(twiml, "http://127.0.0.1/")
        self.told.append((twiml,))

    def hang_up(self) -> None:
        self.told.append(("hang up",))
        self.status = "completed"


def basic(user: str = ACCOUNT, secret: str = TOKEN) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, secret)}


@dataclass
class Site:
    rest: TwilioRest
    call: Told
    http: aiohttp.ClientSession

    async def post(
        self, form: Mapping[str, str], path: str = CALL, user: str = ACCOUNT, secret: str = TOKEN
    ) -> tuple[int, dict[str, object]]:
        async with self.http.post(self.rest.url + path, data=form, headers=basic(user, secret)) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def site(status: CallStatus = "in-progress", **settings: object) -> AsyncIterator[Site]:
    call, book = Told(status), CallBook()
    book.enter(call)
    async with (
        TwilioRest(ACCOUNT, TOKEN, book, api_keys={"SK1": "secret"}, **settings) as rest,  # type: ignore[arg-type]
        aiohttp.ClientSession() as http,
    ):
        yield Site(rest, call, http)


AFTER = {"Url": "https://voice.example.com/twilio/after", "Method": "POST"}


@virtual
async def test_update_reaches_the_call() -> None:
    async with site() as made:
        assert (await made.post(AFTER))[0] == 200
        assert (await made.post({"Url": "https://voice.example.com/x", "Method": "get"}))[0] == 200
        assert (await made.post(sample("rest_update_call_transfer_form.json")))[0] == 200
        status, shown = await made.post(sample("rest_update_call_hangup_form.json"))
        assert (status, shown["sid"], shown["status"]) == (200, CALL_SID, "completed")
        assert made.call.told[:2] == [(AFTER["Url"], "POST"), ("https://voice.example.com/x", "GET")]
        assert made.call.told[2][0].startswith("<Response><Say>Connecting you now.")
        assert made.call.told[3] == ("hang up",)
        assert made.rest.violations == []
        assert [(one.method, one.path, one.status) for one in made.rest.requests] == [("POST", CALL, 200)] * 4
        assert made.rest.requests[0].form == AFTER


@virtual
async def test_errors_are_the_vendors() -> None:
    async with site() as made:
        status, body = await made.post(AFTER, CALL.replace(CALL_SID, OTHER))
        assert (status, body) == (404, sample("rest_error_body.json"))
        for user, secret in ((ACCOUNT, "wrong"), ("AC1", TOKEN), ("SK1", TOKEN)):
            status, body = await made.post(AFTER, user=user, secret=secret)
            assert (status, body["code"]) == (401, 20003)
        assert (await made.post(AFTER, user="SK1", secret="secret"))[0] == 200
        for form, code in (
            ({"Url": "after"}, 21205),
            ({"Twiml": "<Responze/>"}, 12100),
            ({"Twiml": "x" * 4001}, 20001),
            ({"Status": "done"}, 20001),
            (AFTER | {"Method": "PUT"}, 20001),
        ):
            status, body = await made.post(form)
            assert (status, body["code"], body["status"]) == (400, code, 400)
        async with made.http.post(made.rest.url + CALL, data=AFTER) as answer:
            assert answer.status == 401
        assert made.call.told == [(AFTER["Url"], "POST")]


@pytest.mark.parametrize(
    ("state", "ended_code", "refusal"),
    [("completed", 20404, (404, 20404)), ("completed", 21220, (400, 21220)), ("ringing", 20404, (400, 21220))],
)
def test_call_that_is_not_in_progress_cannot_be_redirected(
    state: CallStatus, ended_code: int, refusal: tuple[int, int]
) -> None:
    async def main() -> None:
        async with site(state, ended_code=ended_code) as made:
            status, body = await made.post(AFTER)
            assert (status, body["code"]) == refusal
            assert made.call.told == []

    run_virtual(main())


@virtual
async def test_requests_that_the_vendor_lets_pass_are_written_down() -> None:
    async with site() as made:
        await made.post({})
        await made.post(AFTER | {"Status": "completed"})
        await made.post(AFTER | {"Uri": "x"})
        async with made.http.post(made.rest.url + CALL, json=AFTER, headers=basic()):
            pass
        assert (await made.post(AFTER, "/2010-04-01/Calls.json"))[0] == 404
        text = "\n".join(made.rest.violations)
    for problem in ("asks for nothing", "Url and Status", "no field 'Uri'", "application/json", "is not an address"):
        assert problem in text


@virtual
async def test_faults_come_as_ordered() -> None:
    async with site() as made:
        made.rest.answer_with(RestAnswer(429, retry_after="2"), RestAnswer(503), RestAnswer(delay_s=3))
        assert [(await made.post(AFTER))[1].get("code") for _ in range(2)] == [20429, 20503]
        began = asyncio.get_running_loop().time()
        assert (await made.post(AFTER))[0] == 200
        assert asyncio.get_running_loop().time() - began == pytest.approx(3, abs=0.1)
        made.rest.available = False
        assert (await made.post(AFTER))[0] == 503
        made.rest.available = True
        made.rest.answer_with(RestAnswer(reset=True))
        with pytest.raises(aiohttp.ClientConnectionError):
            await made.post(AFTER)
        made.rest.answer_with(RestAnswer(hang=True))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await made.post(AFTER)
        assert (await made.rest.wait_for(6, 1))[-1].status is None
        assert len(made.call.told) == 1


def test_redirect_really_redirects_the_phone() -> None:
    server = Server(reader, documents={"/elsewhere": "<Response><Say>Somewhere else.</Say></Response>"})

    async def main() -> None:
        book = CallBook()
        async with server, TwilioRest(ACCOUNT, TOKEN, book) as rest, aiohttp.ClientSession() as http:
            made = Site(rest, Told(), http)

            async def redirect() -> None:
                await asyncio.sleep(2)
                assert (await made.post({"Url": f"http://{server.host}/elsewhere"}))[0] == 200

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(redirect())
                result = await dial(server, steps(Listen(60_000)), book=book)
            assert conversation(result) == ["Somewhere else."]
            status, body = await made.post(AFTER)
            assert (status, body["code"]) == (404, 20404)

    run_virtual(main())


async def test_vendors_own_library_is_served() -> None:
    async with site() as made:
        client = Client(ACCOUNT, TOKEN)
        client.api.base_url = made.rest.url

        def use() -> None:
            call = client.calls(CALL_SID)
            assert call.fetch().status == "in-progress"
            assert call.update(url=AFTER["Url"], method="POST").sid == CALL_SID
            with pytest.raises(TwilioRestException) as refused:
                client.calls(OTHER).update(status="completed")
            assert (refused.value.status, refused.value.code) == (404, 20404)

        await asyncio.to_thread(use)
        client.http_client.session.close()
        assert made.call.told == [(AFTER["Url"], "POST")]
        assert made.rest.violations == []
