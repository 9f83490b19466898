"""A WebSocket (RFC 6455) without ceremony: websockets' sans-I/O protocol right under the transport.

A connection of the library's, or of aiohttp's, wakes a task for every message read and waits at a lock for every one
written; fifty times a second and call, on both sides, that is much of what a call costs a server. Here a message is
given on in the step in which it came, and written in one step.

A whole text message in one frame below 64 KiB, which is nearly every one, is cut out of what came right here, and so is
a binary one where those are the many (`cuts_binary`). All else is the library's: the handshake, control frames,
fragments, long frames, the closing, and the checks of what breaks the rules. It is given whole frames, or a long one
from its beginning to its end, so that it always stands between two frames when the short way is taken.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import cast

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from voicebot.inbox import Inbox

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

CLOSE_S = 1.5  # for the other side to close after us, or with us
MAX_WAITING = 64  # messages that were read and not taken; then no more are read

_WHOLE_TEXT = 0x80 | Opcode.TEXT  # FIN: a message that is not cut into fragments
_WHOLE_BINARY = 0x80 | Opcode.BINARY
_MASKED = 0x80
_LONGEST = 2**16 - 1  # bytes of a frame that is held here until it is whole
_MOST_HEADERS = 2**16  # bytes of an answer to a handshake, before the library is asked what it thinks of it
_PLAIN_SHORT = struct.Struct("!BB")
_PLAIN_MEDIUM = struct.Struct("!BBH")
_PLAIN_LONG = struct.Struct("!BBQ")
_MASKED_SHORT = struct.Struct("!BB4s")
_MASKED_MEDIUM = struct.Struct("!BBH4s")
_MASKED_LONG = struct.Struct("!BBQ4s")


def text_frame(payload: bytes) -> bytes:
    """One whole text message as a server sends it (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return _PLAIN_SHORT.pack(_WHOLE_TEXT, size) + payload
    if size < 2**16:
        return _PLAIN_MEDIUM.pack(_WHOLE_TEXT, 126, size) + payload
    return _PLAIN_LONG.pack(_WHOLE_TEXT, 127, size) + payload


def binary_frame(payload: bytes) -> bytes:
    """One whole binary message as a server sends it (RFC 6455, 5.2)."""
    frame = text_frame(payload)
    return bytes((_WHOLE_BINARY,)) + frame[1:]


def masked_text_frame(payload: bytes, mask: bytes) -> bytes:
    """One whole text message as a client sends it (RFC 6455, 5.2); `mask` is 4 bytes that nobody can foresee."""
    size = len(payload)
    if size < 126:
        head = _MASKED_SHORT.pack(_WHOLE_TEXT, _MASKED | size, mask)
    elif size < 2**16:
        head = _MASKED_MEDIUM.pack(_WHOLE_TEXT, _MASKED | 126, size, mask)
    else:
        head = _MASKED_LONG.pack(_WHOLE_TEXT, _MASKED | 127, size, mask)
    return head + apply_mask(payload, mask)


class WebSocket(asyncio.Protocol):
    """One connection. One task reads with `receive`, or `give_to` has what comes given on; anybody writes."""

    cuts_binary = False

    def __init__(self, protocol: Protocol) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._transport: asyncio.Transport | None = None
        self.is_open = False
        """Whether what is written may still arrive."""
        self.stalled_since: float | None = None
        """Since when the other side takes too little, by the loop's clock; None while it keeps up."""
        self.on_stall: Callable[[], object] = _nothing
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[None] | None = None
        self._closing: asyncio.TimerHandle | None = None  # the end of our patience with it

        self._cut = (_WHOLE_TEXT, _WHOLE_BINARY if self.cuts_binary else _WHOLE_TEXT)
        self._masked_in = _MASKED if protocol.side is Side.SERVER else 0
        self._plain = protocol.state is State.OPEN  # open, and between two messages: whole text frames are cut out here
        self._longest = min(protocol.max_message_size or _LONGEST, _LONGEST)
        self._begun = b""  # of a frame whose end has not come
        self._owed = 0  # bytes of a frame whose beginning the library has
        self._fragments: list[bytes] = []
        self._is_binary = False  # the message of the fragments

        self._take: Callable[[bytes], object] = self._hold
        self._inbox = Inbox[bytes]()
        self._over: Callable[[], object] = _nothing

    # ---- reading

    async def receive(self) -> list[bytes]:
        """Wait for messages, and take all that are there. Cancelling it loses nothing.

        Raises:
            ConnectionClosed: the connection is over, and every message was taken.
        """
        messages = await self._inbox.receive()
        if not messages:
            raise self._protocol.close_exc
        if len(messages) > MAX_WAITING:
            self.resume_reading()
        return messages

    def put_back(self, messages: list[bytes]) -> None:
        """Have messages that were received come again, before all others."""
        self._inbox.put_back(messages)

    def give_to(self, take: Callable[[bytes], object], over: Callable[[], object]) -> None:
        """From now on have each message given to `take` in the step in which it comes, and `over` called at the end."""
        messages = self._inbox.take()
        if not self._gone.done():
            self._take, self._over = take, over
        for message in messages:
            take(message)
        if len(messages) > MAX_WAITING:
            self.resume_reading()
        if self._gone.done():
            over()

    def pause_reading(self) -> None:
        """Have the other side wait with more; what has come is still given on."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None and not self._gone.done():
            self._transport.resume_reading()

    @property
    def end(self) -> ConnectionClosed:
        """How the connection ended, once it is over."""
        return self._protocol.close_exc

    # ---- writing

    def write(self, text: str) -> None:
        """Send one message. It is dropped if the connection is closing."""
        if self.is_open and self._transport is not None:
            self._transport.write(text_frame(text.encode()))

    def write_binary(self, payload: bytes) -> None:
        """Send one binary message. It is dropped if the connection is closing."""
        if self.is_open and self._transport is not None:
            self._transport.write(binary_frame(payload))

    def ping(self) -> None:
        """Have the other side answer, if it lives. Does nothing if the connection is closing."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._pass_on()

    async def drain(self) -> None:
        """Wait while the other side takes too little; returns when it keeps up, or is gone."""
        while self.stalled_since is not None and not self._gone.done():
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close in order, or after `CLOSE_S` without. What still comes is dropped."""
        if self._protocol.state is State.OPEN:
            self.start_closing(code, reason)
        await asyncio.shield(self._gone)

    def start_closing(self, code: int, reason: str = "") -> None:
        """Begin to close; does nothing if that has begun."""
        if self._protocol.state is State.OPEN:
            self._plain = self.is_open = False
            self._protocol.send_close(code, reason)
            self._pass_on()

    def abort(self) -> None:
        """Give the connection up at once, with all that was not sent."""
        if self._transport is not None:
            self._transport.abort()

    # ---- for the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape alone
        self.is_open = self._protocol.state is State.OPEN

    def data_received(self, data: bytes) -> None:
        if self._begun:
            data, self._begun = self._begun + data, b""
        if self._protocol.state is State.CONNECTING:
            data = self._shake_hands(data)
        at, end = 0, len(data)
        if self._owed:
            at = min(self._owed, end)
            self._owed -= at
            self._through_the_library(data[:at])
        while (left := end - at) >= 2:
            second = data[at + 1]
            size, head = second & 0x7F, 2
            if size == 126:
                if left < 4:
                    break
                size, head = data[at + 2] << 8 | data[at + 3], 4
            elif size == 127:
                if left < 10:
                    break
                size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            masked = second & _MASKED
            if masked:
                head += 4
            whole = head + size
            if self._plain and data[at] in self._cut and masked == self._masked_in and size <= self._longest:
                if left < whole:
                    break
                message = data[at + head : at + whole]
                if masked:
                    message = apply_mask(message, data[at + head - 4 : at + head])
                self._take(message if data[at] == _WHOLE_TEXT else self.binary_message(message))
            else:
                self._owed = max(whole - left, 0)
                self._through_the_library(data[at : at + whole])
            at += whole
        if at < end:
            self._begun = data[at:]

    def eof_received(self) -> None:
        self._end_of_data()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_of_data()
        self._transport = None
        if self._closing is not None:
            self._closing.cancel()
        self.stalled_since = None
        self._gone.set_result(None)
        self._inbox.end()
        self._let_drain()
        over = self._over
        self._take = self._over = self.on_stall = _nothing  # who hears us holds us: both are free at once
        over()

    def pause_writing(self) -> None:
        self.stalled_since = self._loop.time()
        self.on_stall()

    def resume_writing(self) -> None:
        self.stalled_since = None
        self._let_drain()

    # ---- within

    def _shake_hands(self, data: bytes) -> bytes:
        """Give the answer to our handshake to the library, whole; returns what came behind it."""
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 and len(data) < _MOST_HEADERS:
            self._begun = data
            return b""
        if end < 4 or not data.startswith(b"HTTP/1.1 101"):  # with a body, or nothing at all
            end = len(data)
        self._through_the_library(data[:end])
        return data[end:]

    def _through_the_library(self, data: bytes) -> None:
        was_open = self._protocol.state is State.OPEN
        self._protocol.receive_data(data)
        self._take_in(was_open)

    def _end_of_data(self) -> None:
        begun, self._begun = self._begun, b""
        if begun and self._protocol.state is State.CONNECTING:
            self._protocol.receive_data(begun)
        self._protocol.receive_eof()
        self._take_in(was_open=False)

    def _take_in(self, was_open: bool) -> None:
        """Take what the protocol made of the bytes that came, and send what it answers."""
        for event in self._protocol.events_received():
            if not isinstance(event, Frame):
                self.handshaken()
            elif was_open and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._take_frame(event)
        self.is_open = self._protocol.state is State.OPEN
        self._plain = self.is_open and not self._fragments
        self._pass_on()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_binary = frame.opcode is Opcode.BINARY
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._take(self.binary_message(message) if self._is_binary else message)

    def handshaken(self) -> None:
        """The answer to our handshake has come."""

    def binary_message(self, message: bytes) -> bytes:
        """What a binary message is given on as."""
        return message

    def _hold(self, message: bytes) -> None:
        self._inbox.put((message,))
        if len(self._inbox.waiting) > MAX_WAITING:
            self.pause_reading()

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
        if self._closing is None and self._protocol.state is State.CLOSING:  # the other side is to end it with us
            self._closing = self._loop.call_later(CLOSE_S, self.abort)

    def _let_drain(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None


def _nothing(*message: bytes) -> None:
    """Nobody is to be told."""
