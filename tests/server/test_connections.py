"""Connections that hold back, and what every answer says: raw sockets against a real server of ours."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_network

import aiohttp
import pytest
from aiohttp import web
from websockets.exceptions import ConnectionClosed

from voicebot.server import connections
from voicebot.server.answers import SAFE_HEADERS
from voicebot.server.connections import GATEKEEPER, Doors, client_of, counted, guard, make_runner, upgraded, vouch
from voicebot.server.gatekeeper import Gatekeeper
from voicebot.server.proxies import Proxies
from voicebot.telephony.socket import Upgraded, upgrade

LIMIT_S = 30.0  # for what must happen at all
LOOK_EVERY_S = 0.01
SHORT_S = 0.2
GET = b"GET /hello HTTP/1.1\r\nHost: h\r\n"


@dataclass
class Served:
    """A small application behind our doors."""

    port: int
    gatekeeper: Gatekeeper

    async def until(self, reached: Callable[[Gatekeeper], object]) -> None:
        """Wait until this is so."""
        for _ in range(int(LIMIT_S / LOOK_EVERY_S)):
            if reached(self.gatekeeper):
                return
            await asyncio.sleep(LOOK_EVERY_S)
        raise TimeoutError

    async def connect(self, sends: bytes = b"", *, source: str = "127.0.0.1") -> Peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        writer.write(sends)
        return Peer(reader, writer)

    async def ask(self, sends: bytes, *, source: str = "127.0.0.1") -> str:
        """Send, and read until the server closes."""
        peer = await self.connect(sends, source=source)
        return await peer.rest()


@dataclass
class Peer:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def rest(self) -> str:
        """All that still comes until the server closes."""
        try:
            async with asyncio.timeout(LIMIT_S):
                return (await self.reader.read()).decode()
        except ConnectionError:
            return ""
        finally:
            self.writer.close()

    async def answer(self) -> str:
        """The next answer, of which the body is `hello`."""
        async with asyncio.timeout(LIMIT_S):
            return (await self.reader.readuntil(b"hello")).decode()

    async def drip(self, bytes_: bytes, every_s: float) -> None:
        """Send one byte after the other for as long as the server stays."""
        with_end = iter(bytes_)
        try:
            while not self.reader.at_eof():
                self.writer.write(bytes([next(with_end)]))
                await self.writer.drain()
                await asyncio.sleep(every_s)
        except (ConnectionError, StopIteration):
            pass


@pytest.fixture
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_REQUEST_S", "IDLE_S", "ANSWER_LIMIT_S", "LINGER_S"):
        monkeypatch.setattr(connections, name, SHORT_S)


@asynccontextmanager
async def served(*, total: int = 100, per_address: int = 100, trusted: Sequence[str] = ()) -> AsyncIterator[Served]:
    released = asyncio.Event()

    async def hello(request: web.Request) -> web.Response:
        if "Signed" in request.headers:
            vouch(request)
        return web.Response(text="hello", headers={"X-Client": client_of(request)})

    async def stuck(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response(text="late")

    async def broken(request: web.Request) -> web.Response:
        raise ValueError("a secret of the inside")

    async def read(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="page", headers={"Content-Security-Policy": "default-src 'self'"})

    async def long(request: web.Request) -> web.Response:
        return web.Response(body=bytes(64 * 1024 * 1024))

    async def talk(request: web.Request) -> Upgraded:
        talking = upgrade(request, max_message_bytes=1024)
        upgraded(request)
        with suppress(ConnectionClosed):
            while True:
                for message in await talking.receive():
                    talking.write(message.decode())
        return Upgraded()

    app = web.Application(client_max_size=1024, middlewares=[counted])
    networks = [ip_network(one) for one in trusted]
    guard(app, Gatekeeper(Proxies(networks), total=total, per_address=per_address))
    app.add_routes([web.get("/hello", hello), web.get("/stuck", stuck), web.get("/broken", broken)])
    app.add_routes([web.post("/read", read), web.get("/page", page), web.get("/long", long), web.get("/talk", talk)])
    runner = make_runner(app)
    await runner.setup()
    doors = Doors(runner)
    await doors.open(socket.create_server(("127.0.0.1", 0)))
    try:
        yield Served(doors.addresses[0][1], app[GATEKEEPER])
    finally:
        released.set()
        doors.close()
        await runner.cleanup()
        assert app[GATEKEEPER].open == 0


def lines(answer: str) -> list[str]:
    return answer.partition("\r\n\r\n")[0].split("\r\n")


# ---- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_hurry")
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET",
        GET,
        GET + b"X-Long: " + b"a" * 3000,
        b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n",
        b"\r\n\r\n\r\n",
    ],
)
async def test_request_that_is_not_whole_in_time_is_closed(sent: bytes) -> None:
    async with served() as made:
        assert await made.ask(sent) == ""
        assert made.gatekeeper.counts["closed_no_request"] == 1


@pytest.mark.usefixtures("_hurry")
async def test_request_that_drips_is_closed() -> None:
    async with served() as made:
        peer = await made.connect()
        async with asyncio.timeout(LIMIT_S):
            await peer.drip(GET + b"X-Slow: " + b"a" * 100_000, SHORT_S / 10)
        assert await peer.rest() == ""
        assert made.gatekeeper.counts["closed_no_request"] == 1


@pytest.mark.usefixtures("_hurry")
async def test_idle_connection_is_closed_after_its_answer() -> None:
    async with served() as made:
        assert lines(await made.ask(GET + b"\r\n"))[0] == "HTTP/1.1 200 OK"
        half = await made.connect(GET + b"\r\n" + GET)
        assert (await half.rest()).count("HTTP/1.1 200 OK") == 1
        assert made.gatekeeper.counts["closed_idle"] == 2


@pytest.mark.usefixtures("_hurry")
async def test_connection_of_a_friend_may_be_idle_for_longer() -> None:
    async with served() as made:
        friend = await made.connect(GET + b"Signed: yes\r\n\r\n")
        await friend.answer()
        await made.ask(b"")  # a stranger came and had to go meanwhile
        friend.writer.write(GET + b"\r\n")
        await friend.answer()
        friend.writer.close()


@pytest.mark.usefixtures("_hurry")
async def test_body_that_never_comes_is_closed() -> None:
    async with served() as made:
        assert await made.ask(b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab") == ""
        assert made.gatekeeper.counts["closed_slow"] == 1


@pytest.mark.usefixtures("_hurry")
async def test_body_that_nobody_wants_is_not_waited_for() -> None:
    async with served() as made:
        answer = await made.ask(GET + b"Content-Length: 1000\r\n\r\nab")
        assert lines(answer)[0] == "HTTP/1.1 200 OK"


@pytest.mark.usefixtures("_hurry")
async def test_handler_that_is_stuck_loses_its_connection() -> None:
    async with served() as made:
        assert await made.ask(b"GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n") == ""
        assert made.gatekeeper.counts["closed_slow"] == 1


@pytest.mark.usefixtures("_hurry")
async def test_answer_that_is_not_taken_is_given_up() -> None:
    async with served() as made:
        peer = await made.connect(b"GET /long HTTP/1.1\r\nHost: h\r\n\r\n")  # and reads no more than fits in a buffer
        await made.until(lambda keeper: not keeper.open)
        peer.writer.close()
        assert made.gatekeeper.counts["closed_idle"] == 1


@pytest.mark.usefixtures("_hurry")
async def test_websocket_outlives_the_limits_of_requests() -> None:
    async with (
        served() as made,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"http://127.0.0.1:{made.port}/talk") as talking,
    ):
        await made.ask(b"")
        await made.ask(b"")
        await talking.send_str("still here")
        assert (await talking.receive(LIMIT_S)).data == "still here"


# ---- how many -------------------------------------------------------------------------------------------------------


async def test_silent_crowd_does_not_lock_out_who_speaks() -> None:
    async with served(total=20, per_address=10) as made:
        silent = [await made.connect(source=f"127.0.0.{1 + number % 4}") for number in range(60)]
        assert lines(await made.ask(GET + b"Connection: close\r\n\r\n"))[0] == "HTTP/1.1 200 OK"
        assert made.gatekeeper.strangers <= 20
        assert made.gatekeeper.counts["closed_crowded"] >= 40
        for peer in silent:
            peer.writer.close()


async def test_address_that_asks_too_much_at_once_is_cut_off_alone() -> None:
    async with served(total=20, per_address=2) as made:
        stuck = [await made.connect(b"GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n") for _ in range(2)]
        await made.until(lambda keeper: len(keeper._strangers.at_work) == 2)
        assert await made.ask(GET + b"\r\n") == ""
        assert lines(await made.ask(GET + b"Connection: close\r\n\r\n", source="127.0.0.2"))[0] == "HTTP/1.1 200 OK"
        assert made.gatekeeper.counts["refused_address"] == 1
        for peer in stuck:
            peer.writer.close()


async def test_client_behind_a_trusted_proxy_is_known() -> None:
    async with served(trusted=["127.0.0.0/8"], per_address=1) as made:
        forwarded = b"X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\nConnection: close\r\n\r\n"
        assert "X-Client: 198.51.100.7" in lines(await made.ask(GET + forwarded))
        stuck = await made.connect(b"GET /stuck HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n")
        await made.until(lambda keeper: keeper._by_client)
        refused = await made.ask(GET + forwarded)
        assert lines(refused)[0] == "HTTP/1.1 429 Too Many Requests"
        assert "Retry-After: 1" in lines(refused)
        stuck.writer.close()


async def test_header_of_a_stranger_is_not_believed() -> None:
    async with served() as made:
        answer = await made.ask(GET + b"X-Forwarded-For: 198.51.100.7\r\nConnection: close\r\n\r\n")
        assert "X-Client: 127.0.0.1" in lines(answer)


# ---- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        GET + b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        GET + b"".join(b"X-%d: a\r\n" % number for number in range(1000)) + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"NONSENSE\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 1,1\r\n\r\na",
        GET + b"X-Bad: a\x00b\r\n\r\n",
        GET + b"X Bad: a\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_without_a_word(sent: bytes) -> None:
    async with served() as made:
        answer = await made.ask(sent)
        assert lines(answer)[0].endswith(" 400 Bad Request")
        assert answer.endswith("\r\n\r\nbad request")
        assert f"Server: {SAFE_HEADERS['Server']}" in lines(answer)
        assert made.gatekeeper.counts["malformed"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 1000000\r\n\r\n" + b"a" * 2000,
        b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"a" * 1024 + b"\r\n" + b"400\r\n" + b"a" * 1024 + b"\r\n",
    ],
)
@pytest.mark.usefixtures("_hurry")
async def test_body_too_large_is_refused(body: bytes) -> None:
    async with served() as made:
        answer = await made.ask(b"POST /read HTTP/1.1\r\nHost: h\r\n" + body)
        assert lines(answer)[0] == "HTTP/1.1 413 Request Entity Too Large"


# ---- what answers say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /hello", 200),
        (b"GET /nowhere", 404),
        (b"GET /%2e%2e/%00", 404),
        (b"DELETE /hello", 405),
        (b"TRACE /hello", 405),
        (b"GET /broken", 500),
    ],
)
async def test_every_answer_is_safe_and_says_nothing_of_the_inside(request_line: bytes, status: int) -> None:
    async with served() as made:
        answer = await made.ask(
            request_line + b" HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
        )
    head = lines(answer)
    assert head[0].split()[1] == str(status)
    for name, value in SAFE_HEADERS.items():
        assert [line for line in head if line.lower().startswith(name.lower() + ":")] == [f"{name}: {value}"]
    assert "Content-Type: text/plain; charset=utf-8" in head
    for inside in ("aiohttp", "Python", "secret", "Traceback", "ValueError", "<html"):
        assert inside not in answer


async def test_page_may_say_what_it_needs() -> None:
    async with served() as made:
        head = lines(await made.ask(b"GET /page HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
    assert [line for line in head if line.startswith("Content-Security")] == [
        "Content-Security-Policy: default-src 'self'"
    ]


async def test_many_requests_of_one_connection_are_one_stranger() -> None:
    async with served() as made:
        peer = await made.connect((GET + b"\r\n") * 5)
        for _ in range(5):
            await peer.answer()
        assert (made.gatekeeper.open, made.gatekeeper.strangers) == (1, 1)
        peer.writer.close()


async def test_closed_doors_let_nobody_in_and_keep_who_is_there() -> None:
    async with served() as made:
        peer = await made.connect(GET + b"\r\n")
        await peer.answer()
        with pytest.raises(OSError):
            async with closing_doors(made):
                await made.connect()
        peer.writer.write(GET + b"\r\n")
        await peer.answer()
        peer.writer.close()


@asynccontextmanager
async def closing_doors(made: Served) -> AsyncIterator[None]:
    """A server of its own on a port that nobody listens on any more when the body runs."""
    runner = make_runner(_empty())
    await runner.setup()
    doors = Doors(runner)
    await doors.open(socket.create_server(("127.0.0.1", 0)))
    kept, made.port = made.port, doors.addresses[0][1]
    doors.close()
    try:
        yield
    finally:
        made.port = kept
        await runner.cleanup()


def _empty() -> web.Application:
    app = web.Application()
    app[GATEKEEPER] = Gatekeeper(Proxies(()), total=1, per_address=1)
    return app
