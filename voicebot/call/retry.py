"""When the model is asked for a connection again."""

from __future__ import annotations

DIALLING_S = (0.2, 0.8)  # the phone still rings: then a sentence is better than more ringing
WAITING_S = (0.1, 0.4, 0.9, 1.8, 3.0)  # the caller is on the line; the call gives up by its own clock
JITTER_SHARE = 0.5  # of a delay: calls that lost their models together do not come back together


def retry_delay_s(tries: int, *, retryable: bool, waiting: bool, jitter: float) -> float | None:
    """Seconds until the next try after `tries` failed; None to give up.

    Args:
        tries: from 1.
        retryable: whether another try can help (a bad key stays bad).
        waiting: whether the call goes on without a model until one is there.
        jitter: 0 to 1, drawn by the caller.
    """
    delays_s = WAITING_S if waiting else DIALLING_S
    if not retryable or (tries > len(delays_s) and not waiting):
        return None
    delay_s = delays_s[min(tries, len(delays_s)) - 1]
    return delay_s * (1 - JITTER_SHARE * jitter)
