"""Rules about the ways out that are left when the voice agent cannot go on: that the phone line can take them."""

from __future__ import annotations

from collections.abc import Iterator

from ..source import place_of
from ..ways_out import Transfer
from .findings import Flaw, LintRule
from .study import Study
from .transfers import NUMBER


def _transfers(study: Study) -> Iterator[Flaw]:
    for way in study.flow.fallback:
        if not isinstance(way, Transfer) or way.to in study.flow.targets:
            continue
        if not NUMBER.fullmatch(way.to):
            mend = "write + and the country code, then digits alone, as in +15550100; or name one of the targets"
            yield Flaw(place_of(way), f"{way.to!r} in fallback is no telephone number", mend)
        elif way.to in study.flow.numbers:
            mend = "name a number that somebody answers"
            yield Flaw(place_of(way), f"{way.to} in fallback leads back to this flow", mend)


RULES = (LintRule("F036", "error", "a way out that the phone line cannot take", _transfers),)
