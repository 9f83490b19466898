"""Who may knock at the model's door: a circuit breaker over all calls of a process.

When the model's service is down, every call that dials or has lost its model would knock again and again, and the first
minute after its return would be the worst. So after a few failures in a row nobody knocks for a while; then one call
does, and its outcome is everybody's.
"""

from __future__ import annotations

FAILURES = 5  # in a row, before the gate closes
CLOSED_S = 1.0  # the first time; doubles while the probe fails
LONGEST_S = 15.0
PROBE_LIMIT_S = 12.0  # a probe of which nothing is heard by then is not waited for


class Gate:
    """Open, or closed until a moment, and then for one probe. Times are seconds on the clock of `now`."""

    def __init__(self) -> None:
        self._failures = 0
        self._closed_until = 0.0
        self._closed_s = CLOSED_S

    def admits(self, now: float) -> bool:
        """Whether a try may be made now. Of those that ask of a gate just due to open, one may."""
        if self._failures < FAILURES:
            return True
        if now < self._closed_until:
            return False
        self._closed_until = now + PROBE_LIMIT_S
        return True

    def succeeded(self) -> None:
        """A try came through."""
        self._failures, self._closed_s = 0, CLOSED_S

    def failed(self, now: float, jitter: float) -> None:
        """A try failed in a way that says that the service has trouble.

        Args:
            jitter: 0 to 1, drawn by the caller: instances that met the same trouble do not probe together.
        """
        self._failures += 1
        if self._failures < FAILURES:
            return
        self._closed_until = now + self._closed_s * (1 + jitter)
        self._closed_s = min(2 * self._closed_s, LONGEST_S)
