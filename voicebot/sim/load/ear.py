"""A phone's ear: plays what comes frame by frame, and reads delays and truncation off it (Media Streams docs).

Everything is counted in bytes of mu-law. What is taken is being heard; it is heard to its end at the next border.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable

from .frames import FRAME_BYTES
from .readings import Readings


class Ear:
    """
    Args:
        echo: sends back the mark of this name.
        knows_model: the model is the load's own and says when an answer begins; else only the playing is done.

    Attributes:
        first_delta_at: an answer has begun then, and none of it has arrived; the model sets it.
        spoke_at: the caller has interrupted then, and no `clear` has arrived; the model sets it.
    """

    def __init__(self, readings: Readings, echo: Callable[[str], None], *, knows_model: bool = True) -> None:
        self._knows_model = knows_model
        self.first_delta_at: float | None = None
        self.spoke_at: float | None = None
        self._readings, self._echo_one = readings, echo
        self._received = self._taken = self._heard = self._begins = 0
        self._marks: deque[tuple[int, str]] = deque()
        self._cleared = False
        self._cut_ms: float | None = None
        self._truncated_ms: float | None = None

    @property
    def hears(self) -> bool:
        """Whether anything is being played."""
        return self._received > self._heard

    @property
    def heard_ms(self) -> float:
        """How much was heard of all that came."""
        return self._heard / 8

    @property
    def silent(self) -> bool:
        """Whether nothing has come at all."""
        return self._received == 0

    def border(self) -> None:
        """A frame is over; the next one begins, if there is one."""
        self._heard = self._taken
        if self._marks:
            self._echo(self._heard)
        if self._taken < self._received:
            self._taken = min(self._taken + FRAME_BYTES, self._received)

    def play(self, size: int, now: float) -> None:
        """So many bytes came."""
        readings = self._readings
        if not self._knows_model:
            pass
        elif self.first_delta_at is not None:
            readings.note(readings.downlink_s, now - self.first_delta_at)
            self.first_delta_at, self._begins, self._cleared = None, self._received, False
        elif self._cleared:
            readings.fail("audio came after clear")
        elif not self.hears:
            readings.underruns += 1
        self._received += size

    def mark(self, name: str) -> None:
        """A mark came: it is sent back when what came before it was heard."""
        self._marks.append((self._received, name))
        if not self.hears:
            self._echo(self._received)

    def clear(self, now: float) -> None:
        """What is not being heard yet is dropped."""
        readings = self._readings
        if self.spoke_at is not None:
            readings.note(readings.barge_in_s, now - self.spoke_at)
        elif self._knows_model:
            readings.fail("clear without an interruption")
        self.spoke_at, self._cleared = None, True
        self._received = self._taken
        self._echo(sys.maxsize)
        self._cut_ms = (self._taken - self._begins) / 8
        self._compare_cut()

    def truncated(self, audio_end_ms: float) -> None:
        """The model was told how much of the answer this phone has heard."""
        self._truncated_ms = audio_end_ms
        self._compare_cut()

    def _echo(self, until: int) -> None:
        while self._marks and self._marks[0][0] <= until:
            self._echo_one(self._marks.popleft()[1])

    def _compare_cut(self) -> None:
        """`clear` and the truncation travel on different sockets: whichever comes second tells."""
        if self._cut_ms is not None and self._truncated_ms is not None:
            self._readings.note(self._readings.truncation_ms, self._truncated_ms - self._cut_ms)
            self._cut_ms = self._truncated_ms = None
