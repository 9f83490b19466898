"""How many calls are to be up at a time: functions of time and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

DIALLED_PER_S = 25.0  # calls that begin, where the profile is not about their beginning

Profile = Callable[[float], int]
"""Seconds since the beginning in, calls out."""


class Shape(StrEnum):
    """How a load goes over time."""

    ramp = "ramp"  # one more after the other, up to all of them at the end
    steady = "steady"  # all of them all the time
    spike = "spike"  # few, then suddenly all of them for a third of the time, then few again
    soak = "soak"  # short calls one after another, many at once; not a matter of time


def profile(shape: Shape, calls: int, seconds: float) -> Profile:
    """The profile of a shape, with so many calls at most.

    Raises:
        ValueError: a soak is none.
    """
    match shape:
        case Shape.ramp:
            return lambda at_s: _between(calls * at_s / seconds, calls)
        case Shape.steady:
            return lambda at_s: _between(DIALLED_PER_S * at_s, calls)
        case Shape.spike:
            few = max(1, calls // 5)
            return lambda at_s: (
                calls if 1 / 3 <= at_s / seconds < 2 / 3 else min(few, _between(DIALLED_PER_S * at_s, calls))
            )
        case Shape.soak:
            raise ValueError("a soak goes by its calls, not by time")


def _between(calls: float, most: int) -> int:
    return min(1 + int(calls), most)
