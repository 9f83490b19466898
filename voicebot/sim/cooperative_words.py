"""Reads a caller's words into a value of a JSON Schema, as far as words go: what the cooperative brain hears with.

By rule and not by understanding: numbers in digits or simple words, choices by their words, days by their names, lists
by commas and "and". What cannot be read is `UNREAD`; nothing raises, whatever the schema or the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Final

from .cooperative_numbers import day_in, numbers_in, phone_in, time_in

Schema = Mapping[str, object]


class _Unread:
    """No value could be read. (None is a value.)"""

    def __repr__(self) -> str:
        return "UNREAD"


UNREAD: Final = _Unread()

_YES = re.compile(
    r"\b(yes|yeah|yep|yup|sure|ok|okay|right|correct|fine|certainly|absolutely|gladly|agreed|perfect|true|indeed"
    r"|please do|of course|go ahead|i do|i am|i have|i would|i'd like that|sounds good|that's (?:all|it|everything)"
    r"|that is (?:all|it|everything)|s[ìi])\b"
)
_NO = re.compile(
    r"\b(no|nope|nah|not|never|none|nothing|false|don't|do not|doesn't|won't|isn't|haven't|i'd rather not)\b"
)
_COMPLETE = re.compile(r"\bthat(?:'s| is) (?:all|it|everything)\b")
_NONE = re.compile(r"\b(none|no|nothing|nobody|nil)\b")
_LED_IN = re.compile(r"^(?:(?:my|the)?\s*(?:full )?name(?:'s| is)|call me)\s+", re.IGNORECASE)
_LED_IN_SHORTLY = re.compile(
    r"^(?:it's|it is|it’s|this is|i'm|i am|i’m|that's|that is)\s+(?=\S+(?:\s+\S+){0,3}$)", re.IGNORECASE
)
_CLOSER = re.compile(r"(?<=\S)[\s,]+(?:please|thanks|thank you|too|as well|also)$", re.IGNORECASE)
_OPENER = re.compile(r"^(?:(?:yes|well|ok|okay|hi|hello|hey|sure|um+|uh+|please)\b[\s,.!]*)+(?=\S)", re.IGNORECASE)
_BREAK = re.compile(r"\s*(?:[,;\n]|\band\b|&|\+(?!\d)|\bplus\b)\s*", re.IGNORECASE)
_ASIDE = re.compile(r"\s*\b((?:without|with no|with extra|but|no|extra)\b.*)$", re.IGNORECASE)
_FILLERS = {"it", "them", "that", "the", "a", "an", "to", "for", "my", "me", "please", "you"}
# Options that people say without meaning them.
_COMMON = {"none", "some", "much", "new", "other", "yes", "no", "one", "all", "any", "more", "less", "wait", "sell"}


def read(schema: Schema, words: str, today: date | None) -> object:
    """The value that the words give for the schema, or `UNREAD`.

    Args:
        today: the day of the call, which "tomorrow" and "Monday" count from; None if it is not known.
    """
    if "const" in schema or "enum" in schema:
        return chosen(options_of(schema), words)
    if "anyOf" in schema:
        return _read_any(schema, words, today)
    match schema.get("type"):
        case "boolean":
            return agreed(words)
        case "integer":
            number = _first_number(words)
            return UNREAD if number is None or number != int(number) else int(number)
        case "number":
            number = _first_number(words)
            return UNREAD if number is None else float(number)
        case "string":
            return _read_text(schema, words, today)
        case "array":
            return _read_list(schema, words, today)
        case "object":
            value, missing = read_object(schema, words, today, {})
            return UNREAD if missing or not value else value
    return UNREAD


def clearly(schema: Schema, words: str, today: date | None) -> object:
    """The value, if the words say it beyond doubt though nobody asked: a choice by its name, things counted."""
    if "enum" in schema:
        said = [option for option in options_of(schema) if _is_clear(option, words)]
        return said[0] if len(said) == 1 else UNREAD
    items = schema.get("items")
    if schema.get("type") != "array" or not isinstance(items, dict) or not _are_counted(items):
        return UNREAD
    counted = (part for part in _BREAK.split(words) if _counts(part))
    return [value for part in counted if (value := read(items, part, today)) is not UNREAD] or UNREAD


def agreed(words: str) -> object:
    """True for a yes, False for a no, by whichever comes first; else `UNREAD`."""
    text = _straight(words)
    if _COMPLETE.search(text):
        return True
    yes, no = _YES.search(text), _NO.search(text)
    if yes is None and no is None:
        return UNREAD
    return no is None or (yes is not None and yes.start() < no.start())


def options_of(schema: Schema) -> list[object]:
    """What an `enum` or a `const` allows, without null."""
    listed = schema.get("enum")
    options = list(listed) if isinstance(listed, list) else [schema["const"]] if "const" in schema else []
    return [option for option in options if option is not None]


def properties_of(schema: Schema) -> dict[str, Schema]:
    """The properties of an object, by name."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {str(name): part for name, part in properties.items() if isinstance(part, dict)}


def required_of(schema: Schema) -> list[str]:
    """The properties that an object must have."""
    required = schema.get("required")
    return [str(name) for name in required] if isinstance(required, list) else []


# ---- choices ---------------------------------------------------------------------------------------------------------


def chosen(options: Sequence[object], words: str) -> object:
    """The option that the words name: the longest one, then the first; else `UNREAD`."""
    said = [option for option in options if _names(str(option), words)]
    if said:
        return max(said, key=lambda option: len(str(option)))
    if _NONE.search(_straight(words)):
        return next((option for option in options if str(option) == "none"), UNREAD)
    return UNREAD


def _names(option: str, words: str, *, denied: bool = False) -> bool:
    """Whether the words hold the option: word for word, in another form ("deliver", "pick it up"), or by initials.

    "Not delivery" names it only with `denied`.
    """
    wanted, said = _tokens(option), _tokens(words)
    if not wanted or not said:
        return False
    if len(wanted) > 2 and "".join(word[0] for word in wanted) in said:  # asap
        return True
    for at in range(len(said) - len(wanted) + 1):
        if all(map(_alike, wanted, said[at : at + len(wanted)])) and (denied or not _denied(said, at)):
            return True
    rest = [word for word in said if word not in _FILLERS]
    return len(wanted) == 1 and len(option) > 4 and any(a + b == wanted[0] for a, b in pairwise(rest))


def _is_clear(option: object, words: str) -> bool:
    wanted, said = _tokens(str(option)), _tokens(words)
    if not wanted or " ".join(wanted) in _COMMON:
        return False
    places = (at for at in range(len(said)) if said[at : at + len(wanted)] == wanted)
    return any(not _denied(said, at) for at in places) or (len(str(option)) > 5 and _names(str(option), words))


def _alike(wanted: str, said: str) -> bool:
    if wanted == said:
        return True
    return len(wanted) > 4 and len(said) > 4 and wanted[: max(5, len(wanted) - 2)] == said[: max(5, len(wanted) - 2)]


def _denied(said: Sequence[str], at: int) -> bool:
    return at > 0 and said[at - 1] in ("not", "no", "never")


def _tokens(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _straight(words: str) -> str:
    return words.casefold().replace("’", "'")


# ---- numbers and texts -----------------------------------------------------------------------------------------------


def _first_number(words: str) -> Decimal | None:
    found = numbers_in(words) or numbers_in(words, articles=True)
    if found:
        return found[0].value
    return Decimal(0) if _NONE.search(_straight(words)) else None


def _are_counted(schema: Schema) -> bool:
    """Whether an object says how many there are of it."""
    return any(part.get("type") == "integer" for part in properties_of(schema).values())


def _counts(words: str) -> bool:
    """Whether the words count something: "two margherita", "a chinotto"."""
    return any(words[number.end :].strip(" .,!?") for number in numbers_in(words, articles=True))


def _read_text(schema: Schema, words: str, today: date | None) -> object:
    match schema.get("format"):
        case "decimal":
            number = _first_number(words)
            return UNREAD if number is None else format(number, "f")
        case "date":
            day = day_in(words, today)
            return UNREAD if day is None else day.isoformat()
        case "time":
            return time_in(words) or UNREAD
        case "date-time":
            day, at = day_in(words, today), time_in(words)
            return UNREAD if day is None or at is None else f"{day.isoformat()}T{at}:00"
        case "phone":
            return phone_in(words) or UNREAD
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        return _fitting(pattern, words)
    return _plain(words, schema.get("maxLength")) or UNREAD


def _fitting(pattern: str, words: str) -> object:
    """The part of the words that fits a pattern, spelt as it wants: "a f 1 2 3 4 5" for ^AF\\d{5}$."""
    if len(words) > 200:  # a pattern may take its time over a long text
        return UNREAD
    try:
        loose = re.compile(pattern.removeprefix("^").removesuffix("$"))
    except re.error:
        return UNREAD
    for text in (words, words.upper(), re.sub(r"[\s\-.]", "", words), re.sub(r"[\s\-.]", "", words).upper()):
        if (found := loose.search(text)) is not None and found[0]:
            return found[0]
    return UNREAD


def _plain(words: str, longest: object) -> str:
    """The words as said, without what leads in: "my name is", "it's"."""
    text = words.strip().strip("\"'“”").rstrip(" .!?,;").lstrip()
    text = _OPENER.sub("", _CLOSER.sub("", text))
    text = _LED_IN_SHORTLY.sub("", _LED_IN.sub("", text)).strip()
    return text[:longest] if isinstance(longest, int) and longest > 0 else text


# ---- lists and objects -----------------------------------------------------------------------------------------------


def _read_any(schema: Schema, words: str, today: date | None) -> object:
    parts = schema.get("anyOf")
    known = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    readings = (read(part, words, today) for part in sorted(known, key=_freedom))
    return next((value for value in readings if value is not UNREAD), UNREAD)


def _freedom(schema: Schema) -> int:
    """How much a schema lets pass: choices are tried first, free text last."""
    if "const" in schema or "enum" in schema:
        return 0
    return 2 if schema.get("type") == "string" and not schema.keys() & {"format", "pattern"} else 1


def _read_list(schema: Schema, words: str, today: date | None) -> object:
    items = schema.get("items")
    items = items if isinstance(items, dict) else {"type": "string"}
    found: list[object]
    if "enum" in items:
        found = [option for option in options_of(items) if _names(str(option), words, denied=True)]
    else:
        parts = (_plain(part, None) for part in _BREAK.split(words))
        found = [value for part in parts if part and (value := read(items, part, today)) is not UNREAD]
    if (not found or len(_tokens(words)) < 4) and _NONE.search(_straight(words)) and not schema.get("minItems"):
        return []
    return found or UNREAD


def read_object(
    schema: Schema, words: str, today: date | None, known: Mapping[str, object]
) -> tuple[dict[str, object], list[str]]:
    """The properties that the words give, over those that are known; and those required that are still missing."""
    parts, left = properties_of(schema), words
    value = {name: known[name] for name in known if name in parts}
    wanted = [name for name in parts if name not in value]
    for name in sorted(wanted, key=lambda one: _freedom_of(one, parts[one])):
        if _is_free(parts[name]):
            continue
        found, left = _take(name, parts[name], left, today)
        if found is not UNREAD:
            value[name] = found
    free = [name for name in wanted if name not in value and _is_free(parts[name])]
    value |= _share_out(free, required_of(schema), left, many=value.get("quantity", 1) != 1)
    return value, [name for name in required_of(schema) if name not in value]


def _freedom_of(name: str, schema: Schema) -> int:
    """Fixed forms (times, days, patterns, choices) are taken before plain numbers, which would eat their digits."""
    fixed = schema.keys() & {"enum", "const", "pattern", "format"}
    return 0 if fixed else 1


def _is_free(schema: Schema) -> bool:
    """Whether any text would do."""
    known = [part for part in _alternatives(schema) if part.get("type") != "null"]
    return bool(known) and all(_freedom(part) == 2 for part in known)


def _alternatives(schema: Schema) -> Iterator[Schema]:
    parts = schema.get("anyOf")
    if isinstance(parts, list):
        yield from (part for part in parts if isinstance(part, dict))
    else:
        yield schema


def _take(name: str, schema: Schema, words: str, today: date | None) -> tuple[object, str]:
    """A property's value, and the words without what gave it."""
    if schema.get("type") in ("integer", "number"):
        number = next(iter(numbers_in(words, articles=True)), None)
        if number is None:
            return (1, words) if name in ("quantity", "count", "number") else (UNREAD, words)
        value = int(number.value) if schema.get("type") == "integer" else float(number.value)
        after = words[number.end :]
        return value, after if after.strip(" .,!?") else words[: number.start]  # "I would like two pizzas"
    if schema.get("type") == "boolean":  # a yes in passing says nothing about a part
        return UNREAD, words
    found = read(schema, words, today)
    if isinstance(found, str) and found in words:
        return found, words.replace(found, ", ", 1)
    return found, words


def _share_out(names: Sequence[str], required: Sequence[str], words: str, *, many: bool) -> dict[str, object]:
    """What is left of the words, for the properties that take any text: those required first, in order."""
    shared: dict[str, object] = {}
    needed = [name for name in names if name in required]
    aside = next((name for name in names if name not in required), None)
    if len(needed) > 1 and "number" in needed and (digits := re.search(r"\b\d+\s?[a-zA-Z]?\b", words)):
        shared["number"] = digits[0]
        words = words[: digits.start()] + words[digits.end() :]
        needed.remove("number")
    if aside is not None and len(needed) == 1 and (apart := _ASIDE.search(words)) and apart.start() > 0:
        shared[aside] = apart[1].strip(" .,")
        words = words[: apart.start()]
    parts = [part for part in (_plain(part, None) for part in re.split(r"\s*[,;]\s*", words)) if part]
    if len(needed) == 1:
        parts = [" ".join(parts[: 1 if aside and aside not in shared else None]), *parts[1:]] if parts else []
    for name, part in zip([*needed, *([aside] if aside and aside not in shared else [])], parts, strict=False):
        shared[name] = _singular(part) if many and name == "name" else part
    return shared


def _singular(text: str) -> str:
    return text[:-1] if text.endswith("s") and not text.endswith("ss") and len(text) > 3 else text
