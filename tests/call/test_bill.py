"""What a call has cost so far."""

from __future__ import annotations

from voicebot.call.bill import Bill
from voicebot.call.entries import TokensSpent
from voicebot.call.ports import Usage

USAGE = Usage(input_text=1, input_audio=2, cached_text=3, cached_audio=4, output_text=5, output_audio=6)


def test_tokens_are_written_down_where_nobody_knows_their_price() -> None:
    bill = Bill(None, 0.0)
    assert bill.add(USAGE) == TokensSpent(1, 2, 3, 4, 5, 6)
    assert bill.usd is None


def test_costs_add_up_over_all_who_had_the_call() -> None:
    bill = Bill(lambda spent: spent.input_text * 0.25, 1.0)
    assert bill.add(USAGE) == TokensSpent(1, 2, 3, 4, 5, 6, usd=0.25)
    bill.add(USAGE)
    assert bill.usd == 1.5


def test_nothing_is_paid_back() -> None:
    bill = Bill(lambda spent: -1.0, 1.0)
    assert bill.add(USAGE).usd == 0.0
    assert bill.usd == 1.0
