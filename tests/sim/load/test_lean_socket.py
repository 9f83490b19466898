"""Either end against the websockets library, and against each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from voicebot.sim.load.lean_socket import LeanSocket

SIZES = (0, 1, 125, 126, 65_535, 65_536, 300_000)
LIMIT_S = 10.0


class Received:
    """Messages that came, and when."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.times: list[float] = []

    def take(self, text: bytes, now: float) -> None:
        self.messages.put_nowait(text)
        self.times.append(now)

    async def next(self) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            return await self.messages.get()


@asynccontextmanager
async def listening(received: Received) -> AsyncIterator[tuple[int, list[LeanSocket]]]:
    """A port where lean sockets listen, and those that have been opened."""
    opened: list[LeanSocket] = []

    def accept() -> LeanSocket:
        opened.append(LeanSocket(received.take, client=False))
        return opened[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], opened
    finally:
        for one in opened:
            one.abort()
        server.close()


async def dial(port: int, received: Received, path: str = "/") -> LeanSocket:
    socket = LeanSocket(received.take, client=True)
    await asyncio.get_running_loop().create_connection(lambda: socket, "127.0.0.1", port)
    socket.write(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    async with asyncio.timeout(LIMIT_S):
        await socket.open
    return socket


async def test_server_end_is_a_websocket() -> None:
    received = Received()
    async with listening(received) as (port, opened), connect(f"ws://127.0.0.1:{port}/x", compression=None) as client:
        for size in SIZES:
            text = "é" * (size // 2) + "x" * (size % 2)
            before = time.perf_counter()
            await client.send(text)
            assert await received.next() == text.encode()
            assert before < received.times[-1] < time.perf_counter()
            opened[0].send(text.encode())
            assert await client.recv() == text
        await (await client.ping())
        opened[0].close()
        await client.wait_closed()
        assert client.close_code == 1000


async def test_client_end_is_a_websocket() -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await (await connection.ping())
            await connection.send(message)

    received = Received()
    async with serve(echo, "127.0.0.1", 0, compression=None, max_size=None) as server:
        socket = await dial(server.sockets[0].getsockname()[1], received)
        for size in SIZES:
            socket.send(b"x" * size)
            assert await received.next() == b"x" * size
        socket.close()
        await socket.gone.wait()


async def test_messages_come_in_any_pieces() -> None:
    received = Received()
    async with listening(received) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        handshake = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        frame = b"\x81\x85\x01\x02\x03\x04" + bytes(a ^ b for a, b in zip(b"hello", b"\1\2\3\4\1", strict=True))
        for byte in handshake + frame * 2:
            writer.write(bytes([byte]))
            await writer.drain()
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # RFC 6455, 1.3
        assert [await received.next(), await received.next()] == [b"hello", b"hello"]
        writer.close()


async def test_refused_handshake_is_an_error() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        with pytest.raises(ConnectionError, match="no handshake"):
            await dial(server.sockets[0].getsockname()[1], Received())


async def test_broken_connection_takes_messages_in_silence() -> None:
    received = Received()
    async with listening(received) as (port, opened):
        socket = await dial(port, received)
        socket.abort()
        await opened[0].gone.wait()
        opened[0].send(b"nobody hears")
        opened[0].close()
        assert received.messages.empty()
