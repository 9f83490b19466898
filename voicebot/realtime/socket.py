"""The WebSocket to the model (RFC 6455): websockets' sans-I/O protocol right under the transport.

The library's own connection takes a lock, a context manager and a frame object for every message written, and a task's
wake-up for every one read; fifty times a second and call, that was a quarter of what a call cost the server. Here a
message is written in one step, and what one read brought is taken in one step. The handshake, control frames, the
closing and the checks of what comes in are the library's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

PING_S = 20.0
CLOSE_S = 1.5  # for the other side to close after us, or with us
MAX_WAITING = 64  # messages that were read and not taken; then no more are read

# At DEBUG websockets writes the handshake with its key, and every frame.
_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)

_MASKS_AT_ONCE = 1024
_SHORT = struct.Struct("!BB4s")
_MEDIUM = struct.Struct("!BBH4s")
_LONG = struct.Struct("!BBQ4s")
_WHOLE_TEXT = 0x80 | Opcode.TEXT  # FIN: messages are not cut into fragments
_MASKED = 0x80


def text_frame(payload: bytes, mask: bytes) -> bytes:
    """One whole text message as a client sends it (RFC 6455, 5.2); `mask` is 4 bytes that nobody can foresee."""
    size = len(payload)
    if size < 126:
        head = _SHORT.pack(_WHOLE_TEXT, _MASKED | size, mask)
    elif size < 2**16:
        head = _MEDIUM.pack(_WHOLE_TEXT, _MASKED | 126, size, mask)
    else:
        head = _LONG.pack(_WHOLE_TEXT, _MASKED | 127, size, mask)
    return head + apply_mask(payload, mask)


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


class ModelSocket(asyncio.Protocol):
    """An open connection. One task reads; anybody writes."""

    def __init__(self, protocol: ClientProtocol, headers: Mapping[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol, self._headers = protocol, headers
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.stalled_since: float | None = None
        """Since when the other side takes too little, by the loop's clock; None while it keeps up."""
        self.on_stall: Callable[[], None] = lambda: None
        self._messages: list[bytes] = []
        self._fragments: list[bytes] = []
        self._reader: asyncio.Future[None] | None = None  # of the task that waits for messages
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._next_ping: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None  # the end of our patience with it
        self._heard = True  # anything at all, since the last ping
        self._masks, self._next_mask = b"", 0

    # ---- for the leg

    async def receive(self) -> list[bytes]:
        """Wait for messages, and take all that are there. Cancelling it loses nothing.

        Raises:
            ConnectionClosed: the connection is over, and every message was taken.
        """
        while not self._messages:
            if self._gone.done():
                raise self._protocol.close_exc
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        messages, self._messages = self._messages, []
        if len(messages) > MAX_WAITING and self._transport is not None and not self._gone.done():
            self._transport.resume_reading()
        return messages

    def write(self, text: str) -> None:
        """Send one message. It is dropped if the connection is closing: `receive` tells that it is over."""
        if self._transport is not None and self._protocol.state is State.OPEN:
            self._transport.write(text_frame(text.encode(), self._mask()))

    async def close(self) -> None:
        """Close in order, or after `CLOSE_S` without."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._pass_on()
        await asyncio.shield(self._gone)

    def abort(self) -> None:
        """Give the connection up at once, with all that was not sent."""
        if self._transport is not None:
            self._transport.abort()

    # ---- for the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape alone
        request = self._protocol.connect()
        request.headers["User-Agent"] = "voicebot"
        request.headers.update(self._headers)
        self._protocol.send_request(request)
        self._pass_on()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._protocol.receive_data(data)
        self._take_in()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._take_in()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.receive_eof()
        self._take_in()
        self._transport = None
        for timer in (self._next_ping, self._closing):
            if timer is not None:
                timer.cancel()
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("the connection closed in the handshake"))
            self.opened.exception()  # whoever opened it may have given up
        self._gone.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        self.stalled_since = self._loop.time()
        self.on_stall()

    def resume_writing(self) -> None:
        self.stalled_since = None

    # ---- within

    def _take_in(self) -> None:
        """Take what the protocol made of the bytes that came, and send what it answers."""
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take_frame(event)
            elif not self.opened.done():
                self._open()
        self._pass_on()
        if self._messages:
            if len(self._messages) > MAX_WAITING and self._transport is not None:
                self._transport.pause_reading()
            self._wake()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                self._messages.append(b"".join(self._fragments))
                self._fragments.clear()

    def _open(self) -> None:
        refused = self._protocol.handshake_exc
        if refused is not None:
            self.opened.set_exception(refused)
        else:
            self.opened.set_result(None)
            self._next_ping = self._loop.call_later(PING_S, self._ping)

    def _pass_on(self) -> None:
        """Send what the protocol itself has to say."""
        transport = self._transport
        for piece in self._protocol.data_to_send():
            if transport is None or transport.is_closing():
                continue
            if piece:
                transport.write(piece)
            elif transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
        if self._closing is None and self._protocol.state is State.CLOSING:  # the server is to end the connection
            self._closing = self._loop.call_later(CLOSE_S, self.abort)

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

    def _mask(self) -> bytes:
        """Four fresh random bytes (RFC 6455, 5.3), of many that were asked for together."""
        at = self._next_mask
        if at == len(self._masks):
            self._masks, at = os.urandom(4 * _MASKS_AT_ONCE), 0
        self._next_mask = at + 4
        return self._masks[at : at + 4]

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
