"""The table's speech: what was dropped, cut or mixed up on the way is seen in the bytes."""

from __future__ import annotations

import pytest

from voicebot.sim.speech import speech_ms as real_speech_ms
from voicebot.sim.table_speech import Reading, read, speech_ms, spoken, text_within

TEXTS = ["Hello!", "aa  bb\n cc", "Tiramisù costs €6.50", "日本語", "x"]
LETTER = 60 * 8  # bytes


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_through_whole(text: str) -> None:
    assert read(spoken(text)) == Reading(" ".join(text.split()), complete=True, damaged=0)


@pytest.mark.parametrize("text", TEXTS)
def test_lasts_as_long_as_real_speech(text: str) -> None:
    assert speech_ms(text) == real_speech_ms(text) == len(spoken(text)) / 8


@pytest.mark.parametrize(
    ("change", "reading"),
    [
        (lambda audio: audio[: 4 * LETTER], Reading("Hel", complete=False, damaged=0)),
        (lambda audio: audio[: 4 * LETTER + 100], Reading("Hel", complete=False, damaged=0)),
        (lambda audio: b"", Reading("", complete=False, damaged=0)),
        (lambda audio: audio[LETTER:], Reading("Hello!", complete=True, damaged=1)),
        (lambda audio: audio[: 2 * LETTER] + audio[2 * LETTER + 160 :], Reading("Hello!", complete=True, damaged=1)),
        (lambda audio: audio[: 2 * LETTER] + audio[3 * LETTER :], Reading("Hllo!", complete=True, damaged=0)),
    ],
    ids=["cut", "cut in a letter", "nothing", "no beginning", "a frame lost", "a letter lost"],
)
def test_damage_is_seen(change: object, reading: Reading) -> None:
    assert callable(change)
    assert read(change(spoken("Hello!"))) == reading


def test_cut_letter_of_two_bytes_is_left_out() -> None:
    assert read(spoken("perù")[: 5 * LETTER]).text == "per"
    assert text_within("perù", 5 * 60) == "per"
    assert text_within("perù", 6 * 60) == "perù"


@pytest.mark.parametrize(("heard_ms", "text"), [(-5, ""), (0, ""), (119, ""), (120, "H"), (1e9, "Hello!")])
def test_time_gives_whole_letters(heard_ms: float, text: str) -> None:
    assert text_within("Hello!", heard_ms) == text
