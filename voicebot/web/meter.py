"""How a client's audio is: level and clipping, looked at twice a second. What is missing of it bears no stamp."""

from __future__ import annotations

import numpy as np

from voicebot.audio.formats import AudioFormat
from voicebot.audio.loudness import Loudness

LOOK_EVERY_MS = 500
_FULL = 32_768.0
_BYTES_PER_MS = AudioFormat.PCM16_24K.bytes_per_ms


class PcmMeter:
    """The meter of one stream of PCM16 at 24 kHz. Read it at any time."""

    def __init__(self) -> None:
        self._bytes = self._look_at = 0
        self.loudness = Loudness()

    def take(self, payload: bytes) -> None:
        """Audio of the stream, whole samples."""
        if self._bytes >= self._look_at and payload:
            self._look_at = self._bytes + LOOK_EVERY_MS * _BYTES_PER_MS
            samples = np.frombuffer(payload[: _BYTES_PER_MS * 100], "<i2")
            clipped = int(np.count_nonzero((samples == 32_767) | (samples == -32_768)))
            self.loudness.look(samples.astype(np.float64) / _FULL, clipped)
        self._bytes += len(payload)

    @property
    def audio_ms(self) -> int:
        """How much audio came."""
        return self._bytes // _BYTES_PER_MS
