"""When a caller who waits must hear a word: while a tool works, or while the model is slow or away."""

from __future__ import annotations

FILLER_AFTER_S = 1.2  # silence while a tool works, before its filler is said
HOLD_AFTER_S = 2.8  # silence of a model that owes a reply, before the caller is asked to wait
HOLDS = 3  # in one wait


class Waits:
    """One caller's. Times are seconds on the clock of `now`."""

    def __init__(self) -> None:
        self._tools_since: float | None = None  # tools are at work, and their filler was not said
        self._silent_since: float | None = None
        self._holds = 0

    def watch(self, now: float, *, tools: bool, bridged: bool, silent: bool, heard: bool) -> None:
        """Note what keeps the caller waiting now.

        Args:
            tools: tools are at work.
            bridged: their filler is said, or about to be.
            silent: the model owes a word, and nothing is said or about to be.
            heard: the model speaks.
        """
        if not tools:
            self._tools_since = None
        elif self._tools_since is None and not bridged:
            self._tools_since = now
        if heard:
            self._holds = 0
        if not silent:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now

    def filler_due(self, quiet_since: float | None) -> float | None:
        """When the tools' filler is to be said; `quiet_since` is when the last words ended, if any were said."""
        if self._tools_since is None:
            return None
        return max(self._tools_since, quiet_since or 0.0) + FILLER_AFTER_S

    def filled(self) -> None:
        """The filler is about to be said."""
        self._tools_since = None

    def hold_due(self) -> float | None:
        """When the caller is to be asked to wait; None if nothing is waited for, or it was said often enough."""
        if self._silent_since is None or self._holds >= HOLDS:
            return None
        return self._silent_since + HOLD_AFTER_S

    def held(self) -> None:
        """The caller is asked to wait."""
        self._holds += 1
