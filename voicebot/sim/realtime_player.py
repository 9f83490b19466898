"""The responses under way: one that writes to the conversation, and any number beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from .realtime_agenda import Agenda, Appointment
from .realtime_config import Refused
from .realtime_response import Response


@dataclass(slots=True, eq=False)
class _Running:
    response: Response
    steps: Iterator[float]
    timer: Appointment | None = None


class Player:
    """Plays responses out in the session's time.

    Args:
        on_over: called with each response that has ended, however it did.
    """

    def __init__(self, agenda: Agenda, on_over: Callable[[Response], None]) -> None:
        self._agenda = agenda
        self._on_over = on_over
        self._running: dict[str, _Running] = {}

    @property
    def active(self) -> Response | None:
        """The response that writes to the conversation."""
        running = self._in_band()
        return running.response if running is not None else None

    def play(self, response: Response) -> None:
        """Begin a response."""
        running = _Running(response, response.steps())
        self._running[response.id] = running
        self._advance(running)

    def interrupt(self) -> None:
        """The caller speaks: end the active response, which is announced first if it was not yet."""
        running = self._in_band()
        if running is not None:
            while running.response.status == "pending":
                next(running.steps)
            self._end(running, "turn_detected")

    def cancel(self, response_id: str | None) -> None:
        """The client cancels a response, or the active one.

        Raises:
            Refused: it is not in progress.
        """
        running = self._in_band() if response_id is None else self._running.get(response_id)
        if running is None or running.response.status != "in_progress":
            raise Refused("response_cancel_not_active", "Cancellation failed: no active response found")
        self._end(running, "client_cancelled")

    def _in_band(self) -> _Running | None:
        return next((running for running in self._running.values() if running.response.in_band), None)

    def _advance(self, running: _Running) -> None:
        """Resume a response until it must wait."""
        running.timer = None
        for wait_s in running.steps:
            if wait_s > 0:
                running.timer = self._agenda.after(wait_s, partial(self._advance, running))
                return
        self._over(running.response)

    def _end(self, running: _Running, reason: Literal["client_cancelled", "turn_detected"]) -> None:
        if running.timer is not None:
            running.timer.cancelled = True
        running.response.cancel(reason)
        self._over(running.response)

    def _over(self, response: Response) -> None:
        del self._running[response.id]
        self._on_over(response)
