"""Whether there is a model to speak to: when another one is needed, and when there will be none.

A connection to the model ends by itself (it breaks, the server closes it) or because it would soon: sessions have a
longest life (60 minutes, Realtime API reference), so a call that lasts moves to another one before, in a quiet moment
if there is one. While another connection is made the caller waits; that is bounded.
"""

from __future__ import annotations

from enum import Enum

SESSION_LIFE_S = 3600.0  # of a session whose end is not told
ROLL_FROM_S = 600.0  # before the end: from here on any quiet moment will do
ROLL_BY_S = 30.0  # before the end: from here on it cannot wait for one
LEAST_SHARE = 0.5  # of a session's life that is used, however short it is; else one would follow the other at once
RETURN_LIMIT_S = 12.0  # for another connection, while the caller waits
LOSSES = 6  # connections that may be lost in one call


class State(Enum):
    """How the call stands with its model."""

    COMING = "coming"  # the first connection is being made; what is said to it waits
    HERE = "here"
    RETURNING = "returning"  # another one is being made; it will be told all that was heard and done
    GONE = "gone"  # there will be none


class Contact:
    """One call's contact with its models. Times are seconds on the clock of `now`."""

    def __init__(self, *, resumed: bool = False) -> None:
        """`resumed`: the call went on elsewhere before, so that its first model here must be told of it."""
        self._state = State.RETURNING if resumed else State.COMING
        self._away_since: float | None = None
        self._ends_at: float | None = None
        self._life_s = SESSION_LIFE_S
        self._losses = 0

    @property
    def here(self) -> bool:
        """Whether there is a model now."""
        return self._state is State.HERE

    @property
    def absent(self) -> bool:
        """Whether what is meant for the model would be lost: its successor is told from memory."""
        return self._state in (State.RETURNING, State.GONE)

    @property
    def returning(self) -> bool:
        """Whether another connection is being made."""
        return self._state is State.RETURNING

    @property
    def gone(self) -> bool:
        """Whether there will be no model any more."""
        return self._state is State.GONE

    def ready(self, now: float, expires_in_s: float | None) -> bool:
        """A model is there; returns whether it must be told what has happened. One that comes too late is ignored.

        An end that has passed already is one by another clock: it tells nothing.
        """
        if self._state is State.GONE:
            return False
        new_to_the_call = self._state is State.RETURNING
        self._life_s = SESSION_LIFE_S
        if expires_in_s is not None and expires_in_s > 0:
            self._life_s = min(expires_in_s, SESSION_LIFE_S)
        self._state, self._away_since, self._ends_at = State.HERE, None, now + self._life_s
        return new_to_the_call

    def lost(self, now: float, *, retryable: bool) -> bool:
        """The connection is gone, or could not be had; returns whether another one is to be made."""
        self._losses += 1
        away_since = now if self._away_since is None else self._away_since
        out_of_time = now >= away_since + RETURN_LIMIT_S
        if self._state in (State.COMING, State.GONE) or not retryable or self._losses > LOSSES or out_of_time:
            self._state = State.GONE
            return False
        self._state, self._away_since, self._ends_at = State.RETURNING, away_since, None
        return True

    def wait(self, now: float) -> None:
        """The caller is on the line, and waits for a model from now on."""
        if self._state is State.RETURNING:
            self._away_since = now

    def give_up_at(self) -> float | None:
        """When the wait for another connection is over."""
        if self._state is not State.RETURNING or self._away_since is None:
            return None
        return self._away_since + RETURN_LIMIT_S

    def give_up(self) -> None:
        """There will be no model any more."""
        self._state = State.GONE

    def roll_over_at(self, *, quiet: bool) -> float | None:
        """When to move to another connection, as this one ends soon: earlier while nobody speaks."""
        if self._state is not State.HERE or self._ends_at is None:
            return None
        return self._ends_at - min(ROLL_FROM_S if quiet else ROLL_BY_S, LEAST_SHARE * self._life_s)

    def roll_over(self, now: float) -> None:
        """The connection is given up for another one."""
        self._state, self._away_since, self._ends_at = State.RETURNING, now, None
