"""The network's side of one Media Stream, with no input or output of its own (Twilio Media Streams docs).

At each border between two 20 ms frames of the call

1. the microphone's frame is complete and goes out as `media`;
2. the frame in the caller's ear is over: marks behind its last byte are echoed;
3. the next frame is taken from the playout buffer, filled up with silence.

So the frame that a `clear` finds in the ear is heard to its end, and nothing behind it is.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Literal

from .playout import FRAME_BYTES, SILENCE, Handset, PlayoutBuffer
from .timeline import BYTES_PER_MS, FRAME_MS, Cleared, Mark, StreamRecord, Violation

LONGEST_PLAYOUT_MS = 600_000  # what a server may have waiting to be played

Frame = str | bytes  # of a WebSocket: text or binary
SignatureFault = Literal["valid", "forged", "missing"]

UNKNOWN_EVENTS: tuple[tuple[int, Frame], ...] = (
    (100, '{"event":"weather","streamSid":"MZ0","weather":{"sky":"blue"}}'),
    (160, '{"event":"media_format_changed","sequenceNumber":"x"}'),
)
MALFORMED_FRAMES: tuple[tuple[int, Frame], ...] = (
    (100, "not json"),
    (140, "[]"),
    (180, "{}"),
    (220, '{"event":"media"}'),
    (260, '{"event":"media","media":{"payload":"%%%"}}'),
    (300, '{"event":"dtmf","dtmf":{}}'),
    (340, b"\x00\x01\x02"),
)


@dataclass(frozen=True, slots=True)
class LineFaults:
    """Facts about the line that one can change, one at a time; the defaults are the documented ones.

    Times of a stream count from its opening. `network_delay_ms` is (to the server, from the server), one way, on the
    stream's messages; up to `jitter_ms` more is added to each, order kept.
    """

    clear_echoes_marks: bool = True
    mark_loss: float = 0.0  # share of marks never echoed
    stop_sent: bool = True
    drop_socket_at_ms: float | None = None  # the first stream's connection breaks, without a close frame
    first_timestamp_ms: int = 0
    chunk_ms: tuple[int, ...] = (FRAME_MS,)  # lengths of `media`, in turn
    media_before_start: bool = False
    inject: tuple[tuple[int, Frame], ...] = ()  # (ms, frame) out of the protocol, as `MALFORMED_FRAMES`
    duplicate_webhook: bool = False  # the voice webhook comes twice at once; the second answer counts
    request_action: bool = True
    actions_withheld: int = 0  # of the first streams, however they end: the next verb comes instead
    actions_lost: int = 0  # of the first requests for an action: no connection comes about, so the fallback is asked
    action_delay_s: float = 0.0  # from the end of a stream to the request for its action
    unnoticed_breaks: int = 0  # the first broken connections are half open to the line: silence, and nobody is asked
    action_after_failed_handshake: bool = False  # the vendor does not say; observed is the next verb
    webhook_signature: SignatureFault = "valid"
    stream_signature: SignatureFault = "valid"
    network_delay_ms: tuple[float, float] = (0.0, 0.0)
    jitter_ms: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.chunk_ms or min(self.chunk_ms) < 1:
            raise ValueError("chunk_ms needs lengths of at least 1 ms")


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    account_sid: str
    call_sid: str
    stream_sid: str
    parameters: tuple[tuple[str, str], ...] = ()


class Line:
    """One bidirectional Media Stream: reads what the server sends, plays it, and says what the line sends.

    Each method that returns frames returns those for the server, in order. After `stop` or `record` it is deaf.
    """

    def __init__(self, identity: StreamIdentity, handset: Handset, faults: LineFaults | None = None) -> None:
        self.violations: list[Violation] = []
        self._faults = faults or LineFaults()
        self._identity, self._handset = identity, handset
        self._playout = PlayoutBuffer()
        self._writer = _StreamWriter(identity, self._faults)
        self._random = Random(self._faults.seed)
        self._injections = deque(sorted(self._faults.inject, key=lambda injection: injection[0]))
        self._opened_ms = 0.0
        self._stopped = False

    @property
    def clears(self) -> Sequence[Cleared]:
        return self._playout.clears

    def open(self, now: float) -> list[Frame]:
        """The socket is open: the greeting of the protocol."""
        self._handset.advance(now)
        self._opened_ms = self._handset.at_ms(now)
        early = self._writer.media(SILENCE * FRAME_BYTES) if self._faults.media_before_start else []
        return [self._writer.connected(), *early, self._writer.start()]

    def advance(self, now: float) -> list[Frame]:
        """Pass every border until `now`."""
        if self._stopped:
            return []
        return [frame for _ in range(self._handset.borders_until(now)) for frame in self._pass_border()]

    def receive(self, frame: Frame, now: float) -> list[Frame]:
        """Read one message of the server; what breaks the protocol is written down in `violations`."""
        answers = self.advance(now)
        if self._stopped:
            return answers
        at_ms = self._handset.at_ms(now)
        try:
            return answers + self._obey(self._parse(frame), at_ms)
        except _BrokenRuleError as broken:
            self.violations.append(Violation(broken.code, broken.problem, at_ms))
            return answers

    def press(self, digit: str) -> list[Frame]:
        """The caller presses a key: one of 0-9 * # A-D."""
        return [self._writer.dtmf(digit)]

    def stop(self, now: float) -> list[Frame]:
        """The call is over: the last frames of the stream."""
        frames = self.advance(now)
        self._stopped = True
        return [*frames, self._writer.stop()] if self._faults.stop_sent else frames

    def record(self, now: float) -> StreamRecord:
        """The stream is over: what was truly sent, played, marked and cleared."""
        self._stopped = True
        return StreamRecord(
            stream_sid=self._identity.stream_sid,
            opened_ms=self._opened_ms,
            closed_ms=self._handset.at_ms(now),
            received_bytes=self._playout.received_bytes,
            played=tuple(self._playout.played),
            marks=tuple(self._playout.marks),
            clears=tuple(self._playout.clears),
        )

    def _pass_border(self) -> list[Frame]:
        spoken = self._handset.end_frame()
        at_ms = self._handset.elapsed_ms
        frames = [*self._writer.media(spoken), *self._echo(self._playout.frame_over(), at_ms), *self._inject(at_ms)]
        self._handset.begin_frame(self._playout.take(FRAME_BYTES, at_ms))
        return frames

    def _parse(self, frame: Frame) -> dict[str, object]:
        if isinstance(frame, bytes):
            raise _BrokenRuleError("31924", "a binary frame")
        try:
            message = json.loads(frame)
        except ValueError:
            raise _BrokenRuleError("31951", f"not JSON: {frame[:80]!r}") from None
        if not isinstance(message, dict):
            raise _BrokenRuleError("31951", f"not an object: {frame[:80]!r}")
        if message.get("event") not in ("media", "mark", "clear"):
            raise _BrokenRuleError("31951", f"event {message.get('event')!r} is not one that a server may send")
        if message.get("streamSid") != self._identity.stream_sid:
            raise _BrokenRuleError("31951", f"streamSid {message.get('streamSid')!r} is not this stream's")
        return message

    def _obey(self, message: dict[str, object], at_ms: float) -> list[Frame]:
        match message:
            case {"event": "media", "media": {"payload": str(payload)}}:
                self._take_media(payload)
                return []
            case {"event": "mark", "mark": {"name": str(name)}} if name:
                return self._echo(self._playout.mark(name, at_ms), at_ms)
            case {"event": "clear"}:
                flushed = self._playout.clear(at_ms)
                return self._echo(flushed, at_ms) if self._faults.clear_echoes_marks else []
        raise _BrokenRuleError("31951", f"{message['event']} lacks a documented field")

    def _take_media(self, encoded: str) -> None:
        try:
            payload = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise _BrokenRuleError("31951", "media payload is not base64") from None
        if not payload:
            raise _BrokenRuleError("31951", "media payload is empty")
        if payload.startswith((b"RIFF", b".snd")):
            raise _BrokenRuleError("31951", "media payload begins with a file header")
        if self._playout.waiting_bytes + len(payload) > LONGEST_PLAYOUT_MS * BYTES_PER_MS:
            raise _BrokenRuleError("31951", "more than ten minutes of audio wait to be played")
        self._playout.append(payload)

    def _echo(self, marks: Sequence[Mark], at_ms: float) -> list[Frame]:
        frames: list[Frame] = []
        for mark in marks:
            if self._random.random() < self._faults.mark_loss:
                continue
            mark.echoed_ms = at_ms
            frames.append(self._writer.mark(mark.name))
        return frames

    def _inject(self, at_ms: float) -> list[Frame]:
        frames: list[Frame] = []
        while self._injections and self._injections[0][0] <= at_ms - self._opened_ms:
            frames.append(self._injections.popleft()[1])
        return frames


class _StreamWriter:
    """The messages of the line, numbered as documented: numbers are strings, but for the media format's."""

    def __init__(self, identity: StreamIdentity, faults: LineFaults) -> None:
        self._identity = identity
        self._stream_sid = json.dumps(identity.stream_sid)
        self._sequence = 0
        self._chunk = 0
        self._timestamp_ms = faults.first_timestamp_ms
        self._lengths_ms = cycle(faults.chunk_ms)
        self._next_length_ms = next(self._lengths_ms)
        self._unsent = bytearray()

    def connected(self) -> str:
        return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self) -> str:
        return self._event(
            "start",
            {
                "accountSid": self._identity.account_sid,
                "streamSid": self._identity.stream_sid,
                "callSid": self._identity.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": dict(self._identity.parameters),
            },
        )

    def media(self, spoken: bytes) -> list[Frame]:
        """The chunks that `spoken` completes; what is left goes with the next."""
        self._unsent += spoken
        frames: list[Frame] = []
        while len(self._unsent) >= (size := self._next_length_ms * BYTES_PER_MS):
            frames.append(self._chunk_of(bytes(self._unsent[:size])))
            del self._unsent[:size]
            self._timestamp_ms += self._next_length_ms
            self._next_length_ms = next(self._lengths_ms)
        return frames

    def dtmf(self, digit: str) -> str:
        return self._event("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        return self._event("mark", {"name": name})

    def stop(self) -> str:
        return self._event("stop", {"accountSid": self._identity.account_sid, "callSid": self._identity.call_sid})

    def _chunk_of(self, payload: bytes) -> str:
        """As `_event` would write it, fifty times a second: nothing in it needs an escape."""
        self._chunk += 1
        self._sequence += 1
        encoded = base64.b64encode(payload).decode()
        return (
            f'{{"event": "media", "sequenceNumber": "{self._sequence}", "media": {{"track": "inbound", '
            f'"chunk": "{self._chunk}", "timestamp": "{self._timestamp_ms}", "payload": "{encoded}"}}, '
            f'"streamSid": {self._stream_sid}}}'
        )

    def _event(self, event: str, body: dict[str, object]) -> str:
        self._sequence += 1
        return json.dumps(
            {
                "event": event,
                "sequenceNumber": str(self._sequence),
                event: body,
                "streamSid": self._identity.stream_sid,
            }
        )


class _BrokenRuleError(Exception):
    """The server sent what the protocol does not allow. `code` is the vendor's number."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(code, problem)
        self.code, self.problem = code, problem
