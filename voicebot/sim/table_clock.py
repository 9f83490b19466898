"""Time at the table: a row of things to happen, in order, and the way a message takes from one side to the other.

Nothing waits and no clock is read. `Schedule.now` is the time (s) of what is happening; it jumps from one thing to the
next. Things of the same time happen in the order in which they were planned, so a seed gives one call and no other.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class Schedule:
    """What is still to happen, and when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    @property
    def next_at(self) -> float:
        """When the next thing happens; infinity when nothing will."""
        return self._planned[0][0] if self._planned else math.inf

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Plan an action; what is late happens now."""
        self._count += 1
        heapq.heappush(self._planned, (max(when, self.now), self._count, action))

    def after(self, wait_s: float, action: Callable[[], None]) -> None:
        self.at(self.now + wait_s, action)

    def run_next(self) -> None:
        """Let the next thing happen."""
        self.now, _, action = heapq.heappop(self._planned)
        action()


@dataclass(frozen=True, slots=True)
class Distance:
    """How far the caller's line is from us (s): one way to us, one way from us, and what a message may take longer."""

    to_us_s: float
    from_us_s: float
    jitter_s: float = 0.0


class Ids:
    """Makes names that no other thing of the call has."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"


class Way(Generic[T]):
    """One direction of a connection: things arrive `delay_s` later, and in the order in which they were sent.

    Nothing arrives while what sent it is still being done, not even without a delay.

    Args:
        arrive: called with each thing when it is there.
        jitter: gives what is added to the delay of one thing (s).
    """

    def __init__(
        self, schedule: Schedule, arrive: Callable[[T], None], delay_s: float, jitter: Callable[[], float] | None = None
    ) -> None:
        self._schedule, self._arrive, self._delay_s, self._jitter = schedule, arrive, delay_s, jitter
        self._last_at = 0.0

    def send(self, thing: T) -> None:
        at = self._schedule.now + self._delay_s
        if self._jitter is not None:
            at += self._jitter()
        self._last_at = max(self._last_at, at)
        self._schedule.at(self._last_at, partial(self._arrive, thing))
