"""When a delivery that failed is tried again: the example schedule of Standard Webhooks."""

from __future__ import annotations

from datetime import datetime, timedelta

# After the first attempt, the second, …: ten attempts within 75.6 hours, then a dead letter.
DELAYS_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
ATTEMPTS = len(DELAYS_S) + 1

JITTER_SHARE = 0.1  # a delay grows by up to this, so that what failed together does not come back together
RETRY_AFTER_LIMIT_S = 24 * 3600  # a receiver cannot put us off for longer than our own longest step


def next_attempt(attempt: int, now: datetime, jitter: float, retry_after_s: float | None = None) -> datetime | None:
    """When to try again after attempt number `attempt` failed `now`; None to give up.

    Args:
        attempt: from 1.
        jitter: 0 to 1, drawn by the caller.
        retry_after_s: what the receiver asked for; we come no sooner.
    """
    if attempt >= ATTEMPTS:
        return None
    asked_s = min(retry_after_s or 0, RETRY_AFTER_LIMIT_S)
    delay_s = max(DELAYS_S[attempt - 1], asked_s)
    return now + timedelta(seconds=delay_s * (1 + JITTER_SHARE * jitter))
