"""Tracebacks without what callers said.

Where an exception's words may quote the value that it is about (`KeyError('Ada')`, a validation error with its input),
only its type is told, with every line of code on the way; the words of ours and of those that speak of code or of the
system are told in full.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from voicebot.errors import VoicebotError

from .redaction import one_line

_TELLING = (
    *(VoicebotError, OSError, TypeError, AttributeError, NameError, ImportError, SyntaxError, MemoryError),
    RuntimeError,
)
WITHHELD = "(its words are withheld: they may be a caller's)"
_MOST_FRAMES = 40  # of one exception
_MOST_EXCEPTIONS = 10  # of one group


def told(error: BaseException) -> str:
    """The traceback of an exception, its causes and its parts."""
    return "".join(_lines(error, set())).rstrip("\n")


def headline(error: BaseException) -> str:
    """One line for an exception: its type, and its words if they may be told."""
    name = type(error).__qualname__ if type(error).__module__ == "builtins" else _full_name(type(error))
    if isinstance(error, BaseExceptionGroup):
        return f"{name}: {one_line(error.message)} ({len(error.exceptions)} inside)"
    words = one_line(str(error))
    return f"{name}: {words if isinstance(error, _TELLING) else WITHHELD}" if words else name


def _full_name(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before, how = error.__cause__, "caused this"
    if before is None and not error.__suppress_context__:
        before, how = error.__context__, "was being handled when this came"
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        yield f"\nThe above {how}:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__, -_MOST_FRAMES)
    yield f"{headline(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for number, part in enumerate(error.exceptions[:_MOST_EXCEPTIONS], 1):
            yield f"-- {number} of {len(error.exceptions)} --\n"
            yield from _lines(part, seen)
