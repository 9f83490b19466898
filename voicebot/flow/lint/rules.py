"""Every rule of the linter, by its id."""

from __future__ import annotations

from collections.abc import Iterator

from . import (
    commits,
    ends,
    fields,
    guards,
    hours,
    keys,
    languages,
    messages,
    names,
    receivers,
    recordings,
    roads,
    transfers,
    ways_out,
    words,
)
from .findings import Flaw, LintRule
from .study import Study


def _by_others(study: Study) -> Iterator[Flaw]:
    """Of rules that need more than a flow: those who see the files apply them."""
    return iter(())


_PARTS = (
    *(names, roads, fields, words, ends, guards, commits, receivers, ways_out, recordings, transfers, keys),
    *(languages, hours, messages),
)
UNLOADABLE = LintRule("F000", "error", "the file cannot be loaded", _by_others)
SHARED_NUMBER = LintRule("F033", "warning", "two flows answer the same number", _by_others)

RULES: tuple[LintRule, ...] = tuple(
    sorted(
        (
            *(UNLOADABLE, SHARED_NUMBER),
            *(rule for part in _PARTS for rule in part.RULES),
        ),
        key=lambda rule: rule.id,
    )
)
