"""One caller of the load: the carrier's signed requests, the stream, 50 frames a second, and an ear.

Its steps can be taken one by one, so that a call can end badly in every state.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

import aiohttp

from voicebot.sim.account import ACCOUNT_SID
from voicebot.sim.carrier import CallForms

from .ear import Ear
from .frames import FRAME_MS, HELD_BACK_MS, LOUD_EVERY, UPLINK
from .lean_socket import LeanSocket
from .readings import Readings
from .target import Target
from .wire import decoded_size, read, write

OPEN_LIMIT_S = 10.0
ModelFault = Literal["refuses", "drops"]


class NoStreamError(Exception):
    """The answer to the voice webhook opens no stream."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What the TwiML asks for."""

    url: str
    parameters: dict[str, str]
    action: str


class Phone:
    """
    Args:
        run: what the ids of this run's calls begin with, 16 hexadecimal digits.
        number: of the phone in the run.
        readings: where what it sees goes.
        fault: how the model treats this call, where it does not do its best.
        knows_model: the model is the load's own.

    Attributes:
        caller: its number, by which the model knows it.
        streaming: whether frames are to be sent.
        left: it has hung up, or broken off: what ends now ends rightly.
    """

    def __init__(
        self,
        target: Target,
        run: str,
        number: int,
        readings: Readings,
        *,
        fault: ModelFault | None = None,
        knows_model: bool = True,
    ) -> None:
        self.caller = f"+1555{number:07d}"
        self.streaming = self.left = False
        self.readings, self.model_fault = readings, fault
        self.ear = Ear(readings, self._echo, knows_model=knows_model)
        self.call_sid = f"CA{run}{number:016x}"
        self._stream_sid = f"MZ{run}{number:016x}"
        self._target, self._knows_model = target, knows_model
        self._forms = CallForms(ACCOUNT_SID, self.call_sid, target.called, self.caller)
        self._socket: LeanSocket | None = None
        self._sequence = self._frames = 0
        self._sent_at: deque[float] = deque()  # of the frames that the model does not have yet
        self._arrived = 0  # frames that the model has
        self._media = (
            b'{"event":"media","sequenceNumber":"%d","streamSid":"'
            + self._stream_sid.encode()
            + b'","media":{"track":"inbound","chunk":"%d","timestamp":"%d%b'
        )

    # ---- whole calls ------------------------------------------------------------------------------------------------

    async def call(self, http: aiohttp.ClientSession) -> None:
        """Dial, and open the stream that the answer asks for; what goes wrong is a failure of the run."""
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                stream = await self.ring(http)
                await self.connect(stream)
                self.say_connected()
                self.say_start(stream)
        except (OSError, aiohttp.ClientError, NoStreamError) as exc:
            self.readings.fail(f"no stream: {str(exc) or repr(exc)}")

    async def hang_up(self, http: aiohttp.ClientSession) -> None:
        """End the stream as a caller does who puts the phone down, and report it."""
        self.stop()
        await self.tell_status(http, "completed")

    # ---- single steps -----------------------------------------------------------------------------------------------

    async def ring(self, http: aiohttp.ClientSession) -> Stream:
        """Ask what to do with the call.

        Raises:
            aiohttp.ClientError: no answer, or one that is no success.
            NoStreamError: the answer opens no stream.
        """
        begun = time.perf_counter()
        document = await self._post(http, self._target.voice_url, self._forms.voice())
        self.readings.webhook_s.append(time.perf_counter() - begun)
        return _stream(document)

    async def connect(self, stream: Stream) -> LeanSocket:
        """Open a socket for the stream; the phone speaks on the last one that was opened.

        Raises:
            OSError: it cannot be had.
            NoStreamError: its address is none.
        """
        url = self._target.route(stream.url)
        if url.host is None or url.port is None:
            raise NoStreamError(f"the stream's address is none: {stream.url}")
        socket = LeanSocket(self._take, client=True, ended=self._ended)
        signed = self._target.headers(stream.url)
        host = signed.pop("Host", url.raw_authority)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: socket, url.host, url.port, ssl=True if url.scheme == "wss" else None)
        head = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"} | signed
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        socket.write(
            f"GET {url.raw_path_qs} HTTP/1.1\r\n{lines}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await socket.open
        self._socket = socket
        return socket

    def say_connected(self) -> None:
        """The first message of a stream."""
        self.send_raw(b'{"event":"connected","protocol":"Call","version":"1.0.0"}')

    def say_start(self, stream: Stream) -> None:
        """The second one; from now on there is audio."""
        start = {
            "accountSid": ACCOUNT_SID,
            "callSid": self.call_sid,
            "streamSid": self._stream_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": stream.parameters,
        }
        self._send({"event": "start", "streamSid": self._stream_sid, "start": start})
        self.streaming = True

    def send_raw(self, text: bytes) -> None:
        """Send any text on the stream."""
        if self._socket is not None:
            self._socket.send(text)

    def stop(self) -> None:
        """End the stream in order."""
        was_streaming = self._leave()
        if self._socket is not None and was_streaming:
            stop = {"accountSid": ACCOUNT_SID, "callSid": self.call_sid}
            self._send({"event": "stop", "streamSid": self._stream_sid, "stop": stop})
        self.close()

    def close(self) -> None:
        """Close the socket without a word before."""
        self._leave()
        if self._socket is not None:
            self._socket.close()

    def abort(self) -> None:
        """Break the connection."""
        self._leave()
        if self._socket is not None:
            self._socket.abort()

    async def tell_status(self, http: aiohttp.ClientSession, status: str) -> None:
        """The call's status callback; an answer that is not had is nothing that a carrier would mind."""
        self.left = True
        with contextlib.suppress(TimeoutError, aiohttp.ClientError):
            await self._post(http, self._target.status_url, self._forms.call(status))

    async def ask_after(self, http: aiohttp.ClientSession, stream: Stream, status: str) -> None:
        """Ask what comes after the stream, if the TwiML says whom."""
        if stream.action:
            with contextlib.suppress(TimeoutError, aiohttp.ClientError):
                await self._post(http, stream.action, self._forms.call(status))

    # ---- frames -----------------------------------------------------------------------------------------------------

    def frame(self, now: float) -> None:
        """Pass a border between two frames: the microphone's goes out, the ear's is over."""
        number = self._frames
        self._frames += 1
        self._sequence += 1
        if self._knows_model:
            self._sent_at.append(now)
        assert self._socket is not None
        media = self._media % (self._sequence, number + 1, number * FRAME_MS, UPLINK[number % LOUD_EVERY])
        self._socket.send(media)
        self.ear.border()

    def arrived(self, heard_ms: float, now: float) -> None:
        """The model has the stream up to `heard_ms`."""
        readings = self.readings
        while (self._arrived + 1) * FRAME_MS - HELD_BACK_MS <= heard_ms:
            if not self._sent_at:
                readings.fail("more audio came up than was sent")
                return
            readings.note(readings.uplink_s, now - self._sent_at.popleft())
            self._arrived += 1

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _leave(self) -> bool:
        was_streaming, self.streaming, self.left = self.streaming, False, True
        return was_streaming

    async def _post(self, http: aiohttp.ClientSession, url: str, fields: dict[str, str]) -> str:
        async with (
            asyncio.timeout(OPEN_LIMIT_S),
            http.post(self._target.route(url), data=fields, headers=self._target.headers(url, fields)) as answer,
        ):
            answer.raise_for_status()
            return await answer.text()

    def _ended(self) -> None:
        if self.streaming:
            self.streaming = False
            self.readings.fail("the server closed a stream")

    def _echo(self, name: str) -> None:
        self._send({"event": "mark", "streamSid": self._stream_sid, "mark": {"name": name}})

    def _send(self, message: dict[str, object]) -> None:
        self._sequence += 1
        self.send_raw(write(message | {"sequenceNumber": str(self._sequence)}))

    def _take(self, text: bytes, now: float) -> None:
        message = read(text)
        match message["event"]:
            case "media":
                self.ear.play(decoded_size(message["media"]["payload"]), now)
            case "mark":
                self.ear.mark(message["mark"]["name"])
            case "clear":
                self.ear.clear(now)


def _stream(document: str) -> Stream:
    """Read the TwiML.

    Raises:
        NoStreamError: it is none, or opens no stream.
    """
    try:
        connect = ElementTree.fromstring(document).find("Connect")
    except ElementTree.ParseError as exc:
        raise NoStreamError(f"the answer is no TwiML: {document[:80]}") from exc
    stream = connect.find("Stream") if connect is not None else None
    if connect is None or stream is None:
        raise NoStreamError(f"the TwiML opens no stream: {document[-80:]}")
    parameters = {one.get("name", ""): one.get("value", "") for one in stream.iter("Parameter")}
    return Stream(stream.get("url", ""), parameters, connect.get("action", ""))
