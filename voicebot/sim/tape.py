"""Where there is sound on the tape of a call: mu-law at 8 kHz, from the moment the call was placed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .timeline import BYTES_PER_MS, QUIETEST_AUDIBLE

Sound = NDArray[np.bool_]  # one for each byte: louder than line noise or not


def sound_on(tape: bytes | bytearray) -> Sound:
    """Which bytes of a tape are louder than line noise."""
    loud: Sound = (np.frombuffer(bytes(tape), dtype=np.uint8) & 0x7F) < QUIETEST_AUDIBLE
    return loud


def sounds(sound: Sound, start_ms: float, end_ms: float) -> bool:
    """Whether there is any sound in a stretch."""
    return bool(sound[max(0, int(start_ms * BYTES_PER_MS)) : int(end_ms * BYTES_PER_MS)].any())


def first_sound_ms(sound: Sound, start_ms: float, end_ms: float) -> float | None:
    """Where the first sound in a stretch is; None if it is silent."""
    start = int(start_ms * BYTES_PER_MS)
    found = np.flatnonzero(sound[start : int(end_ms * BYTES_PER_MS)])
    return (start + int(found[0])) / BYTES_PER_MS if found.size else None
