"""What a report must hold, written as a tree beside it: exact values, or matchers where a value is only bounded.

A mapping is compared by the names that it holds, a list entry by entry, anything else exactly. What does not fit is
told with its place in the report: `transfer.result: expected 'busy', reported 'completed'`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol, runtime_checkable

_SHOWN = 120  # characters of a value in a difference


@runtime_checkable
class Matcher(Protocol):
    """Stands in the place of a value. Its `repr` says what would have fitted."""

    def fits(self, found: object) -> bool:
        """Whether this value will do."""
        ...


@dataclass(frozen=True, slots=True)
class Something:
    """Anything that is there: neither null, nor an empty text or list."""

    def fits(self, found: object) -> bool:
        return found is not None and found != "" and found != [] and found != {}

    def __repr__(self) -> str:
        return "something"


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number that is no less than this."""

    least: float

    def fits(self, found: object) -> bool:
        return _is_number(found) and found >= self.least  # type: ignore[operator]

    def __repr__(self) -> str:
        return f"at least {self.least:g}"


@dataclass(frozen=True, slots=True)
class AtMost:
    """A number that is no more than this."""

    most: float

    def fits(self, found: object) -> bool:
        return _is_number(found) and found <= self.most  # type: ignore[operator]

    def __repr__(self) -> str:
        return f"at most {self.most:g}"


@dataclass(frozen=True)
class OneOf:
    """Whatever fits one of these, which may be trees themselves."""

    choices: Sequence[object]

    def fits(self, found: object) -> bool:
        return any(matches(choice, found) for choice in self.choices)

    def __repr__(self) -> str:
        return "one of " + ", ".join(map(repr, self.choices))


@dataclass(frozen=True)
class Holding:
    """A text that has this in it, or a list of which some entry fits it."""

    part: object

    def fits(self, found: object) -> bool:
        if isinstance(found, str):
            return isinstance(self.part, str) and self.part in found
        return isinstance(found, list) and any(matches(self.part, entry) for entry in found)

    def __repr__(self) -> str:
        return f"something that holds {self.part!r}"


def differences(expected: object, found: object, at: str = "") -> Iterator[str]:
    """Everything in which a value is not as expected, one line each.

    Args:
        at: the place of both in the report, as in `phases[1].name`.
    """
    match expected:
        case Matcher():
            if not expected.fits(found):
                yield _difference(at, repr(expected), _shown(found))
        case Mapping() if isinstance(found, Mapping):
            for name, value in expected.items():
                if name in found:
                    yield from differences(value, found[name], f"{at}.{name}" if at else str(name))
                else:
                    yield _unknown(at, str(name), [str(known) for known in found])
        case list() | tuple() if isinstance(found, list):
            if len(expected) != len(found):
                yield _difference(at, f"{len(expected)} entries", f"{len(found)}: {_shown(found)}")
                return
            for number, (one, other) in enumerate(zip(expected, found, strict=True)):
                yield from differences(one, other, f"{at}[{number}]")
        case _:
            if expected != found or isinstance(expected, bool) != isinstance(found, bool):
                yield _difference(at, _shown(expected), _shown(found))


def matches(expected: object, found: object) -> bool:
    """Whether a value is as expected."""
    return next(differences(expected, found), None) is None


def _is_number(found: object) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _difference(at: str, wanted: str, value: str) -> str:
    return f"{at or 'the report'}: expected {wanted}, reported {value}"


def _unknown(at: str, name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{at or 'the report'}: there is no {name!r}{meant}"


def _shown(found: object) -> str:
    text = repr(found)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


# ---- as they stand in YAML ------------------------------------------------------------------------------------------


class UnreadableMatcherError(ValueError):
    """What is written is no matcher. `path` leads to it; `mend` says what could be written."""

    def __init__(self, path: tuple[str | int, ...], problem: str, mend: str) -> None:
        super().__init__(problem)
        self.path, self.problem, self.mend = path, problem, mend


def _at_least(given: object) -> Matcher | None:
    return AtLeast(given) if _is_number(given) else None  # type: ignore[arg-type]


def _at_most(given: object) -> Matcher | None:
    return AtMost(given) if _is_number(given) else None  # type: ignore[arg-type]


def _one_of(given: object) -> Matcher | None:
    return OneOf(tuple(map(read_matchers, given))) if isinstance(given, list) and given else None


def _holding(given: object) -> Matcher | None:
    return Holding(read_matchers(given)) if given != "" else None


_READERS: Mapping[str, tuple[Callable[[object], Matcher | None], str]] = {
    "$at_least": (_at_least, "a number"),
    "$at_most": (_at_most, "a number"),
    "$one_of": (_one_of, "a list of what may stand there"),
    "$holds": (_holding, "a part of the text, or what fits an entry of the list"),
}
_NAMES = ("$any", *_READERS)


def read_matchers(given: object, path: tuple[str | int, ...] = ()) -> object:
    """A tree of plain values with its matchers read: `$any`, `{$at_least: 3}`, `{$one_of: […]}`, `{$holds: …}`.

    Raises:
        UnreadableMatcherError: what begins with `$` is none of them.
    """
    match given:
        case "$any":
            return Something()
        case str() if given.startswith("$"):
            raise UnreadableMatcherError(path, f"{given!r} is no matcher", f"there are: {', '.join(_NAMES)}")
        case dict() if any(name.startswith("$") for name in given):
            return _read(given, path)
        case dict():
            return {name: read_matchers(value, (*path, name)) for name, value in given.items()}
        case list():
            return [read_matchers(value, (*path, number)) for number, value in enumerate(given)]
    return given


def _read(given: Mapping[str, object], path: tuple[str | int, ...]) -> Matcher:
    name = next(name for name in given if name.startswith("$"))
    if len(given) > 1:
        raise UnreadableMatcherError((*path, name), f"{name!r} stands beside other keys", "give it a value of its own")
    if name not in _READERS:
        raise UnreadableMatcherError((*path, name), f"{name!r} is no matcher", f"there are: {', '.join(_NAMES)}")
    reader, wanted = _READERS[name]
    found = reader(given[name])
    if found is None:
        raise UnreadableMatcherError((*path, name), f"{name!r} has nothing to compare with", f"give it {wanted}")
    return found
