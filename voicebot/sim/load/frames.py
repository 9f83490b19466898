"""The load's audio, made once: what every phone sends and every model says.

Nothing is decoded on arrival but one frame a second: it is loud, and if its audio is not where the count of samples
says, samples were lost. So the count alone tells which frame of the phone a message of the model's socket carries.
"""

from __future__ import annotations

import base64

import numpy as np

from voicebot.sim import g711

FRAME_MS = 20
FRAME_BYTES = 160  # mu-law, 8 kHz
LOUD_EVERY = 50  # frames
LOUD = 4_000  # mean magnitude: between a quiet frame's 200 and a loud one's 7,600
HELD_BACK_MS = 1.6  # what a conversion may keep of a frame that has arrived
DELTA_MS = 200

PCM_BYTES_PER_MS = 48  # 24 kHz, 16 bits
PCMU_BYTES_PER_MS = 8
BYTES_PER_MS = {"pcm": PCM_BYTES_PER_MS, "pcmu": PCMU_BYTES_PER_MS}
FORMATS: dict[str, dict[str, object]] = {"pcm": {"type": "audio/pcm", "rate": 24_000}, "pcmu": {"type": "audio/pcmu"}}


def _uplink() -> list[bytes]:
    random = np.random.default_rng(1)
    loud = 12_000 * np.sin(2 * np.pi * 1_000 / 8_000 * np.arange(FRAME_BYTES))
    quiet = random.normal(0, 250, (LOUD_EVERY - 1, FRAME_BYTES))
    frames = [g711.encode(samples.astype(np.int16)) for samples in (loud, *quiet)]
    return [b'","payload":"' + base64.b64encode(frame) + b'"}}' for frame in frames]


def _deltas(bytes_per_ms: int) -> list[bytes]:
    random = np.random.default_rng(2)
    samples = random.normal(0, 3_000, (10, 24 * DELTA_MS)).astype("<i2")
    wide = bytes_per_ms == PCM_BYTES_PER_MS
    pieces = [row.tobytes() if wide else g711.encode(row[::3].astype(np.int16)) for row in samples]
    return [base64.b64encode(piece) for piece in pieces]


UPLINK = _uplink()
"""The ends of fifty `media` messages: a loud frame, then quiet ones."""
DELTAS = {bytes_per_ms: _deltas(bytes_per_ms) for bytes_per_ms in BYTES_PER_MS.values()}
"""Two seconds of the model's voice in pieces of `DELTA_MS`, as base64, by bytes a millisecond."""


def is_loud(payload: bytes, at_ms: float, bytes_per_ms: int) -> bool:
    """Whether the audio around `at_ms` (from the payload's beginning) is the loud frame's."""
    middle = int(at_ms * bytes_per_ms) & ~1
    piece = payload[max(0, middle - 2 * bytes_per_ms) : middle + 2 * bytes_per_ms]
    samples = np.frombuffer(piece, "<i2") if bytes_per_ms == PCM_BYTES_PER_MS else g711.decode(piece)
    return bool(np.abs(samples.astype(np.int32)).mean() >= LOUD)
