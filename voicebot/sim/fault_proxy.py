"""A bad network before any TCP server on loopback: Redis, the model, the CRM, an instance.

`async with FaultProxy(port) as proxy:` listens at `proxy.port`, and passes everything on until it is told otherwise:

    refuse   new connections are refused, as by a host whose process is gone; those that are open stay
    reset    all open connections are reset at once; new ones are taken
    stall    nothing gets through in one direction or both, ends included: half-open connections. What was sent
             meanwhile comes when it is over, as after a short outage
    delay    everything comes so much later
    cut      each connection is reset after so many bytes

It reads no clock but the loop's, so that it works in virtual time too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from .relay import End, Relay

Direction = Literal["up", "down", "both"]  # up is towards the server

CONNECT_LIMIT_S = 5.0
_BACKLOG = 1024


class FaultProxy:
    """Stands before a server while the `async with` lasts.

    Args:
        target_port: where the server listens. May be changed, for a server that comes back elsewhere.
        target_host: its address.
        port: where to listen; 0 takes a free port.

    Attributes:
        accepted: how many connections were taken.
        delay_s: one way, in either direction, for what comes from now on.
        cut_after: bytes, both directions together, after which a connection is reset; None for never.
    """

    def __init__(self, target_port: int, *, target_host: str = "127.0.0.1", port: int = 0) -> None:
        self.target_port, self.port = target_port, port
        self.accepted = 0
        self.delay_s = 0.0
        self.cut_after: int | None = None
        self._target_host = target_host
        self._relays: set[_Faulty] = set()
        self._stalled: frozenset[bool] = frozenset()  # directions; True is up
        self._server: asyncio.AbstractServer | None = None

    async def __aenter__(self) -> FaultProxy:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self.reset()
        await self._tasks.__aexit__(None, None, None)  # the body's error is not the group's, and stays as it is

    @property
    def address(self) -> str:
        """`host:port`, where clients connect."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._relays)

    async def heal(self) -> None:
        """Undo every fault; connections that are gone stay so."""
        self.delay_s, self.cut_after = 0.0, None
        self._stall(frozenset())
        await self._listen()

    def refuse(self) -> None:
        """Take no new connections until `heal`."""
        self._close()

    def reset(self) -> None:
        """Reset all that are open."""
        for relay in list(self._relays):
            relay.reset()

    def kill(self) -> None:
        """`refuse` and `reset`: as if the server's process had died."""
        self.refuse()
        self.reset()

    def stall(self, direction: Direction = "both") -> None:
        """Let nothing through that way until `heal`, on connections that are open and on new ones."""
        self._stall(frozenset({"up": {True}, "down": {False}, "both": {True, False}}[direction]))

    def _stall(self, directions: frozenset[bool]) -> None:
        self._stalled = directions
        for relay in self._relays:
            self._hold(relay)

    def _hold(self, relay: Relay) -> None:
        relay.client.hold(True in self._stalled)
        relay.server.hold(False in self._stalled)

    async def _listen(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._accept, "127.0.0.1", self.port, backlog=_BACKLOG)
            self.port = self._server.sockets[0].getsockname()[1]

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _accept(self) -> End:
        self.accepted += 1
        relay = _Faulty(self, self._relays.discard)
        self._relays.add(relay)
        self._hold(relay)
        self._tasks.create_task(self._connect(relay), name="to the server")
        return relay.client

    async def _connect(self, relay: _Faulty) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await loop.create_connection(lambda: relay.server, self._target_host, self.target_port)
        except OSError:
            relay.reset()  # the client is connected already: a reset is the nearest thing to a refusal
        else:
            if relay.client.lost:
                relay.reset()


class _Faulty(Relay):
    """One connection through the proxy."""

    def __init__(self, proxy: FaultProxy, forget: Callable[[_Faulty], None]) -> None:
        super().__init__()
        self._proxy, self._forget = proxy, forget
        self._carried = 0
        self._due = {True: 0.0, False: 0.0}  # when the last bytes of a direction arrive

    def carry(self, data: bytes, *, up: bool) -> None:
        self._carried += len(data)
        if self._proxy.cut_after is not None and self._carried > self._proxy.cut_after:
            self.reset()
            return
        self._later(up, lambda: super(_Faulty, self).carry(data, up=up))

    def finish(self, *, up: bool) -> None:
        self._later(up, lambda: super(_Faulty, self).finish(up=up))

    def break_off(self, end: End, exc: Exception | None) -> None:
        self._later(end is self.client, lambda: super(_Faulty, self).break_off(end, exc))

    def ended(self) -> None:
        if self.over:
            self._forget(self)

    def _later(self, up: bool, act: Callable[[], None]) -> None:
        """Do it once it has arrived; nothing overtakes what was sent before it."""
        loop = asyncio.get_running_loop()
        due = max(loop.time() + self._proxy.delay_s, self._due[up])
        self._due[up] = due
        if due <= loop.time():
            act()
        else:
            loop.call_at(due, act)
