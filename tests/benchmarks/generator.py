"""The load of `calls.py`: many phones and the model they talk to, lean enough not to be the limit themselves.

Phones and model live in one process, so that one clock times what goes in at one side of the server and comes out at
the other. Each phone sends a signed webhook, reads the TwiML, opens a real WebSocket, and sends 50 frames a second on
an absolute schedule; the calls' frames are spread evenly over the 20 ms. It plays what it gets frame by frame, echoes
marks when they have been played, and honours `clear` (Twilio Media Streams docs).

The model is a script that follows the audio it receives. Events, their fields and their order are the API's (Realtime
API reference); what they say does not matter. Each caller's turn lasts `SPEECH_MS` and is answered by `REPLY_MS` of
audio in deltas of `DELTA_MS`, several at a time and faster than they are played. Every other answer is interrupted,
in turn while it is still generated and when it has only to be played; every third turn records something first.

Nothing is decoded but one frame a second: it is loud, and if its audio is not where the count of samples says, samples
were lost. So the count alone tells which frame of the phone an `append` carries.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import hashlib
import os
import re
import socket
import struct
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree

import aiohttp
import numpy as np
import orjson

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C part
    from websockets.utils import apply_mask

sys.path.insert(0, str(Path(__file__).parents[2]))

from voicebot.sim import g711
from voicebot.sim.carrier import CallForms, signature

ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "benchmark-auth-token"
API_KEY = "sk-benchmark"
CALLED = "+15550100000"

FRAME_MS = 20
FRAME_BYTES = 160  # mu-law, 8 kHz
LOUD_EVERY = 50  # frames
LOUD = 4_000  # mean magnitude: between a quiet frame's 200 and a loud one's 7,600
HELD_BACK_MS = 1.6  # what a conversion may keep of a frame that has arrived

SPEECH_MS = 1_200
VAD_SILENCE_MS = 500
THINKING_MS = 160
REPLY_MS = 4_000
DELTA_MS = 200
BURST_DELTAS = 3
BURST_EVERY_MS = 120
PAUSE_MS = 600  # between the end of an answer that is heard out and the caller's next words
CUTS_MS = (None, 600, None, 2_000)  # when the caller interrupts, from an answer's first sound
RECORD_EVERY = 3  # turns
CYCLE_MS = 12_000  # calls begin their first turns spread over so much
REQUEST_LIMIT_MS = 5_000

OPEN_LIMIT_S = 10.0
_WORDS = ("Of", " course.", " Let", " me", " see", " what", " I", " can", " do", " for", " you", " today.")
_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89


@dataclass
class Readings:
    """What was measured, in seconds and milliseconds, while `recording`; and what went wrong at any time."""

    recording: bool = False
    uplink_s: array[float] = field(default_factory=lambda: array("d"))
    downlink_s: array[float] = field(default_factory=lambda: array("d"))
    barge_in_s: array[float] = field(default_factory=lambda: array("d"))
    truncation_ms: array[float] = field(default_factory=lambda: array("d"))
    webhook_s: array[float] = field(default_factory=lambda: array("d"))
    lateness_s: array[float] = field(default_factory=lambda: array("d"))
    turns: int = 0
    underruns: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def note(self, where: array[float], value: float) -> None:
        if self.recording:
            where.append(value)


# ---- the socket -----------------------------------------------------------------------------------------------------


def _nothing() -> None:
    return


class Socket(asyncio.Protocol):
    """Either end of a WebSocket (RFC 6455) without extensions and fragments; each message is told with its time.

    A client masks with zeros: the other end has the usual work with it, this one none.
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
        self.open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape alone

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.open.done():
            self.open.set_exception(ConnectionError("no handshake: " + self._rest[:60].decode("latin-1")))
        self._ended()

    def write(self, encoded: bytes) -> None:
        if self._transport is not None:
            self._transport.write(encoded)

    def send(self, text: bytes, kind: int = _TEXT) -> None:
        length, bit = len(text), 0x80 if self._client else 0
        if length < 126:
            head = bytes((kind, bit | length))
        elif length < 65_536:
            head = struct.pack("!BBH", kind, bit | 126, length)
        else:
            head = struct.pack("!BBQ", kind, bit | 127, length)
        self.write(head + b"\0\0\0\0" + text if self._client else head + text)

    def close(self) -> None:
        if self._transport is not None:
            self.send(b"\x03\xe8", _CLOSE)
            self._transport.close()

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
            self.send(text, 0x8A)
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
        self.open.set_result(None)
        self._opened()
        return end + 4


# ---- audio, made once -----------------------------------------------------------------------------------------------


def _uplink_frames() -> list[bytes]:
    """The ends of fifty `media` messages: a loud frame, then quiet ones."""
    random = np.random.default_rng(1)
    loud = 12_000 * np.sin(2 * np.pi * 1_000 / 8_000 * np.arange(FRAME_BYTES))
    quiet = random.normal(0, 250, (LOUD_EVERY - 1, FRAME_BYTES))
    frames = [g711.encode(samples.astype(np.int16)) for samples in (loud, *quiet)]
    return [b'","payload":"' + base64.b64encode(frame) + b'"}}' for frame in frames]


def _deltas(bytes_per_ms: int) -> list[bytes]:
    """Some seconds of the model's voice, as base64, in the format of so many bytes a millisecond."""
    random = np.random.default_rng(2)
    samples = random.normal(0, 3_000, (10, 24 * DELTA_MS)).astype("<i2")
    pieces = [row.tobytes() if bytes_per_ms == 48 else g711.encode(row[::3].astype(np.int16)) for row in samples]
    return [base64.b64encode(piece) for piece in pieces]


UPLINK = _uplink_frames()
DELTAS = {48: _deltas(48), 8: _deltas(8)}
FORMATS = {"pcm": {"type": "audio/pcm", "rate": 24_000}, "pcmu": {"type": "audio/pcmu"}}


def _decoded_size(text: str) -> int:
    """Bytes that a piece of base64 stands for."""
    return len(text) // 4 * 3 - (text[-1:] == "=") - (text[-2:-1] == "=")


# ---- the phone ------------------------------------------------------------------------------------------------------


class Phone:
    """One caller: the carrier's requests, the stream, and the ear that plays what comes."""

    def __init__(self, number: int, readings: Readings) -> None:
        self.caller = f"+1555{number:07d}"
        self.streaming = False
        self.first_delta_at: float | None = None  # an answer has begun, and none of it has arrived
        self.spoke_at: float | None = None  # the caller has interrupted, and no clear has arrived
        self._readings = readings
        self._call_sid = f"CA{number:032x}"
        self._stream_sid = f"MZ{number:032x}"
        self._forms = CallForms(ACCOUNT_SID, self._call_sid, CALLED, self.caller)
        self._socket: Socket | None = None
        self._sequence = 0
        self._sent_at: list[float] = []
        self._arrived = 0  # frames that the model has

        # The ear, in bytes of mu-law. What is taken is being heard; it is heard to its end at the next frame's border.
        self._received = self._taken = self._heard = self._begins = 0
        self._marks: deque[tuple[int, str]] = deque()
        self._cleared = False
        self._cut_ms: float | None = None
        self._truncated_ms: float | None = None

        sid = self._stream_sid.encode()
        self._media = (
            b'{"event":"media","sequenceNumber":"%d","streamSid":"' + sid + b'","media":{"track":"inbound","chunk":"%d"'
            b',"timestamp":"%d%b'
        )

    @property
    def hears(self) -> bool:
        """Whether anything is being played."""
        return self._received > self._heard

    async def call(self, http: aiohttp.ClientSession, origin: str) -> None:
        """Dial, and open the stream that the answer asks for; what goes wrong is a failure of the run."""
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                url, parameters = await self._ring(http, origin)
                await self._open(url, parameters)
        except (OSError, aiohttp.ClientError, ElementTree.ParseError, ValueError) as exc:
            self._readings.failures[f"no stream: {exc!r}"[:120]] += 1

    async def hang_up(self, http: aiohttp.ClientSession, origin: str) -> None:
        """End the stream as a caller does who puts the phone down, and report it."""
        was_streaming, self.streaming = self.streaming, False
        if self._socket is not None and was_streaming:
            stop = {"accountSid": ACCOUNT_SID, "callSid": self._call_sid}
            self._send({"event": "stop", "streamSid": self._stream_sid, "stop": stop})
            self._socket.close()
        with contextlib.suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(OPEN_LIMIT_S):
                await self._post(http, f"{origin}/twilio/status", self._forms.call("completed"))

    def frame(self, now: float) -> None:
        """Pass a border between two frames: the microphone's goes out, the ear's is over."""
        number = len(self._sent_at)
        self._sent_at.append(now)
        self._sequence += 1
        text = self._media % (self._sequence, number + 1, number * FRAME_MS, UPLINK[number % LOUD_EVERY])
        assert self._socket is not None
        self._socket.send(text)
        self._heard = self._taken
        if self._marks:
            self._echo(self._heard)
        if self._taken < self._received:
            self._taken = min(self._taken + FRAME_BYTES, self._received)

    def arrived(self, heard_ms: float, now: float) -> None:
        """The model has the stream up to `heard_ms`."""
        readings = self._readings
        while (self._arrived + 1) * FRAME_MS - HELD_BACK_MS <= heard_ms:
            if self._arrived == len(self._sent_at):
                readings.failures["more audio came up than was sent"] += 1
                return
            readings.note(readings.uplink_s, now - self._sent_at[self._arrived])
            self._arrived += 1

    def truncated(self, audio_end_ms: float) -> None:
        """The model was told how much of the answer this phone has heard."""
        self._truncated_ms = audio_end_ms
        self._compare_cut()

    # ---- before the stream

    async def _ring(self, http: aiohttp.ClientSession, origin: str) -> tuple[str, dict[str, str]]:
        begun = time.perf_counter()
        document = await self._post(http, f"{origin}/twilio/voice", self._forms.voice())
        self._readings.webhook_s.append(time.perf_counter() - begun)
        stream = ElementTree.fromstring(document).find("Connect/Stream")
        if stream is None:
            raise ValueError(f"the TwiML opens no stream: {document[:200]}")
        parameters = {one.get("name", ""): one.get("value", "") for one in stream.iter("Parameter")}
        return stream.get("url", ""), parameters

    async def _post(self, http: aiohttp.ClientSession, url: str, fields: dict[str, str]) -> str:
        signed = {"X-Twilio-Signature": signature(AUTH_TOKEN, url, fields)}
        async with http.post(url, data=fields, headers=signed) as answer:
            answer.raise_for_status()
            return await answer.text()

    async def _open(self, url: str, parameters: dict[str, str]) -> None:
        where = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Socket(self._take, client=True, ended=self._ended), where.hostname or "", where.port or 80
        )
        connection.write(
            f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"X-Twilio-Signature: {signature(AUTH_TOKEN, url)}\r\n\r\n".encode()
        )
        await connection.open
        self._socket = connection
        connection.send(b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        start = {
            "accountSid": ACCOUNT_SID,
            "callSid": self._call_sid,
            "streamSid": self._stream_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        self._send({"event": "start", "streamSid": self._stream_sid, "start": start})
        self.streaming = True

    def _ended(self) -> None:
        if self.streaming:
            self.streaming = False
            self._readings.failures["the server closed a stream"] += 1

    # ---- what comes down

    def _send(self, message: dict[str, object]) -> None:
        self._sequence += 1
        assert self._socket is not None
        self._socket.send(orjson.dumps(message | {"sequenceNumber": str(self._sequence)}))

    def _take(self, text: bytes, now: float) -> None:
        message = orjson.loads(text)
        match message["event"]:
            case "media":
                self._play(_decoded_size(message["media"]["payload"]), now)
            case "mark":
                self._marks.append((self._received, message["mark"]["name"]))
                if not self.hears:
                    self._echo(self._received)
            case "clear":
                self._clear(now)

    def _play(self, size: int, now: float) -> None:
        readings = self._readings
        if self.first_delta_at is not None:
            readings.note(readings.downlink_s, now - self.first_delta_at)
            self.first_delta_at, self._begins, self._cleared = None, self._received, False
        elif self._cleared:
            readings.failures["audio came after clear"] += 1
        elif not self.hears:
            readings.underruns += 1
        self._received += size

    def _clear(self, now: float) -> None:
        readings = self._readings
        if self.spoke_at is None:
            readings.failures["clear without an interruption"] += 1
        else:
            readings.note(readings.barge_in_s, now - self.spoke_at)
        self.spoke_at, self._cleared = None, True
        self._received = self._taken
        self._echo(sys.maxsize)
        self._cut_ms = (self._taken - self._begins) / 8
        self._compare_cut()

    def _echo(self, until: int) -> None:
        while self._marks and self._marks[0][0] <= until:
            name = self._marks.popleft()[1]
            self._send({"event": "mark", "streamSid": self._stream_sid, "mark": {"name": name}})

    def _compare_cut(self) -> None:
        """`clear` and the truncation travel on different sockets: whichever comes second tells."""
        if self._cut_ms is not None and self._truncated_ms is not None:
            self._readings.note(self._readings.truncation_ms, self._truncated_ms - self._cut_ms)
            self._cut_ms = self._truncated_ms = None


# ---- the model ------------------------------------------------------------------------------------------------------


@dataclass
class Response:
    """The response under way."""

    response_id: str
    item_id: str
    metadata: object
    sent_ms: int = 0
    transcript: str = ""


class Session:
    """One session of the model: a script, told by the milliseconds of audio that have come."""

    def __init__(self, number: int, model: Model) -> None:
        self.socket = Socket(self._take, client=False, opened=self._greet, ended=self._ended)
        self.over = False  # the call is being ended: nothing more is said
        self._number, self._model, self._readings = number, model, model.readings
        self._ids = count(1)
        self._format = FORMATS[model.codec]
        self._bytes_per_ms = 48 if model.codec == "pcm" else 8
        self._phone: Phone | None = None
        self._heard_ms = 0.0
        self._loud_at_ms = FRAME_MS / 2
        self._script = self._talk()
        self._due_ms = 0.0
        self._awaits_request = False
        self._request: dict[str, Any] | None = None
        self._response: Response | None = None
        self._said_ms: dict[str, int] = {}
        self._last_item: str | None = None
        self._untranscribed: str | None = None
        self._deltas = DELTAS[self._bytes_per_ms]

    def end(self) -> None:
        """The caller hangs up: finish what is under way."""
        self.over = True
        self._due_ms = float("inf")
        if self._response is not None:
            self._finish("completed")

    # ---- in

    def _greet(self) -> None:
        self._send("session.created", session=self._session({"audio": {}}))

    def _ended(self) -> None:
        self._model.sessions.discard(self)
        if not self.over:
            self._fail("the server closed a session")

    def _take(self, text: bytes, now: float) -> None:
        event = orjson.loads(text)
        if event["type"] == "input_audio_buffer.append":
            self._hear(event["audio"], now)
            return
        match event["type"]:
            case "session.update":
                self._update(event["session"])
            case "response.create":
                self._asked(event)
            case "response.cancel":
                self._cancel(event)
            case "conversation.item.truncate":
                self._truncate(event)
            case "conversation.item.create":
                self._add_item({"id": self._id("item"), "object": "realtime.item"} | event["item"])
            case "input_audio_buffer.commit":
                self._commit(self._id("item"))
                self._transcribe()
            case unknown:
                self._refuse(event, "invalid_value", f"{unknown} is no event of this model")

    def _hear(self, audio: str, now: float) -> None:
        before = self._heard_ms
        self._heard_ms += _decoded_size(audio) / self._bytes_per_ms
        if self._phone is None:
            self._fail("audio came before the session knew its caller")
            return
        self._phone.arrived(self._heard_ms, now)
        if before <= self._loud_at_ms < self._heard_ms:
            self._check_loud(base64.b64decode(audio), self._loud_at_ms - before)
            self._loud_at_ms += LOUD_EVERY * FRAME_MS
        if self._heard_ms >= self._due_ms:
            self._go_on()

    def _check_loud(self, payload: bytes, at_ms: float) -> None:
        middle = int(at_ms * self._bytes_per_ms) & ~1
        piece = payload[max(0, middle - 2 * self._bytes_per_ms) : middle + 2 * self._bytes_per_ms]
        samples = np.frombuffer(piece, "<i2") if self._bytes_per_ms == 48 else g711.decode(piece)
        if np.abs(samples.astype(np.int32)).mean() < LOUD:
            self._fail("audio was lost on the way up")

    def _update(self, session: dict[str, Any]) -> None:
        audio = session.get("audio", {})
        if audio and not (audio["input"]["format"] == audio["output"]["format"] == self._format):
            self._fail(f"the session asks for {audio['output']['format']}")
        self._recognise(session.get("instructions", ""))
        self._send("session.updated", session=self._session(session))

    def _session(self, changes: dict[str, Any]) -> dict[str, Any]:
        session = {
            "type": "realtime",
            "object": "realtime.session",
            "id": f"sess_{self._number:021d}",
            "model": "gpt-realtime-2.1",
            "output_modalities": ["audio"],
            "expires_at": int(time.time()) + 3600,
        }
        return session | changes

    def _recognise(self, instructions: str) -> None:
        if self._phone is None and (caller := re.search(r"\+1555\d{7}\b", instructions)):
            self._phone = self._model.phones[caller[0]]

    def _asked(self, event: dict[str, Any]) -> None:
        if self._response is not None:
            self._refuse(event, "conversation_already_has_active_response", self._response.response_id)
        elif event["response"].get("conversation") == "none":
            self._refuse(event, "invalid_value", "this flow has no exact statements")
        elif not self.over:
            self._recognise(event["response"].get("instructions", ""))
            self._request = event["response"]
            if self._awaits_request:
                self._go_on()

    def _cancel(self, event: dict[str, Any]) -> None:
        response = self._response
        if response is not None and event.get("response_id", response.response_id) == response.response_id:
            self._finish("cancelled")
        else:
            self._refuse(event, "response_cancel_not_active", "no active response found", expected=True)

    def _truncate(self, event: dict[str, Any]) -> None:
        item_id, audio_end_ms = event["item_id"], event["audio_end_ms"]
        if audio_end_ms > self._said_ms.get(item_id, -1):
            self._refuse(event, "invalid_value", f"{item_id} is shorter than {audio_end_ms} ms")
            return
        self._send("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=audio_end_ms)
        if self._phone is not None:
            self._phone.truncated(audio_end_ms)

    def _refuse(self, event: dict[str, Any], code: str, message: str, *, expected: bool = False) -> None:
        if not expected:
            self._fail(f"the model had to refuse: {code}")
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        self._send("error", error=error | {"event_id": event.get("event_id")})

    def _fail(self, problem: str) -> None:
        self._readings.failures[problem] += 1

    # ---- the script; it yields the milliseconds of audio at which it goes on

    def _go_on(self) -> None:
        self._due_ms = next(self._script)
        while self._heard_ms >= self._due_ms:
            self._due_ms = next(self._script)

    def _talk(self) -> Iterator[float]:
        yield from self._answer(None)
        yield self._heard_ms + self._model.head_start_ms(self._number)
        for turn in count():
            self._readings.turns += self._readings.recording
            yield from self._listen()
            if turn % RECORD_EVERY == RECORD_EVERY - 1:
                yield from self._record()
            yield from self._answer(CUTS_MS[turn % len(CUTS_MS)])

    def _listen(self) -> Iterator[float]:
        phone, item_id = self._phone, self._id("item")
        assert phone is not None
        if phone.hears:
            phone.spoke_at = time.perf_counter()
        self._send("input_audio_buffer.speech_started", audio_start_ms=int(self._heard_ms), item_id=item_id)
        yield self._heard_ms + SPEECH_MS + VAD_SILENCE_MS
        if phone.spoke_at is not None:
            phone.spoke_at = None
            self._fail("an interruption was not answered by clear")
        self._send("input_audio_buffer.speech_stopped", audio_end_ms=int(self._heard_ms), item_id=item_id)
        self._commit(item_id)

    def _answer(self, cut_ms: int | None) -> Iterator[float]:
        yield from self._wait_for_request()
        if (response := self._begin()) is None:
            return
        yield self._heard_ms + THINKING_MS
        self._transcribe()
        self._begin_message(response)
        begins_ms = self._heard_ms
        assert self._phone is not None
        self._phone.first_delta_at = time.perf_counter()
        for number in range(REPLY_MS // DELTA_MS):
            if number and number % BURST_DELTAS == 0:
                yield self._heard_ms + BURST_EVERY_MS
                if self._response is not response or (cut_ms is not None and self._heard_ms >= begins_ms + cut_ms):
                    return
            self._send_delta(response, number)
        self._finish("completed")
        yield begins_ms + (REPLY_MS + PAUSE_MS if cut_ms is None else cut_ms)

    def _record(self) -> Iterator[float]:
        yield from self._wait_for_request()
        if (response := self._begin()) is None:
            return
        yield self._heard_ms + THINKING_MS
        self._transcribe()
        call_id = self._id("call")
        arguments = '{"wish":{"value":"a table for two","quote":"a table for two, please"}}'
        item = {"id": response.item_id, "object": "realtime.item", "type": "function_call", "call_id": call_id}
        began = item | {"status": "in_progress", "name": "record", "arguments": ""}
        place = {"response_id": response.response_id, "item_id": response.item_id, "output_index": 0}
        self._send("response.output_item.added", response_id=response.response_id, output_index=0, item=began)
        self._send("conversation.item.added", previous_item_id=self._last_item, item=began)
        for start in range(0, len(arguments), 8):
            delta = arguments[start : start + 8]
            self._send("response.function_call_arguments.delta", **place, call_id=call_id, delta=delta)
        self._send(
            "response.function_call_arguments.done", **place, call_id=call_id, name="record", arguments=arguments
        )
        self._end_item(response, item | {"status": "completed", "name": "record", "arguments": arguments})

    def _wait_for_request(self) -> Iterator[float]:
        if self._request is None:
            self._awaits_request = True
            yield self._heard_ms + REQUEST_LIMIT_MS
            self._awaits_request = False

    # ---- out

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._number:05d}{next(self._ids):016d}"

    def _send(self, kind: str, **fields: object) -> None:
        self.socket.send(orjson.dumps({"type": kind, "event_id": self._id("event")} | fields))

    def _add_item(self, item: dict[str, Any]) -> None:
        for kind in ("conversation.item.added", "conversation.item.done"):
            self._send(kind, previous_item_id=self._last_item, item=item)
        self._last_item = item["id"]

    def _commit(self, item_id: str) -> None:
        self._send("input_audio_buffer.committed", previous_item_id=self._last_item, item_id=item_id)
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        self._add_item(item | {"content": content})
        self._untranscribed = item_id

    def _transcribe(self) -> None:
        item_id, self._untranscribed = self._untranscribed, None
        if item_id is not None:
            place = {"item_id": item_id, "content_index": 0}
            kind = "conversation.item.input_audio_transcription"
            usage = {"type": "duration", "seconds": SPEECH_MS / 1000}
            self._send(f"{kind}.delta", **place, delta="A table")
            self._send(f"{kind}.completed", **place, transcript="A table for two, please.", usage=usage)

    def _begin(self) -> Response | None:
        request, self._request = self._request, None
        if request is None:
            self._fail("no reply was asked for")
            return None
        self._response = Response(self._id("resp"), self._id("item"), request.get("metadata"))
        self._send("response.created", response=self._describe(self._response, "in_progress", []))
        return self._response

    def _begin_message(self, response: Response) -> None:
        item = self._message(response, "in_progress", [])
        part = {"type": "audio", "transcript": ""}
        self._send("response.output_item.added", response_id=response.response_id, output_index=0, item=item)
        self._send("conversation.item.added", previous_item_id=self._last_item, item=item)
        self._send("response.content_part.added", **self._place(response), part=part)

    def _send_delta(self, response: Response, number: int) -> None:
        word = _WORDS[number % len(_WORDS)]
        self._send("response.output_audio_transcript.delta", **self._place(response), delta=word)
        self.socket.send(
            b'{"type":"response.output_audio.delta","event_id":"%b","response_id":"%b","item_id":"%b",'
            b'"output_index":0,"content_index":0,"delta":"%b"}'
            % (
                self._id("event").encode(),
                response.response_id.encode(),
                response.item_id.encode(),
                self._deltas[number % len(self._deltas)],
            )
        )
        response.transcript += word
        response.sent_ms += DELTA_MS
        self._said_ms[response.item_id] = response.sent_ms

    def _finish(self, status: str) -> None:
        """End the spoken response under way."""
        response = self._response
        assert response is not None
        place = self._place(response)
        whole = "completed" if status == "completed" else "incomplete"
        content = [{"type": "output_audio", "transcript": response.transcript}]
        item = self._message(response, whole, content)
        if not response.sent_ms:
            self._response = None
            self._send("response.done", response=self._describe(response, status, []))
            return
        self._send("response.output_audio.done", **place)
        self._send("response.output_audio_transcript.done", **place, transcript=response.transcript)
        part = {"type": "audio", "transcript": response.transcript}
        self._send("response.content_part.done", **place, part=part)
        self._end_item(response, item, status)

    def _end_item(self, response: Response, item: dict[str, Any], status: str = "completed") -> None:
        self._send("response.output_item.done", response_id=response.response_id, output_index=0, item=item)
        self._send("conversation.item.done", previous_item_id=self._last_item, item=item)
        self._last_item, self._response = response.item_id, None
        self._send("response.done", response=self._describe(response, status, [item]))
        limits = [{"name": "tokens", "limit": 50_000, "remaining": 49_000, "reset_seconds": 0.3}]
        self._send("rate_limits.updated", rate_limits=limits)

    def _message(self, response: Response, status: str, content: list[dict[str, str]]) -> dict[str, Any]:
        item = {"id": response.item_id, "object": "realtime.item", "type": "message", "role": "assistant"}
        return {**item, "status": status, "content": content}

    def _place(self, response: Response) -> dict[str, object]:
        place: dict[str, object] = {"response_id": response.response_id, "item_id": response.item_id}
        return place | {"output_index": 0, "content_index": 0}

    def _describe(self, response: Response, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        details = {"type": "cancelled", "reason": "client_cancelled"} if status == "cancelled" else None
        return {
            "object": "realtime.response",
            "id": response.response_id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": f"conv_{self._number:021d}",
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "audio": {"output": {"format": self._format, "voice": "marin"}},
            "usage": None if status == "in_progress" else _USAGE,
            "metadata": response.metadata,
        }


_USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}


class Model:
    """The Realtime API on loopback, for as many sessions as come."""

    def __init__(self, codec: str, readings: Readings) -> None:
        self.codec, self.readings = codec, readings
        self.phones: dict[str, Phone] = {}  # by caller's number, which the instructions tell a session
        self.sessions: set[Session] = set()
        self.url = ""
        self._numbers = count()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/v1/realtime"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def end_sessions(self) -> None:
        """The callers are about to hang up."""
        for session in self.sessions:
            session.end()

    def head_start_ms(self, number: int) -> float:
        """How long a session waits before its first turn, so that the calls are at different places of the script."""
        return number * CYCLE_MS * 0.618 % (CYCLE_MS / 2)

    def _accept(self) -> Socket:
        session = Session(next(self._numbers), self)
        self.sessions.add(session)
        return session.socket


# ---- time -----------------------------------------------------------------------------------------------------------


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`: interval and first expiry."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns"))


class FramePump:
    """Has every phone pass its border each 20 ms, evenly spread, on the kernel's timer: an event loop's is too coarse.

    Linux only. The schedule is absolute; how late each frame is goes into the readings.
    """

    def __init__(self, phones: Sequence[Phone], readings: Readings) -> None:
        self._phones, self._readings = phones, readings
        self._every_s = FRAME_MS / 1000 / len(phones)
        self._start = time.perf_counter() + 0.05
        self._passed = 0
        libc = ctypes.CDLL(None, use_errno=True)
        self._timer: int = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        every_ns, first_ns = round(self._every_s * 1e9), round(self._start * 1e9)
        spec = _TimerSpec(*divmod(every_ns, 10**9), *divmod(first_ns, 10**9))
        absolute = 1
        if self._timer < 0 or libc.timerfd_settime(self._timer, absolute, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "no timer")
        asyncio.get_running_loop().add_reader(self._timer, self._pass)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._timer)
        os.close(self._timer)

    def _pass(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._timer, 8)
        readings = self._readings
        while (now := time.perf_counter()) >= (due := self._start + self._passed * self._every_s):
            phone = self._phones[self._passed % len(self._phones)]
            self._passed += 1
            if phone.streaming:
                readings.note(readings.lateness_s, now - due)
                phone.frame(now)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
