"""How the server is, for load balancers and operators, and a call's report for whoever holds the token."""

from __future__ import annotations

import hmac
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping

from aiohttp import web

from voicebot.errors import StoreError
from voicebot.log_events import named
from voicebot.store.contract import Store

from .attempts import Attempts
from .connections import client_of, vouch
from .gatekeeper import Reason
from .lifecycle import Calls, Obstacle

log = logging.getLogger(__name__)

_PROBLEMS: Mapping[Obstacle, str] = {"stopping": "draining", "lagging": "lagging", "full": "full"}


class StatusRoutes:
    """The handlers of `/healthz`, `/readyz` and `/calls/{call_sid}/report`."""

    def __init__(
        self, *, calls: Calls, store: Store, api_token: str, counts: Counter[Reason], time: Callable[[], float]
    ) -> None:
        """
        Args:
            counts: where refusals are counted.
            time: seconds that never go back.
        """
        self._calls, self._store, self._api_token, self._counts, self._time = calls, store, api_token, counts, time
        self._attempts = Attempts()

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
        self._check_token(request)
        try:
            report = await self._store.report(request.match_info["call_sid"])
        except StoreError as exc:
            log.error("a report cannot be read: %s", exc, extra=named("store_report_not_read"))
            raise web.HTTPServiceUnavailable(text="the store does not answer; try again") from exc
        if report is None:
            raise web.HTTPNotFound(text="no report of this call; it is unknown or still going on")
        return web.Response(text=report, content_type="application/json")

    def _check_token(self, request: web.Request) -> None:
        """Let nobody on who does not hold the API token, and nobody try who was wrong too often."""
        client, now = client_of(request), self._time()
        if (wait_s := self._attempts.wait_s(client, now)) > 0:
            self._counts["throttled"] += 1
            again = {"Retry-After": str(math.ceil(wait_s))}
            raise web.HTTPTooManyRequests(text="too many wrong tokens; try later", headers=again)
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode(errors="surrogateescape")
        if not self._api_token or not hmac.compare_digest(given, self._api_token.encode()):
            self._attempts.failed(client, now)
            self._counts["refused_token"] += 1
            log.warning("a wrong API token from %s", client, extra=named("token_refused"))
            raise web.HTTPUnauthorized(
                text="give the API token as a bearer token", headers={"WWW-Authenticate": "Bearer"}
            )
        vouch(request)
