"""Bounds, levels, ids, and the clock of a tapped line."""

from __future__ import annotations

import numpy as np
import pytest

from voicebot.audio.g711 import SILENCE, decode
from voicebot.web.allowance import Allowance
from voicebot.web.meter import PcmMeter
from voicebot.web.session_ids import is_session_id, session_id_of
from voicebot.web.taped import BEHIND_MS, TapedLine


def test_allowance_fills_with_time() -> None:
    allowance = Allowance(per_s=10.0, at_once=5.0)
    assert [allowance.take(1.0, 100.0) for _ in range(6)] == [True] * 5 + [False]
    assert not allowance.take(2.0, 100.1)
    assert allowance.take(2.0, 100.3)
    assert allowance.take(5.0, 999.0)
    assert not allowance.take(1.0, 999.0)


def tone(peak: int, ms: int) -> bytes:
    return (peak * np.sin(np.arange(24 * ms) * 0.1)).astype("<i2").tobytes()


def test_meter_tells_level_and_clipping() -> None:
    meter = PcmMeter()
    assert (meter.audio_ms, meter.loudness.level_dbov, meter.loudness.clipped) == (0, None, 0.0)
    for _ in range(100):
        meter.take(tone(3277, 20))
    assert meter.audio_ms == 2000
    assert meter.loudness.level_dbov == pytest.approx(-23.0, abs=0.3)  # a tenth of full scale, as a sine
    assert meter.loudness.clipped == 0.0
    loud = PcmMeter()
    loud.take(b"\xff\x7f" * 480)
    assert loud.loudness.clipped == 1.0


def test_silence_has_no_level() -> None:
    meter = PcmMeter()
    meter.take(bytes(48_000))
    assert meter.loudness.level_dbov is None


def test_key_gives_the_same_id() -> None:
    assert session_id_of("a") == session_id_of("a") != session_id_of("b")
    assert session_id_of(None) != session_id_of(None)
    assert is_session_id(session_id_of(None))
    assert is_session_id(session_id_of("a"))
    assert not is_session_id("CA" + "0" * 32)
    assert not is_session_id(session_id_of("a") + "\n")


class _Tap:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, int]] = []
        self.out: list[bytes] = []

    def heard(self, payload: bytes, timestamp_ms: int) -> None:
        self.frames.append((payload, timestamp_ms))

    def sent(self, payload: bytes) -> str | None:
        self.out.append(payload)
        return "own"

    def marked(self, name: str) -> None:
        self.out.append(name.encode())

    def cleared(self) -> str:
        return "cleared"

    def echoed(self, name: str) -> bool:
        return name == "own"


def test_tapped_line_goes_on_in_silence() -> None:
    tap = _Tap()
    line = TapedLine(tap, 10.0)
    for number in range(50):
        line.heard(tone(8000, 20), 10.0 + number / 50)
    spoken_ms = sum(len(payload) for payload, _ in tap.frames) // 8
    assert 995 <= spoken_ms <= 1000
    line.goes_on(11.0 + (BEHIND_MS - 20) / 1000)
    assert sum(len(payload) for payload, _ in tap.frames) // 8 == spoken_ms
    line.goes_on(14.0)
    assert sum(len(payload) for payload, _ in tap.frames) // 8 == pytest.approx(4000, abs=2)
    assert tap.frames[-1][0] == SILENCE * len(tap.frames[-1][0])
    ends = [at + len(payload) // 8 for payload, at in tap.frames]
    assert [at for _, at in tap.frames[1:]] == pytest.approx(ends[:-1], abs=1)


def test_tapped_line_gives_what_the_bot_says_whole() -> None:
    tap = _Tap()
    line = TapedLine(tap, 0.0)
    assert line.sent(tone(8000, 100)) == "own"
    assert line.sent(b"", end=True) == "own"
    assert line.sent(b"", end=True) in (None, "own")
    assert len(b"".join(tap.out[:2])) == 800
    assert np.abs(decode(tap.out[0])[100:]).max() > 6000
    assert (line.cleared(), line.echoed("own"), line.echoed("0.1.0.item")) == ("cleared", True, False)
