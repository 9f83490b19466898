"""Which language a caller speaks: among the flow's own, of several words, and without flapping."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from tests.engine.evidence_corpus import SAID, SAID_HELD_BACK
from voicebot.engine.detection import Leaning, spoken_language

ITALIAN = "Buonasera, vorrei ordinare una pizza Margherita."
ENGLISH = "I would like a table for two, please."
SIX = ("en", "it", "de", "fr", "es", "pt")


@pytest.mark.parametrize(
    ("text", "among", "language"),
    [
        (ENGLISH, ("en", "it"), "en"),
        (ITALIAN, ("en", "it"), "it"),
        ("Vorrei prenotare un tavolo per due, per favore.", SIX, "it"),
        ("Ja, ich möchte gern einen Tisch bestellen.", ("en", "de"), "de"),
        ("Bonsoir, je voudrais une table pour deux.", ("de", "fr"), "fr"),
        ("Quiero una mesa para dos, por favor.", ("en", "es"), "es"),
        ("Queria uma mesa para dois, por favor.", ("en", "pt"), "pt"),
    ],
)
def test_language_of_a_sentence_is_told(text: str, among: Sequence[str], language: str) -> None:
    assert spoken_language(text, among) == language


@pytest.mark.parametrize(
    ("text", "among"),
    [
        ("", ("en", "it")),
        ("OK.", ("en", "it")),
        ("Sì.", ("en", "it")),
        ("Grazie mille!", ("en", "it")),  # many who say so speak English on
        ("grazie grazie grazie grazie", ("en", "it")),
        ("Two Quattro Stagioni and a Peroni", ("en", "it")),
        ("giulia.rossi@gmail.com", ("en", "it")),
        ("via Garibaldi 12, 00153 Roma", ("en", "it")),
        ("I would like, come si dice, una pizza con molto formaggio", ("en", "it")),  # both at once
        ("Quiero una mesa para dos, por favor, y una para mis hijos.", ("en", "it")),  # in neither
        ("Ja, ich möchte gern einen Tisch bestellen.", ("en", "it")),
        (ITALIAN, ("en", "de")),
        (ITALIAN, ("en", "sv")),
        (ITALIAN, ("en",)),
        ("Sottotitoli creati dalla comunità Amara.org", ("en", "it")),  # a recogniser's dream of silence
        ("我想订一张桌子", ("en", "it")),
    ],
)
def test_what_tells_too_little_says_nothing(text: str, among: Sequence[str]) -> None:
    assert spoken_language(text, among) is None


def turns_of(text: str) -> set[str]:
    """The transcripts of a language in the corpus of evidence."""
    lines = [line.partition("|")[2] for line in text.splitlines() if "|" in line]
    return {turn.strip() for line in lines for turn in line.split("//") if turn.strip()}


def test_no_transcript_of_the_corpus_is_taken_for_another_language() -> None:
    said = {code: turns_of(SAID[code]) | turns_of(SAID_HELD_BACK[code]) for code in SIX}
    told = wrong = 0
    for mine, other in permutations(SIX, 2):
        found = [spoken_language(turn, (mine, other)) for turn in said[mine]]
        told += found.count(mine)
        wrong += found.count(other)
    assert wrong == 0
    assert told > 500  # a third of what was said, mostly answers of a few words


def leaning(*texts: str) -> Leaning:
    found = Leaning()
    for text in texts:
        found = found.after(text, ("en", "it"))
    return found


@pytest.mark.parametrize(
    ("texts", "language", "sure"),
    [
        ((), None, False),
        ((ITALIAN,), "it", False),
        ((ITALIAN, "Sì.", "Margherita.", ITALIAN), "it", True),  # what says nothing neither counts nor breaks it
        ((ITALIAN, ENGLISH, ITALIAN, ENGLISH, ITALIAN), "it", False),
        ((ITALIAN, ITALIAN, ENGLISH), "en", False),
        ((ENGLISH, ENGLISH, ENGLISH), "en", True),
    ],
)
def test_it_takes_two_turns_in_a_row_to_be_sure(texts: Sequence[str], language: str | None, sure: bool) -> None:
    found = leaning(*texts)
    assert (found.language, found.sure) == (language, sure)
