"""Messages of Twilio Media Streams, read and written (Twilio Media Streams docs, "WebSocket messages").

One text frame is one JSON object whose `event` names it. Twilio sends `connected`, then `start`, then `media`, `dtmf`
and `mark` as they happen, and `stop` at the end (though not always before the socket closes). It takes `media`,
`mark` and `clear`. Audio is G.711 mu-law, 8 kHz, mono, without a header, in base64.

Fields that are documented but not used here (`sequenceNumber`, `chunk`, `tracks`) are not required, nor is the
`streamSid` that every frame repeats: one socket carries one stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from voicebot import base64_codec
from voicebot.errors import MediaStreamError
from voicebot.json_codec import dumps, loads

_STREAM_SID = re.compile(r"MZ[0-9a-fA-F]{32}", re.ASCII)
_CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}", re.ASCII)
_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}", re.ASCII)
_MEDIA_FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
_DIGITS = frozenset("0123456789*#ABCD")
_LONGEST_NUMBER = 15  # digits; milliseconds of thirty thousand years
_LONGEST_SHOWN = 60  # characters of the peer's text in an error


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is up; the first message, without a stream yet."""


@dataclass(frozen=True, slots=True)
class Start:
    """The stream begins. `parameters` are the TwiML's `<Parameter>` elements; they hold the token, so no repr."""

    stream_sid: str
    call_sid: str
    account_sid: str
    parameters: Mapping[str, str] = field(repr=False, hash=False)


@dataclass(slots=True)  # not frozen: it comes fifty times a second, and would take half as long again to make
class Media:
    """Audio of the caller: mu-law, 8 kHz, 8 bytes a millisecond, of any length.

    `timestamp_ms` counts from the start of the stream; the first one may be above 0.
    """

    payload: bytes = field(repr=False)
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Dtmf:
    """The caller pressed a key: one of 0-9 * # A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that we sent came back: the audio before it was played, or flushed by `clear`."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream ended: the caller hung up, or the call went on to other TwiML."""


Message = Connected | Start | Media | Dtmf | Mark | Stop


def parse(text: str | bytes, stream_sid: str | None = None) -> Message | None:
    """Read one message; None for one that we do not use (an event added later, audio of the outbound track).

    Args:
        text: one text frame; bytes are UTF-8.
        stream_sid: the stream this socket carries; a frame that names another one is refused.

    Raises:
        MediaStreamError: the message is malformed; the text names the problem and holds no audio.
    """
    try:
        message = loads(text)
    except ValueError as exc:
        problem = "not valid JSON" if text else "empty or binary, which is not valid JSON"
        raise MediaStreamError(f"the message is {problem}") from exc
    if not isinstance(message, dict):
        raise MediaStreamError("the message is not a JSON object")
    event = message.get("event")
    if not isinstance(event, str):
        raise MediaStreamError("the message has no event name")
    if stream_sid is not None and message.get("streamSid", stream_sid) != stream_sid:
        raise MediaStreamError(f"{_shown(event)}: streamSid is not this stream's")
    read = _READERS.get(event)
    return None if read is None else read(message)


def media_message(stream_sid: str, payload: bytes) -> str:
    """Play `payload` (mu-law, 8 kHz, any length) after all that was sent before.

    `stream_sid` goes in unescaped: it must come from `Start`, which was checked.
    """
    audio = base64_codec.encode(payload)
    return f'{{"event":"media","streamSid":"{stream_sid}","media":{{"payload":"{audio}"}}}}'


def mark_message(stream_sid: str, name: str) -> str:
    """Ask for `name` back once everything sent before has been played or cleared."""
    return dumps({"event": "mark", "streamSid": stream_sid, "mark": {"name": name}})


def clear_message(stream_sid: str) -> str:
    """Drop what was sent and not yet played; marks that wait come back at once."""
    return f'{{"event":"clear","streamSid":"{stream_sid}"}}'


def _read_connected(message: dict[str, object]) -> Connected:
    return Connected()


def _read_start(message: dict[str, object]) -> Start:
    start = _object(message, "start")
    stream_sid = _sid(start, "streamSid", _STREAM_SID)
    if message.get("streamSid", stream_sid) != stream_sid:
        raise MediaStreamError("start: the two values of streamSid differ")
    _check_format(start)
    return Start(
        stream_sid=stream_sid,
        call_sid=_sid(start, "callSid", _CALL_SID),
        account_sid=_sid(start, "accountSid", _ACCOUNT_SID),
        parameters=_parameters(start),
    )


def _read_media(message: dict[str, object]) -> Media | None:
    media = message.get("media")
    if not isinstance(media, dict):
        raise MediaStreamError("media is missing or not an object")
    track = media.get("track", "inbound")
    if track != "inbound":
        if track == "outbound":
            return None
        raise MediaStreamError("media.track is neither inbound nor outbound")
    payload = media.get("payload")
    if not isinstance(payload, str):
        raise MediaStreamError("media.payload is missing or not a string")
    try:
        audio = base64_codec.decode(payload)
    except ValueError as exc:
        raise MediaStreamError("media.payload is not valid base64") from exc
    return Media(audio, _timestamp(media.get("timestamp")))


def _read_dtmf(message: dict[str, object]) -> Dtmf:
    digit = _object(message, "dtmf").get("digit")
    if not isinstance(digit, str) or digit not in _DIGITS:
        raise MediaStreamError("dtmf.digit is missing or not one of 0-9 * # A-D")
    return Dtmf(digit)


def _read_mark(message: dict[str, object]) -> Mark:
    return Mark(_text(_object(message, "mark").get("name"), "mark.name"))


def _read_stop(message: dict[str, object]) -> Stop:
    return Stop()


# A table, not `match` with nested patterns: that costs ten times as much per frame.
_READERS: dict[str, Callable[[dict[str, object]], Message | None]] = {
    "connected": _read_connected,
    "start": _read_start,
    "media": _read_media,
    "dtmf": _read_dtmf,
    "mark": _read_mark,
    "stop": _read_stop,
}


def _object(message: dict[str, object], name: str) -> dict[str, object]:
    value = message.get(name)
    if not isinstance(value, dict):
        raise MediaStreamError(f"{name} is missing or not an object")
    return value


def _sid(start: dict[str, object], name: str, shape: re.Pattern[str]) -> str:
    value = start.get(name)
    if not isinstance(value, str) or shape.fullmatch(value) is None:
        raise MediaStreamError(f"start.{name} is missing or not {shape.pattern[:2]} and 32 hexadecimal digits")
    return value


def _check_format(start: dict[str, object]) -> None:
    """Refuse anything but mu-law, 8 kHz, mono: it would be played and heard as noise."""
    stated = start.get("mediaFormat")
    if not isinstance(stated, dict):
        raise MediaStreamError("start.mediaFormat is missing or not an object")
    for name, expected in _MEDIA_FORMAT.items():
        if stated.get(name) != expected:
            raise MediaStreamError(
                f"start.mediaFormat.{name} is {_shown(stated.get(name))}; only audio/x-mulaw 8000/1 is spoken here"
            )


def _parameters(start: dict[str, object]) -> Mapping[str, str]:
    stated = start.get("customParameters", {})
    if not isinstance(stated, dict):
        raise MediaStreamError("start.customParameters is not an object")
    return {
        _text(name, "start.customParameters"): _text(value, "start.customParameters") for name, value in stated.items()
    }


def _timestamp(value: object) -> int:
    """Milliseconds: a string of digits as documented, or a number."""
    if type(value) is str and value.isdecimal() and value.isascii() and len(value) <= _LONGEST_NUMBER:
        return int(value)
    if type(value) is int and 0 <= value < 10**_LONGEST_NUMBER:
        return value
    raise MediaStreamError("media.timestamp is missing or not a number of milliseconds")


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise MediaStreamError(f"{name} is missing or not a string")
    return value


def _shown(value: object) -> str:
    """The peer's value for an error text: short, one line, and never a whole structure."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return ascii(value[:_LONGEST_SHOWN])
    if isinstance(value, int | float):
        return ascii(value) if -1e15 < value < 1e15 else "a huge number"
    return f"of type {type(value).__name__}"
