"""The two audio formats a call can have on the model's side."""

from __future__ import annotations

from enum import Enum


class AudioFormat(Enum):
    """Encoding of audio payloads between a caller's leg and the model."""

    PCM16_24K = "pcm"  # 16-bit signed little-endian mono, 24 kHz
    PCMU_8K = "pcmu"  # G.711 mu-law mono, 8 kHz

    @property
    def bytes_per_ms(self) -> int:
        """48 for PCM16 at 24 kHz, 8 for mu-law at 8 kHz."""
        return 48 if self is AudioFormat.PCM16_24K else 8

    @property
    def rate_hz(self) -> int:
        return 24_000 if self is AudioFormat.PCM16_24K else 8_000

    def silence(self, length: int) -> bytes:
        """So many bytes of silence: zeros, or of mu-law the code of zero (ITU-T G.711)."""
        return (b"\x00" if self is AudioFormat.PCM16_24K else b"\xff") * length
