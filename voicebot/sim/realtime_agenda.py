"""What a session has still to do, and when. It is told the time and never asks for it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(order=True, slots=True)
class Appointment:
    """One thing to do; `cancelled` keeps it from happening."""

    at: float
    number: int
    action: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)


class Agenda:
    """Appointments in order of time; of the same time, in order of making.

    `now` is the time of what is being done: an appointment's own, even if the agenda was told late.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self._appointments: list[Appointment] = []
        self._numbers = itertools.count()

    def after(self, wait_s: float, action: Callable[[], None]) -> Appointment:
        appointment = Appointment(self.now + wait_s, next(self._numbers), action)
        heapq.heappush(self._appointments, appointment)
        return appointment

    def deadline(self) -> float | None:
        """When the next appointment is."""
        while self._appointments and self._appointments[0].cancelled:
            heapq.heappop(self._appointments)
        return self._appointments[0].at if self._appointments else None

    def keep(self, now: float) -> None:
        """Do everything that is due at `now`, and what that makes due."""
        while (due := self.deadline()) is not None and due <= now:
            appointment = heapq.heappop(self._appointments)
            self.now = max(self.now, due)
            appointment.action()
        self.now = max(self.now, now)
