"""How well a transcript bears out what the model says the caller said.

The model quotes the caller; a recogniser, another model, writes down what it heard. Neither is exact: recognisers miss
words, spell names by ear and write numbers in their own way, models leave words out. So a quote is looked for in order,
word by word, and what is found is weighed by how telling it is (`spoken.weight`): a long quote may miss a word or two,
an invented one that shares "I want the" with what was said finds next to nothing.

The words that are found form a chain. It may skip words of the caller's, for little if they are few and for more where
places far apart are put together, and it may span two turns that follow each other. A word that is not found may still
sound like what stands in its place. Three things count against the whole quote, whatever else is found:
- a number, a weekday, a month where the transcript has another one;
- a denial on one side only ("I want it", "I don't want it");
- in an answer of a word or two, anything but that answer. "Yes" is borne out by another word for yes.

`CONFIRMED` was chosen by `python tests/engine/evidence_corpus.py`, which prints, for thresholds from 0.40 to 0.90, how
often what was said is contradicted and what was not said is confirmed. At 0.65: 0.0 % and 0.5 % of 838 pairs made by
hand in six languages (2.4 % and 5.2 % of the 302 of them that were held back, when first tried); 0.0 % and 0.0 % of
1,032 generated ones without noise, 2.7 % and 0.0 %, 4.8 % and 0.0 %, 15.7 % and 0.4 % where 5, 10 and 20 % of the words
are misheard; 0.0 % of 400 numbers with one digit changed. Higher, more callers are asked again for what they said
(7.0 % at 0.70 and 10 % of noise); lower, a word exchanged for another passes (1.1 % of the pairs by hand at 0.60). What
is beyond it: one short word that turns a sentence round ("ich sage ab", "ich sage zu"), one letter ("charge my card",
"change my card").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise

from .alignment import Alignment, align
from .numerals import PAUSES, TURN, is_number
from .spoken import languages_of, scripts_of, tokens, weight, without_noise, words_were_lost
from .spoken_words import ALSO_ANSWERS, ARTICLES, ASSENTS, CARRIER_WEIGHT, KINDS, NEGATIONS, SUBJECTS

CONFIRMED = 0.65

_QUOTE_CHARS, _TRANSCRIPT_CHARS = 500, 12_000  # what is longer is cut: so much is a quarter of an hour of speech
_LATEST = (1, 2)  # turns, of which most quotes are, word for word; the last alone, as a "yes" may begin several
_REACH = 5  # words over which a denial reaches
_GAP = 4  # words before and behind what was found, where another number would have stood
_CONTRADICTED, _NUMBER_MISSING = 0.35, 0.8
_TERSE = 0.5  # how much more exact a quote of a single word must be
_ASSENTED = 0.85  # "sure" for "yes"
_OPENING, _CLOSING = 6, 2  # words of a turn among which "right" is an answer


def bears_out(score: float) -> bool:
    """Whether a score is enough to take the quote for said."""
    return score >= CONFIRMED


def support(quote: str, transcripts: Sequence[str]) -> float:
    """How well what was said bears the quote out, from 0.0 to 1.0: the best of any turn or of two neighbouring ones.

    Args:
        quote: the caller's words as the model gives them; the first 500 characters count.
        transcripts: of the caller's turns, in order; the last 12,000 characters count.
    """
    wanted = _wanted(quote)
    for latest in _LATEST:
        if len(transcripts) > latest:
            said = _said(transcripts[-latest:])
            if PAUSES.union(said).issuperset(wanted) and _score(wanted, said) == 1.0:
                return 1.0
    return _score(wanted, _said(transcripts))


def comparable(quote: str, transcripts: Sequence[str]) -> bool:
    """Whether the transcripts can judge the quote; where they cannot, a quote not borne out is not contradicted either.

    They cannot if there are no words in them, if a late one says that words were lost ("[inaudible]"), or if the last
    one, of the turn in which the quote was given, is in another script or language than the quote, as when a recogniser
    takes the caller for a speaker of another language.
    """
    if any(map(words_were_lost, transcripts[-_LATEST[-1] :])):
        return False
    turns = ((transcript, _said([transcript])) for transcript in reversed(transcripts))
    last, said = next(((turn, said) for turn, said in turns if not PAUSES.issuperset(said)), ("", []))
    ours, theirs = scripts_of(quote), scripts_of(last)
    if not said or (ours and theirs and ours.isdisjoint(theirs)):
        return False
    return _of_one_language(_wanted(quote), said)


def _wanted(quote: str) -> list[str]:
    return tokens(without_noise(quote[:_QUOTE_CHARS]).replace("\n", " "))


def _said(transcripts: Sequence[str]) -> list[str]:
    """The tokens of all turns, as many of the latest as may count."""
    turns: list[str] = []
    left = _TRANSCRIPT_CHARS
    for transcript in reversed(transcripts):
        if left <= 0:
            break
        turns.append(without_noise(transcript[-left:]).replace("\n", " "))
        left -= len(transcript) + 1
    return tokens(TURN.join(reversed(turns)))


def _score(wanted: Sequence[str], said: Sequence[str]) -> float:
    if PAUSES.issuperset(said) or PAUSES.issuperset(wanted):
        return 0.0
    found = align(wanted, said)
    score: float = found.coverage ** (1 + _TERSE / max(1.0, sum(map(weight, wanted))))
    if _other_number(found) or _denied(found):
        score *= _CONTRADICTED
    elif any(is_number(token) and at not in found.places for at, token in enumerate(found.wanted)):
        score *= _NUMBER_MISSING
    return score if score >= _ASSENTED else max(score, _assent(wanted, said))


def _of_one_language(wanted: Sequence[str], said: Sequence[str]) -> bool:
    """Whether the common words of both are of one language, as far as there are any."""
    ours, theirs = languages_of(wanted), languages_of(said)
    if not ours or not theirs:
        return True
    most, theirs_most = max(ours.values()), max(theirs.values())
    return any(2 * ours[language] >= most for language, count in theirs.items() if count == theirs_most)


# ---- what counts against the whole quote --------------------------------------------------------------------------


def _other_number(found: Alignment) -> bool:
    """Whether another number, weekday or month stands where one of the quote's should."""
    return any(
        _is_exchanged(found, at) if at not in found.places else _belongs_elsewhere(found, at)
        for at, token in enumerate(found.wanted)
        if is_number(token) or token in KINDS or token in ARTICLES
    )


def _is_exchanged(found: Alignment, at: int) -> bool:
    """Whether something of the same kind stands in the place of what was not found."""
    token, taken = found.wanted[at], set(found.places.values())
    before = max((place for other, place in found.places.items() if other < at), default=None)
    behind = min((place for other, place in found.places.items() if other > at), default=None)
    if before is None and behind is None:
        return False
    first = before + 1 if before is not None else max((behind or 0) - _GAP, 0)
    last = behind if behind is not None else min((before or 0) + 1 + _GAP, len(found.said))
    others = [found.said[place] for place in range(first, last) if place not in taken]
    if token in KINDS:
        return any(KINDS.get(other) == KINDS[token] for other in others)
    if token in ARTICLES:  # "a margherita" where it was "two margheritas"
        return (
            behind is not None
            and behind > first
            and is_number(found.said[behind - 1])
            and found.said[behind - 1] != "1"
        )
    return any(is_number(other) or other in ARTICLES for other in others)


def _belongs_elsewhere(found: Alignment, at: int) -> bool:
    """Whether a number was said of something else: "two diavolas and a margherita" is no "two margheritas"."""
    there, next_ = found.places[at], found.places.get(at + 1)
    if not is_number(found.wanted[at]) or next_ is None:
        return False
    return any(is_number(word) or word in ARTICLES for word in found.said[there + 1 : next_])


def _denied(found: Alignment) -> bool:
    """Whether a word is denied in the quote and not in what was said, or the other way round."""
    if not found.places:
        return False
    first, last = min(found.places.values()), max(found.places.values())
    near = range(max(first - _REACH, 0), min(last + _REACH, len(found.said)))
    in_portuguese = _is_portuguese([*found.wanted, *found.said[near.start : near.stop]])
    heads, reach = _denials(found.wanted, range(len(found.wanted)), in_portuguese)
    said_heads, said_reach = _denials(found.said, near, in_portuguese)
    return any(
        (at in heads and there not in said_reach) or (there in said_heads and at not in reach)
        for at, there in found.places.items()
    )


def _denials(words: Sequence[str], places: range, in_portuguese: bool) -> tuple[set[int], set[int]]:
    """The words that denials there are about, one each, and all that they may reach."""
    heads: set[int] = set()
    reach: set[int] = set()
    for at in places:
        if words[at] in NEGATIONS and not _is_answer(words, at) and not (in_portuguese and words[at] == "no"):
            before, behind = _clause(words, at, -1), _clause(words, at, 1)
            reach.update(before, behind, (at,))
            heads.update(_head(words, behind) or _head(words, before) or before[:1])
    return heads, reach


def _is_answer(words: Sequence[str], at: int) -> bool:
    """Whether a "no" stands by itself: before a pause, "I", or a day ("no sábado" is Portuguese for "on Saturday")."""
    behind = words[at + 1] if at + 1 < len(words) else TURN
    return words[at] in ALSO_ANSWERS and (behind in PAUSES or behind in SUBJECTS or behind in KINDS)


def _is_portuguese(words: Sequence[str]) -> bool:
    """Whether "no" is "in the"."""
    return "no" in words and [language for language, _ in languages_of(words).most_common(1)] == ["pt"]


def _clause(words: Sequence[str], at: int, step: int) -> list[int]:
    """The places from one on, up to a pause."""
    out: list[int] = []
    place = at + step
    while 0 <= place < len(words) and len(out) < _REACH and words[place] not in PAUSES:
        out.append(place)
        place += step
    return out


def _head(words: Sequence[str], places: Iterable[int]) -> list[int]:
    """The first word there that means something."""
    meaning = (at for at in places if weight(words[at]) >= CARRIER_WEIGHT and words[at] not in NEGATIONS)
    return list(islice(meaning, 1))


# ---- yes, in other words ------------------------------------------------------------------------------------------


def _assent(wanted: Sequence[str], said: Sequence[str]) -> float:
    """What a quote that is nothing but a yes is worth where another yes was said."""
    assents = [words for words in ASSENTS.values() if words.issuperset(set(wanted) - PAUSES)]
    mates = frozenset().union(*assents)
    if mates.isdisjoint(said):
        return 0.0
    in_portuguese = _is_portuguese(said)
    _, denied = _denials(said, range(len(said)), in_portuguese)
    for turn in _turns(said):
        refused = any(said[at] in ALSO_ANSWERS and not (in_portuguese and said[at] == "no") for at in turn)
        answers = [*turn[:_OPENING], *turn[_OPENING:][-_CLOSING:]]
        if not refused and any(said[at] in mates and at not in denied for at in answers):
            return _ASSENTED
    return 0.0


def _turns(said: Sequence[str]) -> Iterator[range]:
    """The places of each turn."""
    ends = [at for at, token in enumerate(said) if token == TURN]
    yield from (range(start + 1, end) for start, end in pairwise([-1, *ends, len(said)]))
