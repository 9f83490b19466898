"""Who enters a secret with the keys is not heard meanwhile: a digit sounds as a tone, or is said aloud."""

from __future__ import annotations

HUSH_TAIL_S = 1.0  # after a secret was entered: its last digit may still be sounding, as a tone or as a word


class Hush:
    """Whether the caller is to be heard."""

    def __init__(self) -> None:
        self.on = False  # nobody hears the caller, neither the model nor who records
        self._until: float | None = None

    def mind(self, now: float, *, enters_secret: bool) -> None:
        """Begin as soon as the caller enters a secret, and end shortly after it."""
        if enters_secret:
            self.on, self._until = True, None
        elif self.on and self._until is None:
            self._until = now + HUSH_TAIL_S
        elif self._until is not None and now >= self._until:
            self.on, self._until = False, None

    def deadline(self) -> float | None:
        """When `mind` must be called next."""
        return self._until
