"""aiohttp and websockets over connections in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from tests.sim.virtual_time import running_loop, virtual
from voicebot.sim.clock import run_virtual

MEBIBYTE = 1024 * 1024
HANG_UP = "hang up"


# ---- aiohttp ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """The port of an aiohttp server that runs meanwhile."""
    runner = web.AppRunner(app, shutdown_timeout=5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield site.port
    finally:
        await runner.cleanup()


@virtual
async def test_aiohttp_answers_requests_in_memory() -> None:
    async def greet(request: web.Request) -> web.Response:
        posted = await request.json()
        return web.json_response({"hello": posted["name"], "from": request.remote})

    app = web.Application()
    app.router.add_post("/greet", greet)
    async with serving(app) as port, aiohttp.ClientSession() as session:
        for host in ("127.0.0.1", "localhost"):
            async with session.post(f"http://{host}:{port}/greet", json={"name": "Ada"}) as response:
                assert (response.status, await response.json()) == (200, {"hello": "Ada", "from": "127.0.0.1"})
    assert running_loop().time() == 0


@virtual
async def test_aiohttp_answers_hundreds_at_once() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response(text=request.query["n"])

    app = web.Application()
    app.router.add_get("/", slow)

    async def ask(session: aiohttp.ClientSession, port: int, number: int) -> str:
        async with session.get(f"http://127.0.0.1:{port}/?n={number}") as response:
            return await response.text()

    async with serving(app) as port, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        answers = await asyncio.gather(*(ask(session, port, number) for number in range(300)))
    assert answers == [str(number) for number in range(300)]
    assert running_loop().time() == 30


@virtual
async def test_aiohttp_client_times_out_in_virtual_time() -> None:
    cancelled: list[float] = []

    async def never(_request: web.Request) -> web.Response:
        try:
            await asyncio.sleep(1000)
        finally:
            cancelled.append(running_loop().time())
        return web.Response()

    app = web.Application(handler_args={"handler_cancellation": True})
    app.router.add_get("/", never)
    async with serving(app) as port, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=4)) as session:
        with pytest.raises(TimeoutError):
            await session.get(f"http://127.0.0.1:{port}/")
        assert running_loop().time() == 4
    assert len(cancelled) == 1


@virtual
async def test_aiohttp_streams_bodies_both_ways() -> None:
    chunk = bytes(range(256)) * 256

    async def double(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for received in request.content.iter_any():
            await response.write(received)
        await response.write_eof()
        return response

    async def produce() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield chunk
            await asyncio.sleep(0.5)

    app = web.Application()
    app.router.add_post("/", double)
    async with (
        serving(app) as port,
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/", data=produce()) as response,
    ):
        assert await response.read() == chunk * 64
    assert running_loop().time() == 32


@virtual
async def test_aiohttp_serves_files(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_bytes(b"0123456789" * 50_000)

    async def show(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(page)

    app = web.Application()
    app.router.add_get("/", show)
    async with serving(app) as port, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/") as response:
            assert await response.read() == page.read_bytes()
        async with session.get(f"http://127.0.0.1:{port}/", headers={"Range": "bytes=5-14"}) as response:
            assert (response.status, await response.read()) == (206, b"5678901234")


@virtual
async def test_aiohttp_reports_what_it_cannot_reach() -> None:
    async with aiohttp.ClientSession() as session:
        for url in ("http://127.0.0.1:9/", "http://10.0.0.1/", "http://example.com/", "https://localhost/"):
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url)


@virtual
async def test_aiohttp_sees_a_connection_broken_by_its_server() -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", hang_up)
    async with serving(app) as port, aiohttp.ClientSession() as session:
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await session.get(f"http://127.0.0.1:{port}/")


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket_ = web.WebSocketResponse(heartbeat=20, max_msg_size=4 * MEBIBYTE)
    await socket_.prepare(request)
    async for message in socket_:
        if message.data == HANG_UP:
            break
        await (socket_.send_str if message.type is aiohttp.WSMsgType.TEXT else socket_.send_bytes)(message.data)
    return socket_


def echo_app() -> web.Application:
    app = web.Application()
    app.router.add_get("/echo", echo)
    return app


@contextlib.asynccontextmanager
async def echo_client(heartbeat_s: float | None) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, int]]:
    """A client of the echo server, and the server's port."""
    async with (
        serving(echo_app()) as port,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/echo", heartbeat=heartbeat_s, max_msg_size=4 * MEBIBYTE) as client,
    ):
        yield client, port


@virtual
async def test_aiohttp_websocket_lives_for_hours_on_heartbeats() -> None:
    async with echo_client(heartbeat_s=15) as (client, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * 3600):
                await client.receive()
        await client.send_str("still there?")
        assert (await client.receive()).data == "still there?"
        await client.send_str(HANG_UP)
        assert (await client.receive()).type is aiohttp.WSMsgType.CLOSE
        assert client.close_code == 1000


@virtual
async def test_aiohttp_heartbeat_ends_a_silent_connection() -> None:
    loop = running_loop()
    async with echo_client(heartbeat_s=10) as (client, port):
        loop.set_latency(port, to_server_s=3600)
        message = await client.receive()
        assert (message.type, client.close_code) == (aiohttp.WSMsgType.ERROR, 1006)
        assert loop.time() < 30
        loop.set_latency(port)


@virtual
async def test_aiohttp_websocket_moves_mebibytes() -> None:
    body = bytes(range(256)) * 4096
    async with echo_client(heartbeat_s=None) as (client, _):
        for _ in range(3):
            await client.send_bytes(body)
        assert [await client.receive_bytes() == body for _ in range(3)] == [True] * 3
        assert running_loop().time() == 0


# ---- websockets ---------------------------------------------------------------------------------------------------


async def echo_frames(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{port_of(server)}"


def port_of(server: Server) -> int:
    return int(server.sockets[0].getsockname()[1])


@virtual
async def test_websockets_speak_in_memory_and_close_cleanly() -> None:
    async with serve(echo_frames, "127.0.0.1", 0) as server:
        async with connect(f"ws://localhost:{port_of(server)}") as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            assert client.remote_address == ("127.0.0.1", port_of(server))
        assert client.close_code == 1000
    assert running_loop().time() == 0


@virtual
async def test_websockets_live_for_hours_on_pings() -> None:
    async with serve(echo_frames, "127.0.0.1", 0) as server, connect(url_of(server)) as client:
        await asyncio.sleep(5 * 3600)
        await client.send("still there?")
        assert await client.recv() == "still there?"
        assert client.latency == 0


@virtual
async def test_websockets_measure_the_latency() -> None:
    async with serve(echo_frames, "127.0.0.1", 0) as server:
        running_loop().set_latency(port_of(server), to_server_s=0.04, to_client_s=0.06)
        async with connect(url_of(server)) as client:
            assert await (await client.ping()) == pytest.approx(0.1)


@virtual
async def test_websockets_end_when_pongs_stay_away() -> None:
    loop = running_loop()
    async with serve(echo_frames, "127.0.0.1", 0) as server:
        client = await connect(url_of(server), ping_interval=20, ping_timeout=20)
        loop.set_latency(port_of(server), to_client_s=3600)
        with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
            await client.recv()
        assert 40 <= loop.time() <= 60
        loop.set_latency(port_of(server))


@virtual
async def test_websockets_see_a_broken_connection() -> None:
    async def break_off(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async with serve(break_off, "127.0.0.1", 0) as server:
        client = await connect(url_of(server))
        await client.send("go")
        with pytest.raises(ConnectionClosedError) as caught:
            await client.recv()
        assert isinstance(caught.value.__cause__, ConnectionResetError)


@virtual
async def test_websockets_writer_waits_for_a_slow_reader() -> None:
    loop, release = running_loop(), asyncio.Event()

    async def read_late(connection: ServerConnection) -> None:
        await release.wait()
        await echo_frames(connection)

    async with (
        serve(read_late, "127.0.0.1", 0, compression=None, ping_interval=None) as server,
        connect(url_of(server), compression=None, ping_interval=None) as client,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                for _ in range(100):
                    await client.send(bytes(MEBIBYTE))
        assert loop.time() == 60
        release.set()
        assert len(await client.recv()) == MEBIBYTE


@virtual
async def test_websockets_server_closes_its_clients() -> None:
    server = await serve(echo_frames, "127.0.0.1", 0)
    client = await connect(url_of(server))
    server.close()
    with pytest.raises(ConnectionClosedOK):
        await client.recv()
    await server.wait_closed()


@virtual
async def test_websockets_refused_and_out_of_reach() -> None:
    for url in ("ws://127.0.0.1:9", "ws://10.0.0.1", "ws://example.com", "wss://127.0.0.1"):
        with pytest.raises(OSError, match=r"the twin('s network| has no network)"):
            await connect(url, proxy=None)


# ---- many ---------------------------------------------------------------------------------------------------------


async def paced_pairs(pairs: int, seconds: float) -> list[tuple[float, int, int]]:
    """Each pair echoes a frame every 20 ms; when every echo came back, by pair and frame."""
    loop, frames = running_loop(), round(seconds / 0.020)
    order: list[tuple[float, int, int]] = []

    async def read(client: ClientConnection, pair: int) -> None:
        for frame in range(frames):
            assert await client.recv() == f"{pair}.{frame}".ljust(250)
            order.append((loop.time(), pair, frame))

    async def speak(pair: int, url: str) -> None:
        async with connect(url, compression=None) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(read(client, pair))
            for frame in range(frames):
                await client.send(f"{pair}.{frame}".ljust(250))
                await asyncio.sleep(0.020)

    async with serve(echo_frames, "127.0.0.1", 0, compression=None) as server, asyncio.TaskGroup() as tasks:
        for pair in range(pairs):
            tasks.create_task(speak(pair, url_of(server)))
    return order


@pytest.mark.parametrize(("pairs", "seconds"), [(20, 2.0), (100, 1.0)])
def test_parallel_pairs_repeat_exactly(pairs: int, seconds: float) -> None:
    first = run_virtual(paced_pairs(pairs, seconds))
    assert len(first) == pairs * round(seconds / 0.020)
    assert first == run_virtual(paced_pairs(pairs, seconds))
    assert first[-1][0] == pytest.approx(seconds - 0.020)
