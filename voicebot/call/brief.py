"""What a human being is told before a caller is joined to them: a fold over the call's journal, and nothing else.

It holds who calls, and what they have said of themselves. What came by other ways than their own words stays out: what
was pressed on the keys, which may be secret, and what was worked out and perhaps never told them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from voicebot.engine.engine import PhaseEngine
from voicebot.engine.events import CallContext
from voicebot.errors import JournalError
from voicebot.flow.model import Flow

from .past import Past

LONGEST_BRIEF = 600  # characters: half a minute, in which the caller hears it ring
LONGEST_VALUE = 120


@dataclass(frozen=True, slots=True)
class _Words:
    caller: str
    withheld: str
    yes: str
    no: str


_WORDS: Mapping[str, _Words] = {
    "de": _Words("Ein Anruf von {number}.", "Ein Anruf mit unterdrückter Nummer.", "ja", "nein"),
    "en": _Words("A call from {number}.", "A call from a withheld number.", "yes", "no"),
    "es": _Words("Una llamada de {number}.", "Una llamada de un número oculto.", "sí", "no"),
    "fr": _Words("Un appel de {number}.", "Un appel d'un numéro masqué.", "oui", "non"),
    "it": _Words("Una chiamata da {number}.", "Una chiamata da un numero nascosto.", "sì", "no"),
    "pt": _Words("Uma chamada de {number}.", "Uma chamada de um número oculto.", "sim", "não"),
}


def brief_of(flow: Flow, context: CallContext, past: Past) -> str:
    """The words for whoever answers, in the flow's first language, or in English.

    Raises:
        JournalError: the journal does not fit the flow.
    """
    words = _WORDS.get(flow.languages[0], _WORDS["en"])
    engine = PhaseEngine(flow, context)
    try:
        engine.restore(((at_ms / 1000, entry) for at_ms, entry in past.engine_entries), 0.0)
    except (KeyError, ValidationError) as exc:
        raise JournalError(f"the journal of {context.call_sid} does not fit its flow") from exc
    said = [words.caller.format(number=_spelled(context.caller)) if context.caller else words.withheld]
    for name, observed in engine.state.observed.items():
        if observed.kind == "speech":
            said.append(f"{name.replace('_', ' ')}: {_told(observed.json_value, words)}.")
    brief = ""
    for sentence in said:
        if len(brief) + len(sentence) < LONGEST_BRIEF:
            brief = f"{brief} {sentence}".strip()
    return brief


def _spelled(number: str) -> str:
    """Digit by digit, as one reads out a telephone number."""
    return " ".join(number.removeprefix("+"))


def _told(value: JsonValue, words: _Words) -> str:
    text = _plainly(value, words)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _plainly(value: JsonValue, words: _Words) -> str:
    match value:
        case bool():
            return words.yes if value else words.no
        case list():
            return ", ".join(_plainly(part, words) for part in value)
        case dict():
            return " ".join(_plainly(part, words) for part in value.values() if part is not None)
    return "" if value is None else str(value)
