"""What tokens cost: the vendor's prices as they were known, and the operator's own instead of them.

An estimate: the vendor's bill rounds otherwise, and transcription is billed apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from voicebot.call.entries import TokensSpent

_PER = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    text_in: float
    text_cached: float
    text_out: float
    audio_in: float
    audio_cached: float
    audio_out: float

    def of(self, spent: TokensSpent) -> float:
        """US dollars. What was cached is part of the input, and cheaper."""
        return (
            (spent.input_text - spent.cached_text) * self.text_in
            + spent.cached_text * self.text_cached
            + spent.output_text * self.text_out
            + (spent.input_audio - spent.cached_audio) * self.audio_in
            + spent.cached_audio * self.audio_cached
            + spent.output_audio * self.audio_out
        ) / _PER


# As the vendor's pages of the models said in 2026.
KNOWN: Mapping[str, Price] = {
    "gpt-realtime-2.1": Price(4, 0.40, 24, 32, 0.40, 64),
    "gpt-realtime-2": Price(4, 0.40, 24, 32, 0.40, 64),
    "gpt-realtime-2.1-mini": Price(0.60, 0.06, 2.40, 10, 0.30, 20),
    "gpt-realtime-1.5": Price(4, 0.40, 16, 32, 0.40, 64),
    "gpt-realtime": Price(4, 0.40, 16, 32, 0.40, 64),
    "gpt-realtime-mini": Price(0.60, 0.06, 2.40, 10, 0.30, 20),
}


def read_prices(text: str) -> dict[str, Price]:
    """Prices as the operator writes them: `model=` and six numbers in the order of `Price`, several with commas.

    Raises:
        ValueError: it is not written so.
    """
    prices = {}
    for number, part in enumerate(filter(str.strip, text.split(",")), 1):
        model, _, figures = (piece.strip() for piece in part.partition("="))
        try:
            price = Price(*map(float, figures.split("/")))
        except (TypeError, ValueError):
            raise ValueError(f"price {number} is no model and six numbers with / between them") from None
        if not _NAME.fullmatch(model) or not all(0 <= one < float("inf") for one in astuple(price)):
            raise ValueError(f"price {number} is no model and six numbers with / between them")
        prices[model] = price
    return prices


def price_of(model: str, own: Mapping[str, Price]) -> Price | None:
    """What tokens of this model cost; None if nobody has said. A dated version costs what its model does."""
    undated = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model)
    return own.get(model) or own.get(undated) or KNOWN.get(undated)
