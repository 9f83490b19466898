"""What a call has cost: the model's tokens, as far as their prices are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .entries import TokensSpent
from .ports import Usage


class Bill:
    """Of one call, whoever had it before."""

    def __init__(self, cost_of: Callable[[TokensSpent], float] | None, usd: float) -> None:
        """
        Args:
            cost_of: what tokens cost (US dollars); None if nobody knows.
            usd: what the call has cost so far.
        """
        self._cost_of, self._usd = cost_of, usd

    @property
    def usd(self) -> float | None:
        """All that the call has cost; None if prices are not known."""
        return self._usd if self._cost_of is not None else None

    def add(self, usage: Usage) -> TokensSpent:
        """What a response took, as it is written down."""
        spent = TokensSpent(
            usage.input_text,
            usage.input_audio,
            usage.cached_text,
            usage.cached_audio,
            usage.output_text,
            usage.output_audio,
        )
        if self._cost_of is None:
            return spent
        usd = max(self._cost_of(spent), 0.0)
        self._usd += usd
        return replace(spent, usd=usd)
