"""Likeness: names by ear, slips of a recogniser, and other words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.engine.likeness import alike, distance, opening

NAMES = [
    *(("rossi", "rosi"), ("mayer", "maier"), ("meyer", "maier"), ("mueller", "muller"), ("giulia", "julia")),
    *(("okafor", "okafur"), ("schmidt", "schmitt"), ("clarke", "clark"), ("katherine", "catherine"), ("shah", "sha")),
    *(("souza", "sousa"), ("kenji", "genji"), ("stephane", "stefane"), ("pizza", "pizzas"), ("anne", "ann")),
]
OTHERS = [
    *(("rossi", "russo"), ("rossi", "bianchi"), ("sam", "pam"), ("diavola", "margherita"), ("montag", "morgen")),
    *(("inside", "outside"), ("a", "the"), ("bell", "hill"), ("left", "right"), ("", "rossi")),
]


@pytest.mark.parametrize(("one", "other"), NAMES)
def test_names_spelled_by_ear_are_alike(one: str, other: str) -> None:
    assert alike(one, other) == alike(other, one) >= 0.5
    assert opening(one) == opening(other)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_other_words_are_not(one: str, other: str) -> None:
    assert alike(one, other) == 0


@given(st.text(), st.text())
def test_likeness_is_a_share(one: str, other: str) -> None:
    assert 0 <= alike(one, other) <= 1
    assert alike(one, one) == 1


@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_distance_is_levenshteins(one: str, other: str) -> None:
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        before, row = row, [place]
        for at, letter_there in enumerate(other, 1):
            row.append(min(before[at] + 1, row[-1] + 1, before[at - 1] + (letter != letter_there)))
    assert distance(one, other) == row[-1]
