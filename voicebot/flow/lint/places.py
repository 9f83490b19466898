"""The places for recorded values in the words of a statement, as in `The total is {total}.`"""

from __future__ import annotations

import re

from ..model import Say

_PLACE = re.compile(r"\{(\w+)\}")


def places_in(say: Say) -> list[str]:
    """The fields that a statement quotes, in whichever language."""
    return list(dict.fromkeys(name for text in say.texts.values() for name in places_in_text(text)))


def places_in_text(text: str) -> list[str]:
    """The fields that its words quote in one of its languages."""
    return _PLACE.findall(text)


def stray_braces(text: str) -> bool:
    """Whether braces are left that stand for no value, and would be spoken."""
    return any(brace in _PLACE.sub("", text) for brace in "{}")
