"""Keys of the telephone on their way to a value: collected one by one, told the time, and read when they are whole.

An entry is whole with its last key (the terminator, or the one that makes its length full), or when no key has come for
the pause that its `Keypad` allows. What is whole is then read as any spoken value is: by the field's type and check.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import JsonValue

from voicebot.flow.keypad import LONGEST_ENTRY, Keypad
from voicebot.flow.model import Flow, Say
from voicebot.flow.observations import ObservationSpec

from .entries import MASKED_KEY
from .proposals import valid

FIRST_KEY_PAUSES = 3  # pauses of an entry that its first key may take: a card has to be fetched
PROMPT_LIMIT_S = 30.0  # the longest wait for the words that ask for it, before they count as heard
_DIGITS = frozenset("0123456789")

_ENTER = {
    "de": "Bitte geben Sie es jetzt mit den Tasten Ihres Telefons ein{end}.",
    "en": "Please enter {what} with the keys of your telephone{end}.",
    "es": "Por favor, introdúzcalo con las teclas de su teléfono{end}.",
    "fr": "Veuillez le saisir avec les touches de votre téléphone{end}.",
    "it": "La prego di inserirlo con i tasti del telefono{end}.",
    "pt": "Por favor, introduza-o com as teclas do seu telefone{end}.",
}
_AGAIN = {
    "de": "Das hat nicht geklappt.",
    "en": "That did not work.",
    "es": "Eso no ha funcionado.",
    "fr": "Cela n'a pas fonctionné.",
    "it": "Non ha funzionato.",
    "pt": "Não funcionou.",
}
_LAST_KEY = {
    "de": {"#": ", und zum Schluss die Raute-Taste", "*": ", und zum Schluss die Stern-Taste"},
    "en": {"#": ", and then the hash key", "*": ", and then the star key"},
    "es": {"#": ", y al final la tecla almohadilla", "*": ", y al final la tecla asterisco"},
    "fr": {"#": ", puis la touche dièse", "*": ", puis la touche étoile"},
    "it": {"#": ", e alla fine il tasto cancelletto", "*": ", e alla fine il tasto asterisco"},
    "pt": {"#": ", e no fim a tecla cardinal", "*": ", e no fim a tecla asterisco"},
}


class KeyEntry:
    """The keys that are being pressed for one field.

    Attributes:
        name: of the field.
        statement: the name of the exact words that ask for it.
        keys: pressed so far, without a terminator.
    """

    def __init__(self, name: str, keypad: Keypad) -> None:
        self.name, self.statement, self.keys = name, f"keys {name}", ""
        self._keypad = keypad
        self._due: float | None = None

    def __repr__(self) -> str:
        return f"KeyEntry({self.name!r}, {len(self.keys)} keys)"  # which may be a secret

    @property
    def begun(self) -> bool:
        """Whether a key was pressed for it."""
        return bool(self.keys)

    def takes(self, key: str) -> bool:
        """Whether this key belongs to the entry."""
        return key in _DIGITS or key == MASKED_KEY or (self.begun and key == self._keypad.ends_with)

    def press(self, key: str, now: float) -> bool:
        """Take a key; whether the entry is whole."""
        if key == self._keypad.ends_with:
            return True
        self.keys += key
        if key == MASKED_KEY:  # a call is played again: what comes of the entry will be told
            self._due = None
            return False
        self._due = now + self._keypad.timeout
        return len(self.keys) >= (self._keypad.length or LONGEST_ENTRY)

    def await_first(self, now: float, *, asked: bool) -> None:
        """Wait for the first key: from now on, or from when the words that ask for it (not `asked` yet) are heard."""
        if not self.begun:
            self._due = now + FIRST_KEY_PAUSES * self._keypad.timeout + (0.0 if asked else PROMPT_LIMIT_S)

    def deadline(self) -> float | None:
        """When it has taken too long for a key to come (same clock as `now`)."""
        return self._due


def words_for(flow: Flow, spec: ObservationSpec, *, language: str = "", again: bool = False) -> Say:
    """The exact words that ask for a field by keys: the author's, or ours in this language, or else in English.

    Args:
        language: that the call is in; default: the flow's first.
    """
    keypad, language = spec.ask.keypad or Keypad(), language or flow.languages[0]
    if again and keypad.again:
        return Say(keypad.again).in_language(language)
    code = language if language in _ENTER else "en"
    if keypad.prompt:
        asked = Say(keypad.prompt).in_language(language)
    else:
        last = _LAST_KEY[code].get(keypad.ends_with, "") if keypad.length is None else ""
        asked = Say(_ENTER[code].format(what=spec.description, end=last), language=code)
    return replace(asked, text=f"{_AGAIN[code]} {asked.text}", also=None) if again else replace(asked, also=None)


def value_of(spec: ObservationSpec, keys: str, *, called: str | None) -> JsonValue:
    """What was pressed as a value of the field, in JSON form.

    Args:
        called: the number that was called (E.164): in North America callers press numbers without their country code.

    Raises:
        ValueError: in words, why it is none; they may repeat what was pressed.
    """
    length = spec.ask.keypad.length if spec.ask.keypad is not None else None
    if length is not None and len(keys) != length:
        raise ValueError(f"it has {length} digits, and {len(keys)} were pressed")
    if spec.schema.get("type") in ("integer", "number"):
        return valid(spec, int(keys))
    if spec.schema.get("format") == "phone" and len(keys) == 10 and (called or "").startswith("+1"):
        return valid(spec, f"+1{keys}")
    return valid(spec, keys)
