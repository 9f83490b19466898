"""Ports, servers and latencies of the network in memory."""

from __future__ import annotations

import asyncio
import contextvars
import socket

import pytest

from tests.sim.memory_link import Recorder, link, settle
from tests.sim.virtual_time import running_loop, virtual

# ---- addresses, listeners -----------------------------------------------------------------------------------------


@virtual
async def test_both_ends_know_their_addresses() -> None:
    pair = await link()
    client, server = pair.client.transport, pair.server.transport
    assert client.get_extra_info("peername") == ("127.0.0.1", pair.port) == server.get_extra_info("sockname")
    assert client.get_extra_info("sockname") == server.get_extra_info("peername")
    assert client.get_extra_info("socket").getpeername() == ("127.0.0.1", pair.port)
    assert (client.get_extra_info("sslcontext"), client.get_extra_info("cipher", "none")) == (None, "none")
    assert repr(server).startswith(f"<MemoryTransport open {pair.port}→")


@virtual
async def test_nobody_listening_refuses_the_connection() -> None:
    loop = running_loop()
    with pytest.raises(ConnectionRefusedError, match="port 9"):
        await loop.create_connection(Recorder, "127.0.0.1", 9)
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
        await loop.sock_connect(sock, ("127.0.0.1", 9))
    server = await loop.create_server(Recorder, "127.0.0.1", 9, start_serving=False)
    with pytest.raises(ConnectionRefusedError):
        await loop.create_connection(Recorder, "localhost", 9)
    await server.start_serving()
    await loop.create_connection(Recorder, "localhost", 9)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        await loop.create_connection(Recorder, "localhost", 9)


@virtual
async def test_a_port_is_given_to_one_server_at_a_time() -> None:
    loop = running_loop()
    servers = [await loop.create_server(Recorder, host, 0) for host in ("127.0.0.1", "", None, ["localhost", "::"])]
    assert len({server.port for server in servers}) == 4
    with pytest.raises(OSError, match="already in use"):
        await loop.create_server(Recorder, "127.0.0.1", servers[0].port)
    servers[0].close()
    assert (servers[0].sockets, servers[0].is_serving()) == ((), False)
    again = await loop.create_server(Recorder, "127.0.0.1", servers[0].port)
    assert again.is_serving()


@virtual
async def test_a_server_is_closed_when_its_last_connection_is_lost() -> None:
    pair = await link()
    pair.listener.close()
    waiting = asyncio.create_task(pair.listener.wait_closed())
    await settle()
    assert not waiting.done()
    pair.client.transport.close()
    await waiting


@pytest.mark.parametrize(("way", "ending"), [("close_clients", "eof"), ("abort_clients", ConnectionResetError)])
@virtual
async def test_a_server_can_end_its_connections(way: str, ending: object) -> None:
    pair = await link()
    getattr(pair.listener, way)()
    await settle()
    assert pair.client.told[1] == ending


@virtual
async def test_serve_forever_ends_with_its_task() -> None:
    server = await running_loop().create_server(Recorder, "127.0.0.1", 0, start_serving=False)
    serving = asyncio.create_task(server.serve_forever())
    await settle()
    assert server.is_serving()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not server.is_serving()


@virtual
async def test_real_sockets_are_taken_over_and_closed() -> None:
    loop = running_loop()
    listening, calling, stranger = socket.socket(), socket.socket(), socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    async with await loop.create_server(Recorder, sock=listening):
        await loop.sock_connect(calling, ("127.0.0.1", port))
        transport, client = await loop.create_connection(Recorder, sock=calling)
        with pytest.raises(OSError, match="not connected"):
            await loop.create_connection(Recorder, sock=stranger)
        assert transport.get_extra_info("peername") == ("127.0.0.1", port)
        transport.close()
    assert [sock.fileno() for sock in (listening, calling, stranger)] == [-1, -1, -1]
    assert client.told == ["made", "lost"]


@virtual
async def test_context_variables_stay_on_their_side() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody")
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(variable.get())
        writer.write(await reader.readline())
        writer.close()

    variable.set("server")
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        variable.set("client")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        assert await reader.read() == b"hello\n"
        writer.close()
        await writer.wait_closed()
    assert seen == ["server"]


# ---- latency ------------------------------------------------------------------------------------------------------


@virtual
async def test_latency_delays_each_direction() -> None:
    loop, pair = running_loop(), await link()
    loop.set_latency(pair.port, to_server_s=0.030, to_client_s=0.120)
    pair.client.transport.write(b"a")
    pair.server.transport.write(b"b")
    await asyncio.sleep(0.010)
    pair.client.transport.write(b"c")
    await asyncio.sleep(1)
    assert pair.server.times == [0.030, 0.040]
    assert pair.client.times == [0.120]


@virtual
async def test_latency_never_changes_the_order() -> None:
    loop, pair = running_loop(), await link()
    for number, delay_s in enumerate([0.5, 0.1, 0.3, 0.0, 0.9]):
        loop.set_latency(pair.port, to_server_s=delay_s)
        pair.client.transport.write(bytes([number]))
        await asyncio.sleep(0.05)
    pair.client.transport.close()
    await asyncio.sleep(2)
    assert pair.server.told == ["made", bytes(range(5)), "eof", "lost"]
    assert pair.server.times == [0.5, 1.1]


@virtual
async def test_a_handshake_takes_one_round_trip() -> None:
    loop, pair = running_loop(), await link()
    loop.set_latency(pair.port, to_server_s=0.25, to_client_s=0.5)
    loop.set_latency(9, to_server_s=1.0, to_client_s=1.0)
    await loop.create_connection(Recorder, "127.0.0.1", pair.port)
    assert loop.time() == 0.75
    with pytest.raises(ConnectionRefusedError):
        await loop.create_connection(Recorder, "127.0.0.1", 9)
    assert loop.time() == 2.75
