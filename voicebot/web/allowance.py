"""How much may come: so much a second, and some more at once."""

from __future__ import annotations


class Allowance:
    """A bucket that fills with time, told the time (s)."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s, self._at_once = per_s, at_once
        self._left = at_once
        self._filled_at: float | None = None

    def take(self, amount: float, now: float) -> bool:
        """Take so much; False if it is not there, and then nothing is taken."""
        if self._filled_at is not None:
            self._left = min(self._at_once, self._left + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True
