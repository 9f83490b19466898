"""Speech as the words it is made of, however it was written down: what a quote and a transcript are compared by.

A token is a folded word (lower case, no accents), a number (see `numerals`), or `BREAK` for punctuation. Fillers are
gone, contractions spelled out, what was spelled letter by letter is one word, and what recognisers write for each other
("yeah", "yes") is the same. `weight` says how telling a token is: "the" is in whatever was said, "Margherita" is not.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from string import ascii_lowercase

from .numerals import BREAK, PAUSES, POINTS, fold, is_number, read_numbers, repeated
from .spoken_words import FILLERS, FILLERS_BETWEEN_PAUSES, LANGUAGES, SPELLED, WEIGHTS

_MARKS = re.compile(r"\[[^\]]{0,60}\]|<[^>]{0,60}>|\*[^*]{0,60}\*|\([^()\d]{0,60}\)|[♪♫]+")
_MARKED = "[<*(♪♫"
_LOST = re.compile(r"inaud|unintell|indistinct|crosstalk|unverst|incompr|inintell|ininteli|no se entiende")
# What recognisers write of silence: the last words of the films that they learned from.
_CREDITS = re.compile(
    r"\W*(?:thank you|thanks) (?:so much )?for watching\W*$"
    r"|\W*(?:untertitel|sous-titres?|sottotitoli|subt[ií]tulos|legendas) (?:der|im|von|r[eé]|par|a cura|cre|por|pela)"
)
_YES = re.compile(r"\b(?:m+-?h+m+|mm-hm+|u+h[- ]huh)\b")
_NO = re.compile(r"\bn?uh-uh\b")
_DOT = re.compile(r"(?<=\w\w)\.(?=[a-z]{2})")
_ORDINAL = re.compile(r"(\d)(?:(?:st|nd|rd|th|er|e|eme)\b|°)")
_OF_THE_DAY = re.compile(r"\b([ap])\. ?m\b\.?")
_HALVES = {"am": "antemeridian", "pm": "postmeridian"}
_PLAIN_TOKEN = re.compile(r"[a-z]+|\d+(?:[.,:]\d+)*|[.,;:!?()\"/$@+&%\n]")
_TOKEN = re.compile(
    r"[a-z]+\b|\d+(?:[.,:]\d+)*|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]+|[.,;:!?…—–()\"«»„“”/€$£@+&%\n]"
)
_PAUSES = frozenset('.,;:!?…—–()"«»„“”/')
_SIGNS = {"€": "euro", "$": "dollar", "£": "pound", "@": "at", "+": "plus", "&": "and", "%": "percent"}
_WRITTEN = {**dict.fromkeys(_PAUSES, BREAK), **_SIGNS, **SPELLED}
_PHRASES = frozenset(written for written in SPELLED.values() if " " in written)
_SPELLING_WORDS = frozenset({"as", "in", "like", "for", "wie", "come", "comme", "como", "de"})  # "R wie Richard"
_SHORTEST_SPELLED = 3
_LETTERS = frozenset(ascii_lowercase)
_SCRIPTS_LOOKED_AT = 80


def tokens(text: str) -> list[str]:
    """What was said, in the form in which it is compared."""
    said = read_numbers(_letters_joined(repeated(_words(_folded(text)))))
    if not POINTS.isdisjoint(said):  # of addresses; those of numbers are gone
        said = ["dot" if word in POINTS else word for word in said]
    return _halves_of_the_day(said) if "am" in said or "pm" in said else said


def weight(token: str) -> float:
    """How telling it is that a token was said: 0 for a pause, 0.15 for "the", about 1 for a word, more for a number."""
    known = WEIGHTS.get(token)
    if known is not None:
        return known
    if is_number(token):
        return min(0.9 + 0.3 * len(token), 3.5)
    return 0.0 if token in PAUSES else 0.6 + 0.1 * min(len(token), 9)


def languages_of(said: Iterable[str]) -> Counter[str]:
    """How many of the tokens are common words of each language."""
    return Counter(language for token in said for language in LANGUAGES.get(token, ()))


def scripts_of(text: str) -> set[str]:
    """The scripts that the first letters of a text are written in: {"LATIN"}."""
    letters = islice((letter for letter in text if letter.isalpha()), _SCRIPTS_LOOKED_AT)
    return {unicodedata.name(letter, "?").split()[0] for letter in letters}


def without_noise(transcript: str) -> str:
    """A transcript without its marks ("[music]"); "" if it is a recogniser's dream of silence."""
    if "mara.org" in transcript or _CREDITS.match(transcript.casefold()):
        return ""
    return _MARKS.sub(" ", transcript) if any(sign in transcript for sign in _MARKED) else transcript


def words_were_lost(transcript: str) -> bool:
    """Whether it says itself that something could not be understood: "[inaudible]"."""
    return any(_LOST.search(mark[0].casefold()) for mark in _MARKS.finditer(transcript))


def _folded(text: str) -> str:
    """Without case and accents, with contractions and signs spelled out. Each step looks first if it has work to do."""
    text = fold(text)
    if "n't" in text:
        text = text.replace("can't", "can not").replace("won't", "will not").replace("n't", " not")
    if "@" in text:
        text = _DOT.sub(" dot ", text)
    if any(sound in text for sound in ("mh", "m-h", "uh-", "uh h")):
        text = _NO.sub(" no ", _YES.sub(" yes ", text))
    if ".m" in text or ". m" in text:
        text = _OF_THE_DAY.sub(r"\1m ", text)
    return _ORDINAL.sub(r"\1", text)


def _words(text: str) -> list[str]:
    written = (_PLAIN_TOKEN if text.isascii() else _TOKEN).findall(text)
    words = [_WRITTEN.get(word, word) for word in written]
    if not FILLERS.isdisjoint(words):
        words = _without_fillers(words)
    if not _PHRASES.isdisjoint(words):
        words = " ".join(words).split(" ")
    return words if FILLERS_BETWEEN_PAUSES.isdisjoint(words) else _without_lone_fillers(words)


def _without_fillers(words: Sequence[str]) -> list[str]:
    """No "uh", nor the comma behind it."""
    behind = [False, *(word in FILLERS for word in words)]
    return [
        word
        for word, filler in zip(words, behind, strict=False)
        if word not in FILLERS and not (filler and word == BREAK)
    ]


def _without_lone_fillers(words: Sequence[str]) -> list[str]:
    around = zip([BREAK, *words], words, [*words[1:], BREAK], strict=False)
    return [word for before, word, behind in around if word not in FILLERS_BETWEEN_PAUSES or {before, behind} - PAUSES]


def _halves_of_the_day(words: list[str]) -> list[str]:
    """ "Am" and "pm" behind a number, which are other words elsewhere."""
    behind = [False, *(is_number(word) for word in words[:-1])]
    return [_HALVES.get(word, word) if number else word for word, number in zip(words, behind, strict=True)]


def _letters_joined(words: list[str]) -> list[str]:
    """What was spelled as one word: "R, O, S, S, I", "R wie Richard, O wie …"."""
    places = [place for place, word in enumerate(words) if word in _LETTERS]
    if len(places) < _SHORTEST_SPELLED:
        return words
    out: list[str] = []
    done = 0
    for run in _spelled(words, places):
        if len(run) >= _SHORTEST_SPELLED:
            out += [*words[done : run[0]], "".join(words[place] for place in run)]
            done = run[-1] + 1 + _made_clear(words, run[-1])
    return out + words[done:]


def _spelled(words: Sequence[str], places: Iterable[int]) -> Iterator[list[int]]:
    """The letters that follow each other, but for pauses and words that make them clear."""
    run: list[int] = []
    end = 0
    for place in places:
        if run and not PAUSES.issuperset(words[end:place]):
            yield run
            run = []
        run.append(place)
        end = place + 1 + _made_clear(words, place)
    yield run


def _made_clear(words: Sequence[str], place: int) -> int:
    """How many words behind a letter only make it clear: "as in Roma" behind an R."""
    if place + 1 >= len(words) or words[place + 1] not in _SPELLING_WORDS:
        return 0
    for behind in (2, 3):
        *linking, example = words[place + 1 : place + 1 + behind] or [""]
        if len(linking) == behind - 1 and example.startswith(words[place]) and _SPELLING_WORDS.issuperset(linking):
            return behind
    return 0
