"""When Twilio's REST API is asked the same again."""

from __future__ import annotations

from voicebot.errors import TwilioError

DELAYS_S = (0.5, 1.0, 2.0)
LONGEST_WAIT_S = 5.0  # for what the vendor asks for with Retry-After: somebody waits for the answer
JITTER_SHARE = 0.5  # of a delay: instances that were refused together do not come back together


def back_off_s(tries: int, error: TwilioError, *, repeatable: bool, jitter: float) -> float | None:
    """Seconds until the next try after `tries` failed with `error`; None to give up.

    Args:
        tries: from 1.
        repeatable: whether it may be done twice. What may not is asked again only if it is known not to be done.
        jitter: 0 to 1, drawn by the caller.
    """
    if not error.retryable or tries > len(DELAYS_S) or not (error.undone or repeatable):
        return None
    if error.retry_after_s is not None:
        return error.retry_after_s if error.retry_after_s <= LONGEST_WAIT_S else None
    return DELAYS_S[tries - 1] * (1 - JITTER_SHARE * jitter)
