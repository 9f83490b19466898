"""One attempt, against a real receiver on loopback and mocked ones."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aioresponses import aioresponses
from standardwebhooks import Webhook

from voicebot.delivery.post import WebhookPost, open_session, parse_retry_after
from voicebot.errors import DeliveryError
from voicebot.sim.clock import run_virtual
from voicebot.store.contract import Delivery

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
URL = "https://crm.example/hook"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


def delivery(url: str = URL, body: str = '{"type": "call.completed"}') -> Delivery:
    return Delivery("msg_1", "CA1", url, body, "pending", 0, NOW, NOW)


def poster(session: aiohttp.ClientSession, *secrets: str, limit_s: float = 5.0, now: datetime = NOW) -> WebhookPost:
    return WebhookPost(session, lambda url: secrets or (SECRET,), lambda: now, limit_s=limit_s)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as session:
        yield session


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a receiver with this handler for every path; gives its URL."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("/hook?key=canary"))

    yield start
    for server in servers:
        await server.close()


async def failure(post: WebhookPost, url: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as refused:
        await post(delivery(url))
    assert refused.value.url == url
    assert "canary" not in refused.value.reason
    return refused.value


# ---- what is sent -------------------------------------------------------------------------------------------------


async def test_receiver_verifies_what_it_got(session: aiohttp.ClientSession, serve: Serve) -> None:
    got: list[tuple[dict[str, str], bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.Response(status=202)

    body = '{"type": "call.completed", "data": {"name": "Zoë 你好"}}'
    post = poster(session, SECRET, now=datetime.now(UTC))
    assert await post(delivery(await serve(receive), body)) == 202
    sent, received = got[0]
    assert received == body.encode()
    assert Webhook(SECRET).verify(received, sent)["data"]["name"] == "Zoë 你好"
    assert sent["Content-Type"] == "application/json" and sent["User-Agent"].startswith("voicebot/")
    assert sent["Accept-Encoding"] == "identity"


async def test_each_attempt_is_signed_at_its_time(session: aiohttp.ClientSession, serve: Serve) -> None:
    stamps: list[str] = []
    moments = iter([NOW, NOW + timedelta(seconds=5)])

    async def receive(request: web.Request) -> web.Response:
        stamps.append(request.headers["webhook-id"] + " " + request.headers["webhook-timestamp"])
        return web.Response()

    post = WebhookPost(session, lambda url: [SECRET], lambda: next(moments))
    url = await serve(receive)
    await post(delivery(url))
    await post(delivery(url))
    assert stamps == ["msg_1 1772366400", "msg_1 1772366405"]


async def test_missing_secret_sends_nothing(session: aiohttp.ClientSession) -> None:
    with aioresponses() as mocked:
        post = WebhookPost(session, lambda url: [], lambda: NOW)
        assert (await failure(post, URL)).reason == "no secret is set to sign it with"
        assert mocked.requests == {}


async def test_connection_serves_several_deliveries(session: aiohttp.ClientSession, serve: Serve) -> None:
    peers: set[object] = set()

    async def receive(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="thank you" * 100)

    url = await serve(receive)
    for _ in range(3):
        await poster(session)(delivery(url))
    assert len(peers) == 1


async def test_cookies_are_not_sent_back(session: aiohttp.ClientSession, serve: Serve) -> None:
    cookies: list[str | None] = []

    async def receive(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "visitor=1"})

    url = (await serve(receive)).replace("127.0.0.1", "localhost")  # aiohttp keeps no cookies of bare addresses
    await poster(session)(delivery(url))
    await poster(session)(delivery(url))
    assert cookies == [None, None]


# ---- what comes back ----------------------------------------------------------------------------------------------


class MockedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 builds replies without `stream_writer`, which aiohttp demands since 3.14.1."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        class Writer:
            output_size = 0

        super().__init__(*args, **({"stream_writer": Writer()} | kwargs))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_success(session: aiohttp.ClientSession, status: int) -> None:
    with aioresponses() as mocked:
        mocked.post(URL, status=status, response_class=MockedResponse)
        assert await poster(session)(delivery()) == status


@pytest.mark.parametrize(
    ("status", "retry_after", "asked_s", "disable"),
    [
        (400, None, None, False),
        (404, None, None, False),
        (410, None, None, True),
        (429, "120", 120.0, False),
        (429, "soon", None, False),
        (500, None, None, False),
        (503, "Sun, 01 Mar 2026 12:10:00 GMT", 600.0, False),
    ],
)
async def test_refusal_carries_status_and_wish(
    session: aiohttp.ClientSession, status: int, retry_after: str | None, asked_s: float | None, disable: bool
) -> None:
    wish = {} if retry_after is None else {"Retry-After": retry_after}
    with aioresponses() as mocked:
        mocked.post(URL, status=status, headers=wish, body="no", response_class=MockedResponse)
        refused = await failure(poster(session), URL)
    assert (refused.status, refused.reason) == (status, f"answered {status}")
    assert (refused.retry_after_s, refused.disable) == (asked_s, disable)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_never_followed(session: aiohttp.ClientSession, serve: Serve, status: int) -> None:
    paths: list[str] = []

    async def receive(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    assert (await failure(poster(session), await serve(receive))).status == status
    assert paths == ["/hook"]


async def test_silent_receiver_is_left_after_limit(session: aiohttp.ClientSession, serve: Serve) -> None:
    async def receive(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.Event().wait()
        raise AssertionError

    refused = await failure(poster(session, limit_s=0.1), await serve(receive))
    assert (refused.reason, refused.status) == ("no answer within 0.1 s", None)


def test_default_limit_is_15_seconds() -> None:
    async def receive(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def story() -> None:
        app = web.Application()
        app.router.add_post("/hook", receive)
        async with TestServer(app) as server, open_session() as session:
            post = WebhookPost(session, lambda url: [SECRET], lambda: NOW)
            await asyncio.sleep(0.3)
            asked_at = asyncio.get_running_loop().time()
            await failure(post, str(server.make_url("/hook")))
            assert asyncio.get_running_loop().time() - asked_at == pytest.approx(15, abs=0.01)

    run_virtual(story())


async def test_success_stands_though_body_drips(session: aiohttp.ClientSession, serve: Serve) -> None:
    async def receive(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"thank")
        await asyncio.Event().wait()
        raise AssertionError

    assert await poster(session, limit_s=0.1)(delivery(await serve(receive))) == 200


async def test_endless_body_is_not_read(session: aiohttp.ClientSession, serve: Serve) -> None:
    written = 0

    async def receive(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse()
        await answer.prepare(request)
        while written < 1_000_000_000:
            await answer.write(b"x" * 65_536)
            written += 65_536
        return answer

    assert await poster(session)(delivery(await serve(receive))) == 200
    assert written < 100_000_000


async def test_reset_is_a_failure(session: aiohttp.ClientSession, serve: Serve) -> None:
    async def receive(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    refused = await failure(poster(session), await serve(receive))
    assert refused.status is None


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 two hundred OK\r\n\r\n"])
async def test_speaker_of_another_protocol_is_a_failure(session: aiohttp.ClientSession, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        refused = await failure(poster(session), f"http://127.0.0.1:{port}/hook?key=canary")
    assert refused.status is None


async def test_closed_port_is_a_failure(session: aiohttp.ClientSession) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    refused = await failure(poster(session), f"http://127.0.0.1:{port}/hook?key=canary")
    assert "Cannot connect to host 127.0.0.1" in refused.reason


@pytest.mark.parametrize(
    "url",
    [
        "canary",
        "/canary",
        "ftp://host/canary",
        "file:///etc/canary",
        "http://",
        "http://host:99999/canary",
        "http://.../canary",
        "http://[::1/canary",
        "http://" + "a" * 70 + "/canary",
    ],
)
async def test_unusable_address_is_a_failure(session: aiohttp.ClientSession, url: str) -> None:
    assert (await failure(poster(session), url)).reason == "is not an http or https address"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2020 12:00:30 GMT", 0.0),
        ("9" * 400, float("inf")),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("tomorrow", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_date(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds
