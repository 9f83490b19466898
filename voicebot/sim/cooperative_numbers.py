"""Numbers, days, times and telephone numbers in a caller's English words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = (
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
_SMALL = {word: value for value, word in enumerate(_UNITS)}
_SMALL |= {word: 10 * (place + 2) for place, word in enumerate(_TENS)}
_SMALL |= {"nought": 0, "nil": 0, "nothing": 0, "oh": 0, "couple": 2, "dozen": 12}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_SCALES = {"k": 1000, "m": 1_000_000, **_LARGE}
_ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh",
    "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth",
    "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth", "twenty-first",
    "twenty-second", "twenty-third", "twenty-fourth", "twenty-fifth", "twenty-sixth", "twenty-seventh", "twenty-eighth",
    "twenty-ninth", "thirtieth", "thirty-first",
)  # fmt: skip
_WEEKDAYS = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july",
    "august", "september", "october", "november", "december",
)  # fmt: skip
_DIGITS = re.compile(
    r"(?<![\w.])(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?)(?:\s?(k|m|hundred|thousand|million)\b)?", re.I
)
_WORD = re.compile(r"[a-z]+", re.I)
_MONTH = rf"({'|'.join(f'{month[:3]}(?:{month[3:]})?' if month != 'may' else 'may' for month in _MONTHS)})"
_DAY = rf"(\d{{1,2}})(?:st|nd|rd|th)?|({'|'.join(sorted(_ORDINALS, key=len, reverse=True))})"
_DAY_FIRST = re.compile(rf"\b(?:{_DAY})\s+(?:of\s+)?{_MONTH}\b(?:,?\s+(\d{{4}}))?")
_MONTH_FIRST = re.compile(rf"\b{_MONTH}\s+(?:the\s+)?(?:{_DAY})\b(?:,?\s+(\d{{4}}))?")
_CLOCK = re.compile(r"\b([01]?\d|2[0-3])(?:[:.h]([0-5]\d))?\s*(a\.?m\b|p\.?m\b|o'clock)?", re.I)
_SPOKEN_CLOCK = re.compile(
    r"\b(?:(half|quarter) (past|to) )?([a-z]+)(?: (fifteen|thirty|forty[- ]five))?"
    r"\s*(a\.?m\b|p\.?m\b|o'clock)?",
    re.I,
)
_PHONE = re.compile(r"(?:\+|\b00)?\d[\d\s().\-/]{5,}\d")
_MOST_DIGITS = 15  # of a number worth reading


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text, and where it stands."""

    value: Decimal
    start: int
    end: int


def numbers_in(words: str, *, articles: bool = False) -> list[Number]:
    """Every number, in order. With `articles`, "a" and "an" count as one."""
    found = [*_in_digits(words), *_in_words(words, articles=articles)]
    return sorted(found, key=lambda number: number.start)


def _in_digits(words: str) -> Iterator[Number]:
    for match in _DIGITS.finditer(words):
        text = match[1]
        plain = text.replace(",", "") if re.search(r",\d{3}\b", text) else text.replace(",", ".")
        if len(plain) <= _MOST_DIGITS and plain.isascii():
            yield Number(Decimal(plain) * _SCALES.get((match[2] or "").casefold(), 1), match.start(), match.end())


def _in_words(words: str, *, articles: bool) -> Iterator[Number]:
    tokens = list(_WORD.finditer(words))
    at = 0
    while at < len(tokens):
        value, taken = _number_from([token[0].casefold() for token in tokens[at : at + 12]], articles=articles)
        if taken:
            yield Number(Decimal(value), tokens[at].start(), tokens[at + taken - 1].end())
        at += taken or 1


def _number_from(tokens: list[str], *, articles: bool) -> tuple[int, int]:
    """The number that begins at the first token, and how many tokens it takes: "two hundred and five" is 205, 4."""
    total = part = taken = 0
    last = 1000  # what may follow is smaller
    for place, token in enumerate(tokens):
        if token in _SMALL and _SMALL[token] < last:
            part += _SMALL[token]
            last = 10 if 20 <= _SMALL[token] < 100 else 1
            taken = place + 1
        elif token in _LARGE and (part or (place == 1 and tokens[0] in ("a", "an"))):
            part = max(part, 1) * _LARGE[token]
            if _LARGE[token] > 100:
                total, part = total + part, 0
            last, taken = 100, place + 1
        elif token in ("a", "an") and not place:
            following = tokens[1] if len(tokens) > 1 else ""
            if following in _LARGE or following in ("dozen", "couple"):
                continue
            return (1, 1) if articles else (0, 0)
        elif not (token == "and" and last == 100 and taken == place):
            break
    return total + part, taken


# ---- days ------------------------------------------------------------------------------------------------------------


def day_in(words: str, today: date | None) -> date | None:
    """The day that the words name: as a date, by its month, by weekday, or counted from `today`."""
    text = words.casefold()
    if written := re.search(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b", text):
        return _date(int(written[1]), int(written[2]), int(written[3]))
    if today is None:
        return None
    for name, offset in (("day after tomorrow", 2), ("tomorrow", 1), ("today", 0), ("tonight", 0)):
        if name in text:
            return today + timedelta(days=offset)
    return _by_month(text, today) or _by_weekday(text, today)


def _by_month(text: str, today: date) -> date | None:
    if found := _DAY_FIRST.search(text):
        digits, ordinal, month, year = found.groups()
    elif found := _MONTH_FIRST.search(text):
        month, digits, ordinal, year = found.groups()
    else:
        return None
    day = int(digits) if digits else _ORDINALS.index(ordinal) + 1
    number = next(place for place, name in enumerate(_MONTHS, 1) if name.startswith(month[:3]))
    if year:
        return _date(int(year), number, day)
    this_year = _date(today.year, number, day)
    return this_year if this_year is None or this_year >= today else _date(today.year + 1, number, day)


def _by_weekday(text: str, today: date) -> date | None:
    named = next((place for place, name in enumerate(_WEEKDAYS) if re.search(rf"\b{name}s?\b", text)), None)
    return None if named is None else today + timedelta(days=(named - today.weekday() - 1) % 7 + 1)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


# ---- times and telephone numbers -------------------------------------------------------------------------------------


def time_in(words: str) -> str | None:
    """The time of day that the words name, as HH:MM."""
    text = re.sub(r"\d{4}-\d{1,2}-\d{1,2}|\+\d[\d ]+", " ", words.casefold().replace("’", "'"))
    if "noon" in text.split() or "midday" in text:
        return "12:00"
    if "midnight" in text:
        return "00:00"
    clocks = list(_CLOCK.finditer(text))
    for clock in sorted(clocks, key=lambda one: not (one[2] or one[3])):  # 7:30 and 7 pm before a bare 7
        return _clock(int(clock[1]), int(clock[2] or 0), clock[3])
    for spoken in _SPOKEN_CLOCK.finditer(text):
        hour = _SMALL.get(spoken[3])
        if hour is not None and 0 < hour < 24:
            minutes = {"half": 30, "quarter": 15}.get(spoken[1] or "", 0) * (-1 if spoken[2] == "to" else 1)
            minutes += {"fifteen": 15, "thirty": 30}.get(spoken[4] or "", 45 if spoken[4] else 0)
            return _clock(hour, minutes, spoken[5])
    return None


def _clock(hour: int, minutes: int, half: str | None) -> str:
    if half and half.startswith("p") and hour < 12:
        hour += 12
    elif half and half.startswith("a") and hour == 12:
        hour = 0
    total = (hour * 60 + minutes) % (24 * 60)
    return f"{total // 60:02}:{total % 60:02}"


def phone_in(words: str) -> str | None:
    """A telephone number as the words give it, in digits or digit by digit; None for fewer than seven digits."""
    text = words.casefold().replace("plus", "+")
    for value, word in enumerate(_UNITS[:10]):
        text = re.sub(rf"\b{word}\b", str(value), text)
    text = re.sub(r"\boh\b", "0", text)
    found = _PHONE.search(re.sub(r"\+\s+", "+", re.sub(r"(?<=\d)[\s,]+(?=\d)", " ", text)))
    if found is None:
        return None
    digits = re.sub(r"[^\d+]", "", found[0])
    return digits if 7 <= len(digits.lstrip("+")) <= _MOST_DIGITS else None
