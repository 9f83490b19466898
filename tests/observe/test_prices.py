"""What tokens cost, by the vendor's prices and by the operator's."""

from __future__ import annotations

import pytest

from voicebot.call.entries import TokensSpent
from voicebot.observe.prices import KNOWN, Price, price_of, read_prices


def test_cached_tokens_are_part_of_the_input_and_cheaper() -> None:
    price = Price(text_in=4, text_cached=0.4, text_out=24, audio_in=32, audio_cached=0.4, audio_out=64)
    spent = TokensSpent(
        input_text=1_000_000, input_audio=2_000_000, cached_text=250_000, cached_audio=1_000_000, output_text=0,
        output_audio=500_000,
    )  # fmt: skip
    assert price.of(spent) == pytest.approx(0.75 * 4 + 0.25 * 0.4 + 1 * 32 + 1 * 0.4 + 0.5 * 64)


def test_operator_prices_go_before_the_vendor_ones() -> None:
    own = read_prices("gpt-realtime-2.1=1/2/3/4/5/6, my-deployment = 0/0/0/0/0/0.5")
    assert price_of("gpt-realtime-2.1", own) == Price(1, 2, 3, 4, 5, 6)
    assert price_of("my-deployment", own) == Price(0, 0, 0, 0, 0, 0.5)
    assert price_of("gpt-realtime-mini", own) == KNOWN["gpt-realtime-mini"]
    assert price_of("gpt-realtime-2.1-2026-05-01", {}) == KNOWN["gpt-realtime-2.1"]
    assert price_of("nobody-knows", own) is None
    assert read_prices("") == {}


@pytest.mark.parametrize("text", ["m", "m=1", "m=1/2/3/4/5", "m=1/2/3/4/5/6/7", "m=1/2/3/4/5/x", "m=1/2/3/4/5/nan"])
def test_prices_written_otherwise_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="price 1 is no model and six numbers"):
        read_prices(text)
