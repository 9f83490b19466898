"""Twilio's webhooks and streams against the routes, over HTTP and WebSockets, on the virtual clock."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator

from tests.fakes import START, BreakableStore, calls_over, lobby_over, open_sockets
from voicebot.audio.formats import AudioFormat
from voicebot.call.session import CallSession
from voicebot.flow import Flow, Number, Observations, Phase, Transfer, Voicemail, ask
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.flow.ways_out import WayOut
from voicebot.server.app import MAX_BODY_BYTES
from voicebot.server.connections import SPREAD, make_runner
from voicebot.server.gatekeeper import Reason
from voicebot.server.lifecycle import CLAIM_LIMIT_S, Calls, ModelAccess
from voicebot.server.overflow import Overflow
from voicebot.server.passing import Passing
from voicebot.server.twilio_routes import BODY_LIMIT_S, START_LIMIT_S, TwilioRoutes
from voicebot.sim.brain import ScriptedBrain
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.sim.realtime_server import API_KEY, RealtimeServer
from voicebot.store.contract import CallRecord
from voicebot.telephony import tokens
from voicebot.telephony.full_house import read_full_house
from voicebot.telephony.signatures import SignatureChecker
from voicebot.telephony.twiml import FALLBACK_SENTENCES

SAMPLES = Path(__file__).parents[1] / "samples"
ORIGIN = "https://voice.example.com"
TOKENS = ("auth-token", "the-token-before")
SECRET = b"the secret of stream tokens"
PORT = 8080
FORM = "application/x-www-form-urlencoded"
STREAM_SID = "MZ" + "1" * 32
POLICY_VIOLATION = 1008


class Visit(Observations):
    name: str = ask("the caller's full name")


def flow_of(language: str, *numbers: str, fallback: Sequence[WayOut] = ()) -> Flow:
    return Flow(
        goal="Find out who is calling.",
        observations=Visit,
        languages=[language],
        numbers=list(numbers),
        fallback=fallback,
        phases=[Phase("reception", instructions="Find out who is calling.")],
    )


FLOWS = {
    "assess": load_flow("assess", flow_of("en", "+390600000001")),
    "order": load_flow("order", flow_of("it", "+390600000002")),
    "desk": load_flow(
        "desk",
        Flow(
            goal="Join the caller to somebody.",
            targets={"desk": Number("+15550177", no_answer="nobody", timeout="25s", caller_id="+15550100")},
            phases=[
                Phase("human", instructions="Say that you connect them.", end=Transfer("desk", brief=True)),
                Phase("nobody", instructions="Offer to call back."),
            ],
        ),
    ),
    "elsewhere": load_flow(
        "elsewhere", flow_of("en", fallback=[Transfer("+15550199", timeout="20s"), Voicemail(max="2m")])
    ),
}


def sample(name: str) -> dict[str, str]:
    return dict(json.loads((SAMPLES / "twilio_webhooks" / f"{name}.json").read_text()))


VOICE = sample("voice_inbound")
CALL_SID = VOICE["CallSid"]


@dataclass(frozen=True)
class Answer:
    """What came back; `verbs` are the TwiML's."""

    status: int
    text: str
    content_type: str

    @property
    def verbs(self) -> list[str]:
        return [verb.tag for verb in ElementTree.fromstring(self.text)]

    @property
    def said(self) -> str | None:
        """The sentence, if the line is to speak one."""
        return ElementTree.fromstring(self.text).findtext("Say")

    @property
    def token(self) -> str:
        parameter = ElementTree.fromstring(self.text).find("Connect/Stream/Parameter[@name='token']")
        assert parameter is not None
        return parameter.attrib["value"]


@dataclass
class Site:
    """The routes on a server of their own, with Twilio's side of them."""

    http: aiohttp.ClientSession
    store: BreakableStore
    calls: Calls
    model: RealtimeServer
    counts: Counter[Reason]

    async def post(
        self, path: str, form: Mapping[str, str], *, auth_token: str = TOKENS[0], headers: Mapping[str, str] = {}
    ) -> Answer:
        """A form as Twilio signs it."""
        signature = RequestValidator(auth_token).compute_signature(ORIGIN + path, dict(form))
        return await self.raw("POST", path, data=dict(form), headers={"X-Twilio-Signature": signature, **headers})

    async def raw(self, method: str, path: str, **rest: object) -> Answer:
        async with self.http.request(method, f"http://127.0.0.1:{PORT}{path}", **rest) as response:  # type: ignore[arg-type]
            return Answer(response.status, await response.text(), response.content_type)

    async def dial(self, **changed: str) -> Answer:
        """The voice webhook of a call."""
        return await self.post("/twilio/voice", VOICE | changed)

    async def open_stream(
        self, *, auth_token: str = TOKENS[0], signed: bool = True, path: str = "/twilio/media"
    ) -> aiohttp.ClientWebSocketResponse:
        url = ORIGIN.replace("https", "wss") + path
        signature = RequestValidator(auth_token).compute_signature(url, {})
        headers = {"X-Twilio-Signature": signature} if signed else {}
        return await self.http.ws_connect(f"http://127.0.0.1:{PORT}{path}", headers=headers)

    async def start_stream(
        self, token: str, call_sid: str = CALL_SID, path: str = "/twilio/media"
    ) -> aiohttp.ClientWebSocketResponse:
        """A stream that is signed well and says who it is."""
        socket = await self.open_stream(path=path)
        start = json.loads((SAMPLES / "twilio" / "from_start.json").read_text())
        start["start"] |= {"callSid": call_sid, "customParameters": {"token": token}}
        await socket.send_str((SAMPLES / "twilio" / "from_connected.json").read_text())
        await socket.send_json(start)
        return socket

    def session(self, call_sid: str = CALL_SID) -> CallSession:
        found = self.calls.get(call_sid)
        assert found is not None
        return found

    async def kinds(self, call_sid: str = CALL_SID) -> list[str]:
        return [entry.kind for entry in await self.store.journal(call_sid)]

    async def ended_reason(self, call_sid: str = CALL_SID) -> str:
        report = await self.store.report(call_sid)
        assert report is not None
        return str(json.loads(report)["data"]["ended_reason"])


async def nobody() -> frozenset[str]:
    """No other instance takes calls."""
    return frozenset()


@asynccontextmanager
async def site(
    *,
    flows: Sequence[str] = ("assess", "order"),
    numbers: Mapping[str, str] = {},
    default_flow: str = "assess",
    max_calls: int = 10,
    instance: str = "",
    overflow: str = "sentence",
) -> AsyncIterator[Site]:
    wall = wall_clock(START)
    shelf = FlowShelf({name: FLOWS[name] for name in flows})
    with tempfile.TemporaryDirectory() as folder:
        store = await BreakableStore.open(Path(folder) / "calls.db")
        async with RealtimeServer(lambda: ScriptedBrain([])) as model:
            access = ModelAccess(model.url, lambda: API_KEY, "gpt-realtime-2.1", "gpt-transcribe", AudioFormat.PCMU_8K)
            calls = calls_over(store, access, shelf.flows, max_calls=max_calls, wall=wall, owner=f"{instance}-000001")
            counts: Counter[Reason] = Counter()
            routes = TwilioRoutes(
                calls=calls,
                store=store,
                shelf=lambda: shelf,
                checker=SignatureChecker(TOKENS, ORIGIN),
                secret=SECRET,
                public_url=ORIGIN,
                audio_format=AudioFormat.PCMU_8K,
                numbers=dict(numbers),
                default_flow=default_flow,
                wall=wall,
                passing=Passing(store=store, calls=calls, shelf=lambda: shelf, public_url=ORIGIN, wall=wall),
                others=nobody,
                lobby=lobby_over(store, calls, shelf.flows, wall, ORIGIN),
                overflow=Overflow(read_full_house(overflow), ORIGIN),
                counts=counts,
            )
            app = web.Application(client_max_size=MAX_BODY_BYTES)
            app.add_routes(routes.routes())
            runner = make_runner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", PORT).start()
            try:
                async with aiohttp.ClientSession() as http:
                    yield Site(http, store, calls, model, counts)
            finally:
                store.mend()
                await calls.end()
                await runner.cleanup()
                await store.close()


def on_site(
    *,
    flows: Sequence[str] = ("assess", "order"),
    numbers: Mapping[str, str] = {},
    default_flow: str = "assess",
    max_calls: int = 10,
    instance: str = "",
    overflow: str = "sentence",
) -> Callable[[Callable[..., Coroutine[object, object, None]]], Callable[..., None]]:
    """Run an async test with a `Site` before its other arguments, on the virtual clock."""

    def decorate(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
        async def play(**arguments: object) -> None:
            async with site(
                flows=flows,
                numbers=numbers,
                default_flow=default_flow,
                max_calls=max_calls,
                instance=instance,
                overflow=overflow,
            ) as made:
                await test(made, **arguments)

        @functools.wraps(test)
        def run(**arguments: object) -> None:
            run_virtual(play(**arguments), limit_s=3600)

        own = list(inspect.signature(test).parameters.values())[1:]
        run.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        return run

    return decorate


# ---- the voice webhook ----------------------------------------------------------------------------------------------


@on_site()
async def test_voice_webhook_joins_the_call_to_its_stream(made: Site) -> None:
    answer = await made.dial()
    assert (answer.status, answer.content_type) == (200, "text/xml")
    connect = ElementTree.fromstring(answer.text).find("Connect")
    assert connect is not None
    stream = connect.find("Stream")
    assert stream is not None
    assert connect.attrib["action"] == f"{ORIGIN}/twilio/after"
    assert stream.attrib["url"] == "wss://voice.example.com/twilio/media"
    assert stream.attrib["statusCallback"] == f"{ORIGIN}/twilio/stream-status"
    assert tokens.verify(SECRET, answer.token, CALL_SID, START.timestamp())
    record = await made.store.call(CALL_SID)
    assert record is not None
    assert (record.flow_name, record.caller, record.called) == ("assess", VOICE["From"], VOICE["To"])


@on_site(instance="west-2")
async def test_stream_is_sent_to_the_instance_that_has_its_model(made: Site) -> None:
    answer = await made.dial()
    stream = ElementTree.fromstring(answer.text).find("Connect/Stream")
    assert stream is not None
    assert stream.attrib["url"] == "wss://voice.example.com/twilio/media/west-2"
    socket = await made.start_stream(answer.token, path="/twilio/media/west-2")
    await asyncio.sleep(0.5)
    assert "caller_connected" in await made.kinds()
    await socket.close()


@pytest.mark.parametrize("path", ["/twilio/media", "/twilio/media/east-1"])
@on_site(instance="west-2")
async def test_stream_that_names_another_is_taken_where_it_lands(made: Site, path: str) -> None:
    socket = await made.start_stream((await made.dial()).token, path=path)
    await asyncio.sleep(0.5)
    assert "caller_connected" in await made.kinds()
    await socket.close()


@on_site()
async def test_model_is_reached_while_the_phone_rings(made: Site) -> None:
    await made.dial()
    await asyncio.sleep(0.5)
    assert made.model.connections == 1


@pytest.mark.parametrize("together", [False, True])
@on_site()
async def test_repeated_webhook_gets_the_same_answer(made: Site, together: bool) -> None:
    if together:
        answers = await asyncio.gather(*(made.dial() for _ in range(20)))
    else:
        answers = []
        for _ in range(3):
            answers.append(await made.dial())
            await asyncio.sleep(1.5)
    await asyncio.sleep(0.5)
    assert {answer.text for answer in answers} == {answers[0].text}
    assert made.calls.count == 1
    assert made.model.connections == 1


@on_site()
async def test_repeated_webhook_of_an_ended_call_hangs_up(made: Site) -> None:
    await made.dial()
    made.session().hang_up()
    await made.calls.finished()
    assert (await made.dial()).verbs == ["Hangup"]
    assert made.calls.count == 0


@on_site(default_flow="")
async def test_flows_own_numbers_route(made: Site) -> None:
    await made.dial(To="+390600000002")
    record = await made.store.call(CALL_SID)
    assert record is not None and record.flow_name == "order"


@on_site(numbers={"+390600000001": "order", "+15550199": "order"})
async def test_table_goes_before_the_flows_own_numbers(made: Site) -> None:
    for call, called in enumerate(("+390600000001", "+15550199")):
        call_sid = f"CA{call:032x}"
        await made.dial(To=called, CallSid=call_sid)
        record = await made.store.call(call_sid)
        assert record is not None and record.flow_name == "order"


@on_site(flows=("order",), default_flow="")
async def test_only_flow_takes_every_number(made: Site) -> None:
    await made.dial()
    record = await made.store.call(CALL_SID)
    assert record is not None and record.flow_name == "order"


@on_site(default_flow="")
async def test_number_that_nobody_serves_is_a_sentence(made: Site, caplog: pytest.LogCaptureFixture) -> None:
    answer = await made.dial()
    assert (answer.status, answer.verbs) == (200, ["Say", "Hangup"])
    assert answer.said == FALLBACK_SENTENCES["en"].trouble
    await nothing_opened(made)
    assert "VOICEBOT_DEFAULT_FLOW" in caplog.text
    assert VOICE["To"] not in caplog.text


@on_site(numbers={VOICE["To"]: "nobody_wrote_it"})
async def test_table_with_an_unknown_flow_is_a_sentence(made: Site, caplog: pytest.LogCaptureFixture) -> None:
    assert (await made.dial()).said == FALLBACK_SENTENCES["en"].trouble
    await nothing_opened(made)
    assert "nobody_wrote_it" in caplog.text


@on_site(flows=(), default_flow="")
async def test_house_without_flows_still_speaks(made: Site) -> None:
    assert (await made.dial()).said == FALLBACK_SENTENCES["en"].trouble


@pytest.mark.parametrize("caller", ["anonymous", "", "+266696687", "client:alice", "sip:alice@example.com", "+1 555"])
@on_site()
async def test_caller_may_be_unknown(made: Site, caller: str) -> None:
    answer = await made.post("/twilio/voice", sample("voice_inbound_anonymous_forwarded") | {"From": caller})
    assert answer.verbs[0] == "Connect"
    record = await made.store.call(CALL_SID)
    assert record is not None
    assert record.caller == ("+266696687" if caller == "+266696687" else None)


@pytest.mark.parametrize(
    "call_sid",
    ["", "CA", "CA" + "g" * 32, "CA" + "A" * 32, "CA" + "1" * 31, "CA" + "1" * 33, "ZZ" + "1" * 32, "../../etc/passwd"],
)
@pytest.mark.parametrize("path", ["/twilio/voice", "/twilio/after", "/twilio/status"])
@on_site()
async def test_malformed_call_sid_is_a_bad_request(made: Site, path: str, call_sid: str) -> None:
    assert (await made.post(path, VOICE | {"CallSid": call_sid})).status == 400
    assert made.calls.count == 0


@on_site()
async def test_query_belongs_to_the_signature(made: Site) -> None:
    answer = await made.post("/twilio/voice?from=console%20test", VOICE)
    assert answer.verbs[0] == "Connect"


@on_site()
async def test_token_that_is_being_rotated_still_signs(made: Site) -> None:
    assert (await made.post("/twilio/voice", VOICE, auth_token=TOKENS[1])).status == 200


# ---- a full house, a store that fails -------------------------------------------------------------------------------


@on_site(max_calls=3)
async def test_as_many_calls_as_there_are_places(made: Site) -> None:
    """All at one instant: a webhook that waits for the store holds its place already."""
    answers = await asyncio.gather(*(made.dial(CallSid=f"CA{call:032x}") for call in range(10)))
    admitted = [answer for answer in answers if answer.verbs[0] == "Connect"]
    refused = [answer for answer in answers if answer.verbs == ["Say", "Hangup"]]
    assert (len(admitted), len(refused)) == (3, 7)
    assert made.calls.count == 3
    assert {answer.said for answer in refused} == {FALLBACK_SENTENCES["en"].goodbye}
    assert len(await made.store.calls(100)) == 3


@on_site(max_calls=1, default_flow="order")
async def test_full_house_speaks_the_flows_language(made: Site) -> None:
    await made.dial()
    assert (await made.dial(CallSid="CA" + "2" * 32)).said == FALLBACK_SENTENCES["it"].goodbye
    assert (await made.dial()).verbs[0] == "Connect"  # the same call, once more


@on_site()
async def test_closing_house_takes_no_new_call(made: Site) -> None:
    await made.dial()
    made.calls.accepting = False
    assert (await made.dial(CallSid="CA" + "2" * 32)).said == FALLBACK_SENTENCES["en"].goodbye
    assert (await made.dial()).verbs[0] == "Connect"


@on_site(max_calls=1, overflow="busy")
async def test_full_house_may_be_a_busy_line(made: Site) -> None:
    await made.dial()
    assert (await made.dial(CallSid="CA" + "2" * 32)).verbs == ["Reject"]
    assert made.counts == {"calls_full": 1}


@on_site(max_calls=1, default_flow="order", overflow="+15550199199")
async def test_full_house_may_ring_somebody(made: Site) -> None:
    await made.dial()
    answer = await made.dial(CallSid="CA" + "2" * 32)
    assert answer.verbs == ["Say", "Dial"]
    assert (await made.dial(CallSid="CA" + "3" * 32, To="+15550199199")).verbs == ["Say", "Hangup"]
    ended = await made.post("/twilio/overflown", {**VOICE, "DialCallStatus": "no-answer"})
    assert ended.said == FALLBACK_SENTENCES["it"].goodbye
    assert (await made.post("/twilio/overflown", {**VOICE, "DialCallStatus": "completed"})).verbs == ["Hangup"]
    assert made.calls.count == 1


@on_site()
async def test_process_that_is_late_takes_no_new_call(made: Site) -> None:
    await made.dial()
    made.calls._overloaded = lambda: True
    assert (await made.dial(CallSid="CA" + "2" * 32)).said == FALLBACK_SENTENCES["en"].goodbye
    assert (await made.dial()).verbs[0] == "Connect"
    assert made.counts == {"calls_lagging": 1}
    assert not made.calls.taking
    made.calls._overloaded = lambda: False
    assert (await made.dial(CallSid="CA" + "2" * 32)).verbs[0] == "Connect"


@on_site(default_flow="order")
async def test_store_that_fails_is_a_sentence(made: Site) -> None:
    made.store.break_down("open_call")
    answer = await made.dial()
    assert (answer.status, answer.said) == (200, FALLBACK_SENTENCES["it"].trouble)
    await nothing_opened(made)
    made.store.mend()
    assert (await made.dial()).verbs[0] == "Connect"  # Twilio asks again, or the caller does


@on_site(max_calls=1)
async def test_call_that_failed_to_open_leaves_its_place(made: Site) -> None:
    made.store.break_down("open_call")
    for call in range(3):
        await made.dial(CallSid=f"CA{call:032x}")
    made.store.mend()
    assert (await made.dial()).verbs[0] == "Connect"


@on_site(default_flow="order")
async def test_defect_of_ours_is_a_sentence(made: Site, caplog: pytest.LogCaptureFixture) -> None:
    async def defect(record: CallRecord, *, max_calls: int) -> tuple[CallRecord | None, bool]:
        raise ZeroDivisionError

    made.store.open_call = defect  # type: ignore[method-assign]
    answer = await made.dial()
    assert (answer.status, answer.said) == (200, FALLBACK_SENTENCES["it"].trouble)
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


# ---- requests that are not Twilio's ---------------------------------------------------------------------------------

SIGNED = {"X-Twilio-Signature": "A" * 27 + "="}
DISPOSITION = b'--x\r\nContent-Disposition: form-data; name="a"'
FORGED: dict[str, tuple[Mapping[str, str], bytes]] = {
    "unsigned": ({"Content-Type": FORM}, b"CallSid=CA1"),
    "malformed signature": ({"Content-Type": FORM, "X-Twilio-Signature": "x"}, b"CallSid=CA1"),
    "signature that is no text": ({"Content-Type": FORM, "X-Twilio-Signature": "\u00ff" * 28}, b"CallSid=CA1"),
    "empty signature": ({"Content-Type": FORM, "X-Twilio-Signature": ""}, b"CallSid=CA1"),
    "wrong signature": ({"Content-Type": FORM} | SIGNED, b"CallSid=CA1"),
    "no body": ({"Content-Type": FORM} | SIGNED, b""),
    "no content type": ({"Content-Type": ""} | SIGNED, b"CallSid=CA1"),
    "json": ({"Content-Type": "application/json"} | SIGNED, b'{"CallSid": "CA1"}'),
    "unknown charset": ({"Content-Type": f"{FORM}; charset=nonsense"} | SIGNED, b"CallSid=CA1"),
    "bytes that are no text": ({"Content-Type": FORM} | SIGNED, b"\xff\xfe=\x00"),
    "escapes that are no text": ({"Content-Type": FORM} | SIGNED, b"CallSid=%ff%fe"),
    "body that is no gzip": ({"Content-Type": FORM, "Content-Encoding": "gzip"} | SIGNED, b"hello"),
    "unknown encoding": ({"Content-Type": FORM, "Content-Encoding": "rot13"} | SIGNED, b"hello"),
    "multipart without boundary": ({"Content-Type": "multipart/form-data"} | SIGNED, b"hello"),
    "multipart that is none": ({"Content-Type": "multipart/form-data; boundary=x"} | SIGNED, b"hello"),
    "multipart file": (
        {"Content-Type": "multipart/form-data; boundary=x"} | SIGNED,
        DISPOSITION + b'; filename="b"\r\n\r\nabc\r\n--x--\r\n',
    ),
    "multipart, odd encoding": (
        {"Content-Type": "multipart/form-data; boundary=x"} | SIGNED,
        DISPOSITION + b"\r\nContent-Transfer-Encoding: odd\r\n\r\nabc\r\n--x--\r\n",
    ),
    "multipart, odd charset": (
        {"Content-Type": "multipart/form-data; boundary=x"} | SIGNED,
        DISPOSITION.replace(b'"a"', b'"_charset_"') + b"\r\n\r\nnonsense\r\n" + DISPOSITION + b"\r\n\r\nb\r\n--x--\r\n",
    ),
    "unsigned and too large": ({"Content-Type": FORM}, b"a=" + b"b" * MAX_BODY_BYTES),
}
WEBHOOKS = ("/twilio/voice", "/twilio/after", "/twilio/status", "/twilio/stream-status")


@pytest.mark.parametrize("path", WEBHOOKS)
@pytest.mark.parametrize("forgery", FORGED)
@on_site()
async def test_forged_webhook_is_forbidden(
    made: Site, path: str, forgery: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers, body = FORGED[forgery]
    answer = await made.raw("POST", path, data=body, headers=headers)
    assert answer.status == 403
    assert "signature" not in answer.text.lower()
    await nothing_opened(made)
    assert all(record.levelno < logging.ERROR for record in caplog.records)


@pytest.mark.parametrize("path", WEBHOOKS)
@on_site()
async def test_other_tokens_signature_is_forbidden(made: Site, path: str) -> None:
    assert (await made.post(path, VOICE, auth_token="another account's")).status == 403
    await nothing_opened(made)


@on_site()
async def test_changed_field_breaks_the_signature(made: Site) -> None:
    signature = RequestValidator(TOKENS[0]).compute_signature(f"{ORIGIN}/twilio/voice", VOICE)
    changed = VOICE | {"To": "+19005550100"}
    answer = await made.raw("POST", "/twilio/voice", data=changed, headers={"X-Twilio-Signature": signature})
    assert answer.status == 403
    await nothing_opened(made)


@pytest.mark.parametrize("path", WEBHOOKS)
@on_site()
async def test_body_too_large_is_refused(made: Site, path: str) -> None:
    assert (await made.post(path, VOICE | {"Extra": "x" * MAX_BODY_BYTES})).status == 413
    await nothing_opened(made)


@pytest.mark.parametrize("path", WEBHOOKS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
@on_site()
async def test_other_methods_are_refused(made: Site, path: str, method: str) -> None:
    assert (await made.raw(method, path)).status == 405


@pytest.mark.parametrize("path", WEBHOOKS)
@on_site()
async def test_body_that_drips_is_given_up(made: Site, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 1000\r\n"
    writer.write(f"{head}X-Twilio-Signature: {SIGNED['X-Twilio-Signature']}\r\n\r\nCallSid=".encode())
    before = asyncio.get_running_loop().time()
    assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    assert BODY_LIMIT_S * (1 - SPREAD) <= asyncio.get_running_loop().time() - before <= BODY_LIMIT_S + 0.1
    await reader.read()  # it closes the connection, too
    assert asyncio.get_running_loop().time() - before < 20
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", WEBHOOKS)
@on_site()
async def test_body_that_breaks_off_is_no_error_of_ours(
    made: Site, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", PORT)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 1000\r\n"
    writer.write(f"{head}X-Twilio-Signature: {SIGNED['X-Twilio-Signature']}\r\n\r\nCallSid=".encode())
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await asyncio.sleep(0.1)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    await nothing_opened(made)


# ---- the stream -----------------------------------------------------------------------------------------------------


@on_site()
async def test_stream_joins_its_call(made: Site) -> None:
    socket = await made.start_stream((await made.dial()).token)
    await asyncio.sleep(1)
    assert "caller_connected" in await made.kinds()
    await socket.send_str((SAMPLES / "twilio" / "from_stop.json").read_text())
    await made.calls.finished()
    assert await made.ended_reason() == "caller_hung_up"
    assert await close_code(socket) == 1000


@on_site()
async def test_end_of_the_call_closes_the_stream(made: Site) -> None:
    socket = await made.start_stream((await made.dial()).token)
    await asyncio.sleep(1)
    made.session().abandon("shutdown")
    assert await close_code(socket) == 1000
    await made.calls.finished()


@pytest.mark.parametrize("kind", ["unsigned", "forged"])
@on_site()
async def test_handshake_of_others_opens_no_socket(made: Site, kind: str) -> None:
    token = (await made.dial()).token
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await made.open_stream(signed=kind == "forged", auth_token="another account's")
    assert raised.value.status == 403
    assert raised.value.headers is not None and "Sec-WebSocket-Accept" not in raised.value.headers
    socket = await made.start_stream(token)  # which is not used up
    await asyncio.sleep(1)
    assert "caller_connected" in await made.kinds()
    await socket.close()


@on_site()
async def test_handshake_that_is_none_is_a_bad_request(made: Site) -> None:
    signature = RequestValidator(TOKENS[0]).compute_signature("wss://voice.example.com/twilio/media", {})
    assert (await made.raw("GET", "/twilio/media", headers={"X-Twilio-Signature": signature})).status == 400


def other_secret(token: str, call_sid: str) -> str:
    return tokens.mint(b"another secret", call_sid, 1, int(START.timestamp()))


def another_calls(token: str, call_sid: str) -> str:
    return tokens.mint(SECRET, "CA" + "9" * 32, 1, int(START.timestamp()))


def from_the_future(token: str, call_sid: str) -> str:
    return tokens.mint(SECRET, call_sid, 1, int(START.timestamp()) + 3600)


def too_old(token: str, call_sid: str) -> str:
    return tokens.mint(SECRET, call_sid, 1, int(START.timestamp()) - tokens.LIFETIME_S - 1)


def altered(token: str, call_sid: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


def missing(token: str, call_sid: str) -> str:
    return ""


@pytest.mark.parametrize("bad", [other_secret, another_calls, from_the_future, too_old, altered, missing])
@on_site()
async def test_bad_token_is_refused_before_anything_is_attached(made: Site, bad: Callable[[str, str], str]) -> None:
    token = (await made.dial()).token
    socket = await made.start_stream(bad(token, CALL_SID))
    await refused(socket)
    assert "caller_connected" not in await made.kinds()
    right = await made.start_stream(token)  # the attempt has cost the caller nothing
    await asyncio.sleep(1)
    assert "caller_connected" in await made.kinds()
    await right.close()


@on_site()
async def test_token_serves_one_stream(made: Site) -> None:
    token = (await made.dial()).token
    first = await made.start_stream(token)
    await asyncio.sleep(1)
    await refused(await made.start_stream(token))
    assert made.session().ending is None
    assert not first.closed
    await first.close()
    await made.calls.finished()
    await refused(await made.start_stream(token))


@on_site()
async def test_of_many_streams_with_one_token_one_is_taken(made: Site) -> None:
    token = (await made.dial()).token
    sockets = await asyncio.gather(*(made.start_stream(token) for _ in range(10)))
    await asyncio.sleep(1)
    assert (await made.kinds()).count("caller_connected") == 1
    made.session().abandon("shutdown")
    assert sorted([await close_code(socket) for socket in sockets]) == [1000] + [POLICY_VIOLATION] * 9


@on_site()
async def test_stream_of_a_call_that_is_not_here_is_refused(made: Site) -> None:
    await refused(await made.start_stream(tokens.mint(SECRET, CALL_SID, 1, int(START.timestamp()))))


@on_site()
async def test_stream_that_says_nothing_is_closed(made: Site) -> None:
    await made.dial()
    socket = await made.open_stream()
    before = asyncio.get_running_loop().time()
    await refused(socket)
    assert asyncio.get_running_loop().time() - before == pytest.approx(START_LIMIT_S, abs=0.1)


@on_site()
async def test_stream_of_a_call_that_has_just_ended_is_refused(made: Site) -> None:
    token = (await made.dial()).token
    made.store.break_down("finish")  # so that the call is still here
    made.session().hang_up()
    await asyncio.sleep(0.1)
    await refused(await made.start_stream(token))
    assert "caller_connected" not in await made.kinds()


@pytest.mark.parametrize("first", ["not json", "{}", '{"event":"media","media":{"payload":"","timestamp":"0"}}'])
@on_site()
async def test_stream_that_begins_wrong_is_closed(made: Site, first: str) -> None:
    await made.dial()
    socket = await made.open_stream()
    await socket.send_str(first)
    await refused(socket)


@on_site()
async def test_stream_is_refused_while_the_store_fails(made: Site) -> None:
    token = (await made.dial()).token
    made.store.break_down("claim_stream")
    await refused(await made.start_stream(token))
    made.store.mend()
    socket = await made.start_stream(token)
    await asyncio.sleep(1)
    assert "caller_connected" in await made.kinds()
    await socket.close()


# ---- what comes after -----------------------------------------------------------------------------------------------

GOOD, BAD = ["Hangup"], ["Say", "Hangup"]


@pytest.mark.parametrize(
    ("reason", "verbs"),
    [
        ("completed", GOOD),
        ("caller_finished", GOOD),
        ("caller_hung_up", GOOD),
        ("silence", GOOD),
        ("duration_limit", GOOD),
        ("connection_lost", GOOD),
        ("model_failed", BAD),
        ("error", BAD),
        ("never_connected", BAD),
        ("shutdown", BAD),
    ],
)
@on_site()
async def test_sentence_only_for_what_ended_badly(made: Site, reason: str, verbs: list[str]) -> None:
    record = CallRecord(CALL_SID, "order", "v1", None, None, "inbound", START, "A-000001", 1, 0)
    await made.store.open_call(record, max_calls=10)
    report = json.dumps({"data": {"ended_reason": reason, "flow": "order"}})
    await made.store.finish(CALL_SID, report, [], attempt=1, ended=START)
    answer = await made.post("/twilio/after", sample("connect_action"))
    assert answer.verbs == verbs
    assert answer.said == (FALLBACK_SENTENCES["it"].trouble if verbs is BAD else None)


@on_site()
async def test_sentence_for_a_flow_that_is_gone(made: Site) -> None:
    await made.store.open_call(
        CallRecord(CALL_SID, "gone", "v1", None, None, "inbound", START, "A-000001", 1, 0), max_calls=10
    )
    await made.store.finish(CALL_SID, '{"data": {"ended_reason": "error", "flow": "gone"}}', [], attempt=1, ended=START)
    answer = await made.post("/twilio/after", sample("connect_action"))
    assert answer.said == FALLBACK_SENTENCES["en"].trouble


@on_site()
async def test_after_an_unknown_call_is_a_sentence(made: Site) -> None:
    assert (await made.post("/twilio/after", sample("connect_action"))).verbs == BAD


@on_site()
async def test_after_without_a_store_is_a_sentence(made: Site) -> None:
    made.store.break_down("report")
    answer = await made.post("/twilio/after", sample("connect_action"))
    assert (answer.status, answer.verbs) == (200, BAD)


@on_site(default_flow="order")
async def test_after_without_a_stream_is_a_sentence_in_the_flows_language(made: Site) -> None:
    """The handshake failed, and Twilio goes on with the verb behind `<Connect>`."""
    await made.dial()
    await asyncio.sleep(0.5)
    answer = await made.post("/twilio/after", sample("connect_action"))
    assert answer.said == FALLBACK_SENTENCES["it"].trouble
    async with asyncio.timeout(0.1):
        await made.calls.finished()
    assert await made.ended_reason() == "never_connected"
    assert open_sockets(made.model) == 0
    assert (await made.post("/twilio/after", sample("connect_action"))).said == FALLBACK_SENTENCES["it"].trouble


@on_site()
async def test_after_a_stream_hangs_up(made: Site) -> None:
    socket = await made.start_stream((await made.dial()).token)
    await asyncio.sleep(1)
    await socket.send_str((SAMPLES / "twilio" / "from_stop.json").read_text())
    over = sample("connect_action") | {"CallStatus": "completed"}
    assert (await made.post("/twilio/after", over)).verbs == GOOD
    await made.calls.finished()
    assert (await made.post("/twilio/after", over)).verbs == GOOD
    assert await made.ended_reason() == "caller_hung_up"
    await socket.close()


@on_site()
async def test_caller_who_is_still_on_the_line_after_a_stream_is_not_let_go(made: Site) -> None:
    """The stream was stopped from outside, as by a redirect through the vendor's REST API."""
    socket = await made.start_stream((await made.dial()).token)
    await asyncio.sleep(1)
    await socket.send_str((SAMPLES / "twilio" / "from_stop.json").read_text())
    again = await made.post("/twilio/after", sample("connect_action"))
    assert again.verbs[0] == "Connect"
    assert await made.post("/twilio/after", sample("connect_action")) == again
    second = await made.start_stream(again.token)
    await asyncio.sleep(1)
    session = made.session()
    assert session.attempt == 2 and session.ending is None
    await second.send_str((SAMPLES / "twilio" / "from_stop.json").read_text())
    await made.calls.finished()
    assert await made.ended_reason() == "caller_hung_up"
    await socket.close()
    await second.close()


@on_site()
async def test_after_a_model_that_failed_is_a_sentence(made: Site) -> None:
    made.model.available = False
    socket = await made.start_stream((await made.dial()).token)
    await asyncio.sleep(2)  # all tries
    assert (await made.post("/twilio/after", sample("connect_action"))).verbs == BAD
    await made.calls.finished()
    assert await made.ended_reason() == "model_failed"
    await socket.close()


# ---- status callbacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
@on_site()
async def test_end_of_the_phone_call_frees_a_waiting_session(made: Site, status: str) -> None:
    await made.dial()
    await asyncio.sleep(0.5)
    assert open_sockets(made.model) == 1
    answer = await made.post("/twilio/status", sample("status_completed") | {"CallStatus": status})
    assert (answer.status, answer.text) == (204, "")
    async with asyncio.timeout(0.1):
        await made.calls.finished()
    assert open_sockets(made.model) == 0
    assert await made.ended_reason() == "never_connected"


@pytest.mark.parametrize("status", ["queued", "initiated", "ringing", "in-progress", "", "weather"])
@on_site()
async def test_other_statuses_leave_the_session(made: Site, status: str) -> None:
    await made.dial()
    assert (await made.post("/twilio/status", VOICE | {"CallStatus": status})).status == 204
    await asyncio.sleep(0.5)
    assert made.session().ending is None


@on_site()
async def test_end_of_the_phone_call_leaves_a_running_stream(made: Site) -> None:
    """Its own `stop` is on the way, behind the caller's last words."""
    socket = await made.start_stream((await made.dial()).token)
    await asyncio.sleep(1)
    await made.post("/twilio/status", sample("status_completed"))
    await asyncio.sleep(1)
    assert made.session().ending is None
    await socket.close()


@on_site()
async def test_status_of_an_unknown_call_is_taken(made: Site) -> None:
    made.store.break_down()
    assert (await made.post("/twilio/status", sample("status_completed"))).status == 204


@on_site()
async def test_model_socket_that_no_stream_claims_is_closed(made: Site) -> None:
    answer = await made.dial()
    await asyncio.sleep(CLAIM_LIMIT_S - 0.1)
    assert open_sockets(made.model) == 1
    await asyncio.sleep(0.2)
    assert open_sockets(made.model) == 0
    assert await made.ended_reason() == "never_connected"
    await refused(await made.start_stream(answer.token))


@on_site()
async def test_stream_errors_are_logged(made: Site, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("stream_started", "stream_stopped", "stream_error"):
        assert (await made.post("/twilio/stream-status", sample(name))).status == 204
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "31920 - Stream - WebSocket - Handshake Error" in warning.getMessage()
    assert warning.call_sid == CALL_SID  # type: ignore[attr-defined]


async def close_code(socket: aiohttp.ClientWebSocketResponse) -> int:
    """With what the server closes, whatever it sends before."""
    while (message := await socket.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type is aiohttp.WSMsgType.CLOSE
    await socket.close()
    return int(message.data)


async def refused(socket: aiohttp.ClientWebSocketResponse) -> None:
    assert await close_code(socket) == POLICY_VIOLATION


async def nothing_opened(made: Site) -> None:
    await asyncio.sleep(0.5)
    assert made.calls.count == 0
    assert made.model.connections == 0
    made.store.mend()
    assert await made.store.calls(10) == []
