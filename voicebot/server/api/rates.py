"""How much one token may ask for: a bucket for each, told the time."""

from __future__ import annotations

from dataclasses import dataclass

BURST_S = 10.0  # of a token's rate may come at once


@dataclass(slots=True)
class _Bucket:
    left: float
    since: float


class Rates:
    """Requests of each token, by its name. Times are seconds on the clock of `now`."""

    def __init__(self, a_minute: int) -> None:
        """`a_minute`: requests of one token, in the long run; a sixth of that may come at once."""
        self._a_second = a_minute / 60
        self._most = max(1.0, self._a_second * BURST_S)
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, name: str, now: float) -> float:
        """Count a request; how long until it may come again if it may not be served now, else 0."""
        bucket = self._buckets.setdefault(name, _Bucket(self._most, now))
        bucket.left = min(self._most, bucket.left + (now - bucket.since) * self._a_second)
        bucket.since = now
        if bucket.left >= 1:
            bucket.left -= 1
            return 0.0
        return (1 - bucket.left) / self._a_second
