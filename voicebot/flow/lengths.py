"""Lengths of time as authors write them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(value: object) -> object:
    """`"90s"`, `"8m"`, `"1.5h"`, `"500ms"` or a number of seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)\s*", value)
    if match is None:
        raise ValueError(f"{value!r} is no length of time; write 90s, 8m, 1.5h or 500ms")
    return float(match[1]) * _UNITS_S[match[2]]


Seconds = Annotated[float, BeforeValidator(_seconds)]
