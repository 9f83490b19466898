"""The WebSocket to the model: the client's side of `WebSocket`, with its handshake, masks and pings."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Mapping
from functools import cache

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.protocol import State
from websockets.uri import parse_uri

from voicebot.websocket import WebSocket, masked_text_frame

PING_S = 20.0

# At DEBUG websockets writes the handshake with its key, and every frame.
_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)

_MASKS_AT_ONCE = 1024


async def open_socket(address: str, headers: Mapping[str, str], *, max_message_bytes: int) -> ModelSocket:
    """Connect and shake hands; whoever calls bounds the time. No redirect is followed: it would take the key along.

    Raises:
        WebSocketException: the address is none, or the server refused the handshake or broke it off.
        OSError: the server cannot be reached, or its certificate is not valid (`ssl.SSLCertVerificationError`).
    """
    uri = parse_uri(address)
    loop = asyncio.get_running_loop()
    protocol = ClientProtocol(uri, max_size=max_message_bytes, logger=_log)
    _, socket = await loop.create_connection(
        lambda: ModelSocket(protocol, headers), uri.host, uri.port, ssl=_trust() if uri.secure else None
    )
    try:
        await socket.opened
    except (asyncio.CancelledError, WebSocketException, OSError):  # nobody else knows of the connection
        socket.abort()
        raise
    return socket


@cache
def _trust() -> ssl.SSLContext:
    """The system's certificates: read once, since that takes tens of milliseconds."""
    return ssl.create_default_context()


class ModelSocket(WebSocket):
    """An open connection to the model. One task reads; anybody writes."""

    def __init__(self, protocol: ClientProtocol, headers: Mapping[str, str]) -> None:
        super().__init__(protocol)
        self._client, self._headers = protocol, headers
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._next_ping: asyncio.TimerHandle | None = None
        self._heard = True  # anything at all, since the last ping
        # Four fresh random bytes a frame (RFC 6455, 5.3), of many that are asked for together.
        self._masks, self._next_mask = b"", 0

    def write(self, text: str) -> None:
        """Send one message. It is dropped if the connection is closing: `receive` tells that it is over."""
        if self.is_open and self._transport is not None:
            at = self._next_mask
            if at == len(self._masks):
                self._masks, at = os.urandom(4 * _MASKS_AT_ONCE), 0
            self._next_mask = at + 4
            self._transport.write(masked_text_frame(text.encode(), self._masks[at : at + 4]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        request = self._client.connect()
        request.headers["User-Agent"] = "voicebot"
        request.headers.update(self._headers)
        self._client.send_request(request)
        self._pass_on()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._next_ping is not None:
            self._next_ping.cancel()
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("the connection closed in the handshake"))
            self.opened.exception()  # whoever opened it may have given up

    def handshaken(self) -> None:
        """The server has answered our handshake, or refused it."""
        if self.opened.done():
            return
        refused = self._protocol.handshake_exc
        if refused is not None:
            self.opened.set_exception(refused)
        else:
            self.opened.set_result(None)
            self._next_ping = self._loop.call_later(PING_S, self._ping)

    def _ping(self) -> None:
        """Nothing at all was heard between two pings: the other side is gone without a word."""
        if not self._heard:
            self.abort()
            return
        self._heard = False
        self._next_ping = self._loop.call_later(PING_S, self._ping)
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._pass_on()
