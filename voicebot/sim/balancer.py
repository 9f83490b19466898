"""Several instances behind one address: a reverse proxy on loopback that behaves as nginx before them would.

Requests go to the backends in turn; one that takes no connection is passed over (`proxy_next_upstream error` for what
was not sent yet). A stream's address names its instance, `/twilio/media/NAME`: it goes there if that one is up, else to
any. When a backend dies, what it was working on breaks towards the client: a request is answered 502, and a stream's
connection is closed without a close frame.

Each request has a connection of its own (`Connection: close`), so that bytes need not be understood beyond its head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from .relay import End, Relay

NAMED_STREAMS = "/twilio/media/"
LONGEST_HEAD = 32 * 1024  # bytes
CONNECT_LIMIT_S = 2.0
_BACKLOG = 1024
_END = b"\r\n\r\n"


class Backend(Protocol):
    """An instance: what it is called, and where it listens now."""

    @property
    def name(self) -> str: ...

    @property
    def port(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a request: its first line and its headers, as bytes."""

    method: str
    path: str
    lines: tuple[bytes, ...] = field(repr=False)

    @property
    def upgrades(self) -> bool:
        """Whether it asks for a WebSocket."""
        return any(line.lower().startswith(b"upgrade:") for line in self.lines[1:])

    def forwarded(self) -> bytes:
        """As it is sent on: a connection for this request alone, unless it becomes a WebSocket's."""
        if self.upgrades:
            return b"\r\n".join(self.lines) + _END
        kept = [line for line in self.lines if not line.lower().startswith((b"connection:", b"keep-alive:"))]
        return b"\r\n".join([*kept, b"Connection: close"]) + _END


def read_head(received: bytes) -> tuple[Head, bytes] | None:
    """The head of a request and what came behind it; None while it is not whole.

    Raises:
        ValueError: it is none, or too long.
    """
    head, found, rest = received.partition(_END)
    if not found:
        if len(received) > LONGEST_HEAD:
            raise ValueError("the head is too long")
        return None
    lines = tuple(head.split(b"\r\n"))
    method, path, _version = lines[0].decode("latin-1").split(" ")  # anything else is no request
    return Head(method, path, lines), rest


def in_turn(
    backends: Sequence[Backend], path: str, turn: int, preferred: str = "", named: Sequence[Backend] = ()
) -> list[Backend]:
    """The backends in the order in which they are tried: the one that a stream names, the preferred one, the others."""
    name = path.partition("?")[0].removeprefix(NAMED_STREAMS) if path.startswith(NAMED_STREAMS) else ""
    order = [backends[(turn + number) % len(backends)] for number in range(len(backends))]
    order.sort(key=lambda backend: (backend.name != name, backend.name != preferred))
    return [*(backend for backend in named if backend.name == name), *order]


@dataclass(slots=True)
class Carried:
    """A request that was handed to a backend; `open` until its connection ends."""

    method: str
    path: str
    backend: str
    open: bool = True


class Balancer:
    """Stands before the backends while the `async with` lasts.

    Args:
        backends: in the order of their turns; asked for their ports anew at each request.
        port: where to listen; 0 takes a free port.
        named: backends for the streams that name them, and for nothing else: the workers of an instance.

    Attributes:
        preferred: the name of the backend that is tried first whatever the turn, while it is up.
        carried: every request that a backend took, in order.
    """

    def __init__(self, backends: Sequence[Backend], *, port: int = 0, named: Sequence[Backend] = ()) -> None:
        self.port = port
        self.preferred = ""
        self.carried: list[Carried] = []
        self._backends, self._named = backends, named
        self._turn = 0
        self._relays: set[_Balanced] = set()

    async def __aenter__(self) -> Balancer:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", self.port, backlog=_BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for relay in list(self._relays):
            relay.reset()
        await self._tasks.__aexit__(None, None, None)  # the body's error is not the group's, and stays as it is

    @property
    def address(self) -> str:
        """`host:port`, where clients connect: what a phone reaches the public host `via`."""
        return f"127.0.0.1:{self.port}"

    def streams(self) -> list[Carried]:
        """Media Streams that are open, in the order in which they came."""
        return [one for one in self.carried if one.open and one.path.startswith(NAMED_STREAMS.rstrip("/"))]

    def _accept(self) -> End:
        relay = _Balanced(self._begin, self._relays.discard)
        self._relays.add(relay)
        return relay.client

    def _begin(self, relay: _Balanced, head: Head) -> None:
        self._tasks.create_task(self._find_backend(relay, head), name=f"{head.method} {head.path}")

    async def _find_backend(self, relay: _Balanced, head: Head) -> None:
        turn, self._turn = self._turn, self._turn + 1
        for backend in in_turn(self._backends, head.path, turn, self.preferred, self._named):
            try:
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    await asyncio.get_running_loop().create_connection(relay.new_server, "127.0.0.1", backend.port)
            except OSError:
                continue
            self.carried.append(carried := Carried(head.method, head.path, backend.name))
            relay.serve(head, carried)
            return
        relay.refuse(502)


def _plain(status: int) -> bytes:
    reason = {400: "Bad Request", 502: "Bad Gateway"}[status]
    return f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


class _Balanced(Relay):
    """One request: its head is read here, the rest is relayed."""

    def __init__(self, begin: Callable[[_Balanced, Head], None], forget: Callable[[_Balanced], None]) -> None:
        super().__init__()
        self._begin, self._forget = begin, forget
        self._received = b""  # and not handed on yet
        self._head_read = False
        self._carried: Carried | None = None
        self._answered = False

    def new_server(self) -> End:
        """Another try to connect."""
        self.server = End(self, up=False)
        return self.server

    def serve(self, head: Head, carried: Carried) -> None:
        """A backend took it."""
        self._carried = carried
        self.server.write(head.forwarded() + self._received)
        self._received = b""
        if self.client.lost:
            self.server.close()

    def refuse(self, status: int) -> None:
        """Answer in the backend's place, and close."""
        self._answered = True
        self.client.write(_plain(status))
        self.client.close()

    def carry(self, data: bytes, *, up: bool) -> None:
        if not up:
            self._answered = True
            super().carry(data, up=up)
        elif self._carried is not None:
            super().carry(data, up=up)
        else:
            self._received += data
            if not self._head_read:
                self._read()

    def _read(self) -> None:
        try:
            found = read_head(self._received)
        except ValueError:
            self.refuse(400)
            return
        if found is not None:
            self._head_read = True
            head, self._received = found
            self._begin(self, head)

    def finish(self, *, up: bool) -> None:
        """A backend that writes no more has died or is done; a client that does, has left."""
        if up:
            self.server.close()
            self.client.close()
        else:
            self._end_client()

    def break_off(self, end: End, exc: Exception | None) -> None:
        if end is self.client:
            self.server.close()
        else:
            self._end_client()

    def _end_client(self) -> None:
        """As nginx does: 502 if nothing of an answer came, else the connection just ends."""
        if self._answered:
            self.client.close()
            self.server.close()
        else:
            self.refuse(502)

    def ended(self) -> None:
        if self._carried is not None and (self.client.lost or self.server.lost):
            self._carried.open = False
        if self.over:
            self._forget(self)
