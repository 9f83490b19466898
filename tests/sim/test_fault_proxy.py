"""The bad network: every fault in virtual time, and each once on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from voicebot.sim.clock import run_virtual
from voicebot.sim.fault_proxy import FaultProxy

LIMIT_S = 20.0
STEP_S = 0.02
QUIET_S = 0.3  # after which nothing more is expected


@dataclass
class Site:
    """An echo server behind a proxy."""

    proxy: FaultProxy
    served: int = 0  # connections that the server has now
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # it saw one end
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self.clients.append(writer)
        return reader, writer

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.served += 1
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        await closed(writer)
        self.served -= 1
        self.ended.set()


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    made: list[Site] = []
    server = await asyncio.start_server(lambda reader, writer: made[0].echo(reader, writer), "127.0.0.1", 0)
    async with FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
        made.append(Site(proxy))
        yield made[0]
    server.close()
    for writer in made[0].clients:
        await closed(writer)
    await until(lambda: not made[0].served)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(int(LIMIT_S / STEP_S)):
        if true():
            return
        await asyncio.sleep(STEP_S)
    raise TimeoutError


async def asks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes = b"hello") -> bytes:
    writer.write(text)
    return await reader.readexactly(len(text))


async def silent(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(QUIET_S):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def passes(made: Site) -> None:
    reader, writer = await made.connect()
    payload = bytes(range(256)) * 8000
    assert await asks(reader, writer, payload) == payload
    assert (made.proxy.accepted, made.proxy.connections) == (1, 1)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await made.ended.wait()


async def refuses(made: Site) -> None:
    reader, writer = await made.connect()
    assert await asks(reader, writer) == b"hello"
    made.proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await made.connect()
    assert await asks(reader, writer) == b"hello"
    await made.proxy.heal()
    await asks(*await made.connect())


async def resets(made: Site) -> None:
    reader, writer = await made.connect()
    await asks(reader, writer)
    made.proxy.reset()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    await made.ended.wait()
    await asks(*await made.connect())
    made.proxy.kill()
    with pytest.raises(ConnectionRefusedError):
        await made.connect()
    await until(lambda: not made.proxy.connections)


async def stalls(made: Site) -> None:
    for direction in ("up", "down", "both"):
        reader, writer = await made.connect()
        await asks(reader, writer)
        made.proxy.stall(direction)  # type: ignore[arg-type]
        writer.write(b"late")
        assert await silent(reader)
        new_reader, new_writer = await made.connect()
        new_writer.write(b"late")
        assert await silent(new_reader)
        await made.proxy.heal()
        assert await reader.readexactly(4) == await new_reader.readexactly(4) == b"late"


async def hides_ends(made: Site) -> None:
    """A half-open connection: the client is gone, and the server does not hear of it."""
    reader, writer = await made.connect()
    await asks(reader, writer)
    made.proxy.stall("up")
    writer.transport.abort()
    await asyncio.sleep(QUIET_S)
    assert not made.ended.is_set()
    await made.proxy.heal()
    await made.ended.wait()


async def delays(made: Site) -> None:
    reader, writer = await made.connect()
    made.proxy.delay_s = 0.2
    began = asyncio.get_running_loop().time()
    writer.write(b"one")
    await asyncio.sleep(0.05)
    made.proxy.delay_s = 0.1
    writer.write(b"two")
    assert await reader.readexactly(6) == b"onetwo"
    assert asyncio.get_running_loop().time() - began >= 0.299


async def cuts(made: Site) -> None:
    made.proxy.cut_after = 20
    reader, writer = await made.connect()
    await asks(reader, writer)
    writer.write(b"hello hello")
    with pytest.raises(ConnectionResetError):
        while await reader.read(100):
            pass
    await made.ended.wait()


async def has_no_server(made: Site) -> None:
    made.proxy.target_port = 1
    reader, _ = await made.connect()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)


FAULTS = [passes, refuses, resets, stalls, hides_ends, delays, cuts, has_no_server]


async def play(fault: Callable[[Site], Awaitable[None]]) -> None:
    async with asyncio.timeout(LIMIT_S), site() as made:
        await fault(made)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_virtual_time(fault: Callable[[Site], Awaitable[None]]) -> None:
    run_virtual(play(fault))


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_on_real_sockets(fault: Callable[[Site], Awaitable[None]]) -> None:
    await play(fault)


def test_fault_on_the_faster_loop() -> None:
    import uvloop

    for fault in FAULTS:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(play(fault))
