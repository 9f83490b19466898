"""Finds the most calls that are carried, by as few loads as will do."""

from __future__ import annotations

FIRST = 50
GRAIN = 10
MOST = 5_000


class Search:
    """Doubles until a load is too much, then halves the gap. What holds for a load is taken to hold for smaller ones.

    Args:
        first: where to begin.
        grain: how close the answer is to be.
        most: where to stop looking.

    Attributes:
        carried: the most calls that were carried, 0 so far.
        too_many: the fewest that were not, None so far.
    """

    def __init__(self, first: int = FIRST, grain: int = GRAIN, most: int = MOST) -> None:
        self.carried = 0
        self.too_many: int | None = None
        self._first, self._grain, self._most = min(first, most), grain, most

    def next(self) -> int | None:
        """The load to try next; None when it is found."""
        if self.too_many is None:
            if self.carried >= self._most:
                return None
            return min(self.carried * 2 or self._first, self._most)
        gap = self.too_many - self.carried
        if gap <= self._grain:
            return None
        middle = self.carried + gap // 2
        rounded = middle - middle % self._grain
        return rounded if rounded > self.carried else middle

    def tell(self, calls: int, *, carried: bool) -> None:
        """How that load went."""
        if carried:
            self.carried = max(self.carried, calls)
        else:
            self.too_many = calls if self.too_many is None else min(self.too_many, calls)
