import numpy as np
import pytest

from voicebot.sim.speech import speak
from voicebot.sim.vad import Edge, EnergyVad

RATE = 8000


def tone(ms: int, dbfs: float) -> np.ndarray:
    amplitude = 32768 * 10 ** (dbfs / 20) * np.sqrt(2)
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(ms * RATE // 1000) / RATE)).astype(np.int16)


def silence(ms: int) -> np.ndarray:
    return np.zeros(ms * RATE // 1000, dtype=np.int16)


def in_ms(edges: list[Edge]) -> list[tuple[bool, int, int]]:
    return [(edge.speaking, edge.at * 1000 // RATE, edge.since * 1000 // RATE) for edge in edges]


def test_finds_where_speech_begins_and_ends():
    vad = EnergyVad(RATE, silence_ms=400)
    edges = vad.feed(np.concatenate([silence(200), tone(500, -20), silence(600)]))
    assert in_ms(edges) == [(True, 260, 200), (False, 1100, 700)]


@pytest.mark.parametrize("chunk", [1, 37, 160, 999])
def test_chunks_of_any_size_give_the_same(chunk: int):
    audio = np.concatenate([silence(130), speak("Is there a table for four?", RATE), silence(700), tone(300, -25)])
    whole = EnergyVad(RATE).feed(audio)
    vad = EnergyVad(RATE)
    pieces = [edge for at in range(0, len(audio), chunk) for edge in vad.feed(audio[at : at + chunk])]
    assert pieces == whole
    assert [edge.speaking for edge in whole] == [True, False, True]


@pytest.mark.parametrize(
    ("threshold", "dbfs", "speech"),
    [(0.5, -45, False), (0.5, -35, True), (0.9, -35, False), (0.1, -50, True), (0.0, -65, False)],
)
def test_threshold_sets_the_level(threshold: float, dbfs: float, speech: bool):
    edges = EnergyVad(RATE, threshold=threshold).feed(tone(400, dbfs))
    assert bool(edges) is speech


def test_a_click_is_not_speech():
    vad = EnergyVad(RATE)
    assert vad.feed(np.concatenate([silence(100), tone(40, -10), silence(500)])) == []


def test_a_short_pause_does_not_end_speech():
    vad = EnergyVad(RATE, silence_ms=500)
    edges = vad.feed(np.concatenate([tone(300, -20), silence(400), tone(300, -20), silence(600)]))
    assert in_ms(edges) == [(True, 60, 0), (False, 1500, 1000)]


def test_patience_may_change_while_it_listens():
    vad = EnergyVad(RATE, silence_ms=2000)
    vad.feed(np.concatenate([tone(300, -20), silence(400)]))
    vad.silence_ms = 300
    assert in_ms(vad.feed(silence(20))) == [(False, 720, 300)]


def test_triggered_speech_ends_by_silence():
    vad = EnergyVad(RATE, silence_ms=200)
    vad.feed(silence(100))
    assert vad.trigger().speaking
    assert in_ms(vad.feed(silence(300))) == [(False, 300, 100)]


def test_after_rest_speech_begins_anew():
    vad = EnergyVad(RATE)
    vad.feed(tone(300, -20))
    vad.rest()
    assert not vad.speaking
    assert in_ms(vad.feed(tone(100, -20))) == [(True, 360, 300)]
