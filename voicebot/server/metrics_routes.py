"""`GET /metrics`: the whole truth in Prometheus' text format, whichever worker is asked.

With `VOICEBOT_API_TOKEN` set, a scrape needs it as a bearer token. Without, it is answered to those who come straight
from this machine or a private network. What a proxy passes on says so in its headers, and is refused: who stands
behind it may be anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address

from aiohttp import web

from voicebot.observe.registry import CONTENT_TYPE
from voicebot.store.contract import Store

from .api.tokens import ApiTokens
from .lifecycle import Calls
from .observing import Observing
from .siblings import Siblings

_OF_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via", "CF-Connecting-IP")


class MetricsRoutes:
    """The handler of `/metrics`."""

    def __init__(
        self,
        observing: Observing,
        calls: Calls,
        store: Store,
        wall: Callable[[], datetime],
        *,
        siblings: Siblings | None,
        token: ApiTokens,
    ) -> None:
        self._observing, self._calls, self._store, self._wall = observing, calls, store, wall
        self._siblings, self._token = siblings, token

    def routes(self) -> list[web.RouteDef]:
        """One line per route."""
        return [web.get("/metrics", self.metrics)]

    async def metrics(self, request: web.Request) -> web.Response:
        """Everything there is to know in numbers."""
        self._admit(request)
        text = self._observing.own_text(self._calls, self._store)
        if self._siblings is not None:
            text = await self._siblings.with_others(text)
        text += await self._observing.shared_text(self._store, self._wall())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    def _admit(self, request: web.Request) -> None:
        """
        Raises:
            HTTPUnauthorized, HTTPTooManyRequests: the token is not given.
            HTTPForbidden: there is none, and whoever asks may be anybody.
        """
        if self._token.is_set:
            self._token.check(request)
        elif any(name in request.headers for name in _OF_PROXIES) or not _is_near(request.remote):
            raise web.HTTPForbidden(text="set VOICEBOT_API_TOKEN to scrape from elsewhere")


def _is_near(address: str | None) -> bool:
    """Whether an address is of this machine or of a private network."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    return found.is_loopback or found.is_private
