"""What a rule of the linter is, and what it finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from .study import Study

Severity = Literal["error", "warning"]
_LINE = re.compile(r":(\d+)$")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the linter found. `where` is `file:line`, or None for a flow that came as JSON."""

    rule: str
    severity: Severity
    where: str | None
    problem: str
    mend: str

    @property
    def file(self) -> str | None:
        """The file of `where`."""
        return None if self.where is None else _LINE.sub("", self.where)

    @property
    def line(self) -> int | None:
        """The line of `where`, from 1; None if only the file is known."""
        found = _LINE.search(self.where or "")
        return None if found is None else int(found[1])

    def __str__(self) -> str:
        advice = f" ({self.mend})" if self.mend else ""
        return f"{self.where or 'flow'}: {self.severity} {self.rule}: {self.problem}{advice}"


@dataclass(frozen=True, slots=True)
class Flaw:
    """A finding before it has the id and the severity of its rule."""

    where: str | None
    problem: str
    mend: str


@dataclass(frozen=True, slots=True)
class LintRule:
    """One rule of the linter.

    Attributes:
        id: stays for ever.
        severity: an `error` keeps the flow from being loaded, a `warning` does not.
        title: what is wrong where it fires, in one line.
        find: every flaw of this kind.
        deep: it reasons over what calls can come to, so it needs a flow without errors in its names.
    """

    id: str
    severity: Severity
    title: str
    find: Callable[[Study], Iterable[Flaw]]
    deep: bool = False

    def findings(self, study: Study) -> list[Finding]:
        """What it finds in a flow."""
        flaws = dict.fromkeys(self.find(study))
        return [Finding(self.id, self.severity, flaw.where, flaw.problem, flaw.mend) for flaw in flaws]


def instead(name: str, known: Iterable[str], what: str) -> str:
    """How to mend a name that does not exist: the one that is meant, or all there are."""
    names = list(known)
    if close := get_close_matches(name, names, n=1, cutoff=0.7):
        return f"did you mean {close[0]!r}?"
    return f"{what}: {', '.join(names) or 'none'}"
