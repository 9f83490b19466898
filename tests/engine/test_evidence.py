"""Evidence: what a transcript bears out, what it contradicts, and what it cannot tell."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.evidence_corpus import (
    BY_HAND,
    UNCLEAR,
    Pair,
    exchanged_numbers,
    invented_pairs,
    noisy_pairs,
)
from voicebot.engine.evidence import CONFIRMED, bears_out, comparable, support
from voicebot.engine.numerals import PAUSES
from voicebot.engine.spoken import tokens

SEED, ANOTHER_SEED = 7, 42


def misjudged(pairs: Iterable[Pair]) -> tuple[float, float]:
    """The shares of what was said that is not borne out, and of what was not said that is."""
    pairs = list(pairs)
    wrong = [pair for pair in pairs if bears_out(support(pair.quote, pair.transcripts)) != pair.said]
    said = sum(pair.said for pair in pairs)
    contradicted = sum(pair.said for pair in wrong)
    return contradicted / max(said, 1), (len(wrong) - contradicted) / max(len(pairs) - said, 1)


# ---- the corpus ---------------------------------------------------------------------------------------------------


def test_corpus_is_large_and_of_six_languages() -> None:
    assert len(BY_HAND) + len(UNCLEAR) >= 800
    assert {pair.language for pair in BY_HAND} == {"en", "it", "de", "fr", "es", "pt"}
    assert len({(pair.quote, pair.transcripts) for pair in BY_HAND}) > len(BY_HAND) - 10


def test_pairs_by_hand_are_judged_as_labelled() -> None:
    contradicted, confirmed = misjudged(BY_HAND)
    assert contradicted <= 0.005
    assert confirmed <= 0.01


def test_pairs_by_hand_can_be_judged() -> None:
    assert [pair for pair in BY_HAND if not comparable(pair.quote, pair.transcripts)] == []


@pytest.mark.parametrize("pair", UNCLEAR, ids=lambda pair: f"{pair.quote}|{pair.transcripts[0]}")
def test_unclear_is_neither_borne_out_nor_contradicted(pair: Pair) -> None:
    assert not comparable(pair.quote, pair.transcripts)
    assert not bears_out(support(pair.quote, pair.transcripts))


@pytest.mark.parametrize("seed", [SEED, ANOTHER_SEED])
@pytest.mark.parametrize(("error_rate", "contradicted_at_most"), [(0.0, 0.0), (0.05, 0.06), (0.1, 0.09), (0.2, 0.2)])
def test_what_was_said_survives_noise(error_rate: float, contradicted_at_most: float, seed: int) -> None:
    contradicted, _ = misjudged(noisy_pairs(error_rate, seed, per_turn=5))
    assert contradicted <= contradicted_at_most


@pytest.mark.parametrize("seed", [SEED, ANOTHER_SEED])
@pytest.mark.parametrize("error_rate", [0.0, 0.05, 0.1, 0.2])
def test_invented_quotes_are_not_borne_out(error_rate: float, seed: int) -> None:
    _, confirmed = misjudged(invented_pairs(error_rate, seed, per_turn=5))
    assert confirmed <= 0.01


def test_no_digit_may_differ() -> None:
    assert misjudged(exchanged_numbers()) == (0.0, 0.0)


# ---- single rules -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "closer", "further"),
    [
        (
            "a margherita and a diavola",
            "a margherita and a diavola",
            "a margherita, very well done please, and a diavola",
        ),
        ("Daniel Okafor", "Daniel Okafor", "Daniel Okafur"),
        ("Daniel Okafor", "Daniel Okafur", "Daniel Hughes"),
        ("I want it", "I want it", "I don't want it"),
        ("two pizzas", "2 pizzas", "to pizzas"),
        ("a table for two on Friday", "table for two on Friday", "for two"),
        ("yes", "yes", "sure"),
        ("we are five and hungry", "we are five and hungry", "we are six and hungry"),
    ],
)
def test_score_is_higher_the_closer_it_was(quote: str, closer: str, further: str) -> None:
    assert support(quote, [closer]) > support(quote, [further])


def test_said_word_for_word_scores_one() -> None:
    assert support("Two Margheritas, delivered!", ["Good evening. Two margheritas delivered, please."]) == 1.0


def test_quote_may_span_two_turns_and_not_three() -> None:
    quote = "Margheritas twelve olives garlic cellar doorbell"
    assert bears_out(support(quote, ["Margheritas twelve olives", "garlic cellar doorbell"]))
    assert not bears_out(support(quote, ["Margheritas twelve", "olives garlic", "cellar doorbell"]))


def test_words_of_far_turns_make_no_quote() -> None:
    assert not bears_out(support("two pizzas with anchovies", ["two of us", "so what is new", "no anchovies"]))


def test_earlier_turns_count() -> None:
    turns = ["Via dei Fienaroli twelve.", "Giulia.", "Yes.", "No allergies.", "That's all.", "Yes, go ahead."]
    assert support("Via dei Fienaroli 12", turns) == 1.0


def test_more_transcripts_never_take_a_quote_away() -> None:
    said = ["I'd like a margherita and a beer."]
    assert support("a margherita", [*said, "No.", "Something else entirely."]) >= support("a margherita", said)


def test_word_for_word_in_the_last_turn_is_enough() -> None:
    assert support("Yes, please do.", ["Yes, hello?", "Yes, please do."]) == 1.0


def test_order_counts() -> None:
    assert not bears_out(support("eight people at two", ["two people at eight"]))


def test_nothing_bears_out_nothing() -> None:
    assert support("", ["Good evening."]) == 0.0
    assert support("…", ["Good evening."]) == 0.0
    assert support("Good evening", []) == 0.0
    assert support("Good evening", ["", " . "]) == 0.0


def test_threshold_is_the_constant() -> None:
    assert bears_out(CONFIRMED)
    assert not bears_out(CONFIRMED - 0.001)


def test_last_turn_says_whether_it_can_be_judged() -> None:
    assert not comparable("two pizzas", ["Two beers.", "[inaudible] pizzas"])
    assert not comparable("I would like to order", ["I would like two beers.", "Я хочу заказать"])
    assert comparable("two pizzas", ["[inaudible]", "Two beers.", "Yes, please.", "At eight."])
    assert comparable("two pizzas", ["Two beers.", ""])
    assert comparable("Rossi", ["Bianchi"])


def test_film_with_subtitles_is_no_noise() -> None:
    assert bears_out(support("un film con sottotitoli", ["Avete un film con sottotitoli?"]))


# ---- bounds -------------------------------------------------------------------------------------------------------

_WORDS = (
    "yes no not two 26.50 12 . , oh meia double zero hundred cent cents thousand mille twenty vingt quatre dix et and "
    "half past quarter to halb e mezza um una ein am pm a b c s as in Roma wie @ gmail.com [inaudible] € 3rd ( ) "
    "Tuesday may duecentomila 1.250,00 7:30 0 00 zweihundert und eins point euro uhr h 's n't don't mh-hm uh the pizza"
)
WORDS = _WORDS.split()
SPEECH = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join),
    st.text("ab12.,'\n-[(*", max_size=40),
)


@given(SPEECH, st.lists(SPEECH, max_size=5))
def test_any_text_gets_a_score(quote: str, transcripts: list[str]) -> None:
    assert 0.0 <= support(quote, transcripts) <= 1.0
    assert comparable(quote, transcripts) in (True, False)


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))
def test_whatever_was_said_bears_itself_out(said: str) -> None:
    assert PAUSES.issuperset(tokens(said)) or said.count("[") or said.count("(") or bears_out(support(said, [said]))


HOSTILE = [
    ("pizza " * 80, ["pizza " * 1700] * 3),
    ("a b c d " * 60, ["a b c d " * 2500]),
    ("5 " * 250, ["5 " * 5000]),
    ("[" * 500, ["[" * 10000 + "(" * 10000]),
    ("one two " * 60, ["one two three " * 700]),
    ("the it is " * 40, ["the it is " * 2000]),
    ("a" * 500, ["a" * 10000]),
    ("n't" * 150, ["n't" * 3000]),
    ("9" * 500, ["9" * 10000]),
    ("hundert" * 70, ["hundert" * 1400]),
    ("no " * 150, ["no " * 3000] * 10),
    (" ".join(f"w{one}{two}x" for one in "abcdefghij" for two in "abcdefghij"), [f"w{n:b}y " * 9 for n in range(900)]),
]


def steps_of(work: Callable[[], object]) -> int:
    """How many lines of Python are run, which no busy machine changes."""
    steps = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize(("quote", "transcripts"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_bounded(quote: str, transcripts: list[str]) -> None:
    """Counted at 1,000 to 600,000 steps, which take 1 to 30 ms of processor time."""
    assert steps_of(lambda: (support(quote, transcripts), comparable(quote, transcripts))) < 1_000_000


def test_long_quote_against_ten_turns_is_quick() -> None:
    """Counted at 9,000 steps, which take 0.5 to 2 ms of processor time."""
    words = (
        "please bring the two large pizzas to the second floor behind the pharmacy and ring at the door of Fienaroli"
    )
    told = (words.split() * 4)[:60]
    turns = [" ".join(f"{word}s" if n % 5 == at % 5 else word for n, word in enumerate(told)) for at in range(10)]
    quote = " ".join(turns[4].split()[:30])
    assert steps_of(lambda: support(quote, turns)) < 20_000
