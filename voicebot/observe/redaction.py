"""The last line of defence of the log: known secrets, and what looks like a secret or a phone number, are blotted out.

Whoever logs must not log such things in the first place. What comes from libraries, from other sides' error messages
and from tracebacks is not in our hands, so every text passes here on its way out. One search for all patterns at once:
3 to 6 us for an ordinary line (measured).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

BLOT = "[redacted]"
SHORTEST_SECRET = 4  # characters; shorter ones would blot out ordinary words

# What looks secret, and what stands in every such text: a search of a line for all patterns takes twenty times as long
# as asking for the few words that one of them needs.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (needed, re.compile(pattern))
    for needed, pattern in (
        (("bearer",), r"(?i:bearer)\s+[\w.~+/=-]{8,}"),  # Authorization (RFC 6750)
        (("basic",), r"(?i:basic)\s+[\w+/]{12,}={0,2}"),  # (RFC 7617)
        (("sk", "ek", "pk", "pat"), r"\b(?:sk|ek|pk|pat)[-_][\w+/=-]{4,}"),  # keys by their vendors' prefixes
        (("whsec_",), r"\bwhsec_\S+"),
        (("eyj",), r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"),  # JSON Web Tokens
        (("://",), r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),  # user and password of a URL
        # E.164, also in a URL, and as people write it
        (("+", "%2b"), r"(?:(?<![0-9A-Za-z])\+|%2[Bb])[1-9][0-9](?:[ ()./-]{0,2}[0-9]){5,13}(?![0-9])"),
    )
)


class Redactor:
    """Blots out secrets. Call it with a text, as often as there is one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets`: those that are known, as the settings hold them."""
        spelt = {form for one in secrets if len(one) >= SHORTEST_SECRET for form in _spellings(one)}
        self._known = sorted(spelt, key=len, reverse=True)  # one may be the beginning of another

    def __call__(self, text: str) -> str:
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, BLOT)
        lower = text.lower()
        for needed, pattern in _PATTERNS:
            for word in needed:
                if word in lower:
                    text = pattern.sub(BLOT, text)
                    break
        return text


def one_line(text: str) -> str:
    """The text without line breaks and control characters, so that nobody's words look like a line of ours."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _spellings(secret: str) -> set[str]:
    """How a secret may stand in a text: as it is, in a URL, in JSON, in a repr."""
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }
