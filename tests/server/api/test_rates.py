"""How much one token may ask for."""

from __future__ import annotations

from voicebot.server.api.rates import Rates


def test_a_sixth_of_a_minute_may_come_at_once() -> None:
    rates = Rates(60)
    assert [rates.wait_s("desk", 0.0) for _ in range(10)] == [0.0] * 10
    assert rates.wait_s("desk", 0.0) == 1.0


def test_rate_holds_in_the_long_run() -> None:
    rates = Rates(60)
    served = sum(rates.wait_s("desk", now / 10) == 0.0 for now in range(10 * 600))
    assert 600 <= served <= 611


def test_tokens_do_not_hold_each_other_up() -> None:
    rates = Rates(6)
    assert rates.wait_s("desk", 0.0) == 0.0
    assert rates.wait_s("desk", 0.0) == 10.0
    assert rates.wait_s("eye", 0.0) == 0.0
