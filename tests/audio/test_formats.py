"""The two formats of a call's audio."""

from __future__ import annotations

import pytest

from voicebot.audio.formats import AudioFormat


@pytest.mark.parametrize(
    ("audio_format", "rate_hz", "bytes_per_ms"),
    [(AudioFormat.PCM16_24K, 24_000, 48), (AudioFormat.PCMU_8K, 8_000, 8)],
)
def test_format_knows_its_rate_and_size(audio_format: AudioFormat, rate_hz: int, bytes_per_ms: int) -> None:
    assert (audio_format.rate_hz, audio_format.bytes_per_ms) == (rate_hz, bytes_per_ms)
