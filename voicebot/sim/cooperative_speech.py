"""What the cooperative brain says: questions made from the descriptions of fields, values in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from .cooperative_words import Schema, options_of, properties_of, required_of

GOODBYE = "Thank you for calling. Goodbye!"
_ASKS_ITSELF = re.compile(
    r"^(whether|when|where|what|which|who|why|how|if|in what|in which|in how|for how|for what|on which|on what)\b", re.I
)
_CALLER = r"the (?:caller|customer|learner|guest|patient|client)"
# A description speaks to the model about the caller; a question speaks to the caller.
_PERSONS: tuple[tuple[str, str], ...] = (
    (r"\byou have\b", "I have"),
    (r"\byou\b", "I"),
    (r"\byour\b", "my"),
    (rf"\b{_CALLER}'s\b", "your"),
    (rf"\b{_CALLER} (say|want|need|agree|carrie|give|ask|like|choose|live|prefer|know)e?s\b", r"you \1"),
    (rf"\b{_CALLER} is\b", "you are"),
    (rf"\b{_CALLER} has\b", "you have"),
    (rf"\b{_CALLER}\b", "you"),
    (r"\b(?:their|his|her)\b", "your"),
    (r"\b(?:they|them|he|she|him)\b", "you"),
    (r"\bthemselves\b", "yourself"),
    (r"\btheirs\b", "yours"),
)
_TYPES = {"boolean": "yes or no", "integer": "a number", "number": "a number"}
_FORMATS = {
    "decimal": "a number",
    "date": "a day",
    "time": "a time",
    "date-time": "a day and a time",
    "phone": "with the country code, as in +14155550123",
}
_SAYS_THAT = re.compile(r"^(whether )(?:the caller|they) says? (?:that |whether )", re.I)
_CLAIM = re.compile(r"^(?:true|yes) (?:once|if|when) (?:(?:the caller|they) (?:says?|agrees?) that )?", re.I)


def question(description: str, schema: Schema) -> str:
    """Ask for a field, with what may be answered if its description does not say so."""
    description = _SAYS_THAT.sub(r"\1", description)
    told = description if "pattern" in schema and "format" not in schema else re.split(r"\s*[;:]\s", description)[0]
    claim = _CLAIM.sub("", told.strip(" .?"))
    asked = to_caller(claim)
    hint = _hint(schema, asked)
    if claim != told.strip(" .?"):
        said = f"Is this so: {asked}"
    elif _ASKS_ITSELF.match(asked):
        said = f"Can you tell me {asked}"
    elif asked.startswith("my "):  # the model was to judge
        said = f"What shall I put down as {asked}"
    else:
        said = f"May I have {asked}"
    return f"{said}?{f' ({hint})' if hint else ''}"


def missing_parts(schema: Schema, known: Mapping[str, object]) -> str:
    """What an object still needs."""
    parts = properties_of(schema)
    return "; ".join(_part(name, parts.get(name, {})) for name in required_of(schema) if name not in known)


def to_caller(description: str) -> str:
    """A description of the caller's things, turned to the caller: "their name" is "your name"."""
    # All at once, so that what was turned is not turned again.
    pattern = "|".join(f"(?P<p{number}>{one})" for number, (one, _) in enumerate(_PERSONS))

    def turned(found: re.Match[str]) -> str:
        number = int((found.lastgroup or "p0")[1:])
        return re.sub(_PERSONS[number][0], _PERSONS[number][1], found[0], flags=re.I)

    return re.sub(pattern, turned, description, flags=re.I)


def spoken(value: object) -> str:
    """A value as one says it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(spoken(part) for part in value.values() if part is not None)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(map(spoken, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def clipped(text: str, limit: int = 300) -> str:
    """At most so many characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _hint(schema: Schema, asked: str) -> str:
    """What kind of answer is understood; nothing where any words do, or where the question says so."""
    options = [str(option) for part in _parts(schema) for option in options_of(part)]
    if options and all(option.casefold() in asked.casefold() for option in options):
        return ""
    forms = [form for part in _parts(schema) if (form := _form(part)) and form not in asked]
    return _either(list(dict.fromkeys([*forms, *options])))


def _form(schema: Schema) -> str:
    """The form of an answer that is no choice."""
    match schema.get("type"):
        case "object":
            parts = properties_of(schema)
            return ", ".join(_part(name, parts.get(name, {})) for name in required_of(schema))
        case "array":
            return "" if schema.get("minItems") else "or none"
        case "string":
            return _FORMATS.get(str(schema.get("format")), "")
    return _TYPES.get(str(schema.get("type")), "")


def _parts(schema: Schema) -> list[Schema]:
    parts = schema.get("anyOf")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else [schema]


def _part(name: str, schema: Schema) -> str:
    options = [str(option) for option in options_of(schema)]
    shown = name.replace("_", " ")
    return f"{shown}: {_either(options)}" if options else shown


def _either(options: Sequence[str]) -> str:
    return f"{', '.join(options[:-1])} or {options[-1]}" if len(options) > 1 else "".join(options)
