"""Words that may be given in several languages: as one text, or as one for each language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import StringConstraints

LONGEST_SAY = 600  # characters: half a minute of speech

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]  # ISO 639-1
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_SAY)]
MaybeText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_SAY)]
Words = MaybeText | dict[Language, Text]  # "" where there are none

Worded = str | Mapping[str, str]  # what an author writes for it


def texts_of(words: Worded) -> dict[str | None, str]:
    """Every text by its language; None for one whose language is not said, which is the flow's first."""
    if isinstance(words, str):
        return {None: words} if words else {}
    return dict[str | None, str](words.items())
