"""An open Media Stream: its line, which knows the protocol, and its socket, which moves the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .line import Frame, Line
from .stream_socket import StreamSocket
from .timeline import Cleared, Closer, StreamRecord, Violation


class OpenStream:
    """What the line says goes into the socket, what the socket brings into the line; `tell` is told of every clear."""

    def __init__(self, line: Line, socket: StreamSocket, tell: Callable[[Cleared], None]) -> None:
        self._line, self._socket, self._tell = line, socket, tell
        self._loop = asyncio.get_running_loop()
        self._drops_at: float | None = None
        self._half_open = False
        self.ended = False  # `stop` was sent; the socket may still be closing

    def open(self, now: float, drop_at_ms: float | None) -> None:
        """Begin; `drop_at_ms` later the connection breaks."""
        self._drops_at = None if drop_at_ms is None else now + drop_at_ms / 1000
        self._socket.post(self._line.open(now))

    async def run(self, tasks: asyncio.TaskGroup) -> tuple[Closer, int | None]:
        """Stay until the socket is closed; returns by whom, and the close code."""
        writer = tasks.create_task(self._socket.write(), name="phone to the network")
        ended = await self._socket.read(self._receive)
        self._socket.close()
        await writer
        return ended

    def stay_half_open(self) -> None:
        """The socket is gone, and the line does not know: it plays on what it has, and speaks to nobody."""
        self._half_open = True

    def advance(self, now: float) -> None:
        self._post(self._line.advance(now))
        if self._drops_at is not None and now >= self._drops_at:
            self._socket.drop()

    def press(self, digit: str) -> None:
        self._post(self._line.press(digit))

    def end(self, by: Closer, now: float) -> None:
        """The call, or its TwiML, is over: `stop`, then close in order."""
        self._post(self._line.stop(now))
        self.ended = True
        self._socket.close(by)

    def record(self, now: float) -> tuple[StreamRecord, list[Violation]]:
        """The truth about the stream, and what the server did wrong in it."""
        record = self._line.record(now)
        violations = list(self._line.violations)
        if self._socket.overflowed:
            problem = f"the server did not read: {self._socket.overflowed} frames were dropped"
            violations.append(Violation("31930", problem, record.closed_ms))
        return record, violations

    def _post(self, frames: Sequence[Frame]) -> None:
        if not self._half_open:
            self._socket.post(frames)

    def _receive(self, frame: Frame) -> None:
        known = len(self._line.clears)
        self._socket.post(self._line.receive(frame, self._loop.time()))
        for cleared in self._line.clears[known:]:
            self._tell(cleared)
