"""One attempt, against a real receiver on loopback and mocked ones."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aioresponses import aioresponses
from standardwebhooks import Webhook, WebhookVerificationError

from voicebot.delivery.guard import AddressGuard, read_allowed
from voicebot.delivery.keys import Keyring
from voicebot.delivery.post import LIMIT_S, WebhookPost, parse_retry_after
from voicebot.errors import DeliveryError
from voicebot.sim.clock import run_virtual
from voicebot.store.contract import Delivery

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
KEYS = Keyring([SECRET])
URL = "https://crm.example/hook"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


def delivery(url: str = URL, body: str = '{"type": "call.completed"}') -> Delivery:
    return Delivery("msg_1", "CA1", url, body, "pending", 0, NOW, NOW)


class Poster:
    """Makes `WebhookPost`s that may post to loopback, and closes them."""

    def __init__(self) -> None:
        self.made: list[WebhookPost] = []

    def __call__(
        self,
        keys: Keyring = KEYS,
        *,
        limit_s: float = 5.0,
        now: Callable[[], datetime] = lambda: NOW,
        private: str = "127.0.0.1,localhost",
    ) -> WebhookPost:
        guard = AddressGuard(read_allowed(private.split(",") if private else []))
        self.made.append(WebhookPost(guard, keys, now, limit_s=limit_s))
        return self.made[-1]


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    made = Poster()
    yield made
    for post in made.made:
        await post.close()


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


async def test_receiver_verifies_what_it_got(poster: Poster, serve: Serve) -> None:
    got: list[tuple[dict[str, str], bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.Response(status=202)

    body = '{"type": "call.completed", "data": {"name": "Zoë 你好"}}'
    post = poster(now=lambda: datetime.now(UTC))
    assert await post(delivery(await serve(receive), body)) == 202
    sent, received = got[0]
    assert received == body.encode()
    assert Webhook(SECRET).verify(received, sent)["data"]["name"] == "Zoë 你好"
    assert sent["Content-Type"] == "application/json" and sent["User-Agent"].startswith("voicebot/")
    assert sent["Accept-Encoding"] == "identity"


async def test_each_attempt_is_signed_at_its_time(poster: Poster, serve: Serve) -> None:
    stamps: list[str] = []
    moments = iter([NOW, NOW + timedelta(seconds=5)])

    async def receive(request: web.Request) -> web.Response:
        stamps.append(request.headers["webhook-id"] + " " + request.headers["webhook-timestamp"])
        return web.Response()

    post = poster(now=lambda: next(moments))
    url = await serve(receive)
    await post(delivery(url))
    await post(delivery(url))
    assert stamps == ["msg_1 1772366400", "msg_1 1772366405"]


async def test_missing_secret_sends_nothing(poster: Poster) -> None:
    with aioresponses() as mocked:
        post = poster(Keyring([]))
        assert (await failure(post, URL)).reason == "no secret is set to sign it with"
        assert mocked.requests == {}


async def test_connection_serves_several_deliveries(poster: Poster, serve: Serve) -> None:
    peers: set[object] = set()

    async def receive(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="thank you" * 100)

    url = await serve(receive)
    post = poster()
    for _ in range(3):
        await post(delivery(url))
    assert len(peers) == 1


async def test_cookies_are_not_sent_back(poster: Poster, serve: Serve) -> None:
    cookies: list[str | None] = []

    async def receive(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "visitor=1"})

    url = (await serve(receive)).replace("127.0.0.1", "localhost")  # aiohttp keeps no cookies of bare addresses
    post = poster()
    await post(delivery(url))
    await post(delivery(url))
    assert cookies == [None, None]


# ---- what comes back ----------------------------------------------------------------------------------------------


class MockedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 builds replies without `stream_writer`, which aiohttp demands since 3.14.1."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        class Writer:
            output_size = 0

        super().__init__(*args, **({"stream_writer": Writer()} | kwargs))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_success(poster: Poster, status: int) -> None:
    with aioresponses() as mocked:
        mocked.post(URL, status=status, response_class=MockedResponse)
        assert await poster()(delivery()) == status


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
    poster: Poster, status: int, retry_after: str | None, asked_s: float | None, disable: bool
) -> None:
    wish = {} if retry_after is None else {"Retry-After": retry_after}
    with aioresponses() as mocked:
        mocked.post(URL, status=status, headers=wish, body="no", response_class=MockedResponse)
        refused = await failure(poster(), URL)
    assert (refused.status, refused.reason) == (status, f"answered {status}")
    assert (refused.retry_after_s, refused.disable) == (asked_s, disable)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_never_followed(poster: Poster, serve: Serve, status: int) -> None:
    paths: list[str] = []

    async def receive(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    assert (await failure(poster(), await serve(receive))).status == status
    assert paths == ["/hook"]


async def test_silent_receiver_is_left_after_limit(poster: Poster, serve: Serve) -> None:
    async def receive(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.Event().wait()
        raise AssertionError

    refused = await failure(poster(limit_s=0.1), await serve(receive))
    assert (refused.reason, refused.status) == ("no answer within 0.1 s", None)


def test_default_limit_is_15_seconds() -> None:
    async def receive(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def story() -> None:
        app = web.Application()
        app.router.add_post("/hook", receive)
        post = Poster()(limit_s=LIMIT_S)
        async with TestServer(app) as server:
            await asyncio.sleep(0.3)
            asked_at = asyncio.get_running_loop().time()
            await failure(post, str(server.make_url("/hook")))
            assert asyncio.get_running_loop().time() - asked_at == pytest.approx(15, abs=0.01)
        await post.close()

    run_virtual(story())


async def test_success_stands_though_body_drips(poster: Poster, serve: Serve) -> None:
    async def receive(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"thank")
        await asyncio.Event().wait()
        raise AssertionError

    assert await poster(limit_s=0.1)(delivery(await serve(receive))) == 200


async def test_endless_body_is_not_read(poster: Poster, serve: Serve) -> None:
    written = 0

    async def receive(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse()
        await answer.prepare(request)
        while written < 1_000_000_000:
            await answer.write(b"x" * 65_536)
            written += 65_536
        return answer

    assert await poster()(delivery(await serve(receive))) == 200
    assert written < 100_000_000


async def test_reset_is_a_failure(poster: Poster, serve: Serve) -> None:
    async def receive(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    refused = await failure(poster(), await serve(receive))
    assert refused.status is None


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 two hundred OK\r\n\r\n"])
async def test_speaker_of_another_protocol_is_a_failure(poster: Poster, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        refused = await failure(poster(), f"http://127.0.0.1:{port}/hook?key=canary")
    assert refused.status is None


async def test_closed_port_is_a_failure(poster: Poster) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    refused = await failure(poster(), f"http://127.0.0.1:{port}/hook?key=canary")
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
async def test_unusable_address_is_a_failure(poster: Poster, url: str) -> None:
    assert (await failure(poster(), url)).reason == "is not an http or https address"


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


# ---- keys of the receiver's own -----------------------------------------------------------------------------------

CRM_SECRETS = ["whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"n", b"o")]
RING = Keyring([SECRET], {"crm": CRM_SECRETS, "hubspot": ["pat-canary"]})


async def test_named_secrets_sign_new_and_old(poster: Poster, serve: Serve) -> None:
    got: list[tuple[dict[str, str], bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.Response()

    post = poster(RING, now=lambda: datetime.now(UTC))
    await post(replace(delivery(await serve(receive)), secret="crm", bearer="hubspot"))
    sent, body = got[0]
    for secret in CRM_SECRETS:
        Webhook(secret).verify(body, sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, sent)
    assert sent["Authorization"] == "Bearer pat-canary"


async def test_no_token_is_sent_unless_named(poster: Poster, serve: Serve) -> None:
    got: list[str | None] = []

    async def receive(request: web.Request) -> web.Response:
        got.append(request.headers.get("Authorization"))
        return web.Response()

    await poster(RING)(delivery(await serve(receive)))
    assert got == [None]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"secret": "gone"}, "no secret is set as 'gone' in VOICEBOT_RECEIVER_SECRETS to sign it with"),
        ({"secret": "hubspot"}, "no secret is set as 'hubspot' in VOICEBOT_RECEIVER_SECRETS to sign it with"),
        ({"bearer": "gone"}, "no token is set as 'gone' in VOICEBOT_RECEIVER_SECRETS"),
    ],
)
async def test_missing_key_sends_nothing(poster: Poster, names: dict[str, str], reason: str) -> None:
    with aioresponses() as mocked, pytest.raises(DeliveryError) as refused:
        await poster(RING)(replace(delivery(), **names))  # type: ignore[arg-type]  # the names are of text fields
    assert (refused.value.reason, mocked.requests) == (reason, {})
