"""What `<Record>` does (TwiML docs): a tone, then the caller's words until a pause, a key, the limit or the hang-up.

Pure: the phone passes the frames, and tells which keys are pressed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import g711
from .listener import Listener
from .timeline import BYTES_PER_MS, FRAME_MS, is_audible
from .twiml_player import Record

RATE_HZ = 8_000
BEEP_HZ = 1_400  # a frame holds a whole number of its waves
BEEP_MS = 500
_PEAK = 8_000
_PURE = 0.95  # share of a frame's energy at that pitch; mu-law takes less than 0.001 away


def _wave(count: int) -> NDArray[np.complex128]:
    wave: NDArray[np.complex128] = np.exp(2j * np.pi * BEEP_HZ / RATE_HZ * np.arange(count))
    return wave


BEEP = g711.encode((_wave(BEEP_MS * BYTES_PER_MS).imag * _PEAK).astype(np.int16))
_ONE_FRAME = _wave(FRAME_MS * BYTES_PER_MS)


def is_beep(frame: bytes) -> bool:
    """Whether 20 ms of mu-law are nothing but the tone before a recording."""
    if len(frame) != len(_ONE_FRAME) or not is_audible(frame):
        return False
    samples = g711.decode(frame).astype(np.float64)
    at_its_pitch = 2 * abs(samples @ _ONE_FRAME) ** 2 / len(samples)
    return bool(at_its_pitch > _PURE * (samples @ samples))


class Recorder:
    """One recording. `audio` is what was recorded so far, mu-law at 8 kHz; `key` what ended it, if a key did."""

    def __init__(self, verb: Record) -> None:
        self.audio = b""
        self.key = ""
        self._verb = verb
        self._quiet_ms = 0.0

    def hear(self, spoken: bytes) -> None:
        """The caller's next frames."""
        self.audio += spoken
        self._quiet_ms = 0.0 if is_audible(spoken) else self._quiet_ms + len(spoken) / BYTES_PER_MS

    def press(self, digit: str) -> None:
        """The caller presses a key."""
        if digit in self._verb.finish_on_key and not self.key:
            self.key = digit

    @property
    def over(self) -> bool:
        """Whether the line stops recording."""
        too_long = len(self.audio) >= self._verb.longest_s * 1000 * BYTES_PER_MS
        return bool(self.key) or too_long or self._quiet_ms >= self._verb.timeout_s * 1000

    @property
    def empty(self) -> bool:
        """Whether the caller said nothing."""
        return not is_audible(self.audio)

    @property
    def length_s(self) -> int:
        """As the line tells it: whole seconds, at least one, without the pause at the end."""
        return max(1, round((len(self.audio) / BYTES_PER_MS - self._quiet_ms) / 1000))

    @property
    def words(self) -> str:
        """What the twin's ear makes of it."""
        ear = Listener(RATE_HZ)
        heard = [*ear.feed(g711.decode(self.audio)), *ear.flush()]
        return " ".join(one.text for one in heard)
