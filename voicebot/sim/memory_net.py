"""Loopback TCP without sockets: the ports and servers of one event loop, in its own memory.

Connections are those of `memory_transport`; a port may have a latency.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import ipaddress
import itertools
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakKeyDictionary

from .memory_transport import Address, MemorySocket, MemoryTransport, Pipe

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Address]
ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)
_LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class Latency:
    """One-way delays of the connections to one port, in seconds."""

    to_server_s: float = 0.0
    to_client_s: float = 0.0


class MemoryServer(asyncio.AbstractServer):
    """A listener of a `MemoryNetwork`, with the interface of `asyncio.Server` (as of Python 3.13 on every version)."""

    def __init__(
        self,
        network: MemoryNetwork,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        port: int,
        bound: socket.socket | None,
    ) -> None:
        self._network, self._protocol_factory, self.port, self._bound = network, protocol_factory, port, bound
        # Served connections run in the context that opened the server, as callbacks of its socket would.
        self._context = contextvars.copy_context()
        self._connections: dict[MemoryTransport, None] = {}  # a set in order: runs must repeat exactly
        self._serving = False
        self._closed = False
        self._ended = network.loop.create_future()

    @property
    def sockets(self) -> tuple[MemorySocket, ...]:
        return () if self._closed else (MemorySocket((_LOOPBACK, self.port)),)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop

    def is_serving(self) -> bool:
        return self._serving

    async def start_serving(self) -> None:
        if self._closed:
            raise RuntimeError("the server is closed")
        self._serving = True

    async def serve_forever(self) -> None:
        await self.start_serving()
        try:
            await asyncio.shield(self._ended)
        finally:
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        if self._closed:
            return
        self._serving, self._closed = False, True
        self._network.forget(self)
        if self._bound is not None:
            self._bound.close()
        self._end_when_idle()

    def close_clients(self) -> None:
        for transport in list(self._connections):
            transport.close()

    def abort_clients(self) -> None:
        for transport in list(self._connections):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection is lost."""
        await asyncio.shield(self._ended)

    def accept(self, incoming: Pipe, outgoing: Pipe, end: MemorySocket) -> None:
        """Take a client's connection: its protocol is made by the next callback."""
        context = self._context.copy()
        transport = MemoryTransport(self._network.loop, incoming, outgoing, end, context, self._forget)
        self._connections[transport] = None
        self._network.loop.call_soon(transport.start, self._protocol_factory, context=context)

    def _forget(self, transport: MemoryTransport) -> None:
        self._connections.pop(transport, None)
        self._end_when_idle()

    def _end_when_idle(self) -> None:
        if self._closed and not self._connections and not self._ended.done():
            self._ended.set_result(None)


class MemoryNetwork:
    """The ports of one loop's loopback interface. 127.0.0.0/8, ::1 and localhost are one host; there is no other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._servers: dict[int, MemoryServer] = {}
        self._latencies: dict[int, Latency] = {}
        self._ephemeral_ports = itertools.cycle(range(49152, 65536))  # RFC 6335, 6
        self._connected: WeakKeyDictionary[socket.socket, int] = WeakKeyDictionary()

    def latency(self, port: int) -> Latency:
        """The delays of a port, to be read or set at any time; they hold for what is written from then on."""
        return self._latencies.setdefault(port, Latency())

    def listen(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Sequence[str] | None,
        port: int | None,
        bound: socket.socket | None = None,
    ) -> MemoryServer:
        """Open a port, which refuses connections until `start_serving()`; 0 or None picks a free one.

        Args:
            bound: a bound socket to take the port from; it is closed with the server.

        Raises:
            OSError: the port is taken, or the host is not this one.
        """
        if bound is not None:
            port = int(bound.getsockname()[1])
        for name in [host] if isinstance(host, str) else host or ():
            if not _is_here(name or _LOOPBACK):
                raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {name}: the twin's network is loopback alone")
        port = port or next(free for free in self._ephemeral_ports if free not in self._servers)
        if port in self._servers:
            raise OSError(errno.EADDRINUSE, f"port {port} is already in use")
        self._servers[port] = server = MemoryServer(self, protocol_factory, port, bound)
        return server

    def forget(self, server: MemoryServer) -> None:
        del self._servers[server.port]

    async def sock_connect(self, sock: socket.socket, address: object) -> None:
        """Connect a socket in name only; `take()` then makes its connection."""
        match address:
            case (str(host), int(port), *_):
                await self._reach(host, port)
                self._connected[sock] = port
            case _:
                raise OSError(errno.ENETUNREACH, f"the twin has no network: cannot connect to {address!r}")

    async def take(
        self, protocol_factory: Callable[[], ProtocolT], sock: socket.socket
    ) -> tuple[MemoryTransport, ProtocolT]:
        """Make the connection that `sock_connect()` promised; the socket itself is closed."""
        port = self._connected.pop(sock, None)
        sock.close()
        if port is None:
            raise OSError(errno.ENOTCONN, "the socket is not connected to anything in the twin's network")
        return await self._join(protocol_factory, port)

    async def connect(
        self, protocol_factory: Callable[[], ProtocolT], host: str, port: int
    ) -> tuple[MemoryTransport, ProtocolT]:
        """Connect to a port of this host.

        Raises:
            OSError: nobody listens there, or the host is another one (`socket.gaierror` when it is a name).
        """
        if not _is_numeric(host):
            resolve(host, port)
        await self._reach(host, port)
        return await self._join(protocol_factory, port)

    async def _reach(self, host: str, port: int) -> None:
        """Wait for a handshake's round trip; refuse what no kernel could connect."""
        if not _is_here(host):
            raise OSError(errno.ENETUNREACH, f"the twin has no network: cannot connect to {host} port {port}")
        latency = self.latency(port)
        if (round_trip_s := latency.to_server_s + latency.to_client_s) > 0:
            await asyncio.sleep(round_trip_s)
        self._listening(port)

    def _listening(self, port: int) -> MemoryServer:
        server = self._servers.get(port)
        if server is None or not server.is_serving():
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens on port {port} of the twin's network")
        return server

    async def _join(self, protocol_factory: Callable[[], ProtocolT], port: int) -> tuple[MemoryTransport, ProtocolT]:
        server, latency = self._listening(port), self.latency(port)
        protocol = protocol_factory()
        here, there = (_LOOPBACK, next(self._ephemeral_ports)), (_LOOPBACK, port)
        to_server = Pipe(self.loop, lambda: latency.to_server_s)
        to_client = Pipe(self.loop, lambda: latency.to_client_s)
        context = contextvars.copy_context()
        transport = MemoryTransport(self.loop, to_client, to_server, MemorySocket(here, there), context)
        server.accept(to_server, to_client, MemorySocket(there, here))
        self.loop.call_soon(transport.start, lambda: protocol, context=context)
        try:
            await asyncio.sleep(0)  # both ends have their connection_made() behind them
        except asyncio.CancelledError:
            transport.abort()
            raise
        return transport, protocol


def resolve(host: bytes | str | None, port: bytes | str | int | None) -> list[AddressInfo]:
    """Look a name up as `getaddrinfo` does, where the only host is this one.

    Raises:
        socket.gaierror: any other name, or an address that is not of this host.
    """
    name = host.decode() if isinstance(host, bytes) else host or _LOOPBACK
    if not _is_here(name):
        raise socket.gaierror(socket.EAI_NONAME, f"the twin has no network: cannot look up {name}")
    address = name if _is_numeric(name) and ":" not in name else _LOOPBACK
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port or 0)))]


def _is_here(host: str) -> bool:
    if not _is_numeric(host):
        return host.rstrip(".").lower() == "localhost"
    address = ipaddress.ip_address(host)
    return address.is_loopback or address.is_unspecified


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
