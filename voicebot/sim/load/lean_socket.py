"""Either end of a WebSocket (RFC 6455) without extensions and fragments, as cheap as Python can have it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
import time
from collections.abc import Callable
from typing import cast

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C part
    from websockets.utils import apply_mask

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
_PONG = 0x8A


def _nothing() -> None:
    return


class LeanSocket(asyncio.Protocol):
    """One end; each message is told with the time of its arrival (`time.perf_counter`).

    A client masks with zeros: the other end has the usual work with it, this one none.

    Attributes:
        open: done when the handshake is; ConnectionError when it failed.
        gone: whether the connection has ended.
    """

    def __init__(
        self,
        take: Callable[[bytes, float], None],
        *,
        client: bool,
        opened: Callable[[], None] = _nothing,
        ended: Callable[[], None] = _nothing,
    ) -> None:
        self._take, self._opened, self._ended, self._client = take, opened, ended, client
        self._rest = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape alone

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.open.done():
            self.open.set_exception(ConnectionError("no handshake: " + self._rest[:60].decode("latin-1")))
            self.open.exception()  # whoever waited for it is told; if nobody did, that is no news
        self.gone.set()
        self._ended()

    def write(self, encoded: bytes) -> None:
        """Send bytes as they are; a socket that is gone takes them in silence."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encoded)

    def send(self, text: bytes, kind: int = _TEXT) -> None:
        """Send one message."""
        length, bit = len(text), 0x80 if self._client else 0
        if length < 126:
            head = bytes((kind, bit | length))
        elif length < 65_536:
            head = struct.pack("!BBH", kind, bit | 126, length)
        else:
            head = struct.pack("!BBQ", kind, bit | 127, length)
        self.write(head + b"\0\0\0\0" + text if self._client else head + text)

    def close(self) -> None:
        """End it in order."""
        if self._transport is not None:
            self.send(b"\x03\xe8", _CLOSE)
            self._transport.close()

    def abort(self) -> None:
        """Break it: the other side sees a reset."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self._rest:
            data = self._rest + data
        at = 0 if self._upgraded else self._upgrade(data)
        while self._upgraded and len(data) - at >= 2:
            kind, length, start = data[at], data[at + 1] & 0x7F, at + 2
            if length == 126:
                length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif length == 127:
                length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            begins = start if self._client else start + 4
            if begins + length > len(data):
                break
            text = data[begins : begins + length]
            if not self._client:
                text = apply_mask(text, data[start:begins])
            at = begins + length
            self._obey(kind, text, now)
        self._rest = data[at:]

    def _obey(self, kind: int, text: bytes, now: float) -> None:
        if kind == _TEXT:
            self._take(text, now)
        elif kind == _PING:
            self.send(text, _PONG)
        elif kind == _CLOSE and self._transport is not None:
            self.send(text[:2], _CLOSE)
            self._transport.close()

    def _upgrade(self, data: bytes) -> int:
        """Do the handshake when all of it is here; returns where the frames begin."""
        end = data.find(b"\r\n\r\n")
        if self._client:
            self._upgraded = end >= 0 and data.startswith(b"HTTP/1.1 101")
        elif end >= 0 and (key := re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", data)):
            accept = base64.b64encode(hashlib.sha1(key[1] + _WEBSOCKET_GUID, usedforsecurity=False).digest())
            self.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self._upgraded = True
        if not self._upgraded:
            if end >= 0 and self._transport is not None:
                self._transport.close()
            return 0
        if not self.open.done():
            self.open.set_result(None)
        self._opened()
        return end + 4
