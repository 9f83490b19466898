"""Stream tokens: what lets a Media Streams socket into the call its TwiML was written for.

The TwiML carries a token as `<Parameter>`, the stream's `start` brings it back. It is an HMAC-SHA256 over the call, the
attempt (0 for the first stream of a call, then one more for each stream that resumes it) and the time of issue, so
that a webhook repeated by Twilio, answered from the same facts, gets the same TwiML. A token is good for one stream:
whoever verifies it must record (call_sid, attempt) as used, atomically, before anything is spent on the call.

    CA1234…ef . 0 . 1795348800 . base64url(HMAC-SHA256(secret, label + "CA1234…ef.0.1795348800"))
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from voicebot.errors import RefusedRequestError

LIFETIME_S = 60
SKEW_S = 5  # how far the clocks of two instances may be apart

_LABEL = b"voicebot stream token\x00"  # the secret has other uses; a MAC made for one must not serve another
_CALL_SID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_TOKEN = re.compile(r"([A-Za-z0-9]{1,64})\.(0|[1-9][0-9]{0,5})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class StreamToken:
    """A token that held. (call_sid, attempt) identifies it for single use; `issued_at` is unix seconds."""

    call_sid: str
    attempt: int
    issued_at: int


def mint(secret: bytes, call_sid: str, attempt: int, issued_at: int) -> str:
    """Make the token of one stream: URL-safe text of at most 140 characters, the same for the same arguments.

    Args:
        secret: the key, not empty.
        call_sid: letters and digits.
        attempt: 0 to 999,999.
        issued_at: unix seconds.

    Raises:
        ValueError: an argument is outside these bounds.
    """
    if _CALL_SID.fullmatch(call_sid) is None:
        raise ValueError("call_sid must be letters and digits")
    if not 0 <= attempt < 10**6 or not 0 <= issued_at < 10**12:
        raise ValueError("attempt or issued_at is out of range")
    claim = f"{call_sid}.{attempt}.{issued_at}"
    return f"{claim}.{_mac(secret, claim)}"


def verify(secret: bytes, token: str, call_sid: str, now: float, lifetime_s: float = LIFETIME_S) -> StreamToken:
    """Check a token that a stream brought for `call_sid`, at `now` (unix seconds).

    Raises:
        RefusedRequestError: it is malformed, forged, another call's, expired, or from the future.
    """
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise RefusedRequestError("the stream token is missing or malformed")
    claimed_sid, attempt, issued, mac = parts.groups()
    if not hmac.compare_digest(mac, _mac(secret, f"{claimed_sid}.{attempt}.{issued}")):
        raise RefusedRequestError("the stream token is forged, or VOICEBOT_SECRET differs between instances")
    if claimed_sid != call_sid:
        raise RefusedRequestError("the stream token belongs to another call")
    issued_at = int(issued)
    if not issued_at - SKEW_S <= now:
        raise RefusedRequestError("the stream token is from the future: check the clocks of the instances")
    if not now - issued_at <= lifetime_s:
        raise RefusedRequestError(f"the stream token is older than {lifetime_s:g} s")
    return StreamToken(claimed_sid, int(attempt), issued_at)


def _mac(secret: bytes, claim: str) -> str:
    if not secret:
        raise ValueError("the secret of stream tokens is empty")
    digest = hmac.digest(secret, _LABEL + claim.encode("ascii"), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
