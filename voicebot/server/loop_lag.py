"""How late the event loop is with what is due, and when that is too late for one more call.

A process that is late with its timers is late with every caller's audio. So it takes no new calls while its lag stays
above a limit, and takes them again once the lag has stayed well below: not as soon as it dips.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Literal

SAMPLE_EVERY_S = 0.2
SMOOTHING_S = 1.0  # what was so long ago weighs a third of now
PATIENCE_S = 2.0  # so long above the limit, and calls are refused
RECOVERY_S = 2.0  # so long below half of it, and they are taken again
_RECOVERED = 0.5

Change = Literal["overloaded", "recovered"]


class LagJudge:
    """The decisions, told the time.

    Attributes:
        lag_s: the smoothed lag.
        overloaded: whether new calls are to be refused.
    """

    def __init__(self, limit_s: float) -> None:
        """`limit_s`: 0 never refuses."""
        self.lag_s, self.overloaded = 0.0, False
        self._limit_s = limit_s
        self._seen_at: float | None = None
        self._beyond_since: float | None = None  # since when the lag is on the side that would change our mind

    def saw(self, late_s: float, now: float) -> Change | None:
        """Take one sample: something came `late_s` after it was due. Returns what has changed by it."""
        passed_s = SAMPLE_EVERY_S if self._seen_at is None else max(now - self._seen_at, 0.0)
        self._seen_at = now
        weight = 1.0 - math.exp(-passed_s / SMOOTHING_S)
        self.lag_s += weight * (max(late_s, 0.0) - self.lag_s)
        if not self._limit_s:
            return None
        beyond = self.lag_s < self._limit_s * _RECOVERED if self.overloaded else self.lag_s > self._limit_s
        if not beyond:
            self._beyond_since = None
            return None
        if self._beyond_since is None:
            self._beyond_since = now
        if now - self._beyond_since < (RECOVERY_S if self.overloaded else PATIENCE_S):
            return None
        self.overloaded, self._beyond_since = not self.overloaded, None
        return "overloaded" if self.overloaded else "recovered"


class LoopLag:
    """Watches the loop that it runs in."""

    def __init__(self, limit_s: float, changed: Callable[[Change, float], object] = lambda change, lag_s: None) -> None:
        """`changed`: told when new calls begin or cease to be refused, and the lag."""
        self._judge, self._changed = LagJudge(limit_s), changed

    @property
    def lag_s(self) -> float:
        """The present lag, smoothed over a second."""
        return self._judge.lag_s

    @property
    def overloaded(self) -> bool:
        """Whether new calls are to be refused."""
        return self._judge.overloaded

    async def run(self) -> None:
        """Measure until cancelled."""
        time = asyncio.get_running_loop().time
        while True:
            due = time() + SAMPLE_EVERY_S
            await asyncio.sleep(SAMPLE_EVERY_S)
            now = time()
            if (change := self._judge.saw(now - due, now)) is not None:
                self._changed(change, self.lag_s)
