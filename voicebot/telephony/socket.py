"""The WebSocket of a phone line: a request of aiohttp's whose connection is taken over.

aiohttp accepts the connection, bounds it and reads the request; then the handshake is answered here, the transport gets
another protocol (`WebSocket`), and aiohttp hears of the connection again when it is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.protocol import Protocol, Side
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from voicebot.errors import LegLostError
from voicebot.websocket import WebSocket

# At DEBUG websockets writes the handshake with its signature, and every frame.
_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)

NOT_TEXT = b""
"""Stands for a binary message, which Media Streams do not have. As a text it would be as wrong."""


class MediaSocket(WebSocket):
    """An open Media Streams socket. One task reads up to `start`; then a leg is given what comes."""

    def __init__(self, http: asyncio.Protocol, *, max_message_bytes: int) -> None:
        """`http`: had the connection until now, and is told of its end."""
        super().__init__(Protocol(Side.SERVER, max_size=max_message_bytes, logger=_log))
        self._http = http

    async def keep_up(self, timeout_s: float, name: str) -> None:
        """`drain`, bounded; the connection is given up if it takes longer.

        Raises:
            LegLostError: the socket, which is called `name`, took no bytes for `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self.drain()
        except TimeoutError as exc:
            self.abort()
            raise LegLostError(f"{name} took no bytes for {timeout_s:g} s") from exc

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._http.connection_lost(exc)

    def binary_message(self, message: bytes) -> bytes:
        return NOT_TEXT


class Upgraded(web.StreamResponse):
    """Tells aiohttp that a request is answered already, and that nothing comes after it on its connection."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send nothing."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""


_Socket = TypeVar("_Socket", bound=MediaSocket)


def upgrade(request: web.Request, *, max_message_bytes: int) -> MediaSocket:
    """`upgrade_to` a Media Streams socket."""
    return upgrade_to(MediaSocket, request, max_message_bytes=max_message_bytes)


def upgrade_to(kind: type[_Socket], request: web.Request, *, max_message_bytes: int, subprotocol: str = "") -> _Socket:
    """Answer a handshake, without extensions. The handler returns `Upgraded` once the socket is closed.

    Args:
        kind: of socket that it becomes.
        subprotocol: the one that is chosen if it is offered; else none is.

    Raises:
        web.HTTPBadRequest: the request asks for no WebSocket.
        ConnectionError: the connection is gone.
    """
    headers = Headers(request.headers.items())
    answer = ServerProtocol(select_subprotocol=_only(subprotocol), logger=_log).accept(
        Request(request.raw_path, headers)
    )
    if answer.status_code != 101:
        raise web.HTTPBadRequest(text="this address is for WebSockets", headers={"Upgrade": "websocket"})
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionError("the connection closed in the handshake")
    transport.write(answer.serialize())
    socket = kind(request.protocol, max_message_bytes=max_message_bytes)
    socket.connection_made(transport)
    transport.set_protocol(socket)
    return socket


def _only(subprotocol: str) -> Callable[[ServerProtocol, Sequence[Subprotocol]], Subprotocol | None]:
    """How a subprotocol is chosen among those offered."""

    def select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return Subprotocol(subprotocol) if subprotocol in offered else None

    return select
