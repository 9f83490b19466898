"""What the meter says of a line, against tones of known level and streams of known gaps."""

from __future__ import annotations

import numpy as np
import pytest

from voicebot.audio.g711 import SILENCE, encode
from voicebot.audio.line_meter import LOOK_EVERY, LineMeter

FRAME_MS = 20


def tone(amplitude: float, milliseconds: int = 4000) -> bytes:
    """A tone of 400 Hz, 1.0 being the loudest sample there is."""
    samples = np.sin(2 * np.pi * 400 * np.arange(milliseconds * 8) / 8000) * amplitude * 32124
    return encode(samples.astype(np.int16))


def metered(audio: bytes, starts_ms: list[int] | None = None) -> LineMeter:
    meter = LineMeter()
    for number, at in enumerate(range(0, len(audio), FRAME_MS * 8)):
        meter.take(audio[at : at + FRAME_MS * 8], starts_ms[number] if starts_ms else number * FRAME_MS)
    return meter


@pytest.mark.parametrize(("amplitude", "dbov"), [(1.0, -3.0), (0.1, -23.0), (0.01, -43.0)])
def test_level_is_that_of_the_tone(amplitude: float, dbov: float) -> None:
    meter = metered(tone(amplitude))
    assert meter.loudness.level_dbov == pytest.approx(dbov, abs=0.5)
    assert meter.audio_ms == 4000


def test_pauses_do_not_lower_the_level() -> None:
    speech = tone(0.1, 2000)
    assert metered(speech + SILENCE * 160_000).loudness.level_dbov == metered(speech).loudness.level_dbov


def test_silent_line_has_no_level() -> None:
    meter = metered(SILENCE * 16_000)
    assert (meter.loudness.level_dbov, meter.loudness.clipped, meter.gaps) == (None, 0.0, 0)
    assert LineMeter().loudness.level_dbov is None


def test_clipping_is_a_share_of_samples() -> None:
    half = (b"\x00" * 4 + b"\x80" * 4 + SILENCE * 8) * 10
    assert metered(half * LOOK_EVERY * 3).loudness.clipped == 0.5
    assert metered(tone(0.5)).loudness.clipped == 0.0


def stamped(*gaps: tuple[int, int], frames: int = 4 * LOOK_EVERY + 1) -> LineMeter:
    """Frames of which some are preceded by a gap: (before which frame, how long in ms)."""
    missing = dict(gaps)
    starts, at = [], 0
    for number in range(frames):
        at += missing.get(number, 0)
        starts.append(at)
        at += FRAME_MS
    return metered(SILENCE * 160 * frames, starts)


def test_missing_audio_is_added_up() -> None:
    meter = stamped((3, 60), (4, 40), (LOOK_EVERY + 7, 500))
    assert (meter.gaps, meter.gap_ms) == (2, 600)  # two that fall between the same looks count as one
    assert meter.audio_ms == (4 * LOOK_EVERY + 1) * FRAME_MS


@pytest.mark.parametrize("gap_ms", [0, 1, 20, 29])
def test_rounding_of_a_frame_is_no_gap(gap_ms: int) -> None:
    assert stamped((5, gap_ms)).gaps == 0


def test_first_time_stamp_may_be_anything() -> None:
    assert stamped((0, 70_000)).gaps == 0


def test_time_stamps_that_go_back_are_no_gap() -> None:
    assert stamped((5, -400)).gap_ms == 0


def test_empty_messages_break_nothing() -> None:
    meter = LineMeter()
    for number in range(LOOK_EVERY * 2):
        meter.take(b"", number)
    assert (meter.audio_ms, meter.loudness.level_dbov, meter.loudness.clipped) == (0, None, 0.0)
