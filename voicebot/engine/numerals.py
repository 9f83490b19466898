"""Numbers as callers say them and as they are written, brought to one form, in six languages.

"Twenty-six fifty", "26.50" and "26 euros 50" are one number; so are "zero zero one five three" and "00153", "halb acht"
and "7:30", "soixante et onze" and "71". A number token is digits in the groups in which they were said: a blank between
groups that only followed each other ("26 50"), a point where a point, a colon, a currency or an hour parts them
("26.50"). Two tokens are the same number if their digits are; the groups say where a part of a longer number may begin
and end. What a number is worth is never needed.

All the languages are read at once, for nobody says which one a caller will speak. A word that is a number in one and
something else in another ("once", "sei", "due") is a number on both sides of every comparison, which does no harm.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .number_words import LANGUAGES, ONES, VALUES, values_among

BREAK = ","  # the token of any punctuation
TURN = "\n"  # the token between two turns of the caller
PAUSES = frozenset({BREAK, TURN})


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


UNITS = _set(
    "euro euros eur dollar dollars usd pound pounds quid franken francs libras dolares dollari sterline real reais "
    "peso pesos uhr heure heures hora horas ora ore h"
)
_COINS = _set("cent cents pence centimes centesimi centesimo centimos centavos")
POINTS = _set("point punkt komma comma virgola virgule coma punto ponto")
_PARTING = UNITS | POINTS | {"con", "avec", "com"}
_AND = _set("and und e ed y et")
_WORDS_BETWEEN = 3  # "26 euros and 50": at most so many, and pauses, between two groups of a number

_DIGITS = "0123456789"
_LONGEST = 40  # characters of a number token; what is longer is two

_ONE = "one"
_HUNDRED = _set("hundred hundert cent cents")  # these count what stands before them: "two hundred"
_CENT = _set("cent cents")  # a hundred in French, a coin elsewhere
_SCALES = frozenset({1000, 1_000_000})
_GERMAN_UNITS = _set("eins ein zwei zwo drei vier funf sechs sieben acht neun")
_REPEATS = dict.fromkeys(("double", "doppio", "doppia", "doppel", "doble", "duplo", "dupla"), 2)
_REPEATS |= dict.fromkeys(("triple", "triplo", "tripla", "dreifach"), 3)
_THOUSANDS = re.compile(r"([1-9]\d{0,2}(?:[.,]\d{3})+)((?:[.,]\d\d?)?)")

# Halves and quarters behind a number: the digits they stand for, of an hour or of a whole thing.
_BEHIND = dict.fromkeys(("mezza", "media", "meia", "demie"), "30") | dict.fromkeys(("quarto", "cuarto", "quart"), "15")
_BEHIND |= dict.fromkeys(("half", "mezzo", "medio", "meio", "demi"), "5")
_LESS = _set("meno menos moins")
_A = _set("a un um uma le")
_QUARTERS, _PAST, _TO = _set("quarter viertel"), _set("past after nach"), _set("to before of vor")
_TWOFOLD = ONES.keys() | _set("one oh meia quarto cuarto")
_CLOCK = _BEHIND.keys() | _QUARTERS | {"halb", "past", "nach"}


_PLAIN = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "ı": "i", **dict.fromkeys("’ʼ´`", "'"), **dict.fromkeys("ºª", "°")}
)


def fold(text: str) -> str:
    """Text in the form in which words are compared: lower case, without accents, with the digits 0 to 9."""
    text = text.casefold()
    if text.isascii():
        return text
    text = text.translate(_PLAIN).replace("très", "fort")  # without its accent it is a Spanish three
    return "".join(_plain(char) for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def _plain(char: str) -> str:
    return str(unicodedata.decimal(char)) if char.isdecimal() else char


def is_number(token: str) -> bool:
    """Whether a token is a number token, or is going to be one."""
    return "0" <= token[0] <= "9"


def digits(number: str) -> str:
    """What two number tokens have in common if they are the same number."""
    return number.replace(" ", "").replace(".", "")


def read_numbers(words: list[str]) -> list[str]:
    """Words with every number, however it was said, as one token.

    Args:
        words: folded words, `repeated`; written numbers ("1.250,00", "7:30"); `PAUSES`.
    """
    groups = read_groups(words)
    return groups if groups is words else _joined(_told_by_the_clock(groups))


def read_groups(words: list[str]) -> list[str]:
    """Words with every number as a token of its own, as far as grammar makes it one: "twenty-six fifty" are two."""
    values = {_ONE: 1, **values_among(frozenset(words))}
    if len(values) == 1 and _TWOFOLD.isdisjoint(words) and not any(map(is_number, words)):
        return words
    return _grouped(_in_context(words, values), values)


def in_groups(words: Sequence[str]) -> list[str]:
    """Words as they are, but every number as the groups of digits in which it is said: "26.50" is 26 and 50."""
    folded = [fold(word) for word in words]
    numbers = values_among(frozenset(folded)).keys() | _TWOFOLD | _REPEATS.keys()
    known = [plain if plain in numbers or plain in _AND else word for word, plain in zip(words, folded, strict=True)]
    return [
        part
        for group in read_groups(repeated(known))
        for part in (re.split("[ .]", group) if is_number(group) else [group])
    ]


# ---- groups -------------------------------------------------------------------------------------------------------


def repeated(words: list[str]) -> list[str]:
    """Words in which "double five" and "double s" are said twice."""
    if _REPEATS.keys().isdisjoint(words):
        return words
    out: list[str] = []
    for word in words:
        times = _REPEATS.get(out[-1], 1) if out else 1
        if times > 1 and word not in PAUSES and (len(word) == 1 or VALUES.get(word, 10) < 10):
            out[-1:] = [word] * times
        else:
            out.append(word)
    return out


def _in_context(words: list[str], values: Mapping[str, int]) -> list[str]:
    """Words that are numbers only between certain others, as such or not."""
    if _TWOFOLD.isdisjoint(words):
        return words
    out = list(words)
    for place, word in enumerate(words):
        if word in _TWOFOLD:
            out[place] = _meant(word, words, place, values)
    return out


def _meant(word: str, words: Sequence[str], place: int, values: Mapping[str, int]) -> str:
    def counts(where: int) -> bool:
        other = _at(words, where)
        return other in values or other == "oh" or (other != "" and is_number(other))

    before, behind = _at(words, place - 1), _at(words, place + 1)
    if word == "oh":
        return "0" if counts(place - 1) or (counts(place + 1) and counts(place + 2)) else word
    if word == _ONE:
        return word
    if word == "meia":  # half a dozen, where Brazilians read numbers out
        return "6" if counts(place - 1) and counts(place + 1) else word
    if word in _BEHIND:  # the part of an hour, or the fourth
        return "quart" if before in _AND or before in _LESS or before in _A else word
    if before in _AND and values.get(_at(words, place - 2), 0) in range(20, 100, 10):  # "vingt et un"
        return _ONE
    if behind in _AND and _at(words, place + 2) in _BEHIND:  # "una e mezza"
        return _ONE
    if not ONES[word].isdisjoint(LANGUAGES.get(behind, ())):  # "um dois três", "ein hundert"
        return _ONE
    last = behind in ("", BREAK, TURN) or is_number(behind)
    return _ONE if last and not ONES[word].isdisjoint(LANGUAGES.get(before, ())) else word


@dataclass(slots=True)
class _Group:
    """A number under way: "two thousand" … "five hundred" … "and" … "six"."""

    last: str
    value: int  # below the last scale
    room: int = 0  # what comes next is added if it is less
    total: int = 0
    scale: int = 1_000_000_000
    written: str = ""

    @classmethod
    def as_written(cls, word: str) -> _Group:
        return cls("", int(word) if word.isdecimal() and len(word) <= 3 else 0, written=_written(word))

    @classmethod
    def as_spoken(cls, word: str, value: int) -> _Group:
        if value in _SCALES:
            return cls(word, 0, 1000, total=value, scale=value)
        return cls(word, value, _room(word, value))

    def __str__(self) -> str:
        return self.written or str(self.total + self.value)

    def takes(self, word: str, value: int) -> bool:
        """Make the word part of this number, if it can be."""
        if value in _SCALES:
            return self._counted(word, value)
        if word in _HUNDRED and self._counts_hundreds(word):
            self._become(word, self.value * 100, 100)
        elif word in ("vingt", "vingts") and self.last == "quatre" and self.value % 100 == 4:
            self._become(word, self.value + 76, 20)
        elif self._has_room(value):
            self._become(word, self.value + value, _room(word, value))
        else:
            return False
        return True

    def expects(self, joiner: str, value: int | None) -> bool:
        """Whether a number goes on behind an "and"."""
        if value is None:
            return False
        if joiner == "und" and self.last in _GERMAN_UNITS and value in range(20, 100, 10):  # "zwei und zwanzig"
            self.room = 100
            return True
        return self._has_room(value) and value not in _SCALES

    def _has_room(self, value: int) -> bool:
        return 0 < value < self.room and (self.last != "dix" or 7 <= value <= 9)

    def _counts_hundreds(self, word: str) -> bool:
        if word in _CENT:
            return 0 < self.value < 10 and not self.written
        return 0 < self.value < 100

    def _counted(self, word: str, scale: int) -> bool:
        if scale >= self.scale or not (self.value or self.total):
            return False
        self.total += (self.value or 1) * scale
        self.scale = scale
        self._become(word, 0, 1000)
        return True

    def _become(self, word: str, value: int, room: int) -> None:
        self.last, self.value, self.room, self.written = word, value, room, ""


def _room(word: str, value: int) -> int:
    if value >= 100:  # the round numbers that one word can say
        return 0 if value % 100 else 100 if value % 1000 else 1000
    if word == "soixante":
        return 20
    return 10 if word == "dix" or value in range(20, 100, 10) else 0


def _grouped(words: list[str], values: Mapping[str, int]) -> list[str]:
    numbers = values.keys() | {word for word in set(words) if is_number(word)}
    out: list[str] = []
    done = -1  # the place behind the last number, before which all is in `out`
    for place in [place for place, word in enumerate(words) if word in numbers]:
        if place < done or (words[place] in _CENT and (words[place] == "cents" or place == done)):  # "fifty cents"
            continue
        out += words[max(done, 0) : place]
        group, done = _group_at(words, place, values)
        out.append(group)
    return out + words[max(done, 0) :]


def _group_at(words: Sequence[str], place: int, values: Mapping[str, int]) -> tuple[str, int]:
    """The number that begins at a place, and the place behind it."""
    word = words[place]
    group = _Group.as_spoken(word, values[word]) if word in values else _Group.as_written(word)
    for behind in range(place + 1, len(words)):
        word = words[behind]
        if not (word in values and group.takes(word, values[word])) and not (
            word in _AND and group.expects(word, values.get(_at(words, behind + 1)))
        ):
            return str(group), behind
    return str(group), len(words)


def _at(words: Sequence[str], place: int) -> str:
    return words[place] if 0 <= place < len(words) else ""


# ---- what stands between numbers ----------------------------------------------------------------------------------


def _written(word: str) -> str:
    """ "1.250,00" as "1250", "26.50" as it is, "555.010.0142" as three groups."""
    if thousands := _THOUSANDS.fullmatch(word):
        word = re.sub("[.,]", "", thousands[1]) + thousands[2]
    parts = re.split("[.,:]", word)
    if len(parts) == 2 and len(parts[1]) <= 2:
        return parts[0] if parts[1] == "00" else ".".join(parts)
    return " ".join(parts)


def _told_by_the_clock(words: list[str]) -> list[str]:
    """Halves and quarters, of hours and of whole things, as digits behind the number that they belong to."""
    if _CLOCK.isdisjoint(words):
        return words
    out: list[str] = []
    place = 0
    while place < len(words):
        read, used = _clock_phrase(words, place)
        out.append(read or words[place])
        place += used
    return out


def _clock_phrase(words: Sequence[str], place: int) -> tuple[str, int]:
    """The number that is told from here on and its length in words; "" if none is."""
    one, two, three = (_at(words, place + k) for k in range(3))
    if one == "half" and two == "past" and _is_hour(three):
        return f"{three}.30", 3
    if one == "halb" and _is_hour(two):
        return f"{_hour_before(two)}.30", 2
    if one in _QUARTERS and two in _PAST and _is_hour(three):
        return f"{three}.15", 3
    if one in _QUARTERS and two in _TO and _is_hour(three):
        return f"{_hour_before(three)}.45", 3
    if _is_hour(one) and two in ("past", "nach") and _is_hour(three):
        return f"{three}.{one:0>2}", 3
    if is_number(one) and one.isdecimal():
        return _parts_behind(words, place)
    return "", 1


def _parts_behind(words: Sequence[str], place: int) -> tuple[str, int]:
    """ "Sette e mezza", "huit heures moins le quart", "two and a half"."""
    number, behind = words[place], place + 1
    behind += _at(words, behind) in UNITS
    how = _at(words, behind)
    behind += 1 + (_at(words, behind + 1) in _A)
    part = _BEHIND.get(_at(words, behind))
    if part is not None and how in _AND:
        return f"{number}.{part}", behind + 1 - place
    if part == "15" and how in _LESS and _is_hour(number):
        return f"{_hour_before(number)}.45", behind + 1 - place
    return "", 1


def _is_hour(word: str) -> bool:
    return word.isdecimal() and len(word) <= 2


def _hour_before(hour: str) -> str:
    return "12" if int(hour) == 1 else str(int(hour) - 1)


def _joined(words: list[str]) -> list[str]:
    """Numbers that follow each other as one token, over pauses, "and", and the words that part euros from cents."""
    out: list[str] = []
    last = done = -_WORDS_BETWEEN - 2  # where in `out` the number under way is, and the place behind it in `words`
    for place in [place for place, word in enumerate(words) if word[0] in _DIGITS]:
        between = words[done:place] if place - done <= _WORDS_BETWEEN else None
        if between is None or len(out[last]) >= _LONGEST or not _one_number(between, words, place):
            out += words[max(done, 0) : place]
            last = len(out)
            out.append(words[place])
        else:
            parting = " " if _PARTING.isdisjoint(between) else "."
            out[last] += parting + words[place]
            out += [unit for unit in between if unit in UNITS]
        done = place + 1
    return out + words[max(done, 0) :]


def _one_number(between: Sequence[str], words: Sequence[str], place: int) -> bool:
    """Whether what stands between two numbers leaves them one: nothing, a pause, "and", "point", "euros and"."""
    if not between:
        return True
    if not _PARTING.isdisjoint(between) and POINTS.isdisjoint(between):
        parts = len(words[place]) == 2 and words[place].isdecimal()  # cents, minutes
        if not parts and _at(words, place + 1) not in _COINS:
            return False
    return all(word in PAUSES or word in _AND or word in _PARTING for word in between)
