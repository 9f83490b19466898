"""How a client's audio is: level and clipping, looked at twice a second. What is missing of it bears no stamp."""

from __future__ import annotations

import math

import numpy as np

from voicebot.audio.formats import AudioFormat

LOOK_EVERY_MS = 500
AUDIBLE_DBOV = -60.0  # below it a look falls into a pause, as on a phone line
_AUDIBLE_POWER = 10 ** (AUDIBLE_DBOV / 10)
_FULL = 32_768.0
_BYTES_PER_MS = AudioFormat.PCM16_24K.bytes_per_ms


class PcmMeter:
    """The meter of one stream of PCM16 at 24 kHz. Read it at any time."""

    def __init__(self) -> None:
        self._bytes = self._look_at = 0
        self._audible_power, self._audible_looks = 0.0, 0
        self._samples, self._clipped = 0, 0  # that were looked at

    def take(self, payload: bytes) -> None:
        """Audio of the stream, whole samples."""
        if self._bytes >= self._look_at and payload:
            self._look_at = self._bytes + LOOK_EVERY_MS * _BYTES_PER_MS
            self._look(np.frombuffer(payload[: _BYTES_PER_MS * 100], "<i2"))
        self._bytes += len(payload)

    def _look(self, samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> None:
        self._samples += len(samples)
        self._clipped += int(np.count_nonzero((samples == 32_767) | (samples == -32_768)))
        amplitudes = samples.astype(np.float64) / _FULL
        power = float(amplitudes @ amplitudes) / len(samples)
        if power > _AUDIBLE_POWER:
            self._audible_power += power
            self._audible_looks += 1

    @property
    def audio_ms(self) -> int:
        """How much audio came."""
        return self._bytes // _BYTES_PER_MS

    @property
    def level_dbov(self) -> float | None:
        """Mean level while anything was to be heard, 0 at full scale; None if nothing was."""
        if not self._audible_looks:
            return None
        return round(10 * math.log10(self._audible_power / self._audible_looks), 1)

    @property
    def clipped(self) -> float:
        """Which share of the samples stood at the end of the scale."""
        return round(self._clipped / self._samples, 4) if self._samples else 0.0
