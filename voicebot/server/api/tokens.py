"""Tokens of the API: who holds one may do what its scope says; who was wrong too often may not try for a while.

`read` sees calls, flows and deliveries, and hears recordings. `operate` also steers: it places calls, speaks in them,
ends them, and sends deliveries again. `admin` also erases.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiohttp import web

from voicebot.log_events import named
from voicebot.settings import SCOPES, Scope

from ..attempts import Attempts
from ..connections import client_of, vouch
from ..gatekeeper import Reason
from .problems import problem

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bearer:
    """Somebody who holds a token: its name, which may stand in a log, and what it lets them do."""

    name: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        """Whether what needs `scope` is theirs to do."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the settings. Several of one name, while one takes the other's place, are the same bearer."""

    bearer: Bearer
    secret: str = field(repr=False)


BEARER: web.RequestKey[Bearer] = web.RequestKey("bearer", Bearer)  # who asks, once that is known


class ApiTokens:
    """The tokens of the settings; without any, nobody holds one. One for all routes, so that attempts add up."""

    def __init__(self, tokens: Iterable[Token], counts: Counter[Reason], time: Callable[[], float]) -> None:
        """
        Args:
            counts: where refusals are counted.
            time: seconds that never go back.
        """
        self._bearers = [(self.digest(token.secret), token.bearer) for token in tokens if token.secret]
        self._counts, self._time = counts, time
        self._attempts = Attempts()

    @property
    def is_set(self) -> bool:
        """Whether anybody can hold one."""
        return bool(self._bearers)

    def known(self, marked: Callable[[bytes], str]) -> list[tuple[Bearer, str]]:
        """Whoever holds a token, each with a mark made of its digest: by it a session knows its token again."""
        return [(bearer, marked(digest)) for digest, bearer in self._bearers]

    @staticmethod
    def digest(secret: str) -> bytes:
        """A token's; of the same length for all, so that comparing tells nothing of a token's own."""
        return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()

    def bearer_of(self, given: str) -> Bearer | None:
        """Whose token this is. Takes as long whichever it is, and whether or not it is one."""
        digest, found = self.digest(given), None
        for known, bearer in self._bearers:
            if hmac.compare_digest(known, digest):
                found = bearer
        return found

    def check(self, request: web.Request, scope: Scope = "read") -> Bearer:
        """Let nobody on who does not give a token of this scope as `Authorization: Bearer`.

        Raises:
            HTTPException: 401, it is missing or wrong; 403, it does not reach so far; 429, this client was wrong too
                often.
        """
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        bearer = self.check_given(request, given.strip() if kind.lower() == "bearer" else "")
        if not bearer.may(scope):
            raise problem(403, "scope", f"this needs a token of the scope {scope}")
        return bearer

    def check_given(self, request: web.Request, given: str) -> Bearer:
        """Whose token this is, however it was given, as by who logs in.

        Raises:
            HTTPException: 401 or 429, as `check`.
        """
        client, now = client_of(request), self._time()
        if (wait_s := self._attempts.wait_s(client, now)) > 0:
            self._counts["throttled"] += 1
            again = {"Retry-After": str(math.ceil(wait_s))}
            raise problem(429, "throttled", "too many wrong tokens; try later", headers=again)
        bearer = self.bearer_of(given)
        if bearer is None:
            self._attempts.failed(client, now)
            self._counts["refused_token"] += 1
            log.warning("a wrong API token from %s", client, extra=named("token_refused"))
            said = {"WWW-Authenticate": "Bearer"}
            raise problem(401, "token", "give an API token as Authorization: Bearer", headers=said)
        vouch(request)
        request[BEARER] = bearer
        return bearer
