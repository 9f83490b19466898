"""Which of a flow's languages a caller speaks, by the words of their transcripts.

Words are told apart by what callers say all the time ("vorrei", "the", "bitte", see `spoken_words`): one counts for a
language if it is common in that one alone of those the flow has. Names, dishes, numbers in digits and a lone "ok" say
nothing, neither does a turn in which the languages are mixed, nor one that is rather in a language that the flow does
not have. So most turns of a word or two are silent about it. Languages whose common words we do not know are never
detected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from .spoken import languages_of, tokens, without_noise
from .spoken_words import LANGUAGES

MIN_WORDS = 3  # that tell, before a turn says anything: fewer may be a title, a greeting or a recogniser's slip
MIN_SHARE = 0.75  # of the words that tell, for the language that they are of
TURNS_TO_SWITCH = 2  # that say the same, with none that says otherwise between them


@dataclass(frozen=True, slots=True)
class Leaning:
    """The language of the caller's latest `turns` that say anything about it."""

    language: str | None = None
    turns: int = 0

    @property
    def sure(self) -> bool:
        """Whether it is more than a slip."""
        return self.turns >= TURNS_TO_SWITCH

    def after(self, text: str, among: Collection[str]) -> Leaning:
        """What it is after one more transcript."""
        language = spoken_language(text, among)
        if language is None:
            return self
        return Leaning(language, self.turns + 1 if language == self.language else 1)


def spoken_language(text: str, among: Collection[str]) -> str | None:
    """The language of a transcript, one of `among` (ISO 639-1); None if that cannot be said."""
    said, found = set(tokens(without_noise(text))), Counter[str]()  # a word that is repeated tells no more
    for token in said:
        common = LANGUAGES.get(token, frozenset()).intersection(among)
        if len(common) == 1:
            found.update(common)
    if not found:
        return None
    language, most = found.most_common(1)[0]
    everywhere = languages_of(said)
    foreign = any(count > everywhere[language] for other, count in everywhere.items() if other not in among)
    return language if most >= max(MIN_WORDS, MIN_SHARE * found.total()) and not foreign else None
