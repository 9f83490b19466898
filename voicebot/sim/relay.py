"""Two connections joined into one: what comes in at one end goes out at the other, and what breaks, breaks.

Protocols of any event loop, on real sockets and on the twin's own network alike; nothing here waits.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER on, for no time at all: closing sends RST


class End(asyncio.Protocol):
    """One end of a relay: what it reads goes to the other end.

    Args:
        relay: what becomes of the bytes on their way.
        up: whether the bytes that this end reads travel to the server.
    """

    def __init__(self, relay: Relay, *, up: bool) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self._relay, self._up = relay, up
        self._held = False  # nothing that this end reads gets on
        self._full = False  # the other end cannot write
        self._kept: list[Callable[[], None]] = []  # what it had read by then
        self._unsent: list[bytes] = []  # from before it was connected; an empty one is the end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods alone
        for data in self._unsent:
            self.write(data) if data else self.write_eof()
        self._unsent.clear()
        asyncio.get_running_loop().call_soon(self._obey)  # uvloop begins to read after this, whatever it is told here

    def data_received(self, data: bytes) -> None:
        self._hand_on(lambda: self._relay.carry(data, up=self._up))

    def eof_received(self) -> bool:
        self._hand_on(lambda: self._relay.finish(up=self._up))
        return True  # the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._relay.ended()
        self._hand_on(lambda: self._relay.break_off(self, exc))

    def pause_writing(self) -> None:
        self._relay.other(self).fill(True)

    def resume_writing(self) -> None:
        self._relay.other(self).fill(False)

    def hold(self, held: bool) -> None:
        """Let nothing on that this end reads, not even that it is gone; or let it all on, in order."""
        self._held = held
        while self._kept and not self._held:
            self._kept.pop(0)()
        self._obey()

    def fill(self, full: bool) -> None:
        """Read nothing while the other end cannot get rid of what it has."""
        self._full = full
        self._obey()

    def write(self, data: bytes) -> None:
        if self.transport is None:
            self._unsent.append(data)
        elif not self.lost:
            self.transport.write(data)

    def write_eof(self) -> None:
        if self.transport is None:
            self._unsent.append(b"")
        elif not self.transport.is_closing():
            self.transport.write_eof()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Break the connection so that the other side sees a reset."""
        if self.transport is None or self.lost:
            return
        connection = self.transport.get_extra_info("socket")
        if connection is not None and not self.transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.transport.abort()

    def _hand_on(self, act: Callable[[], None]) -> None:
        if self._held:
            self._kept.append(act)
        else:
            act()

    def _obey(self) -> None:
        if self.transport is None or self.lost or self.transport.is_closing():
            return
        if self._held or self._full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


class Relay:
    """A client's connection and the one that was made to a server for it."""

    def __init__(self) -> None:
        self.client = End(self, up=True)
        self.server = End(self, up=False)
        self._finished: set[bool] = set()  # directions in which nothing more comes

    @property
    def over(self) -> bool:
        """Whether nothing is open any more."""
        return self.client.lost and (self.server.lost or self.server.transport is None)

    def other(self, end: End) -> End:
        return self.server if end is self.client else self.client

    def carry(self, data: bytes, *, up: bool) -> None:
        """Bytes have come; hand them on."""
        (self.server if up else self.client).write(data)

    def finish(self, *, up: bool) -> None:
        """One side writes no more."""
        (self.server if up else self.client).write_eof()
        self._finished.add(up)
        if len(self._finished) == 2:
            self.client.close()
            self.server.close()

    def ended(self) -> None:
        """One side's connection is gone; the other side may not know yet."""

    def break_off(self, end: End, exc: Exception | None) -> None:
        """One side is gone, so the other one goes too: by a reset after a reset, else in order."""
        other = self.other(end)
        if isinstance(exc, ConnectionResetError):
            other.reset()
        else:
            other.close()

    def reset(self) -> None:
        """Break both connections."""
        self.client.reset()
        self.server.reset()
