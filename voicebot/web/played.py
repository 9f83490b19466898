"""Marks over a client that only says how much it has played.

Theory of operation. The call's ledger (`call.playback`) wants to be told of marks. A client counts samples: every now
and then it says how many milliseconds of audio it has played since the last `clear`, which has a number, the epoch.
Each mark has a place in that count, so what a client says tells which marks it has played past, and how long ago it
passed each. How often it says so changes nothing but how late it is known.

What a client says of an epoch that is over counts for nothing but that it has not heard of the `clear` yet. The first
word of a new epoch says that it has; then every mark from before comes back, as a phone line echoes what was flushed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from voicebot.errors import RealtimeMessageError

ROUNDING_MS = 1.0  # a client may count in whole milliseconds


@dataclass(frozen=True, slots=True)
class Passed:
    """A mark that a client has played past, `ago_ms` before it said so."""

    name: str
    ago_ms: float


@dataclass(frozen=True, slots=True)
class _Mark:
    name: str
    epoch: int
    at_ms: float


class PlayedMarks:
    """The marks of one stream, and where it is played."""

    def __init__(self, bytes_per_ms: int) -> None:
        self.epoch = 0
        self._bytes_per_ms = bytes_per_ms
        self._sent_bytes = 0  # since the last clear
        self._played_ms = 0.0
        self._marks: deque[_Mark] = deque()

    @property
    def unplayed_ms(self) -> float:
        """How much was sent since the last clear, and not acknowledged."""
        return max(self._sent_ms - self._played_ms, 0.0)

    @property
    def _sent_ms(self) -> float:
        return self._sent_bytes / self._bytes_per_ms

    def sent(self, size: int) -> None:
        """So many bytes of audio went out."""
        self._sent_bytes += size

    def mark(self, name: str) -> None:
        """Have `name` come back once all that was sent before has been played, or flushed."""
        self._marks.append(_Mark(name, self.epoch, self._sent_ms))

    def clear(self) -> int:
        """What was sent and not played is dropped; returns the epoch that begins."""
        self.epoch += 1
        self._sent_bytes, self._played_ms = 0, 0.0
        return self.epoch

    def played(self, epoch: int, ms: float) -> list[Passed]:
        """The client has played so much of this epoch by now; returns the marks that it has passed, in order.

        Raises:
            RealtimeMessageError: that is more than was sent.
        """
        if epoch > self.epoch or (epoch == self.epoch and ms > self._sent_ms + ROUNDING_MS):
            raise RealtimeMessageError("a client says that it has played more than it was sent")
        if epoch < self.epoch:
            return []
        self._played_ms = max(self._played_ms, ms)
        passed = []
        while self._marks and (self._marks[0].epoch < epoch or self._marks[0].at_ms <= self._played_ms + ROUNDING_MS):
            mark = self._marks.popleft()
            ago_ms = self._played_ms - mark.at_ms if mark.epoch == epoch else 0.0
            passed.append(Passed(mark.name, max(ago_ms, 0.0)))
        return passed
