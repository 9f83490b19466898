"""The API token: who holds it is let on, and who was wrong too often may not try for a while, whatever the route."""

from __future__ import annotations

import hmac
import logging
import math
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from voicebot.log_events import named

from .attempts import Attempts
from .connections import client_of, vouch
from .gatekeeper import Reason

log = logging.getLogger(__name__)


class ApiToken:
    """The token of the settings; without one nobody holds it. One for all routes, so that attempts add up."""

    def __init__(self, token: str, counts: Counter[Reason], time: Callable[[], float]) -> None:
        """
        Args:
            token: empty if there is none.
            counts: where refusals are counted.
            time: seconds that never go back.
        """
        self._token, self._counts, self._time = token, counts, time
        self._attempts = Attempts()

    @property
    def is_set(self) -> bool:
        """Whether anybody can hold it."""
        return bool(self._token)

    def check(self, request: web.Request) -> None:
        """Let nobody on who does not give it as `Authorization: Bearer`.

        Raises:
            HTTPUnauthorized: it is missing or wrong.
            HTTPTooManyRequests: this client was wrong too often.
        """
        client, now = client_of(request), self._time()
        if (wait_s := self._attempts.wait_s(client, now)) > 0:
            self._counts["throttled"] += 1
            again = {"Retry-After": str(math.ceil(wait_s))}
            raise web.HTTPTooManyRequests(text="too many wrong tokens; try later", headers=again)
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode(errors="surrogateescape")
        if not self._token or not hmac.compare_digest(given, self._token.encode()):
            self._attempts.failed(client, now)
            self._counts["refused_token"] += 1
            log.warning("a wrong API token from %s", client, extra=named("token_refused"))
            raise web.HTTPUnauthorized(
                text="give the API token as a bearer token", headers={"WWW-Authenticate": "Bearer"}
            )
        vouch(request)
