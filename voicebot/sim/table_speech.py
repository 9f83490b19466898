"""Speech of the table: bytes that carry their own text, as fast to write and to read as copying them.

A letter lasts as long as in the twin's real speech, so a call takes the same time at the table as over the whole path:
one symbol of 60 ms for each byte of UTF-8, one before them and one after, each the same byte 480 times. The two marks
are bytes that no UTF-8 text holds. What was dropped, cut, doubled or mixed up on the way is seen in the runs.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from .timeline import BYTES_PER_MS

SYMBOL_MS = 60
BEGIN, END = 0xFE, 0xFF

_SIZE = SYMBOL_MS * BYTES_PER_MS
_SYMBOLS = [bytes([value]) * _SIZE for value in range(256)]


@dataclass(frozen=True, slots=True)
class Reading:
    """The text in some audio. `complete` says that its end was there, `damaged` how many letters were not whole.

    A letter that was cut at the end is left out, and no damage.
    """

    text: str
    complete: bool
    damaged: int


def one_line(text: str) -> str:
    """A text as it is spoken: whitespace runs are single spaces."""
    return " ".join(text.split())


def speech_ms(text: str) -> int:
    """How long `spoken(text)` lasts."""
    return SYMBOL_MS * (len(_encoded(text)) + 2)


@lru_cache(maxsize=256)
def spoken(text: str) -> bytes:
    """The text as audio."""
    return b"".join([_SYMBOLS[BEGIN], *(_SYMBOLS[value] for value in _encoded(text)), _SYMBOLS[END]])


def read(audio: bytes) -> Reading:
    """The text of one utterance, from its first byte on."""
    whole = len(audio) // _SIZE
    reading = _reading(audio[::_SIZE][:whole], 0)
    if reading.complete and spoken(reading.text) == audio:
        return reading
    if b"".join([_SYMBOLS[value] for value in audio[::_SIZE][:whole]]) == audio[: whole * _SIZE]:
        return reading
    return _reading(*_mended(audio))


def _reading(symbols: bytes, damaged: int) -> Reading:
    complete = symbols.endswith(_SYMBOLS[END][:1])
    if symbols and symbols[0] != BEGIN:
        damaged += 1
    text = symbols.removeprefix(_SYMBOLS[BEGIN][:1]).removesuffix(_SYMBOLS[END][:1])
    return Reading(codecs.getincrementaldecoder("utf-8")("replace").decode(text, complete), complete, damaged)


def text_within(text: str, heard_ms: float) -> str:
    """What has been spoken of a text `heard_ms` after its beginning, in whole letters."""
    letters = max(0, int(heard_ms) // SYMBOL_MS - 1)
    return _encoded(text)[:letters].decode(errors="ignore")


def _encoded(text: str) -> bytes:
    return one_line(text).encode(errors="replace")


def _mended(audio: bytes) -> tuple[bytes, int]:
    """The symbols of audio that is out of step, and how many of them are not whole."""
    runs = [(value, len(list(run))) for value, run in groupby(audio)]
    symbols = b"".join(bytes([value]) * max(1, round(size / _SIZE)) for value, size in runs)
    return symbols, max(1, sum(size % _SIZE != 0 for _, size in runs[:-1]))
