"""The WebSocket of a Media Stream, seen from the carrier, and the network between it and the server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import Enum
from random import Random
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp

from voicebot.errors import RemoteProtocolError

from .carrier import Carrier
from .line import Frame, LineFaults
from .timeline import Closer

HANDSHAKE_LIMIT_S = 10.0
WRITE_LIMIT_S = 30.0  # the carrier's buffer for a server that does not read is long, and not endless
CLOSE_LIMIT_S = 2.0
RECALL_LIMIT_S = 0.2  # the account has other plans for the call: a server that does not answer holds nothing up
MOST_WAITING = 1000  # frames to a server that does not read: 20 s of audio
_MESSAGES = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
_FrameT = TypeVar("_FrameT")
_ORDER_S = 1e-6  # keeps delayed frames apart, so that none overtakes


class StreamRefusedError(RemoteProtocolError):
    """The stream's socket could not be had; the text begins with the vendor's code."""


class _Ending(Enum):
    CLOSE = "close"  # orderly, with a close frame
    DROP = "drop"  # the connection breaks


async def _arrived(under_way: asyncio.Queue[tuple[float, _FrameT]]) -> _FrameT:
    """The next frame, once its time of arrival has come."""
    arrival, frame = await under_way.get()
    now = asyncio.get_running_loop().time()
    if arrival > now:
        await asyncio.sleep(arrival - now)
    return frame


class _Path:
    """One direction of the network: when a frame that leaves now arrives."""

    def __init__(self, delay_ms: float, jitter_ms: float, random: Random) -> None:
        self._delay_ms, self._jitter_ms, self._random = delay_ms, jitter_ms, random
        self._last_arrival = 0.0

    @property
    def immediate(self) -> bool:
        return not (self._delay_ms or self._jitter_ms)

    def arrival(self, now: float) -> float:
        if self.immediate:
            return now
        delay_ms = self._delay_ms + self._random.uniform(0, self._jitter_ms)
        self._last_arrival = max(now + delay_ms / 1000, self._last_arrival + _ORDER_S)
        return self._last_arrival


class StreamSocket:
    """One socket, open within `async with`: `write` runs as a task while `read` runs as the stream's body.

    Args:
        carrier: routes and signs the handshake.
        faults: how slow the network is.
    """

    def __init__(self, carrier: Carrier, faults: LineFaults) -> None:
        self.overflowed = 0  # frames dropped because the server did not read
        self._carrier = carrier
        self._up, self._down = (
            _Path(delay_ms, faults.jitter_ms, Random(faults.seed + i))
            for i, delay_ms in enumerate(faults.network_delay_ms)
        )
        self._outgoing: asyncio.Queue[tuple[float, Frame | _Ending]] = asyncio.Queue(MOST_WAITING + 2)
        self._incoming: asyncio.Queue[tuple[float, Frame | None]] = asyncio.Queue(100_000)
        self._ended_by_us: Closer | None = None
        self._reading: asyncio.Timeout | None = None  # these two run out when the connection is given up
        self._writing: asyncio.Timeout | None = None
        self._given_up = False
        self._patience: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> StreamSocket:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._patience is not None:
            self._patience.cancel()
        await self._break()

    async def open(self, url: str) -> None:
        """Connect and shake hands.

        Raises:
            StreamRefusedError: there is no socket.
        """
        if urlsplit(url).query:
            raise StreamRefusedError("31920 - Stream - WebSocket - Handshake Error: the url has a query")
        try:
            async with asyncio.timeout(HANDSHAKE_LIMIT_S):
                self._socket = await self._session.ws_connect(
                    self._carrier.route(url),
                    headers=self._carrier.headers(url),
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_LIMIT_S),
                    max_msg_size=0,
                    **self._carrier.trusted(url),
                )
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise StreamRefusedError(_refusal(exc)) from exc

    def post(self, frames: Sequence[Frame]) -> None:
        """Send frames; those that no longer fit in what a slow server may leave unread are dropped."""
        for frame in frames:
            if self._outgoing.qsize() >= MOST_WAITING:
                self.overflowed += 1
            elif self._ended_by_us is None:
                self._outgoing.put_nowait((self._up.arrival(asyncio.get_running_loop().time()), frame))

    def close(self, by: Closer = "caller") -> None:
        """Close after what was posted; does nothing the second time."""
        self._end(by, _Ending.CLOSE)

    def drop(self) -> None:
        """Break the connection after what was posted."""
        self._end("network", _Ending.DROP)

    async def write(self) -> None:
        """Send what is posted until the socket is closed or broken."""
        while not isinstance(frame := await _arrived(self._outgoing), _Ending):
            await self._send(frame)
        if frame is _Ending.CLOSE and not self._given_up:
            await self._close()
        else:
            await self._break()

    async def read(self, take: Callable[[Frame], None]) -> tuple[Closer, int | None]:
        """Hand every frame of the server to `take` when it arrives; returns who ended the stream and the close code."""
        if self._down.immediate:
            return await self._receive(take)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deliver(take), name="network to the phone")
            ended = await self._receive(self._delay)
            self._delay(None)
        return ended

    async def _receive(self, take: Callable[[Frame], None]) -> tuple[Closer, int | None]:
        message = None
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as self._reading:
                while (message := await self._socket.receive()).type in _MESSAGES:
                    take(message.data)
        self._reading = None
        if self._ended_by_us is not None:
            code = self._socket.close_code
            return self._ended_by_us, None if code is None else int(code)
        if message is not None and message.type is aiohttp.WSMsgType.CLOSE:
            return "server", int(message.data)
        return "network", None

    def _delay(self, frame: Frame | None) -> None:
        self._incoming.put_nowait((self._down.arrival(asyncio.get_running_loop().time()), frame))

    async def _deliver(self, take: Callable[[Frame], None]) -> None:
        while (frame := await _arrived(self._incoming)) is not None:
            take(frame)

    async def _send(self, frame: Frame) -> None:
        """A frame for a socket that is gone is lost; `read` tells of it. A server that does not read is given up."""
        if self._socket.closed or self._given_up:
            return
        try:
            send = self._socket.send_bytes(frame) if isinstance(frame, bytes) else self._socket.send_str(frame)
            await self._within(WRITE_LIMIT_S, send)
        except (aiohttp.ClientError, OSError):
            self._give_up()

    async def _close(self) -> None:
        """Close in order; a server that does not answer is waited for no longer than `CLOSE_LIMIT_S` twice."""
        try:
            await self._within(2 * CLOSE_LIMIT_S, self._socket.close())
        except TimeoutError:
            self._give_up()

    async def _break(self) -> None:
        """Close the connection, unless it is, without a close frame; what the server never reads is not waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._session.close()

    def _give_up(self) -> None:
        self._given_up = True
        for limit in (self._reading, self._writing):
            if limit is not None and not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    async def _within(self, limit_s: float, written: Awaitable[object]) -> None:
        """A time limit of the writer's."""
        try:
            async with asyncio.timeout(limit_s) as self._writing:
                await written
        finally:
            self._writing = None

    def _end(self, by: Closer, ending: _Ending) -> None:
        if self._ended_by_us is None:
            loop = asyncio.get_running_loop()
            self._ended_by_us = by
            self._outgoing.put_nowait((self._up.arrival(loop.time()), ending))
            if by == "account":
                self._patience = loop.call_later(RECALL_LIMIT_S, self._give_up)


def _refusal(exc: Exception) -> str:
    match exc:
        case aiohttp.WSServerHandshakeError():
            return f"31920 - Stream - WebSocket - Handshake Error: got HTTP {exc.status}"
        case TimeoutError():
            return "31901 - Stream - WebSocket - Connection Timeout"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return f"31910 - Stream - WebSocket - SSL Protocol Error: {exc}"
        case aiohttp.InvalidURL() | ValueError():
            return f"31923 - Stream - WebSocket - Malformed URL: {exc}"
    return f"31902 - Stream - WebSocket - Connection Refused: {exc}"
