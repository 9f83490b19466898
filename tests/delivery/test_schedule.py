"""The schedule of attempts."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from voicebot.delivery.schedule import ATTEMPTS, next_attempt

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = 3600


def delay_s(attempt: int, jitter: float = 0.0, retry_after_s: float | None = None) -> float | None:
    at = next_attempt(attempt, NOW, jitter, retry_after_s)
    return None if at is None else (at - NOW).total_seconds()


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [
        (1, 5),
        (2, 300),
        (3, 1800),
        (4, 2 * HOUR),
        (5, 5 * HOUR),
        (6, 10 * HOUR),
        (7, 14 * HOUR),
        (8, 20 * HOUR),
        (9, 24 * HOUR),
        (10, None),
        (11, None),
    ],
)
def test_delays_follow_the_example_schedule(attempt: int, seconds: float | None) -> None:
    assert delay_s(attempt) == seconds


def test_ten_attempts_span_three_days() -> None:
    delays = [delay_s(attempt) or 0 for attempt in range(1, ATTEMPTS + 1)]
    assert len(delays) == 10
    assert sum(delays) / HOUR == pytest.approx(75.6, abs=0.05)
    assert all(earlier < later for earlier, later in pairwise(delays[:-1]))


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 300.0), (0.5, 315.0), (1.0, 330.0)])
def test_jitter_only_lengthens(jitter: float, seconds: float) -> None:
    assert delay_s(2, jitter) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("asked_s", "seconds"),
    [(None, 300), (0, 300), (60, 300), (900, 900), (30 * HOUR, 24 * HOUR), (float("inf"), 24 * HOUR)],
)
def test_retry_after_postpones_within_bounds(asked_s: float | None, seconds: float) -> None:
    assert delay_s(2, retry_after_s=asked_s) == seconds


def test_retry_after_does_not_add_attempts() -> None:
    assert delay_s(10, retry_after_s=60) is None


def test_what_was_put_off_together_is_spread() -> None:
    assert delay_s(1, 1.0, retry_after_s=100) == pytest.approx(110)
