"""The WebSocket of a client: as a phone line's, but binary messages are its audio, and silence is asked after.

A browser in a tunnel, or behind a proxy that forgets, leaves an open connection on which nothing comes. So one that has
said nothing for a while is pinged, which every client answers by itself (RFC 6455, 5.5.3), and is given up if nothing
comes then either.
"""

from __future__ import annotations

import asyncio

from voicebot.telephony.socket import MediaSocket

PING_AFTER_S = 10.0  # of silence; as long again without an answer, and the connection is given up
SUBPROTOCOL = "voicebot.v1"


class AudioMessage(bytes):
    """A binary message, as it came."""

    __slots__ = ()


class RealtimeSocket(MediaSocket):
    """An open socket of a client."""

    cuts_binary = True

    def __init__(self, http: asyncio.Protocol, *, max_message_bytes: int) -> None:
        super().__init__(http, max_message_bytes=max_message_bytes)
        self._heard = self._pinged = False
        self._watch = self._loop.call_later(PING_AFTER_S, self._look)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def binary_message(self, message: bytes) -> bytes:
        return AudioMessage(message)

    def _look(self) -> None:
        if self._pinged and not self._heard:
            self.abort()
            return
        self._pinged = not self._heard
        if self._pinged:
            self.ping()
        self._heard = False
        self._watch = self._loop.call_later(PING_AFTER_S, self._look)
