"""The WAV that a recording is: stereo G.711 mu-law, 8 kHz (format 7 of RFC 2361).

Mu-law and not PCM16: it is what the line carried, sample for sample, in half the bytes, and what plays WAV plays it.
A byte of the left and one of the right make a sample of both, so that a file may be cut and go on anywhere.
"""

from __future__ import annotations

import struct

CHANNELS = 2
RATE_HZ = 8_000
BYTES_PER_MS = CHANNELS * RATE_HZ // 1000
HEADER_BYTES = 58
_MULAW = 7
_FORMAT = struct.Struct("<4sI4s4sIHHIIHHH4sII4sI")


def header(audio_bytes: int) -> bytes:
    """The header of a file with so much audio."""
    rate = RATE_HZ * CHANNELS
    return _FORMAT.pack(
        *(b"RIFF", HEADER_BYTES - 8 + audio_bytes, b"WAVE"),
        *(b"fmt ", 18, _MULAW, CHANNELS, RATE_HZ, rate, CHANNELS, 8, 0),
        *(b"fact", 4, audio_bytes // CHANNELS),
        *(b"data", audio_bytes),
    )


def duration_ms(audio_bytes: int) -> int:
    """How long so much audio lasts."""
    return audio_bytes // BYTES_PER_MS
