"""How the server is, for load balancers and operators."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiohttp import web

from voicebot.store.contract import Store

from .lifecycle import Calls, Obstacle

log = logging.getLogger(__name__)

_PROBLEMS: Mapping[Obstacle, str] = {"stopping": "draining", "lagging": "lagging", "full": "full"}


class StatusRoutes:
    """The handlers of `/healthz` and `/readyz`."""

    def __init__(self, *, calls: Calls, store: Store) -> None:
        self._calls, self._store = calls, store

    def routes(self) -> list[web.RouteDef]:
        """One line per route."""
        return [
            web.get("/healthz", self.health),
            web.get("/readyz", self.ready),
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
