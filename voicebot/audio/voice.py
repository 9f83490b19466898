"""How much of some audio is a voice, by its loudness alone: enough to tell a word from a click or the line's hiss."""

from __future__ import annotations

import numpy as np

from .formats import AudioFormat
from .g711 import decode

VOICED_DBFS = -40.0  # of a frame's power; telephone speech lies 15 dB above it, a quiet line 20 dB below
_VOICED_POWER = 32768.0**2 * 10 ** (VOICED_DBFS / 10)


class VoiceMeter:
    """Sums up how long a caller was to be heard."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self.voiced_ms = 0.0

    def take(self, payload: bytes) -> float:
        """Take a frame; returns the milliseconds of voice so far."""
        if payload:
            samples = decode(payload) if self._format is AudioFormat.PCMU_8K else np.frombuffer(payload, dtype="<i2")
            amplitudes = samples.astype(np.float32)
            if float(amplitudes @ amplitudes) / len(amplitudes) > _VOICED_POWER:
                self.voiced_ms += len(payload) / self._format.bytes_per_ms
        return self.voiced_ms
