"""Calls through a real nginx with the shipped configuration: TLS, two instances that die and stop, a real Redis."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio

from tests.attackers import HOLDERS, Holder, call_form, held_for_s
from tests.benchmarks.kill_judge import Survivor, judge, reports_of
from tests.deploy.deployment import NAMED_STREAMS, Answer, Deployment, Kept
from tests.deploy.visit import ASKS, CALLED, CALLER, FLOW, LINES, NAME, OBSERVATIONS, VISIT
from tests.server.test_serve import failures, sentences
from voicebot.sim.account import AUTH_TOKEN
from voicebot.sim.call_result import CallResult
from voicebot.sim.carrier import signature
from voicebot.sim.enduring_caller import EnduringCaller
from voicebot.sim.fleet import PUBLIC_HOST
from voicebot.sim.steady_brain import AGAIN
from voicebot.sim.timeline import BotSaid, Event, StreamOpened, VerbPlayed
from voicebot.sim.verdict import answered_lines

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LIMIT_S = 120.0
GAP_LIMIT_MS = 15_000.0  # what it takes on a busy machine; `tests/benchmarks/kills.py --stores nginx` has the figures
API_TOKEN = "canary-api-token"
HOLDER = {"Authorization": f"Bearer {API_TOKEN}"}
EACH = 40  # sockets of a kind
AT_ONCE, BEYOND = 100, 20  # `limit_conn`, and more than that
# Seconds after which who holds back is closed: `client_header_timeout`, the server's limit of a body, and
# `keepalive_timeout`; and what a busy machine adds.
STATED_S = {
    **dict.fromkeys(("no handshake", "silent", "half a header", "dripping header", "dripping lines"), 8.0),
    "dripping body": 5.0,
    "idle": 8.0,
}
BUSY_S = 15.0
MOST_DAMAGED = 2  # letters of a line
MOST_GAPS_MS = 1000.0  # within lines


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "flows").mkdir()
    (folder / "flows" / "visit.py").write_text(FLOW)
    brain, kept = VISIT.steady_brain(), Kept()
    yield await kept.begin(
        folder,
        lambda: brain,
        flows=folder / "flows",
        VOICEBOT_API_TOKEN=API_TOKEN,
        VOICEBOT_TRUSTED_PROXIES="127.0.0.1",  # nginx's; other addresses of this machine are strangers'
    )
    await kept.end()


# ---- calls ----------------------------------------------------------------------------------------------------------


async def call(made: Deployment, on_event: Callable[[Event], None] = lambda event: None) -> Survivor:
    """A whole call, with what was reported of it."""
    caller = EnduringCaller(VISIT.steps(), answered_lines(VISIT, "Surgery."), asks_again=[AGAIN])
    phone = made.made.phone(caller, to=CALLED, from_=CALLER, on_event=on_event)
    crm = made.made.crm
    async with asyncio.timeout(LIMIT_S):
        result = await phone.call()
    with suppress(TimeoutError):
        await crm.wait_until(lambda: result.call_sid in reports_of(crm.received), LIMIT_S)
    return Survivor(result, reports_of(crm.received).get(result.call_sid, ()), caller.repeated)


def streams_of(result: CallResult) -> list[str]:
    return [event.url for event in result.events if isinstance(event, StreamOpened)]


def check_whole(one: Survivor, *, reloaded: bool = False) -> None:
    """Nothing happened to it. (On a busy machine the phone itself is late, and may hear a line twice.)

    Args:
        reloaded: nginx was, and closed connections on which nothing was asked. Who asks on one at that moment, asks the
            fallback address.
    """
    result = one.result
    failed = [error for error in failures(result) if not (reloaded and "connection failure" in str(error))]
    assert (result.problems, result.violations, failed, sentences(result)) == ((), (), [], [])
    assert all(any(is_heard_as(said, line) for said in result.bot_said) for line in LINES), result.bot_said
    assert sum(gap.length_ms for gap in result.statistics.underruns) < MOST_GAPS_MS
    assert len(streams_of(result)) == 1
    (report,) = one.reports
    data = report.data
    assert (data["ended_reason"], data["observations"]) == ("completed", OBSERVATIONS)
    assert report.phases == ("reception", "date", "bye")


def is_heard_as(said: BotSaid, line: str) -> bool:
    """Whether this is the line, but for a letter that came late."""
    pairs = zip(said.text, line, strict=False)
    return len(said.text) == len(line) and sum(a != b for a, b in pairs) <= MOST_DAMAGED and said.complete


class Watcher:
    """Looks on at a call: where its stream is, when the bot has asked for the day, when the line bridges time."""

    def __init__(self) -> None:
        self.open: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.in_mid_call = asyncio.Event()
        self.waits = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StreamOpened) and not self.open.done():
            self.open.set_result(event.url)
        if isinstance(event, BotSaid) and event.text == ASKS:
            self.in_mid_call.set()
        if isinstance(event, VerbPlayed) and event.verb == "Pause":
            self.waits.set()


async def on_each(made: Deployment, tasks: asyncio.TaskGroup) -> list[asyncio.Task[Survivor]]:
    """Two calls that have their streams, one on each instance."""
    watchers = Watcher(), Watcher()
    calls = [tasks.create_task(call(made, watcher)) for watcher in watchers]
    owners = {made.named(await watcher.open).name for watcher in watchers}
    assert owners == made.made.instances.keys()  # they take turns
    return calls


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def usual(made: Deployment) -> Survivor:
    """A call that nothing happens to."""
    return await call(made)


async def test_shipped_file_is_accepted_and_call_comes_through(made: Deployment, usual: Survivor) -> None:
    made.nginx.check()
    check_whole(usual)
    (stream_url,) = streams_of(usual.result)
    assert stream_url.startswith(NAMED_STREAMS)  # and signed with it: what is checked has the public address
    owner = made.named(stream_url)
    line = next(line for line in made.nginx.access_log() if line["place"] == "/twilio/media")
    assert (line["status"], line["instance"]) == ("101", f"127.0.0.1:{owner.port}")  # the one that has the call


async def test_killed_instance_leaves_the_call_to_the_other(made: Deployment, usual: Survivor) -> None:
    """SIGKILL in mid-call: the same phase, the same values, one report."""
    watcher = Watcher()
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(call(made, watcher))
        victim = made.named(await watcher.open)
        await watcher.in_mid_call.wait()
        victim.kill()
    cut = calling.result()
    await victim.exited()
    _, gone_on = streams_of(cut.result)
    assert made.named(gone_on) is made.other(victim)
    await victim.start()
    check_gone_on(cut, usual)


async def test_call_outlives_all_instances(made: Deployment, usual: Survivor) -> None:
    """The caller stays on the line until there is somebody again."""
    watcher, (one, other) = Watcher(), made.made.instances.values()
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(call(made, watcher))
        await watcher.in_mid_call.wait()
        one.kill()
        other.kill()
        await other.exited()
        await watcher.waits.wait()
        await other.start()
    await one.exited()
    await one.start()
    check_gone_on(calling.result(), usual)


def check_gone_on(cut: Survivor, usual: Survivor) -> None:
    """It lost its stream, and all is as in the call that nothing happened to."""
    judged = judge(cut, usual.reports[0], GAP_LIMIT_MS)
    assert (judged.hit, judged.reports, judged.duplicates, judged.wrong) == (True, 1, 0, ())


async def test_instances_are_restarted_one_by_one_and_no_call_is_cut(made: Deployment) -> None:
    """SIGTERM under a call on each: they come to their end, new ones go to the other; nginx is reloaded besides."""
    first, second = made.made.instances.values()
    for stopping in (first, second):
        async with asyncio.TaskGroup() as tasks:
            calls = await on_each(made, tasks)
            stopping.terminate()
            await stopping.logged("stopping")
            made.nginx.reload()
            later = [tasks.create_task(call(made)) for _ in range(2)]
            exited = tasks.create_task(stopping.exited(LIMIT_S))
            if stopping is second:  # they wait for their clients, for a minute, and nothing is to stop any more
                for key in ("one", "two"):  # a turn of each instance
                    begun = await ask(made, "POST", "/conversations", headers=keyed(key), json={"flow": "visit"})
                    assert (begun.status, f"/{first.name}" in begun.text) == (201, True)
        assert exited.result() == 0
        await stopping.start()
        for one in calls:
            check_whole(one.result(), reloaded=True)
        for two in later:
            result = two.result()
            check_whole(result, reloaded=True)
            assert made.named(streams_of(result.result)[-1]) is made.other(stopping)


def keyed(key: str) -> dict[str, str]:
    return HOLDER | {"Idempotency-Key": key}


async def test_webhook_that_hangs_is_answered_by_the_next_one(made: Deployment) -> None:
    """SIGSTOP: it takes the connection, and says nothing. What Twilio sent in one piece is sent again."""
    hung, path = made.made.instances["voicebot-1"], "/twilio/after?at=voicebot-1"
    form = call_form(f"CA{8:032x}")
    signed = {"X-Twilio-Signature": signature(AUTH_TOKEN, f"https://{PUBLIC_HOST}{path}", form)}
    hung.send(signal.SIGSTOP)
    try:
        answer = await ask(made, "POST", path, form=form, headers=signed)
    finally:
        hung.send(signal.SIGCONT)
    assert (answer.status, "<Hangup" in answer.text) == (200, True)  # nobody knows the call
    ports = [f"127.0.0.1:{made.made.instances[name].port}" for name in ("voicebot-1", "voicebot-2")]
    wanted, seen = (", ".join(ports), "504, 200"), list[tuple[str, str]]()
    for _ in range(200):  # it is logged after it was answered, among what earlier calls still ask
        seen = [(line["instance"], line["answers"]) for line in made.nginx.access_log()]
        if wanted in seen:
            break
        await asyncio.sleep(0.05)
    assert wanted in seen


async def test_conversation_of_a_client_comes_through(made: Deployment) -> None:
    async with made.browser() as browser:
        once = keyed("canary-key")
        begun = await browser.ask("POST", "/conversations", headers=once, json={"flow": "visit"})
        assert begun.status == 201
        known = json.loads(begun.text)
        again = await browser.ask("POST", "/conversations", headers=once, json={"flow": "visit"})
        assert (again.status, json.loads(again.text)["session_id"]) == (200, known["session_id"])
        path = known["websocket_url"].removeprefix(f"wss://{PUBLIC_HOST}")
        assert path.rpartition("/")[2] in made.made.instances
        socket = await browser.open(f"{path}?ticket={known['ticket']}")
        hello = await socket.receive_json(timeout=LIMIT_S)
        assert (hello["type"], hello["session_id"]) == ("hello", known["session_id"])
        await socket.close()


# ---- who holds back -------------------------------------------------------------------------------------------------


async def test_who_holds_back_is_closed_beside_a_call(made: Deployment) -> None:
    """Hundreds of sockets at once; the call has no gap."""
    port, trust = made.nginx.tls_port, made.nginx.trust
    kinds = {**HOLDERS, "no handshake": Holder()}
    async with asyncio.TaskGroup() as tasks:
        holding = {
            kind: [
                tasks.create_task(
                    held_for_s(
                        holder,
                        port,
                        source=f"127.0.1.{1 + number}",
                        limit_s=LIMIT_S,
                        trust=None if kind == "no handshake" else trust,
                    )
                )
                for number in range(EACH)
            ]
            for kind, holder in kinds.items()
        }
        talking = tasks.create_task(call(made))
    check_whole(talking.result())
    for kind, held in holding.items():
        assert max(one.result() for one in held) < STATED_S[kind] + BUSY_S, kind


async def test_one_address_has_so_many_requests_at_once(made: Deployment) -> None:
    """Of what is not Twilio's: the rest of them get an answer at once."""
    begun = (
        b"POST /conversations HTTP/1.1\r\nHost: voice.example.com\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer canary-api-token\r\nContent-Length: 1000\r\n\r\n{"
    )
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(answered(made, begun, source="127.0.2.1")) for _ in range(AT_ONCE + BEYOND)]
        refused = [await one for one in islice(asyncio.as_completed(asked), BEYOND)]
        assert {answer[:13] for answer in refused} == {b"HTTP/1.1 429 "}
        healthy = b"GET /healthz HTTP/1.1\r\nHost: voice.example.com\r\n\r\n"
        assert (await answered(made, healthy, source="127.0.2.2"))[:13] == b"HTTP/1.1 200 "
        for one in asked:
            one.cancel()


async def test_signed_webhooks_are_not_among_them(made: Deployment) -> None:
    """Twilio's come from few addresses, many at once."""
    form = call_form(f"CA{9:032x}")
    signed = signature(AUTH_TOKEN, f"https://{PUBLIC_HOST}/twilio/stream-status", form)
    body = urlencode(form)
    sent = (
        f"POST /twilio/stream-status HTTP/1.1\r\nHost: {PUBLIC_HOST}\r\nX-Twilio-Signature: {signed}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(answered(made, sent.encode(), source="127.0.4.1")) for _ in range(3 * AT_ONCE)]
    assert {one.result()[:13] for one in asked} == {b"HTTP/1.1 204 "}


async def answered(made: Deployment, sent: bytes, *, source: str = "127.0.0.1") -> bytes:
    """The first that comes back on a connection on which this is sent; empty if it is closed without."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", made.nginx.tls_port, local_addr=(source, 0), ssl=made.nginx.trust, server_hostname=PUBLIC_HOST
    )
    try:
        with suppress(ConnectionError):
            writer.write(sent)
            return await reader.read(4096)
        return b""
    finally:
        writer.transport.abort()


HEAD = b"POST /twilio/voice HTTP/1.1\r\nHost: voice.example.com\r\n"
TOO_LARGE = {
    "line": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: voice.example.com\r\n\r\n", b"414"),
    "field": (HEAD + b"X-A: " + b"a" * 9_000 + b"\r\n\r\n", b"400"),
    "header": (HEAD + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 4_000) for number in range(20)) + b"\r\n", b"400"),
    "body": (HEAD + b"Content-Length: 70000\r\n\r\nCallSid=CA", b"413"),
    "chunked body": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"11000\r\n" + b"a" * 0x11000 + b"\r\n", b"413"),
}


async def test_too_large_requests_are_refused(made: Deployment) -> None:
    for kind, (sent, status) in TOO_LARGE.items():
        assert (await answered(made, sent))[:13] == b"HTTP/1.1 %s " % status, kind


# ---- who may what ---------------------------------------------------------------------------------------------------


async def ask(made: Deployment, method: str, path: str, **given: Any) -> Answer:
    async with made.browser() as browser:
        return await browser.ask(method, path, **given)


async def test_forged_requests_are_refused(made: Deployment) -> None:
    form = call_form(f"CA{7:032x}")
    url = f"https://{PUBLIC_HOST}/twilio/voice"
    for signed in (
        {},
        {"X-Twilio-Signature": signature("another token", url, form)},
        {"X-Twilio-Signature": signature(AUTH_TOKEN, url.replace("https", "http"), form)},
        {"X-Twilio-Signature": signature(AUTH_TOKEN, "https://elsewhere.example.com/twilio/voice", form)},
    ):
        assert (await ask(made, "POST", "/twilio/voice", form=form, headers=signed)).status == 403
    socket = f"wss://{PUBLIC_HOST}/twilio/media"
    async with made.browser() as browser:
        for wrong in ({}, {"X-Twilio-Signature": signature(AUTH_TOKEN, f"{socket}/voicebot-1")}):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await browser.open("/twilio/media", wrong)
        await (await browser.open("/twilio/media", {"X-Twilio-Signature": signature(AUTH_TOKEN, socket)})).close()


async def test_server_knows_who_asks(made: Deployment) -> None:
    """By `X-Forwarded-For`, of which nothing is believed that a client wrote."""
    forged = b"Host: voice.example.com\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
    sent = b"GET /twilio/media/voicebot-1 HTTP/1.1\r\n" + forged
    assert (await answered(made, sent, source="127.0.3.7"))[:13] == b"HTTP/1.1 403 "
    asked = made.made.instances["voicebot-1"]
    await asked.logged("from 127.0.3.7")
    assert "203.0.113.9" not in "".join(asked.log)


@pytest.mark.parametrize("host", ["elsewhere.example.com", "127.0.0.1", f"{PUBLIC_HOST}.example.org"])
async def test_other_hosts_have_no_answer(made: Deployment, host: str) -> None:
    assert await answered(made, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()) == b""


async def test_plain_http_is_redirected(made: Deployment) -> None:
    for method, path in (("GET", "/console?a=b"), ("POST", "/twilio/voice")):
        moved = await ask(made, method, path, plain=True)
        assert (moved.status, moved.headers["Location"]) == (308, f"https://{PUBLIC_HOST}{path}")


async def test_what_is_for_operators_is_closed(made: Deployment) -> None:
    for path in ("/metrics", "/readyz", "/metrics?a=b", "//metrics", "/%6Detrics", "/console/../metrics"):
        assert (await ask(made, "GET", path, headers=HOLDER)).status == 404, path
    health = await ask(made, "GET", "/healthz")
    assert (health.status, json.loads(health.text)) == (200, {"status": "ok"})
    assert health.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert health.headers["Server"] == "nginx"  # and no version
    assert (await ask(made, "GET", "/calls")).status == 401
    assert (await ask(made, "GET", "/calls", headers=HOLDER)).status == 200


async def test_log_holds_nothing_personal(made: Deployment) -> None:
    """Calls were logged before, with their numbers in forms; here they stand wherever else there is room."""
    number, ticket = CALLER.removeprefix("+"), "canary-ticket"
    given = HOLDER | {
        "Referer": f"https://{PUBLIC_HOST}/{NAME}",
        "User-Agent": f"canary {number}",
        "Cookie": "canary",
    }
    name = NAME.replace(" ", "%20")
    for path in (
        f"/calls?number=%2B{number}&text={name}",
        f"/calls/{number}",
        f"/{number}/{name}",
        f"/twilio/{number}?way={ticket}",
        f"/realtime/{ticket}/{number}?ticket={ticket}",
        f"/flows/{name}?token={API_TOKEN}",
        f"/callsign-{number}",
    ):
        await ask(made, "GET", path, headers=given)
    await answered(made, f"{NAME} {number} HTTP/1.1\r\nHost: {PUBLIC_HOST}\r\n\r\n".encode())
    for name in ("access.log", "error.log"):
        text = made.nginx.log_text(name)
        for personal in (*NAME.split(), number, CALLED.removeprefix("+"), "canary", API_TOKEN, '127.0.0.1"'):
            assert personal not in text, (name, personal)
    places = {line["place"] for line in made.nginx.access_log()}
    assert {"/calls", "/twilio", "/realtime", "/flows", "/twilio/voice", "/twilio/media", "other"} <= places
