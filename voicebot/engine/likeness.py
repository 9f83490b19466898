"""How alike two words are to the ear and to the eye: "Rossi" and "Rosi", "Mayer" and "Meier"."""

from __future__ import annotations

import re

_SOUNDS_THE_SAME = 0.92
_LEAST = 0.5
_LONGEST = 40
_SHORTEST = 4  # letters of a word that may be misspelled; a shorter one may only be spelled otherwise

_AS_HEARD = (
    (re.compile(r"(?<=[aou])e(?=[bdfgklmnprst])"), ""),  # "Mueller"
    (re.compile(r"[ae][iyj]"), "ai"),
    (re.compile(r"ph"), "f"),
    (re.compile(r"gi(?=[aou])"), "i"),  # "Giulia", "Julia"
    (re.compile(r"c(?=[eiy])"), "s"),
    (re.compile(r"ck|[cq]"), "k"),
    (re.compile(r"h"), ""),
)
_ONE_SOUND = str.maketrans({"y": "i", "j": "i", "w": "v", "z": "s", "x": "s"})
_TWICE = re.compile(r"(.)\1+")

# First letters that are taken for each other.
_OPENINGS = {letter: row[0] for row in ("bpvwf", "ckqgjhxy", "sz", "dt", "mn", "lr", "aeiou") for letter in row}


def opening(word: str) -> str:
    """What a word begins with, as far as ears tell: words that differ in it are not worth comparing."""
    return _OPENINGS.get(word[0], word[0])


def alike(one: str, other: str) -> float:
    """From 0.5, hardly, to 1.0, the same word; 0 for other words. Both are folded."""
    if one == other:
        return 1.0
    longer = max(len(one), len(other))
    if longer > _LONGEST or abs(len(one) - len(other)) > 1 + longer // 4:
        return 0.0
    if len(set(one) & set(other)) * 2 < len(set(one)):
        return 0.0
    edits = distance(one, other)
    if 2 * edits <= longer and heard(one) == heard(other):
        return _SOUNDS_THE_SAME
    score = 1 - 1.5 * edits / longer
    return score if longer >= _SHORTEST and score >= _LEAST else 0.0


def heard(word: str) -> str:
    """A word without what spelling makes of the same sound."""
    for pattern, sound in _AS_HEARD:
        word = pattern.sub(sound, word)
    word = _TWICE.sub(r"\1", word.translate(_ONE_SOUND))
    return word[:-1] if len(word) > 2 and word.endswith("e") else word


def distance(one: str, other: str) -> int:
    """Levenshtein's distance, a whole column at a time in the bits of integers (Myers 1999, Hyyrö 2003)."""
    if not one:
        return len(other)
    places: dict[str, int] = {}
    for place, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << place
    full, top = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, edits = full, 0, len(one)
    for letter in other:
        same = places.get(letter, 0)
        diagonal = (((same & up) + up) ^ up) | same | down
        right, left = down | ~(diagonal | up) & full, up & diagonal
        edits += (right & top > 0) - (left & top > 0)
        right = (right << 1 | 1) & full
        up, down = (left << 1 | ~(diagonal | right)) & full, right & diagonal
    return edits
