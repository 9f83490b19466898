"""Clips: what passes for the same words, and what is kept of them."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.formats import AudioFormat
from voicebot.call.clips import ClipCache, clip_key, spoken_as_written

SAME = [
    ("Good evening.", "good evening"),
    ("Trattoria Roma, good evening!", "Trattoria Roma — good evening"),
    ("The total is 12.50 euros.", "The total is 12.50 euros"),
    ("We open at 7:30.", "we open at 7:30"),
    ("Doctor Rossi is here.", "Doctor Rosi is here."),
    ("Ask for Mayer.", "Ask for Maier."),
    ("Caffè Però", "caffè però"),
    ("Straße 5", "STRASSE 5"),
    ("It's 5 o'clock, isn't it?", "It's 5 o'clock isn't it"),
    ("The total is 12 euros.", "The total is twelve euros."),
    ("The total is twelve euros.", "The total is 12 euros."),
    ("The total is 26.50 euros.", "The total is twenty-six fifty euros"),
    ("Il totale è 26,50 euro.", "il totale è ventisei cinquanta euro"),
    ("Um 7:30 Uhr.", "Um sieben dreißig Uhr"),
    ("El total son 61 euros.", "El total son sesenta y uno euros."),
    ("Le total est de 91 euros.", "Le total est de quatre-vingt-onze euros."),
    ("Son 10.000 euros.", "Son diez mil euros."),
    ("Ihre Postleitzahl ist 00153.", "Ihre Postleitzahl ist null null eins fünf drei."),
    ("Call 555 0142, Mayer speaking.", "Call five five five zero one four two, Maier speaking."),
    ("", ""),
    ("…", ""),
]
OTHER = [
    ("Good evening.", ""),
    ("", "Good evening."),
    ("Good evening.", "Good morning."),
    ("Good evening.", "Good evening, how can I help?"),
    ("This call is not recorded.", "This call is recorded."),
    ("This call is recorded.", "This call is not recorded."),
    ("The total is 12.50 euros.", "The total is 12.05 euros."),
    ("The total is 12.50 euros.", "The total is 12 50 euros."),
    ("The total is 12 euros.", "The total is 120 euros."),
    ("The total is 12 euros.", "The total is twenty euros."),
    ("The total is 26.50 euros.", "The total is two thousand six hundred and fifty euros."),
    ("The total is 2650 euros.", "The total is twenty-six fifty euros."),
    ("The total is 26.50 euros.", "The total is twenty-six fifteen euros."),
    ("The total is 12.05 euros.", "The total is twelve fifty euros."),
    ("The total is 12.05 euros.", "The total is twelve five euros."),
    ("The total is 26.50 euros.", "The total is not twenty-six fifty euros."),
    ("El total son 61 euros.", "El total son setenta y uno euros."),
    ("Le total est de 91 euros.", "Le total est de quatre-vingt-un euros."),
    ("Ihre Postleitzahl ist 00153.", "Ihre Postleitzahl ist null eins fünf drei."),
    ("Rooms 5 and 6.", "Rooms five six."),
    ("È 1 caffè.", "È un caffè."),
    ("Press 1 or 2.", "Press 2 or 1."),
    ("It costs seventeen euros.", "It costs seventy euros."),
    ("Son sesenta euros.", "Son setenta euros."),
    ("Sono sessanta euro.", "Sono settanta euro."),
    ("São sessenta euros.", "São setenta euros."),
    ("You may cancel.", "You may not cancel."),
    ("Ask for Doctor Rossi.", "Ask for Doctor Bianchi."),
    ("Room B", "Room 8"),
]


@pytest.mark.parametrize(("text", "transcript"), SAME)
def test_same_words_are_accepted(text: str, transcript: str) -> None:
    assert spoken_as_written(text, transcript)


@pytest.mark.parametrize(("text", "transcript"), OTHER)
def test_other_words_are_not(text: str, transcript: str) -> None:
    assert not spoken_as_written(text, transcript)


@given(st.text())
def test_text_is_spoken_as_it_is_written(text: str) -> None:
    assert spoken_as_written(text, text)


@given(st.lists(st.integers(0, 9999), min_size=1, max_size=5), st.integers(0, 4), st.integers(0, 9999))
def test_no_number_may_change(numbers: list[int], place: int, other: int) -> None:
    spoken = list(numbers)
    spoken[place % len(numbers)] = other
    written = " and ".join(f"{number} euros" for number in numbers)
    said = " and ".join(f"{number} euros" for number in spoken)
    assert spoken_as_written(written, said) is (numbers == spoken)


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@given(st.text("0123456789", min_size=1, max_size=10), st.text("0123456789", min_size=1, max_size=10))
def test_digits_read_out_are_the_number_alone(written: str, read: str) -> None:
    spoken = " ".join(DIGITS[int(digit)] for digit in read)
    assert spoken_as_written(f"Your code is {written}.", f"your code is {spoken}") is (written == read)


def test_key_tells_every_part_apart() -> None:
    parts = {"voice": "marin", "language": "en", "model": "m", "audio_format": AudioFormat.PCM16_24K}
    other = {"voice": "cedar", "language": "it", "model": "n", "audio_format": AudioFormat.PCMU_8K}
    keys = [clip_key("Hello.", **parts), clip_key("Hello", **parts)]  # type: ignore[arg-type]
    keys += [clip_key("Hello.", **{**parts, name: other[name]}) for name in parts]  # type: ignore[arg-type]
    assert all(one != another for one, another in combinations(keys, 2))
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)
    assert clip_key("Hello.", **parts) == keys[0]  # type: ignore[arg-type]


def test_cache_gives_back_what_was_put() -> None:
    cache = ClipCache()
    assert cache.get("a") is None
    cache.put("a", b"one")
    cache.put("a", b"two")
    assert cache.get("a") == b"two"


def test_cache_drops_the_least_recently_used() -> None:
    cache = ClipCache(max_bytes=10)
    for key in "abc":
        cache.put(key, b"1234")
    assert [key for key in "abc" if cache.get(key)] == ["b", "c"]
    cache.get("b")
    cache.put("d", b"1234")
    assert [key for key in "abcd" if cache.get(key)] == ["b", "d"]


def test_clip_larger_than_the_cache_is_not_kept() -> None:
    cache = ClipCache(max_bytes=10)
    cache.put("a", b"1")
    cache.put("b", b"12345678901")
    assert cache.get("b") is None
    assert cache.get("a") == b"1"


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 12))))
def test_cache_never_holds_more_than_it_may(puts: list[tuple[str, int]]) -> None:
    cache = ClipCache(max_bytes=20)
    for key, size in puts:
        cache.put(key, b"x" * size)
        assert sum(len(cache.get(one) or b"") for one in "abcde") <= 20
        assert cache.get(key) == b"x" * size
