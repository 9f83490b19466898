"""What every answer says beside its body: nothing may be guessed, framed, run, cached or referred to.

A route that serves something else, as a page, sets its own headers: these are only for what it does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SAFE_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-store",  # answers are about one call, one caller or this very moment
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Server": "voicebot",  # aiohttp would tell the versions of itself and of Python
    }
)
