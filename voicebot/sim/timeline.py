"""What happened in a call, as the phone line saw it.

Times are milliseconds since the call was placed; they are also positions on the tape (8 bytes each).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FRAME_MS = 20
BYTES_PER_MS = 8  # G.711 at 8 kHz
BREATH_MS = 300  # silence shorter than this is a pause between words, longer ends an utterance
QUIETEST_AUDIBLE = 0x70  # low 7 bits of a mu-law code at or above this: |sample| <= 120, about -49 dBFS
_QUIET_CODES = bytes(code for code in range(256) if code & 0x7F >= QUIETEST_AUDIBLE)

Ender = Literal["caller", "server", "error"]
Closer = Literal["caller", "server", "network", "account"]  # the account: by its REST API


def is_audible(payload: bytes | bytearray) -> bool:
    """Whether any mu-law byte is louder than line noise."""
    return bool(payload.translate(None, _QUIET_CODES))


# ---- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WebhookAnswered:
    """The server answered a request of the line; `status` is None when no answer came, and `error` says why."""

    at_ms: float
    url: str
    status: int | None
    took_ms: float
    error: str | None
    body: str


@dataclass(frozen=True, slots=True)
class VerbPlayed:
    """A TwiML verb began; `detail` is its text, number, address or length."""

    at_ms: float
    verb: str
    detail: str


@dataclass(frozen=True, slots=True)
class StreamOpened:
    at_ms: float
    stream_sid: str
    url: str


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The stream's socket could not be had; `error` begins with the vendor's code, as in `31920 - ...`."""

    at_ms: float
    url: str
    error: str


@dataclass(frozen=True, slots=True)
class StreamBroke:
    """The stream's connection is gone and the line does not know: the caller hears silence, nobody is asked."""

    at_ms: float
    stream_sid: str


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The stream is over. `code` is the WebSocket's close code, None when the connection broke without one."""

    at_ms: float
    stream_sid: str
    by: Closer
    code: int | None


@dataclass(frozen=True, slots=True)
class BotSaid:
    """An utterance decoded from the audio that was really played to the caller, after every `clear`.

    `damaged` counts the letters that did not come through whole.
    """

    text: str
    start_ms: float
    end_ms: float
    complete: bool
    damaged: int = 0

    @property
    def at_ms(self) -> float:
        return self.start_ms


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """The caller spoke; the span is that of audible sound. Incomplete when the call ended meanwhile."""

    text: str
    start_ms: float
    end_ms: float
    complete: bool

    @property
    def at_ms(self) -> float:
        return self.start_ms


@dataclass(frozen=True, slots=True)
class KeyPressed:
    at_ms: float
    digit: str


@dataclass(frozen=True, slots=True)
class MessageRecorded:
    """The line has recorded the caller; `text` is decoded from the recording alone."""

    at_ms: float
    recording_sid: str
    text: str
    length_s: int


@dataclass(frozen=True, slots=True)
class Whispered:
    """Whoever was rung has answered, and was told this before they were joined to the caller."""

    at_ms: float
    text: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """The server sent `clear`: what was dropped unheard."""

    at_ms: float
    dropped_ms: float
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CallEnded:
    at_ms: float
    by: Ender
    reason: str


Event = (
    WebhookAnswered
    | VerbPlayed
    | StreamOpened
    | StreamFailed
    | StreamBroke
    | StreamClosed
    | BotSaid
    | CallerSaid
    | KeyPressed
    | MessageRecorded
    | Whispered
    | Cleared
    | CallEnded
)

# ---- what one stream did ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Violation:
    """The server broke the protocol. `code` is the vendor's error or warning number."""

    code: str
    problem: str
    at_ms: float


@dataclass(slots=True)
class Mark:
    """A mark of the server, `flushed` when a `clear` overtook it; `echoed_ms` is None for one never echoed."""

    name: str
    received_ms: float
    echoed_ms: float | None = None
    flushed: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """Bytes `first_byte` to `first_byte + count` of all that the server sent on a stream were heard from `at_ms` on."""

    at_ms: float
    first_byte: int
    count: int

    @property
    def end_ms(self) -> float:
        return self.at_ms + self.count / BYTES_PER_MS


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """The truth about one Media Stream, sample by sample."""

    stream_sid: str
    opened_ms: float
    closed_ms: float
    received_bytes: int
    played: tuple[Played, ...]
    marks: tuple[Mark, ...]
    clears: tuple[Cleared, ...]
