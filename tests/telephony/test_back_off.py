"""When Twilio's REST API is asked again."""

from __future__ import annotations

import pytest

from voicebot.errors import TwilioError
from voicebot.telephony.back_off import DELAYS_S, LONGEST_WAIT_S, back_off_s

BUSY, BROKEN = TwilioError("busy", status=429), TwilioError("broken", status=500)
REFUSED, SILENT = TwilioError("no", status=400, code=21211), TwilioError("no answer")
UNREACHED = TwilioError("cannot be reached", asked=False)


def later(seconds: float) -> TwilioError:
    return TwilioError("busy", status=429, retry_after_s=seconds)


@pytest.mark.parametrize(
    ("tries", "error", "repeatable", "delay_s"),
    [
        *((tries, BROKEN, False, delay_s) for tries, delay_s in enumerate(DELAYS_S, 1)),
        (len(DELAYS_S) + 1, BROKEN, True, None),
        (1, BUSY, False, DELAYS_S[0]),
        (1, REFUSED, True, None),
        (1, SILENT, False, None),  # nobody knows whether it is done
        (1, SILENT, True, DELAYS_S[0]),
        (1, UNREACHED, False, DELAYS_S[0]),
        (1, later(3), False, 3),
        (1, later(LONGEST_WAIT_S + 1), False, None),
    ],
)
def test_asked_again_only_where_it_cannot_do_harm(
    tries: int, error: TwilioError, repeatable: bool, delay_s: float | None
) -> None:
    assert back_off_s(tries, error, repeatable=repeatable, jitter=0.0) == delay_s


def test_those_refused_together_do_not_come_back_together() -> None:
    delays = [back_off_s(1, BROKEN, repeatable=True, jitter=jitter) for jitter in (0.0, 0.5, 1.0)]
    assert delays == [DELAYS_S[0], DELAYS_S[0] * 0.75, DELAYS_S[0] * 0.5]
