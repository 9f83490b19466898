"""The WebSocket under the leg: framing, order, bounds and every way it can end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidMessage, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.streams import StreamReader

from voicebot import websocket
from voicebot.realtime import socket as under_test
from voicebot.realtime.socket import ModelSocket, open_socket
from voicebot.websocket import masked_text_frame

Script = Callable[[ServerConnection], Awaitable[object]]
LIMIT = 2**20


@asynccontextmanager
async def opened(script: Script) -> AsyncIterator[ModelSocket]:
    async def handle(connection: ServerConnection) -> None:
        await script(connection)

    async with serve(handle, "127.0.0.1", 0, close_timeout=0.2, ping_interval=None) as server, asyncio.timeout(10):
        socket = await open_socket(where(server), {}, max_message_bytes=LIMIT)
        try:
            yield socket
        finally:
            await socket.close()


def where(server: object) -> str:
    port = next(iter(server.sockets)).getsockname()[1]  # type: ignore[attr-defined]
    return f"ws://127.0.0.1:{port}/"


async def all_of(socket: ModelSocket, count: int) -> list[bytes]:
    messages: list[bytes] = []
    while len(messages) < count:
        messages += await socket.receive()
    return messages


# ---- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 1334, 65_535, 65_536, 200_000])
def test_frame_reads_as_it_was_written(size: int) -> None:
    payload = os.urandom(size)
    reader = StreamReader()
    reader.feed_data(masked_text_frame(payload, b"\x01\xfe\x55\x00"))
    parsing = Frame.parse(reader.read_exact, mask=True)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    assert done.value.value == Frame(Opcode.TEXT, payload)
    assert not reader.buffer


async def test_messages_arrive_in_their_order() -> None:
    heard: list[str | bytes] = []
    sizes = [1, 126, 70_000, 2, 1334] * 40

    async def script(connection: ServerConnection) -> None:
        while len(heard) < len(sizes):
            heard.append(await connection.recv())
        await connection.send("all")

    async with opened(script) as socket:
        for number, size in enumerate(sizes):
            socket.write(f"{number}:".ljust(size, "é"))
        assert await all_of(socket, 1) == [b"all"]
    assert heard == [f"{number}:".ljust(size, "é") for number, size in enumerate(sizes)]


def test_loop_of_production_carries_it_too() -> None:
    uvloop = pytest.importorskip("uvloop", reason="pip install voicebot[fast]")

    async def script(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def exchange() -> list[bytes]:
        async with opened(script) as socket:
            for size in (1, 1000, 100_000):
                socket.write("x" * size)
            return await all_of(socket, 3)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert [len(message) for message in runner.run(exchange())] == [1, 1000, 100_000]


async def test_masks_are_used_once(monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[bytes] = []

    def noted(payload: bytes, mask: bytes) -> bytes:
        masks.append(mask)
        return masked_text_frame(payload, mask)

    async def script(connection: ServerConnection) -> None:
        for _ in range(3000):
            await connection.recv()
        await connection.send("all")

    async with opened(script) as socket:
        monkeypatch.setattr(under_test, "masked_text_frame", noted)
        for _ in range(3000):
            socket.write("x")
        await all_of(socket, 1)
    assert len(set(masks)) > 2990  # of 2**32
    assert {len(mask) for mask in masks} == {4}


async def test_peer_that_reads_nothing_stalls_us() -> None:
    go_on = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await go_on.wait()
        connection.transport.resume_reading()
        while await connection.recv() != "end":
            continue
        await connection.send("seen")

    async with opened(script) as socket:
        stalls: list[float | None] = []
        socket.on_stall = lambda: stalls.append(socket.stalled_since)
        while socket.stalled_since is None:
            socket.write("x" * 500_000)
            await asyncio.sleep(0)
        assert stalls == [socket.stalled_since]
        socket.write("end")
        go_on.set()
        assert await all_of(socket, 1) == [b"seen"]
        assert socket.stalled_since is None


# ---- reading --------------------------------------------------------------------------------------------------------


async def test_what_one_read_brought_comes_together() -> None:
    async def script(connection: ServerConnection) -> None:
        writing = [connection.protocol.send_text(b"%d" % number) for number in range(50)]
        assert writing
        connection.transport.write(b"".join(connection.protocol.data_to_send()))
        await connection.wait_closed()

    async with opened(script) as socket:
        assert await socket.receive() == [b"%d" % number for number in range(50)]


async def test_fragments_are_one_message() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(["a", "b", "", "c"])
        await connection.send(b"\xff")
        await connection.wait_closed()

    async with opened(script) as socket:
        assert await all_of(socket, 2) == [b"abc", b"\xff"]


async def test_reading_pauses_when_nobody_takes() -> None:
    full = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        sending = asyncio.ensure_future(send_all(connection))
        stalled, _ = await asyncio.wait({sending}, timeout=0.3)
        assert not stalled  # 40 MB do not fit in what we and the kernel hold
        full.set()
        await sending
        await connection.wait_closed()

    async def send_all(connection: ServerConnection) -> None:
        for _ in range(400):
            await connection.send("x" * 100_000)

    async with opened(script) as socket:
        await full.wait()
        assert len(await all_of(socket, 400)) == 400


async def test_cancelled_read_loses_nothing() -> None:
    go = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await go.wait()
        await connection.send("x")
        await connection.wait_closed()

    async with opened(script) as socket:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await socket.receive()
        go.set()
        assert await socket.receive() == [b"x"]


async def test_pings_are_answered() -> None:
    async def script(connection: ServerConnection) -> None:
        await (await connection.ping())
        await connection.send("answered")
        await connection.wait_closed()

    async with opened(script) as socket:
        assert await socket.receive() == [b"answered"]


# ---- ends -----------------------------------------------------------------------------------------------------------


async def test_messages_before_the_close_still_come() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send("last")
        await connection.close(1001, "bye")

    async with opened(script) as socket:
        assert await socket.receive() == [b"last"]
        for _ in range(2):  # and for ever
            with pytest.raises(ConnectionClosedOK) as over:
                await socket.receive()
        assert over.value.rcvd is not None and (over.value.rcvd.code, over.value.rcvd.reason) == (1001, "bye")
        socket.write("too late")


async def test_broken_connection_says_nothing() -> None:
    async def script(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with opened(script) as socket:
        with pytest.raises(ConnectionClosedError) as over:
            await socket.receive()
        assert over.value.rcvd is None


async def test_close_shakes_hands() -> None:
    codes: list[int | None] = []

    async def script(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with opened(script) as socket:
        await socket.close()
    assert codes == [1000]


async def test_close_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_S", 0.05)

    async def script(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await asyncio.sleep(0.3)
        connection.transport.resume_reading()

    async with opened(script) as socket:
        async with asyncio.timeout(5):
            await socket.close()
        with pytest.raises(ConnectionClosedError):
            await socket.receive()


async def test_silent_peer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "PING_S", 0.05)

    async def script(connection: ServerConnection) -> None:
        connection.transport.pause_reading()  # so that no ping is answered
        await asyncio.sleep(1)
        connection.transport.resume_reading()

    async with opened(script) as socket:
        with pytest.raises(ConnectionClosedError):
            await socket.receive()


async def test_peer_that_answers_pings_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "PING_S", 0.03)
    go = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await go.wait()
        await connection.send("still here")
        await connection.wait_closed()

    async with opened(script) as socket:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await socket.receive()
        go.set()
        assert await socket.receive() == [b"still here"]


async def test_too_long_a_message_ends_it() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send("x" * (LIMIT + 1))
        await connection.wait_closed()

    async with opened(script) as socket:
        with pytest.raises(ConnectionClosedError) as over:
            await socket.receive()
        assert over.value.sent is not None and over.value.sent.code == 1009


# ---- the handshake --------------------------------------------------------------------------------------------------


async def test_refused_handshake_shows_its_status() -> None:
    def gate(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus.FORBIDDEN, "no\n")

    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0, process_request=gate) as server:
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(where(server), {}, max_message_bytes=LIMIT)
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"no\n"


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n"])
async def test_broken_handshake_is_an_error(answer: bytes) -> None:
    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(answered, "127.0.0.1", 0) as server, asyncio.timeout(5):
        with pytest.raises((InvalidMessage, OSError)):
            await open_socket(where(server), {}, max_message_bytes=LIMIT)


async def test_address_without_host_is_refused() -> None:
    with pytest.raises(InvalidURI):
        await open_socket("https://example.com/", {}, max_message_bytes=LIMIT)


async def test_abandoned_opening_drops_the_connection() -> None:
    dropped = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        assert not await reader.read()
        writer.close()
        dropped.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server, asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await open_socket(where(server), {}, max_message_bytes=LIMIT)
        await dropped.wait()
