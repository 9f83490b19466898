"""A connection in memory whose two protocols write down what they are told."""

from __future__ import annotations

import asyncio

from tests.sim.virtual_time import running_loop
from voicebot.sim.memory_net import MemoryServer
from voicebot.sim.memory_transport import MemoryTransport


class Recorder(asyncio.Protocol):
    """Writes down what its transport tells it, with neighbouring data joined."""

    transport: MemoryTransport

    def __init__(self, *, keep_open: bool = False) -> None:
        self.keep_open = keep_open
        self.told: list[object] = []
        self.sizes: list[int] = []
        self.times: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, MemoryTransport)
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))
        self.times.append(asyncio.get_running_loop().time())
        match self.told:
            case [*_, bytes(before)]:
                self.told[-1] = before + data
            case _:
                self.told.append(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost" if exc is None else type(exc))

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


class Link:
    """A connection with a `Recorder` at each end."""

    def __init__(self, client: Recorder, server: Recorder, listener: MemoryServer) -> None:
        self.client, self.server, self.listener = client, server, listener
        self.port = listener.port


async def link(*, client_keeps_open: bool = False, server_keeps_open: bool = False) -> Link:
    loop, served = running_loop(), []

    def make_server() -> Recorder:
        served.append(Recorder(keep_open=server_keeps_open))
        return served[-1]

    listener = await loop.create_server(make_server, "127.0.0.1", 0)
    _, client = await loop.create_connection(
        lambda: Recorder(keep_open=client_keeps_open), "127.0.0.1", listener.sockets[0].getsockname()[1]
    )
    return Link(client, served[0], listener)


async def settle() -> None:
    """Let all happen that needs no time, and a little that does."""
    await asyncio.sleep(0.001)
