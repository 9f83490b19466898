"""Several servers behind one address, with real requests and streams, in virtual time and on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from voicebot.sim.balancer import Balancer, Head, in_turn, read_head
from voicebot.sim.clock import run_virtual

LIMIT_S = 20.0
STEP_S = 0.02

# ---- heads and turns, pure ------------------------------------------------------------------------------------------


def test_head_is_read_once_it_is_whole() -> None:
    whole = b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\nbody"
    assert all(read_head(whole[:length]) is None for length in range(len(whole) - 4))
    found = read_head(whole)
    assert found is not None
    head, rest = found
    assert (head.method, head.path, head.upgrades, rest) == ("POST", "/a?b=1", False, b"body")
    assert head.forwarded() == b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_head_of_a_websocket_is_sent_on_as_it_is() -> None:
    whole = b"GET /twilio/media/a HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    found = read_head(whole)
    assert found is not None
    assert (found[0].upgrades, found[0].forwarded()) == (True, whole)


@pytest.mark.parametrize("received", [b"x" * 40_000, b"nonsense\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_what_is_no_request_is_refused(received: bytes) -> None:
    with pytest.raises(ValueError, match=r"long|unpack"):
        read_head(received)


@dataclass
class Stand:
    """A small server that says who it is; it can die."""

    name: str
    port: int = 0
    streams: list[web.WebSocketResponse] = field(default_factory=list)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/twilio/media/{name}", self._stream)
        app.router.add_get("/dies", self._die)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.Response:
        return web.Response(text=f"{self.name}:{request.method}:{request.raw_path}:{await request.text()}")

    async def _die(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.streams.append(socket)
        async for message in socket:
            if message.data == "die":
                assert request.transport is not None
                request.transport.abort()
            elif message.data == "close":
                await socket.close(code=4001)
            else:
                await socket.send_str(f"{self.name}:{message.data}")
        return socket

    async def stop(self) -> None:
        await self._runner.cleanup()


def test_turns_go_round_and_a_named_stream_comes_first() -> None:
    stands = [Stand("a"), Stand("b"), Stand("c")]
    names = [[one.name for one in in_turn(stands, "/twilio/voice", turn)] for turn in range(4)]
    assert names == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
    assert [one.name for one in in_turn(stands, "/twilio/media/c?x=1", 0)] == ["c", "a", "b"]
    assert [one.name for one in in_turn(stands, "/twilio/media/gone", 1)] == ["b", "c", "a"]
    assert [one.name for one in in_turn(stands, "/twilio/media", 1)] == ["b", "c", "a"]
    assert [one.name for one in in_turn(stands, "/twilio/voice", 1, preferred="a")] == ["a", "b", "c"]
    assert [one.name for one in in_turn(stands, "/twilio/media/c", 1, preferred="a")] == ["c", "a", "b"]
    workers = [Stand("a-1"), Stand("a-2")]
    assert [one.name for one in in_turn(stands, "/twilio/media/a-2", 0, named=workers)] == ["a-2", "a", "b", "c"]
    assert [one.name for one in in_turn(stands, "/twilio/voice", 0, named=workers)] == ["a", "b", "c"]


def test_forwarded_head_drops_the_clients_wishes() -> None:
    head = Head("GET", "/", (b"GET / HTTP/1.1", b"Keep-Alive: 5", b"Host: x"))
    assert head.forwarded() == b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


# ---- whole requests -------------------------------------------------------------------------------------------------


@dataclass
class Site:
    balancer: Balancer
    stands: dict[str, Stand]
    http: aiohttp.ClientSession

    async def ask(self, path: str = "/x", body: str = "") -> str:
        async with self.http.post(f"http://{self.balancer.address}{path}", data=body) as answer:
            return await answer.text() if answer.status == 200 else str(answer.status)

    async def stream(self, path: str) -> aiohttp.ClientWebSocketResponse:
        return await self.http.ws_connect(f"ws://{self.balancer.address}{path}")


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    stands = {name: Stand(name) for name in ("a", "b")}
    for stand in stands.values():
        await stand.start()
    async with Balancer(list(stands.values())) as balancer, aiohttp.ClientSession() as http:
        yield Site(balancer, stands, http)
    for stand in stands.values():
        await stand.stop()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(int(LIMIT_S / STEP_S)):
        if true():
            return
        await asyncio.sleep(STEP_S)
    raise TimeoutError


async def takes_turns(made: Site) -> None:
    body = "x" * 300_000
    assert [await made.ask("/x?y=1", body) for _ in range(3)] == [f"{name}:POST:/x?y=1:{body}" for name in "aba"]
    assert [one.backend for one in made.balancer.carried] == ["a", "b", "a"]
    assert made.balancer.streams() == []


async def passes_over_who_refuses(made: Site) -> None:
    await made.stands["b"].stop()
    assert [(await made.ask())[0] for _ in range(3)] == ["a", "a", "a"]
    await made.stands["a"].stop()
    assert await made.ask() == "502"
    await made.stands["b"].start()
    assert (await made.ask())[0] == "b"


async def sends_streams_to_their_instance(made: Site) -> None:
    for name in ("b", "a", "b"):
        stream = await made.stream(f"/twilio/media/{name}")
        await stream.send_str("hello")
        assert await stream.receive_str() == f"{name}:hello"
        assert [one.backend for one in made.balancer.streams()] == [name]
        await stream.send_str("close")
        assert (await stream.receive()).data == 4001
        await stream.close()
        await until(lambda: not made.balancer.streams())
    await made.stands["b"].stop()
    stream = await made.stream("/twilio/media/b")
    await stream.send_str("hello")
    assert await stream.receive_str() == "a:hello"
    await stream.close()


async def breaks_what_a_dead_backend_had(made: Site) -> None:
    stream = await made.stream("/twilio/media/a")
    await stream.send_str("die")
    assert (await stream.receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
    assert stream.close_code in (None, 1006)
    async with made.http.get(f"http://{made.balancer.address}/dies") as answer:
        assert answer.status == 502


async def ends_with_the_client(made: Site) -> None:
    stream = await made.stream("/twilio/media/a")
    await stream.close()
    await until(lambda: made.stands["a"].streams[0].closed)


async def refuses_nonsense(made: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", made.balancer.port)
    writer.write(b"nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()


CASES = [
    *(takes_turns, passes_over_who_refuses, sends_streams_to_their_instance),
    *(breaks_what_a_dead_backend_had, ends_with_the_client, refuses_nonsense),
]


async def play(case: Callable[[Site], Awaitable[None]]) -> None:
    async with asyncio.timeout(LIMIT_S), site() as made:
        await case(made)


@pytest.mark.parametrize("case", CASES)
def test_balancer_in_virtual_time(case: Callable[[Site], Awaitable[None]]) -> None:
    run_virtual(play(case))


@pytest.mark.parametrize("case", CASES)
async def test_balancer_on_real_sockets(case: Callable[[Site], Awaitable[None]]) -> None:
    await play(case)
