"""Recording the caller: the tone that only it is, when it stops, and what is in it."""

from __future__ import annotations

import pytest

from voicebot.sim import g711
from voicebot.sim.playout import FRAME_BYTES, SILENCE
from voicebot.sim.recorder import BEEP, BEEP_MS, RATE_HZ, Recorder, is_beep
from voicebot.sim.speech import speak
from voicebot.sim.timeline import BYTES_PER_MS, FRAME_MS
from voicebot.sim.twiml_player import Record

WORDS = "This is Ada, please call me back."
QUIET = SILENCE * FRAME_BYTES
SPOKEN = g711.encode(speak(WORDS, RATE_HZ, voice="caller"))


def frames(payload: bytes) -> list[bytes]:
    return [payload[at : at + FRAME_BYTES] for at in range(0, len(payload) - FRAME_BYTES + 1, FRAME_BYTES)]


def recorded(verb: Record, payload: bytes) -> Recorder:
    """Let it hear frame by frame for as long as it records."""
    recorder = Recorder(verb)
    for frame in frames(payload):
        if recorder.over:
            break
        recorder.hear(frame)
    return recorder


def test_every_frame_of_the_tone_is_known() -> None:
    assert len(BEEP) == BEEP_MS * BYTES_PER_MS
    assert all(map(is_beep, frames(BEEP)))


def test_nothing_else_is_taken_for_the_tone() -> None:
    bot = g711.encode(speak("Please leave a message after the tone.", RATE_HZ, voice="bot"))
    assert not any(map(is_beep, frames(SPOKEN + bot + QUIET)))
    assert not is_beep(b"")


def test_pause_ends_the_recording() -> None:
    recorder = recorded(Record(timeout_s=2), SPOKEN + QUIET * 500)
    assert recorder.over and not recorder.empty
    assert recorder.words == WORDS
    assert recorder.length_s == round(len(SPOKEN) / BYTES_PER_MS / 1000)


def test_silence_is_no_message() -> None:
    recorder = recorded(Record(timeout_s=2), QUIET * 500)
    assert recorder.over and recorder.empty
    assert len(recorder.audio) == 2000 * BYTES_PER_MS


def test_longest_recording_is_kept() -> None:
    recorder = recorded(Record(longest_s=1), SPOKEN)
    assert recorder.over
    assert len(recorder.audio) == 1000 * BYTES_PER_MS == FRAME_BYTES * 1000 // FRAME_MS


@pytest.mark.parametrize(("keys", "key"), [("#", "#"), ("5#", "#"), ("55", "")])
def test_only_its_key_ends_a_recording(keys: str, key: str) -> None:
    recorder = Recorder(Record(finish_on_key="#"))
    for one in keys:
        recorder.press(one)
    assert (recorder.key, recorder.over) == (key, bool(key))
