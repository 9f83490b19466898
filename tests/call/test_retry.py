"""When the model is asked for a connection again."""

from __future__ import annotations

import pytest

from voicebot.call.contact import RETURN_LIMIT_S
from voicebot.call.retry import DIALLING_S, JITTER_SHARE, WAITING_S, retry_delay_s


@pytest.mark.parametrize(
    ("tries", "retryable", "waiting", "delay_s"),
    [
        (1, True, False, DIALLING_S[0]),
        (2, True, False, DIALLING_S[1]),
        (3, True, False, None),  # the phone has rung long enough
        (1, False, False, None),
        (1, False, True, None),  # a bad key stays bad
        (1, True, True, WAITING_S[0]),
        (5, True, True, WAITING_S[4]),
        (6, True, True, WAITING_S[4]),  # until the call gives up
        (500, True, True, WAITING_S[4]),
    ],
)
def test_delays(tries: int, retryable: bool, waiting: bool, delay_s: float | None) -> None:
    assert retry_delay_s(tries, retryable=retryable, waiting=waiting, jitter=0.0) == delay_s


@pytest.mark.parametrize("tries", range(1, 8))
def test_jitter_only_shortens(tries: int) -> None:
    longest = retry_delay_s(tries, retryable=True, waiting=True, jitter=0.0)
    shortest = retry_delay_s(tries, retryable=True, waiting=True, jitter=1.0)
    assert longest is not None and shortest == pytest.approx(longest * (1 - JITTER_SHARE))


def test_all_delays_fit_into_the_callers_wait() -> None:
    assert sum(WAITING_S) < RETURN_LIMIT_S
