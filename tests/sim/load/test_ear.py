from __future__ import annotations

import pytest

from voicebot.sim.load.ear import Ear
from voicebot.sim.load.frames import FRAME_BYTES
from voicebot.sim.load.readings import Readings


class Listener:
    """An ear, what it has sent back, and what was read off it."""

    def __init__(self, *, knows_model: bool = True) -> None:
        self.readings, self.echoes = Readings(recording=True), list[str]()
        self.ear = Ear(self.readings, self.echoes.append, knows_model=knows_model)

    def answer(self, frames: float, now: float = 1.0) -> None:
        """An answer's first audio."""
        self.ear.first_delta_at = now - 0.002
        self.ear.play(int(frames * FRAME_BYTES), now)

    def borders(self, count: int) -> None:
        for _ in range(count):
            self.ear.border()


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_mark_comes_back_when_heard(listener: Listener) -> None:
    listener.answer(2.5)
    listener.ear.mark("end")
    listener.borders(3)  # the first one begins it
    assert listener.ear.hears
    assert listener.echoes == []
    listener.borders(1)
    assert not listener.ear.hears
    assert listener.echoes == ["end"]
    assert listener.ear.heard_ms == 50


def test_mark_after_silence_comes_back_at_once(listener: Listener) -> None:
    listener.ear.mark("now")
    assert listener.echoes == ["now"]


def test_downlink_is_from_delta_to_first_audio(listener: Listener) -> None:
    listener.answer(1)
    listener.ear.play(FRAME_BYTES, 5.0)
    assert list(listener.readings.downlink_s) == pytest.approx([0.002])


def test_audio_after_a_gap_is_an_underrun(listener: Listener) -> None:
    listener.answer(1)
    listener.borders(1)
    listener.ear.play(FRAME_BYTES, 1.1)  # while the last frame is being heard
    assert listener.readings.underruns == 0
    listener.borders(3)
    listener.ear.play(FRAME_BYTES, 1.2)
    assert listener.readings.underruns == 1


def test_next_answer_after_silence_is_none(listener: Listener) -> None:
    for at in (1.0, 2.0):
        listener.answer(1, at)
        listener.borders(3)
    assert listener.readings.underruns == 0
    assert len(listener.readings.downlink_s) == 2


def test_clear_drops_all_but_the_frame_being_heard(listener: Listener) -> None:
    listener.answer(10)
    listener.ear.mark("end")
    listener.borders(3)
    listener.ear.spoke_at = 2.0
    listener.ear.clear(2.004)
    assert listener.echoes == ["end"]
    assert list(listener.readings.barge_in_s) == pytest.approx([0.004])
    listener.borders(1)
    assert not listener.ear.hears
    assert listener.ear.heard_ms == 60
    assert not listener.readings.failures


@pytest.mark.parametrize("truncated_first", [True, False])
def test_truncation_is_compared_with_what_was_heard(listener: Listener, truncated_first: bool) -> None:
    listener.answer(3)
    listener.borders(5)
    listener.answer(10)
    listener.borders(2)
    listener.ear.spoke_at = 2.0
    steps = [lambda: listener.ear.truncated(30), lambda: listener.ear.clear(2.1)]
    for step in steps if truncated_first else reversed(steps):
        step()
    assert list(listener.readings.truncation_ms) == [-10.0]  # the second frame is heard to its end


def test_audio_after_clear_is_a_failure(listener: Listener) -> None:
    listener.answer(5)
    listener.ear.spoke_at = 2.0
    listener.ear.clear(2.1)
    listener.ear.play(FRAME_BYTES, 2.2)
    assert dict(listener.readings.failures) == {"audio came after clear": 1}


def test_clear_without_a_reason_is_a_failure(listener: Listener) -> None:
    listener.ear.clear(1.0)
    assert dict(listener.readings.failures) == {"clear without an interruption": 1}


def test_other_peoples_model_is_not_judged() -> None:
    listener = Listener(knows_model=False)
    for _ in range(2):
        listener.ear.play(FRAME_BYTES, 1.0)
        listener.borders(3)
        listener.ear.clear(1.5)
    assert (listener.readings.underruns, dict(listener.readings.failures)) == (0, {})
    assert listener.ear.heard_ms == 40
    assert not listener.ear.silent
