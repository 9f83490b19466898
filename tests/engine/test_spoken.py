"""Speech as words: what is the same, however it was written down."""

from __future__ import annotations

import pytest

from voicebot.engine.numerals import BREAK
from voicebot.engine.spoken import (
    languages_of,
    scripts_of,
    tokens,
    weight,
    without_noise,
    words_were_lost,
)

SAME = [
    ("Caffè Però", "CAFFE PERO"),
    ("Straße", "strasse"),
    ("I don't, can't, won't", "I do not, can not, will not"),
    ("I dont", "I don’t"),
    ("giulia.rossi@gmail.com", "giulia dot rossi at gmail dot com"),
    ("giulia punto rossi chiocciola gmail punto com", "giulia dot rossi at gmail dot com"),
    ("R, O, S, S, I", "Rossi"),
    ("R-O-S-S-I", "rossi"),
    ("R wie Richard, O wie Otto, S wie Siegfried, S, I", "Rossi"),
    ("M as in Mike, A as in Alpha, Y, E, R", "Mayer"),
    ("Yeah", "yes"),
    ("mm-hmm", "yes"),
    ("Uh-huh", "yes"),
    ("nope", "no"),
    ("two, uh, pizzas", "two, pizzas"),
    ("uh, two pizzas", "2 pizzas"),
    ("at 8 p.m. sharp", "at 8pm sharp"),
    ("on the 3rd", "on the third"),
    ("al 2º piano", "al secondo piano"),
    ("٣ pizzas", "3 pizzas"),
    ("5%", "five percent"),
    ("double s", "s s"),
    ("R, O, double S, I", "Rossi"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_is_written_in_many_ways(one: str, other: str) -> None:
    assert tokens(one) == tokens(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("8 am", "8 pm"),
        ("yes", "no"),
        ("esta", "este"),
        ("very good", "three good"),
        ("très", "tres"),
        ("um acht", "acht"),
    ],
)
def test_other_words_stay_others(one: str, other: str) -> None:
    assert tokens(one) != tokens(other)


def test_pauses_are_kept() -> None:
    assert tokens("No, I want it.") == ["no", BREAK, "i", "want", "it", BREAK]


def test_scripts_without_spaces_are_read_by_the_letter() -> None:
    assert len(tokens("注文をお願いします")) == 9


def test_telling_words_weigh_more() -> None:
    order = [BREAK, "the", "want", "no", "pizza", "margherita", "12345678"]
    assert [weight(token) for token in order] == sorted(weight(token) for token in order)
    assert weight(BREAK) == 0 < weight("the")


def test_languages_are_told_by_common_words() -> None:
    for language, said in {
        "en": "I would like the pizza",
        "it": "vorrei una pizza con la mozzarella",
        "de": "ich möchte bitte eine Pizza",
        "fr": "je voudrais une pizza avec du fromage",
        "es": "quisiera una pizza con el queso",
        "pt": "eu queria uma pizza com o queijo",
    }.items():
        assert languages_of(tokens(said)).most_common(1)[0][0] == language


def test_scripts_are_told_by_letters() -> None:
    assert scripts_of("Pizza 2!") == {"LATIN"}
    assert scripts_of("пицца") == {"CYRILLIC"}
    assert scripts_of("123") == set()


@pytest.mark.parametrize(
    "noise",
    [
        "[music]",
        "(coughs)",
        "<noise>",
        "*laughs*",
        "♪♪",
        "Thank you for watching!",
        "Untertitel der Amara.org-Community",
    ],
)
def test_noise_is_no_speech(noise: str) -> None:
    assert without_noise(noise).strip() == ""


@pytest.mark.parametrize("speech", ["(555) 010-0142", "Thank you for watching my dog", "Avete i sottotitoli?", "5 < 6"])
def test_speech_is_no_noise(speech: str) -> None:
    assert without_noise(speech) == speech


def test_lost_words_are_told_from_noise() -> None:
    assert words_were_lost("two [inaudible] please") and words_were_lost("(unverständlich)")
    assert not words_were_lost("two [music] please") and not words_were_lost("it was inaudible")
