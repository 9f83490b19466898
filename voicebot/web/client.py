"""A small client of `/realtime/{session_id}`, for programs and tests: speak, write, press keys, listen, come back.

    begun = await begin("https://voice.example.com", api_token, flow="restaurant_ordering")
    async with Client(begun["websocket_url"], begun["ticket"]) as client:
        await client.write("A table for two, please.")
        async for event in client.events():
            print(event)

What the bot says is played by `speaker`, in real time and into its `heard`: a `clear` stops it, and the server is told
what was played.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from voicebot.audio.formats import AudioFormat

FORMAT = AudioFormat.PCM16_24K
FRAME_MS = 20
ACKNOWLEDGE_EVERY_MS = 40
RETURN_S = 12.0  # after a socket broke; the server waits a little longer
OPEN_LIMIT_S = 10.0
_FRAME_BYTES = FRAME_MS * FORMAT.bytes_per_ms
_COMES_BACK = frozenset({1001, 1006, 1011, 1012, 1013})  # close codes after which the conversation goes on


async def begin(origin: str, api_token: str, *, idempotency_key: str | None = None, **body: Any) -> dict[str, Any]:
    """`POST /conversations`; its answer, or aiohttp's error.

    Args:
        origin: of the server, as in `https://voice.example.com`.
        body: `flow`, `config`, `variables`, `caller`.
    """
    headers = {"Authorization": f"Bearer {api_token}"}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{origin}/conversations", json=body, headers=headers) as answer,
    ):
        answer.raise_for_status()
        begun: dict[str, Any] = await answer.json()
        return begun


class Speaker:
    """What a loudspeaker has played of what it was given, in real time: told the time, in seconds."""

    def __init__(self) -> None:
        self.epoch = 0
        self.heard = bytearray()  # all that was played, without the pauses
        self.cuts: list[float] = []  # how much of each epoch was played when a clear ended it (ms)
        self._waiting = bytearray()
        self._played_bytes = 0  # since the last clear
        self._at: float | None = None  # up to when it has played; None while it has nothing to play

    @property
    def played_ms(self) -> float:
        """How much was played since the last clear."""
        return self._played_bytes / FORMAT.bytes_per_ms

    def add(self, payload: bytes, now: float) -> None:
        """Play this after all that is there."""
        self.play(now)
        if not self._waiting:
            self._at = now
        self._waiting += payload

    def clear(self, epoch: int, now: float) -> None:
        """Fall silent at once."""
        self.play(now)
        self.cuts.append(self.played_ms)
        self.epoch, self._played_bytes, self._at = epoch, 0, None
        self._waiting.clear()

    def play(self, now: float) -> None:
        """Time has passed."""
        if self._at is None:
            return
        due = min(int((now - self._at) * 1000 * FORMAT.bytes_per_ms) & ~1, len(self._waiting))
        self.heard += self._waiting[:due]
        del self._waiting[:due]
        self._played_bytes += due
        self._at = self._at + due / FORMAT.bytes_per_ms / 1000 if self._waiting else None


class Client:
    """One conversation. `async with` connects; leaving it hangs up."""

    def __init__(
        self,
        url: str,
        ticket: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        audio: str = "binary",
        comes_back: bool = True,
    ) -> None:
        """
        Args:
            url: `websocket_url` of the answer to `POST /conversations`.
            ticket: the one of that answer; without it, `headers` bring the API token.
            audio: `binary`, `json`, or `none` for a client that reads what the bot says.
            comes_back: connect again when the socket breaks.
        """
        self.speaker = Speaker()
        self.hello: dict[str, Any] = {}
        self.ended: dict[str, Any] | None = None
        self.close_code: int | None = None
        self._url, self._ticket, self._headers = url, ticket, dict(headers or {})
        self._audio, self._comes_back = audio, comes_back
        self._socket: ClientConnection | None = None
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._spoken = bytearray()  # that is to be said
        self._silent = asyncio.Event()
        self._open = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._children: list[asyncio.Task[None]] = []
        self._time: Callable[[], float] = asyncio.get_running_loop().time

    async def __aenter__(self) -> Self:
        self._socket = await self._connect()
        self._tasks = await asyncio.TaskGroup().__aenter__()
        work = [self._read()] if self._audio == "none" else [self._read(), self._speak(), self._acknowledge()]
        self._children = [self._tasks.create_task(one) for one in work]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        self._comes_back = False
        with suppress(ConnectionClosed):
            if self._socket is not None and self.ended is None:
                await self._socket.send(json.dumps({"type": "hang_up"}))
        for child in self._children[1:]:
            child.cancel()
        if kind is not None:
            self._children[0].cancel()
        await self._tasks.__aexit__(None, None, None)  # an error of the body's passes as it is, in no group
        if self._socket is not None:
            await self._socket.close()

    # ---- what the caller does ---------------------------------------------------------------------------------------

    def say(self, payload: bytes) -> None:
        """Speak: PCM16 at 24 kHz, sent as a microphone would, after all that is still to be said."""
        self._spoken += payload
        self._silent.clear()

    async def said(self) -> None:
        """Wait until all of that was sent."""
        await self._silent.wait()

    async def write(self, text: str) -> None:
        """Take a turn in text."""
        await self._send({"type": "text", "text": text})

    async def press(self, keys: str) -> None:
        """Press keys, in order."""
        await self._send({"type": "keys", "keys": keys})

    async def drop(self) -> None:
        """Lose the socket, as in a tunnel."""
        if self._socket is not None:
            self._socket.transport.abort()

    # ---- what happens -----------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Every message that is not audio, to the end of the conversation."""
        while (event := await self._events.get()) is not None:
            yield event

    async def until(self, kind: str, **facts: Any) -> dict[str, Any]:
        """The next event of this type that has these facts; those before it are dropped.

        Raises:
            EOFError: the conversation has ended without.
        """
        async for event in self.events():
            if event["type"] == kind and facts.items() <= event.items():
                return event
        raise EOFError(f"the conversation has ended without {kind} {facts}")

    # ---- within -----------------------------------------------------------------------------------------------------

    async def _connect(self) -> ClientConnection:
        url = f"{self._url}?audio={self._audio}" + (f"&ticket={self._ticket}" if self._ticket else "")
        socket = await connect(
            url, additional_headers=self._headers, compression=None, max_size=None, open_timeout=OPEN_LIMIT_S
        )
        self._open.set()
        return socket

    async def _send(self, message: Mapping[str, Any] | bytes) -> None:
        """Send a message; while the socket is gone, it waits for the next one."""
        while True:
            await self._open.wait()
            assert self._socket is not None
            try:
                await self._socket.send(message if isinstance(message, bytes) else json.dumps(message))
            except ConnectionClosed:
                self._open.clear()
            else:
                return

    async def _read(self) -> None:
        try:
            while self._socket is not None:
                try:
                    async for message in self._socket:
                        await self._take(message)
                except ConnectionClosed:
                    pass
                self._open.clear()
                self.close_code = self._socket.close_code
                if self.ended is not None or not self._comes_back or self.close_code not in _COMES_BACK:
                    return
                self._socket = await self._back()
        finally:
            self._events.put_nowait(None)

    async def _back(self) -> ClientConnection | None:
        """Connect again with the ticket of the last hello, for as long as the server waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RETURN_S):
                while True:
                    try:
                        return await self._connect()
                    except (OSError, InvalidHandshake):
                        await asyncio.sleep(0.3)
        return None

    async def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.speaker.add(message, self._time())
            return
        event: dict[str, Any] = json.loads(message)
        match event["type"]:
            case "audio":
                self.speaker.add(base64.b64decode(event["audio"]), self._time())
                return
            case "clear":
                self.speaker.clear(event["epoch"], self._time())
                await self._tell_played()
            case "hello":
                self.hello, self._ticket = event, event["ticket"]
                self.speaker.clear(0, self._time())
            case "ended":
                self.ended = event
        self._events.put_nowait(event)

    async def _speak(self) -> None:
        """Send what is to be said, and silence else, in real time."""
        next_at = self._time()
        while True:
            frame = bytes(self._spoken[:_FRAME_BYTES]).ljust(_FRAME_BYTES, b"\0")
            del self._spoken[:_FRAME_BYTES]
            await self._send(frame)
            if not self._spoken:
                self._silent.set()
            next_at = max(next_at + FRAME_MS / 1000, self._time() - 1.0)
            await asyncio.sleep(next_at - self._time())

    async def _acknowledge(self) -> None:
        while True:
            await asyncio.sleep(ACKNOWLEDGE_EVERY_MS / 1000)
            before = (self.speaker.epoch, self.speaker.played_ms)
            self.speaker.play(self._time())
            if (self.speaker.epoch, self.speaker.played_ms) != before:
                await self._tell_played()

    async def _tell_played(self) -> None:
        speaker = self.speaker
        await self._send({"type": "played", "epoch": speaker.epoch, "ms": round(speaker.played_ms, 2)})
