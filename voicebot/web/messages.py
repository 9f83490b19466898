"""Messages of `/realtime/{session_id}`: what a client may send, and the form of what it is sent.

A binary message is audio, in both directions: PCM16, little-endian, mono, 24 kHz, of any length. A text message is a
JSON object with a `type`. `README.md` beside this file shows each of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from voicebot import base64_codec
from voicebot.errors import RealtimeMessageError
from voicebot.json_codec import dumps, loads

PROTOCOL = 1
LONGEST_TEXT = 4_000  # characters of a turn in text
MOST_KEYS = 32  # in one message
MOST_PLAYED_MS = 86_400_000  # a day
_KEYS = re.compile(rf"[0-9*#A-D]{{1,{MOST_KEYS}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Audio:
    """Some audio of the caller, in JSON."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A turn of the caller in text."""

    text: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that the caller pressed, in order."""

    digits: str


@dataclass(frozen=True, slots=True)
class Played:
    """So much of the audio since the clear number `epoch` has been played by now."""

    epoch: int
    ms: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller ends the conversation."""


Message = Audio | Text | Keys | Played | HangUp


def parse(text: bytes) -> Message | None:
    """Read one text message; None for a type that is not known, so that newer clients are understood as far as can be.

    Raises:
        RealtimeMessageError: it is no JSON object with a type, or lacks what its type must have.
    """
    try:
        message = loads(text)
    except ValueError as exc:
        raise RealtimeMessageError("a message is not JSON in UTF-8") from exc
    match message:
        case {"type": "audio", "audio": str(coded)}:
            try:
                return Audio(base64_codec.decode(coded))
            except ValueError as exc:
                raise RealtimeMessageError("audio is not base64") from exc
        case {"type": "played", "epoch": int(epoch), "ms": int() | float() as ms}:
            if isinstance(ms, bool) or not 0 <= ms <= MOST_PLAYED_MS:
                raise RealtimeMessageError("played has no ms from 0 on")
            return Played(epoch, float(ms))
        case {"type": "text", "text": str(words)}:
            if not (words := words.strip()) or len(words) > LONGEST_TEXT:
                raise RealtimeMessageError(f"a turn in text has 1 to {LONGEST_TEXT} characters")
            return Text(words)
        case {"type": "keys", "keys": str(digits)}:
            if not _KEYS.fullmatch(digits):
                raise RealtimeMessageError(f"keys are 1 to {MOST_KEYS} of 0-9 * # A-D")
            return Keys(digits)
        case {"type": "hang_up"}:
            return HangUp()
        case {"type": "audio" | "played" | "text" | "keys" as kind}:
            raise RealtimeMessageError(f"{kind} lacks what it must have")
        case {"type": str()}:
            return None
    raise RealtimeMessageError("a message is no object with a type")


def audio_message(payload: bytes) -> str:
    """Audio of the bot, for a client that wants it in JSON."""
    return f'{{"type":"audio","audio":"{base64_codec.encode(payload)}"}}'


def event_message(kind: str, **facts: Any) -> str:
    """Any other message to a client."""
    return dumps({"type": kind, **facts})
