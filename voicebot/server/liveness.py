"""Which instances are alive, by what can be seen of them: whether the count of their beats still changes.

No clock of another machine is asked. An observer adds up how long it has seen a count stand still, and only while it
could itself write to the store: when the store is away, nobody can beat, and nobody is to be taken for dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

BEAT_S = 0.4
LEASE_S = 1.6  # of silence, after which an instance counts as dead
RECOVERY_S = 3.0  # more than that, after the store was away: not everybody finds it again at once


class Observer:
    """One instance's view of the others. Times are seconds on the clock of `now`."""

    def __init__(self, lease_s: float = LEASE_S) -> None:
        self._lease_s = lease_s
        self._counts: dict[str, int | None] = {}
        self._silent_s: dict[str, float] = {}
        self._looked_at: float | None = None

    def look(self, beats: Mapping[str, int], expected: Iterable[str], now: float) -> frozenset[str]:
        """Take the present counts; returns those who are dead.

        Args:
            beats: of every instance that has beaten.
            expected: instances that own a call; one that has no count at all is as silent as one whose count stands.
        """
        # A look that comes late says more of us than of the others: it counts no more than two beats.
        passed_s = 0.0 if self._looked_at is None else min(now - self._looked_at, 2 * BEAT_S)
        self._looked_at = now
        seen: dict[str, int | None] = {**dict.fromkeys(expected), **beats}
        for owner, count in seen.items():
            stands = owner in self._counts and self._counts[owner] == count
            self._silent_s[owner] = self._silent_s[owner] + passed_s if stands else 0.0
        self._counts = seen
        self._silent_s = {owner: self._silent_s[owner] for owner in seen}
        return frozenset(owner for owner, silent_s in self._silent_s.items() if silent_s >= self._lease_s)

    def blind(self, grace_s: float = 0.0) -> None:
        """The store could not be written to or read: what was seen before says nothing any more.

        Args:
            grace_s: how much longer than else they may be silent now who were seen before.
        """
        self._looked_at = None
        self._silent_s = dict.fromkeys(self._silent_s, -grace_s)

    def alive(self) -> frozenset[str]:
        """Instances that have beaten and are not known to be dead."""
        counted = (owner for owner, count in self._counts.items() if count is not None)
        return frozenset(owner for owner in counted if self._silent_s[owner] < self._lease_s)

    def living(self, owners: Iterable[str]) -> frozenset[str]:
        """Of instances that stand in the store now: those alive, and those who were not there at the last look.

        They have begun to beat since. In a rolling restart one is stopped as soon as another one answers.
        """
        new = frozenset(owners) - self._counts.keys() if self._looked_at is not None else frozenset[str]()
        return new | (self.alive() & frozenset(owners))
