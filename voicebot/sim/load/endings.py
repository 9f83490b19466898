"""Every way in which a short call can end, well and badly: one in five does badly, in each state it can be in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

import aiohttp

from .lean_socket import LeanSocket
from .phone import ModelFault, Phone, Stream

BAD_EVERY = 5
SPEAKS_S = 1.0  # how long a call lasts that goes well
GREETING_MS = 400
GREETED_BY_S = 20.0  # how quick a server is shows elsewhere
CLOSED_BY_S = 20.0  # a stream that must not be gets no longer
LOOK_EVERY_S = 0.02
GARBAGE = (
    b"{",
    b"[]",
    b'{"event":"media"}',
    b'{"event":"media","media":{"payload":"%","timestamp":"x","chunk":"1"}}',
    b'{"event":"start","start":{}}',
    b"\xff\xfe",
    b'{"event":"media","sequenceNumber":"1","media":{"track":"inbound","payload":"' + b"A" * 60_000 + b'"}}',
)


class Ending(Enum):
    """How a call ends. The last two leave it to the server to notice."""

    WELL = "hangs up after the greeting"
    NO_ANSWER = "no stream: no-answer"
    BUSY = "no stream: busy"
    CANCELED = "no stream: canceled"
    FAILED = "no stream: failed"
    SILENT_STREAM = "hangs up before `connected`"
    AFTER_CONNECTED = "hangs up after `connected`"
    AFTER_START = "hangs up after `start`"
    IN_AN_ANSWER = "hangs up in the middle of an answer"
    DROPPED = "the socket drops without `stop`"
    STATUS_FIRST = "the status comes before the stream's end"
    GARBLED = "malformed frames"
    TOKEN_REUSED = "a second stream with the same token"
    TOKEN_FORGED = "a stream with a forged token, then none"
    MODEL_REFUSES = "the model refuses"
    MODEL_DROPS = "the model's socket drops"
    VANISHES = "no stream, and no word of the call's end"
    WITHHELD = "the socket drops, and nothing comes after"


BAD = tuple(Ending)[1:]
MODEL_FAULTS: dict[Ending, ModelFault] = {Ending.MODEL_REFUSES: "refuses", Ending.MODEL_DROPS: "drops"}
_STATUSES = {
    Ending.NO_ANSWER: "no-answer",
    Ending.BUSY: "busy",
    Ending.CANCELED: "canceled",
    Ending.FAILED: "failed",
}


def ending(number: int, bad_every: int = BAD_EVERY) -> Ending:
    """How the call of this number ends, counted from 0: in turn each bad way, and well in between."""
    if number % bad_every != bad_every - 1:
        return Ending.WELL
    return BAD[number // bad_every % len(BAD)]


class WrongEndError(Exception):
    """The server did what it must not, or did not what it must; the text says what."""


class ShortCall:
    """One call, from the voice webhook to its end.

    Args:
        phone: nobody else's.
        number: counts the calls, so that each garbled one is garbled differently.
    """

    def __init__(self, phone: Phone, http: aiohttp.ClientSession, number: int) -> None:
        self._phone, self._http, self._number = phone, http, number
        self._ways: dict[Ending, Callable[[Stream], Awaitable[None]]] = {
            Ending.SILENT_STREAM: self._before_connected,
            Ending.AFTER_CONNECTED: self._after_connected,
            Ending.AFTER_START: self._after_start,
            Ending.IN_AN_ANSWER: self._in_an_answer,
            Ending.DROPPED: self._dropped,
            Ending.STATUS_FIRST: self._status_first,
            Ending.GARBLED: self._garbled,
            Ending.TOKEN_REUSED: self._token_reused,
            Ending.TOKEN_FORGED: self._token_forged,
            Ending.MODEL_REFUSES: self._without_model,
            Ending.MODEL_DROPS: self._without_model,
            Ending.WITHHELD: self._withheld,
        }

    async def run(self, how: Ending) -> None:
        """See it through.

        Raises:
            OSError, aiohttp.ClientError, NoStreamError: the call could not even begin.
            WrongEndError: it went as it must not.
        """
        stream = await self._phone.ring(self._http)
        if (way := self._ways.get(how)) is not None:
            await way(stream)
        elif how in _STATUSES:
            await self._phone.tell_status(self._http, _STATUSES[how])
        elif how is Ending.WELL:
            await self._well(stream)

    async def _well(self, stream: Stream) -> None:
        await self._talk(stream)
        begun = asyncio.get_running_loop().time()
        await self._hear(GREETING_MS)
        await asyncio.sleep(begun + SPEAKS_S - asyncio.get_running_loop().time())
        self._phone.stop()
        await self._over(stream)

    # ---- badly ------------------------------------------------------------------------------------------------------

    async def _before_connected(self, stream: Stream) -> None:
        await self._phone.connect(stream)
        self._phone.close()
        await self._over(stream)

    async def _after_connected(self, stream: Stream) -> None:
        await self._phone.connect(stream)
        self._phone.say_connected()
        self._phone.close()
        await self._over(stream)

    async def _after_start(self, stream: Stream) -> None:
        await self._talk(stream)
        self._phone.stop()
        await self._over(stream)

    async def _in_an_answer(self, stream: Stream) -> None:
        await self._talk(stream)
        await self._hear(GREETING_MS / 2)
        self._phone.stop()
        await self._over(stream)

    async def _dropped(self, stream: Stream) -> None:
        await self._talk(stream)
        await self._hear(GREETING_MS / 2)
        self._phone.abort()
        await self._phone.ask_after(self._http, stream, "in-progress")
        await self._phone.tell_status(self._http, "completed")

    async def _status_first(self, stream: Stream) -> None:
        await self._talk(stream)
        await self._hear(GREETING_MS)
        await self._phone.tell_status(self._http, "completed")
        self._phone.stop()
        await self._phone.ask_after(self._http, stream, "completed")

    async def _garbled(self, stream: Stream) -> None:
        socket = await self._talk(stream)
        await self._hear(GREETING_MS / 2)
        self._phone.left = True  # the server may close the stream
        self._phone.streaming = False
        for text in GARBAGE[self._number % len(GARBAGE) :]:
            socket.send(text)
        await asyncio.sleep(SPEAKS_S / 2)
        self._phone.close()
        await self._over(stream)

    async def _token_reused(self, stream: Stream) -> None:
        first = await self._talk(stream)
        await self._hear(GREETING_MS)
        self._phone.streaming = False
        try:
            await self._is_refused(stream, "a token was taken twice")
        finally:
            first.close()
        await self._over(stream)

    async def _token_forged(self, stream: Stream) -> None:
        forged = {name: value[::-1] for name, value in stream.parameters.items()}
        await self._is_refused(Stream(stream.url, forged, stream.action), "a forged token was taken")
        await self._over(stream)

    async def _without_model(self, stream: Stream) -> None:
        socket = await self._talk(stream)
        try:
            async with asyncio.timeout(2 * SPEAKS_S):
                await socket.gone.wait()
        except TimeoutError:
            self._phone.stop()  # the caller is tired of it
        await self._over(stream)

    async def _withheld(self, stream: Stream) -> None:
        await self._talk(stream)
        await self._hear(GREETING_MS / 2)
        self._phone.abort()

    # ---- steps ------------------------------------------------------------------------------------------------------

    async def _talk(self, stream: Stream) -> LeanSocket:
        socket = await self._phone.connect(stream)
        self._phone.say_connected()
        self._phone.say_start(stream)
        return socket

    async def _hear(self, ms: float) -> None:
        due = asyncio.get_running_loop().time() + GREETED_BY_S
        while self._phone.ear.heard_ms < ms:
            if asyncio.get_running_loop().time() > due:
                raise WrongEndError("the caller heard no greeting")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _is_refused(self, stream: Stream, otherwise: str) -> None:
        socket = await self._phone.connect(stream)
        self._phone.say_connected()
        self._phone.say_start(stream)
        self._phone.streaming = False
        try:
            async with asyncio.timeout(CLOSED_BY_S):
                await socket.gone.wait()
        except TimeoutError as exc:
            socket.close()
            raise WrongEndError(otherwise) from exc

    async def _over(self, stream: Stream) -> None:
        await self._phone.ask_after(self._http, stream, "completed")
        await self._phone.tell_status(self._http, "completed")
