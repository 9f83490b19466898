"""Alignment: where the words of a quote are found, and what it takes off when some are not."""

from __future__ import annotations

from voicebot.engine.alignment import Alignment, align
from voicebot.engine.numerals import TURN
from voicebot.engine.spoken import tokens


def aligned(quote: str, *turns: str) -> Alignment:
    return align(tokens(quote), tokens(TURN.join(turns)))


def found(alignment: Alignment) -> list[str]:
    return [alignment.said[place] for _, place in sorted(alignment.places.items())]


def test_words_are_found_in_order() -> None:
    alignment = aligned("a margherita and a diavola", "a beer, a margherita and a diavola")
    assert found(alignment) == ["a", "margherita", "and", "a", "diavola"]
    assert sorted(alignment.places.values()) == [alignment.places[at] for at in sorted(alignment.places)]
    assert alignment.coverage == 1.0


def test_nearer_occurrence_is_taken() -> None:
    alignment = aligned("pizza with olives", "a pizza today, tomorrow, and then a pizza with olives")
    assert alignment.coverage == 1.0


def test_words_left_out_cost_a_little() -> None:
    short = aligned("large pizza with olives", "a large and round pizza with olives").coverage
    long = aligned(
        "large pizza with olives", "a large one of the kind that you had last week as a pizza with olives"
    ).coverage
    assert 1.0 > short > long > 0.8


def test_misheard_word_earns_by_its_likeness() -> None:
    near = aligned("pizza with capers and olives", "pizza with papers and olives").coverage
    far = aligned("pizza with capers and olives", "pizza with salami and olives").coverage
    gone = aligned("pizza with capers and olives", "pizza with and olives").coverage
    assert 1.0 > near > gone > far


def test_compound_is_found_in_its_parts() -> None:
    assert aligned("pickup", "pick up please").coverage == 1.0
    assert aligned("pick up", "pickup please").coverage == 1.0
    assert aligned("Goethestraße", "in der Goethe Straße").coverage == 1.0


def test_number_is_found_whole_or_in_its_groups() -> None:
    assert aligned("555 0142", "5550142").coverage == 1.0
    assert aligned("5550142", "five five five, zero one four two").coverage == 1.0
    assert aligned("555 0142", "the first is 555 and then 0142").coverage > 0.8
    assert aligned("0142", "it is 5550142").coverage == 1.0
    assert aligned("12.5", "12.50").coverage == 1.0
    assert aligned("5", "5550142").coverage == 0.0
    assert aligned("50", "26.50").coverage == 0.0
    assert aligned("five", "5 5 5 0 1 4 2").coverage == 0.0


def test_chain_spans_two_turns_at_most() -> None:
    assert aligned("salami olives", "salami", "olives").coverage > 0.9
    assert len(aligned("salami olives", "salami", "well", "olives").places) == 1


def test_days_are_never_taken_for_each_other() -> None:
    assert aligned("Tuesday", "Thursday").coverage == 0.0
    assert aligned("July", "June").coverage == 0.0


def test_nothing_is_found_in_nothing() -> None:
    assert aligned("pizza", "").coverage == 0.0
    assert aligned("", "pizza").coverage == 0.0
