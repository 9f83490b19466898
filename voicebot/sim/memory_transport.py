"""A connection in memory: two `MemoryTransport`s joined by two one-way pipes.

What one side writes is handed to the other side's protocol by a callback of the loop (by a timer when the pipe has a
delay), so that a byte under way is always something the loop has scheduled: a loop with nothing ready has no byte under
way.

    client protocol ── MemoryTransport ══ Pipe (to_server_s) ══▶ MemoryTransport ── server protocol
                                       ◀══ Pipe (to_client_s) ══

A pipe holds data, then at most one end: `EOF` (the peer wrote its last byte) or `RESET` (the peer's connection broke).
Order is kept whatever the delay does. As in a kernel, the first `KERNEL_BYTES` that the peer has not read yet count
as sent; only what is beyond them fills the transport's write buffer and pauses the writing protocol.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import socket
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import TypeVar, cast

KERNEL_BYTES = 64 * 1024  # what the socket buffers of both ends would hold
READ_BYTES = 256 * 1024  # at most this much in one `data_received`, as asyncio reads from a socket
HIGH_WATER_BYTES = 64 * 1024  # asyncio's default for the write buffer

Address = tuple[str, int]
_AnswerT = TypeVar("_AnswerT")


class _End(Enum):
    EOF = auto()  # nothing more will be written
    RESET = auto()  # the connection broke


class _State(Enum):
    OPEN = auto()
    FLUSHING = auto()  # close() was called; the write buffer is not empty yet
    CLOSED = auto()  # as if the socket were closed; connection_lost() is called or scheduled


class MemorySocket:
    """What `get_extra_info("socket")` and `Server.sockets` show: addresses; options are accepted and do nothing."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, sockname: Address, peername: Address | None = None) -> None:
        self._sockname, self._peername = sockname, peername

    def getsockname(self) -> Address:
        return self._sockname

    def getpeername(self) -> Address:
        if self._peername is None:
            raise OSError(errno.ENOTCONN, "a listening socket has no peer")
        return self._peername

    def setsockopt(self, *_option: object) -> None:
        """Nothing to set: no packet is ever held back or lost."""

    def getsockopt(self, *_option: object) -> int:
        return 0

    def fileno(self) -> int:
        """No descriptor, as of a closed socket."""
        return -1


class Pipe:
    """One direction of a connection: what was written and not yet read, each piece with the time it arrives."""

    __slots__ = ("_last_due", "_loop", "_pieces", "_wakeup", "delay_s", "reader", "unread_bytes", "writer")

    reader: MemoryTransport
    writer: MemoryTransport

    def __init__(self, loop: asyncio.AbstractEventLoop, delay_s: Callable[[], float]) -> None:
        self._loop, self.delay_s = loop, delay_s
        self._pieces: deque[tuple[float, bytes | _End]] = deque()
        self._last_due = 0.0
        self._wakeup: asyncio.Handle | None = None
        self.unread_bytes = 0

    def put(self, piece: bytes | _End) -> None:
        """Send a piece on its way; it never overtakes an earlier one."""
        self._last_due = max(self._loop.time() + self.delay_s(), self._last_due)
        self._pieces.append((self._last_due, piece))
        if isinstance(piece, bytes):
            self.unread_bytes += len(piece)
        self.wake()

    def drop_newest(self, keep_bytes: int) -> None:
        """Forget the newest pieces until at most `keep_bytes` are under way."""
        while self.unread_bytes > keep_bytes:
            _, piece = self._pieces.pop()
            if isinstance(piece, bytes):
                self.unread_bytes -= len(piece)

    def wake(self) -> None:
        """See to it that the next piece is handed over once it is due and the reader wants it."""
        if self._wakeup is not None or not self._pieces or not self.reader.takes:
            return
        due = self._pieces[0][0]
        # In the reader's context, not the writer's: contextvars do not travel through a socket either.
        if due <= self._loop.time():
            self._wakeup = self._loop.call_soon(self._arrive, context=self.reader.context)
        else:
            self._wakeup = self._loop.call_at(due, self._arrive, context=self.reader.context)

    def _arrive(self) -> None:
        self._wakeup = None
        try:
            if self.reader.takes and (piece := self._take()) is not None:
                self.reader.receive(piece)
                self.writer.on_read()
        finally:
            self.wake()

    def _take(self) -> bytes | _End | None:
        """All data that has arrived, up to `READ_BYTES`; or the end; None when nothing is due (a timer is early)."""
        now, size = self._loop.time(), 0
        chunks: list[bytes] = []
        while self._pieces and self._pieces[0][0] <= now:
            piece = self._pieces[0][1]
            if isinstance(piece, _End):
                if not chunks:
                    self._pieces.popleft()
                    return piece
                break
            if size + len(piece) > READ_BYTES:
                break
            self._pieces.popleft()
            chunks.append(piece)
            size += len(piece)
        self.unread_bytes -= size
        return b"".join(chunks) if chunks else None


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory; to a protocol it is what asyncio's own socket transport is."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        incoming: Pipe,
        outgoing: Pipe,
        end: MemorySocket,
        context: contextvars.Context,
        on_lost: Callable[[MemoryTransport], None] | None = None,
    ) -> None:
        super().__init__({"socket": end, "sockname": end.getsockname(), "peername": end.getpeername()})
        self.context = context
        self._loop, self._in, self._out, self._on_lost = loop, incoming, outgoing, on_lost
        self._protocol: asyncio.Protocol | None = None
        self._state = _State.OPEN
        self._reading_paused = self._writing_paused = self._eof_written = False
        self._low, self._high = HIGH_WATER_BYTES // 4, HIGH_WATER_BYTES
        incoming.reader = outgoing.writer = self

    def __repr__(self) -> str:
        sockname, peername = self.get_extra_info("sockname"), self.get_extra_info("peername")
        return f"<MemoryTransport {self._state.name.lower()} {sockname[1]}→{peername[1]}>"

    # ---- life ------------------------------------------------------------------------------------------------------

    def start(self, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Join a protocol to this end, and begin to read for it."""
        self.set_protocol(self._tell(protocol_factory))
        self._tell(self.get_protocol().connection_made, self)
        self._in.wake()

    def close(self) -> None:
        if self._state is _State.OPEN:
            self._state = _State.FLUSHING
            self.on_read()

    def abort(self) -> None:
        """Break the connection: the peer gets what is under way, then a ConnectionResetError."""
        if self._state is not _State.CLOSED:
            self._out.drop_newest(KERNEL_BYTES)
            self._out.put(_End.RESET)
            self._shut(None)

    def lose(self) -> None:
        """The peer broke the connection."""
        if self._state is not _State.CLOSED:
            self._out.drop_newest(0)
            self._shut(ConnectionResetError(errno.ECONNRESET, "connection reset by peer"))

    def is_closing(self) -> bool:
        return self._state is not _State.OPEN

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, self._protocol)

    def _shut(self, error: ConnectionResetError | None) -> None:
        self._state = _State.CLOSED
        self._loop.call_soon(self._call_connection_lost, error, context=self.context)
        self._in.wake()  # to throw away what a paused reader left

    def _call_connection_lost(self, error: ConnectionResetError | None) -> None:
        try:
            if self._protocol is not None:
                self._protocol.connection_lost(error)
        finally:
            self._protocol = None  # as asyncio's own does: what the two ends hold of each other keeps nobody else
            if self._on_lost is not None:
                self._on_lost(self)

    def _tell(self, callback: Callable[..., _AnswerT], *args: object) -> _AnswerT:
        """Call the protocol; whatever it raises breaks the connection and goes on to the loop's exception handler."""
        returned = False
        try:
            answer = callback(*args)
            returned = True
            return answer
        finally:
            if not returned:
                self.abort()

    # ---- reading ---------------------------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        self._reading_paused = False
        self._in.wake()

    def is_reading(self) -> bool:
        return self._state is _State.OPEN and not self._reading_paused

    @property
    def takes(self) -> bool:
        """Whether what arrives may be handed over now. A closed end takes everything, to drop it."""
        return self._state is not _State.OPEN or (self._protocol is not None and not self._reading_paused)

    def receive(self, piece: bytes | _End) -> None:
        """Something arrived from the peer."""
        if piece is _End.RESET:
            self.lose()
        elif self._state is _State.OPEN:
            self._give(piece)
        elif self._state is _State.CLOSED and piece is not _End.EOF:
            self._refuse()

    def _give(self, piece: bytes | _End) -> None:
        protocol = self.get_protocol()
        if isinstance(piece, bytes):
            self._tell(protocol.data_received, piece)
        elif not self._tell(protocol.eof_received):
            self.close()

    def _refuse(self) -> None:
        """Answer data for a closed end as a kernel does: with a reset, even of a peer that has paused its reading."""
        peer = self._in.writer
        self._loop.call_later(self._out.delay_s(), peer.lose, context=peer.context)

    # ---- writing ---------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof_written:
            raise RuntimeError("cannot write after write_eof()")
        if self._state is not _State.OPEN:
            return
        for start in range(0, len(data), READ_BYTES):
            self._out.put(bytes(data[start : start + READ_BYTES]))
        if not self._writing_paused and self.get_write_buffer_size() > self._high:
            self._writing_paused = True
            self.get_protocol().pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if self._state is _State.OPEN and not self._eof_written:
            self._eof_written = True
            self._out.put(_End.EOF)

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return max(0, self._out.unread_bytes - KERNEL_BYTES)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH_WATER_BYTES if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._low, self._high = low, high

    def on_read(self) -> None:
        """The peer has read some: resume the writing protocol, finish a close that waited for it."""
        if self._state is _State.CLOSED:
            return
        buffered = self.get_write_buffer_size()
        if self._writing_paused and buffered <= self._low:
            self._writing_paused = False
            self.get_protocol().resume_writing()
        if self._state is _State.FLUSHING and not buffered:
            if not self._eof_written:
                self._out.put(_End.EOF)
            self._shut(None)
