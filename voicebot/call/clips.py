"""Clips: exact statements, rendered once and kept.

A speech-to-speech model paraphrases. What must be said word for word is rendered out of the conversation, accepted
only if what was spoken matches, and then played by us as often as it is needed.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher

from voicebot.audio.formats import AudioFormat
from voicebot.engine.numerals import in_groups

_MAX_BYTES = 64 * 1024 * 1024
_SOUNDS_ALIKE = 0.75  # share of equal letters: "Rossi" and "Rosi", "Mayer" and "Maier"


class ClipCache:
    """Rendered statements by key, the least recently used dropped past `max_bytes`."""

    def __init__(
        self, max_bytes: int = _MAX_BYTES, *, rendered: Callable[[str, bytes], None] = lambda key, payload: None
    ) -> None:
        """`rendered` is told of every new clip; it must not wait."""
        self._max_bytes, self._rendered = max_bytes, rendered
        self._held_bytes = 0
        self._clips: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        """The audio, in the format that is part of the key."""
        if key in self._clips:
            self._clips.move_to_end(key)
        return self._clips.get(key)

    def put(self, key: str, payload: bytes) -> None:
        """Keep a clip that was rendered just now."""
        self._rendered(key, payload)
        self.recall(key, payload)

    def recall(self, key: str, payload: bytes) -> None:
        """Keep a clip that was rendered before, elsewhere."""
        if len(payload) > self._max_bytes:
            return
        self._held_bytes += len(payload) - len(self._clips.pop(key, b""))
        self._clips[key] = payload
        while self._held_bytes > self._max_bytes:
            _, dropped = self._clips.popitem(last=False)
            self._held_bytes -= len(dropped)


def clip_key(text: str, *, voice: str, language: str, model: str, audio_format: AudioFormat) -> str:
    """What makes two renderings the same: 32 hex digits."""
    parts = "\0".join((text, voice, language, model, audio_format.value))
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def spoken_as_written(text: str, transcript: str) -> bool:
    """Whether a rendering says what it should: as many words, each the same, a name as near as one spelled by ear.

    Where only one of the two has its numbers in digits, they are the same if both are of the same groups ("26.50" and
    "twenty-six fifty", not "two thousand six hundred and fifty"), or if every digit is read out.
    """
    wanted, spoken = _words(text), _words(transcript)
    if _same_words(wanted, spoken):
        return True
    if _has_digits(wanted) == _has_digits(spoken):
        return False
    if _has_digits(wanted):
        return any(_same_words(written, in_groups(spoken)) for written in (in_groups(wanted), _read_out(wanted)))
    return any(_same_words(in_groups(wanted), written) for written in (in_groups(spoken), _read_out(spoken)))


def _same_words(wanted: Sequence[str], spoken: Sequence[str]) -> bool:
    return len(wanted) == len(spoken) and all(map(_same_word, wanted, spoken))


def _same_word(wanted: str, spoken: str) -> bool:
    one, other = wanted.casefold(), spoken.casefold()
    if one == other or not wanted[0].isupper():  # no name: "sesenta" and "setenta" sound alike, and are two numbers
        return one == other
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _SOUNDS_ALIKE


def _words(text: str) -> list[str]:
    return re.findall(r"\d+(?:[.,:]\d+)*|[^\W\d_]+", text)


def _has_digits(words: Iterable[str]) -> bool:
    return any(word[0].isdecimal() for word in words)


def _read_out(words: Sequence[str]) -> list[str]:
    """The words with every number digit by digit."""
    return [part for word in words for part in (re.findall(r"\d", word) if word[0].isdecimal() else [word])]
