"""How the server is, for load balancers and operators, and a call's report for whoever holds the token."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiohttp import web

from voicebot.errors import StoreError
from voicebot.log_events import named
from voicebot.store.contract import Store

from .api.tokens import ApiTokens
from .lifecycle import Calls, Obstacle

log = logging.getLogger(__name__)

_PROBLEMS: Mapping[Obstacle, str] = {"stopping": "draining", "lagging": "lagging", "full": "full"}


class StatusRoutes:
    """The handlers of `/healthz`, `/readyz` and `/calls/{call_sid}/report`."""

    def __init__(self, *, calls: Calls, store: Store, token: ApiTokens) -> None:
        self._calls, self._store, self._token = calls, store, token

    def routes(self) -> list[web.RouteDef]:
        """One line per route."""
        return [
            web.get("/healthz", self.health),
            web.get("/readyz", self.ready),
            web.get("/calls/{call_sid}/report", self.report),
        ]

    async def health(self, request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """Whether a new call would be taken."""
        obstacle = self._calls.obstacle
        problems = [] if obstacle is None else [_PROBLEMS[obstacle]]
        if not self._store.healthy():
            problems.append("store")
        body = {"status": "ready" if not problems else "not ready", "problems": problems, "calls": self._calls.count}
        return web.json_response(body, status=503 if problems else 200)

    async def report(self, request: web.Request) -> web.Response:
        """The whole report of an ended call, with its transcript. Needs `Authorization: Bearer` and the API token."""
        self._token.check(request)
        try:
            report = await self._store.report(request.match_info["call_sid"])
        except StoreError as exc:
            log.error("a report cannot be read: %s", exc, extra=named("store_report_not_read"))
            raise web.HTTPServiceUnavailable(text="the store does not answer; try again") from exc
        if report is None:
            raise web.HTTPNotFound(text="no report of this call; it is unknown or still going on")
        return web.Response(text=report, content_type="application/json")
