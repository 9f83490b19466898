"""Keys of the telephone as an answer: how many make a value, how it ends, and how often it may be tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, field
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from .lengths import Seconds
from .wording import Worded, Words

LONGEST_ENTRY = 64  # keys; what is pressed beyond that is no answer

Terminator = Literal["#", "*", ""]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Keypad:
    """How a value is entered with the keys of the telephone.

    Attributes:
        length: so many keys make the value, which is then complete without a terminator.
        ends_with: the key that ends it; empty for none.
        timeout: the longest pause between two keys; after it, what was pressed is taken for the whole.
        tries: so often it may go wrong (a value that is not valid, a pause without any key). After that the phase is
            stuck, and its limits' `then` is taken; an answer that may be spoken too is then asked for by voice.
        prompt: exact words that ask for it (one text, or one for each language), of a secret that is always so asked
            for; default: ours.
        again: exact words after a try that went wrong; default: ours.
    """

    _: KW_ONLY
    length: int | None = None
    ends_with: Terminator = "#"
    timeout: Seconds = 5.0
    tries: int = 3
    prompt: Words = field(default="", hash=False)
    again: Words = field(default="", hash=False)

    def __post_init__(self) -> None:
        if self.length is not None and not 1 <= self.length <= LONGEST_ENTRY:
            raise ValueError(f"length must be from 1 to {LONGEST_ENTRY}")
        if not 1 <= self.timeout <= 60:
            raise ValueError("timeout must be from 1s to 1m")
        if not 1 <= self.tries <= 10:
            raise ValueError("tries must be from 1 to 10")

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            length: int | None = None,
            ends_with: Terminator = "#",
            timeout: str | float = 5.0,
            tries: int = 3,
            prompt: Worded = "",
            again: Worded = "",
        ) -> None: ...


_ADAPTER: TypeAdapter[Keypad] = TypeAdapter(Keypad)


def document_of(keypad: Keypad) -> dict[str, object]:
    """The JSON form: what is not as it is by default."""
    plain = asdict(Keypad())
    return {name: value for name, value in asdict(keypad).items() if value != plain[name]}


def read_keypad(document: Mapping[str, object]) -> Keypad:
    """Read the JSON form.

    Raises:
        ValueError: it is none; in one sentence.
    """
    try:
        return _ADAPTER.validate_python(dict(document))
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'keypad'}: {first['msg']}") from exc
