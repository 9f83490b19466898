"""Where in an author's file something was written, so that errors can point there."""

from __future__ import annotations

import dataclasses
import sys
import typing
from pathlib import Path
from types import FrameType

import pydantic

# Not the author's: this package, and what calls the author's classes back.
_OTHERS = (str(Path(__file__).parent), str(Path(pydantic.__file__).parent), dataclasses.__file__, typing.__file__, "<")


def calling_place() -> str | None:
    """`file:line` of the nearest caller outside this package and pydantic; None when nobody wrote it, but JSON did."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "flow_from_json":
        name = frame.f_code.co_filename
        if not name.startswith(_OTHERS):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def remember_place(thing: object) -> None:
    """Note on `thing` where the author wrote it (no field: neither compared nor serialised)."""
    object.__setattr__(thing, "_place", calling_place())


def place_of(thing: object) -> str | None:
    """`file:line` noted by `remember_place`, if any."""
    return getattr(thing, "_place", None)
