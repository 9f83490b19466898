"""Sessions of the console: who logs in with a token has a cookie for a while, which says so and cannot be made up.

The cookie is signed and nothing of it is kept here, so any instance of the same secret knows it, and a restart ends no
session. It names the token and what it lets its holder do, and never holds the token itself; it is good for as long as
that token stands in the settings with that scope. What changes something needs more than the cookie, which a browser
sends unasked: a header that a foreign page cannot know (`X-CSRF-Token`), from a page of our own origin.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from voicebot.log_events import named
from voicebot.settings import SCOPES, Scope

from .api.problems import problem
from .api.tokens import BEARER, ApiTokens, Bearer
from .connections import client_of, vouch
from .gatekeeper import Reason

log = logging.getLogger(__name__)

IDLE_S = 30 * 60  # without a request, and it is over
LONGEST_S = 12 * 3600  # from the login, however busy
RENEWED_EVERY_S = 60  # not with each request: a page asks for several things at once
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PURPOSE = b"voicebot console session 1"  # no other key of ours is derived so
_COOKIE = "voicebot_session"
_LONGEST_COOKIE = 1000  # characters; ours have some 300
_MAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has logged in.

    Attributes:
        bearer: the token's name and scope.
        token: a fingerprint of the token; who reads it learns nothing of the token.
        nonce: by chance, of this login alone.
        begun, seen: seconds since 1970.
    """

    bearer: Bearer
    token: str
    nonce: str
    begun: int
    seen: int

    @property
    def expires(self) -> int:
        """Seconds since 1970, unless it is used before."""
        return min(self.seen + IDLE_S, self.begun + LONGEST_S)


SESSION: web.RequestKey[Session] = web.RequestKey("console_session", Session)  # to be sent on with the answer


class ConsoleSessions:
    """Begins sessions, knows them again, and ends them."""

    def __init__(
        self,
        tokens: ApiTokens,
        secret: bytes,
        public_url: str,
        wall: Callable[[], datetime],
        counts: Counter[Reason],
    ) -> None:
        """
        Args:
            secret: the server's; the key of cookies is derived from it.
            public_url: where browsers find us; over HTTPS, the cookie goes nowhere else.
            counts: where refusals are counted.
        """
        self._tokens, self._public_url, self._wall, self._counts = tokens, public_url, wall, counts
        self._key = hmac.digest(secret, _PURPOSE, hashlib.sha256)
        self._secure = public_url.startswith("https:")
        self.cookie = f"__Host-{_COOKIE}" if self._secure else _COOKIE

    @property
    def can_begin(self) -> bool:
        """Whether there is a token at all that lets anybody in."""
        return self._tokens.is_set

    # ---- a session begins and ends ----------------------------------------------------------------------------------

    def begin(self, request: web.Request, token: str) -> Session:
        """Log somebody in.

        Raises:
            HTTPException: 401, this is no token; 403, a foreign page asks; 429, too many wrong ones.
        """
        self.refuse_foreign(request)
        bearer = self._tokens.check_given(request, token)
        now = self._now()
        session = Session(bearer, self._fingerprint(token), secrets.token_urlsafe(16), now, now)
        request[SESSION] = session
        log.info("token %s logs in to the console", bearer.name, extra=named("console_login"))
        return session

    def csrf_of(self, session: Session) -> str:
        """What the pages of this session put into `X-CSRF-Token`."""
        return _coded(hmac.digest(self._key, f"csrf {session.nonce}".encode(), hashlib.sha256))

    # ---- a request comes --------------------------------------------------------------------------------------------

    def session_of(self, request: web.Request) -> Session | None:
        """The session of whoever asks; None if they bring no cookie, or one that does not hold."""
        given = request.cookies.get(self.cookie, "")
        session = self._read(given) if 0 < len(given) <= _LONGEST_COOKIE else None
        if session is None:
            return None
        now = self._now()
        bearer = next((one for one, token in self._tokens.known(self._fingerprint_of) if token == session.token), None)
        if bearer != session.bearer or not session.begun <= now + RENEWED_EVERY_S or now >= session.expires:
            return None
        if now - session.seen >= RENEWED_EVERY_S:
            request[SESSION] = session = replace(session, seen=now)
        return session

    def check(self, request: web.Request, scope: Scope) -> Bearer | None:
        """Let nobody on who has a session and may not do this; None if they bring no cookie, and are to show a token.

        Raises:
            HTTPException: 401, the session is over; 403, the scope is less, or a request that changes something is not
                from our own page.
        """
        if not request.cookies.get(self.cookie):
            return None
        session = self.session_of(request)
        if session is None:  # no attempt at a token: a console that was left open must not lock its owner out
            raise problem(401, "session", "the session is over; log in again", headers={"WWW-Authenticate": "Bearer"})
        if request.method not in SAFE_METHODS:
            self.refuse_foreign(request)
            self.require_csrf(request, session)
        if not session.bearer.may(scope):
            raise problem(403, "scope", f"this needs a token of the scope {scope}")
        vouch(request)
        request[BEARER] = session.bearer
        return session.bearer

    def require_csrf(self, request: web.Request, session: Session) -> None:
        """See that a page of this session asks, not another one in the same browser.

        Raises:
            HTTPException: 403, the header is missing or wrong.
        """
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), self.csrf_of(session).encode()):
            self._refused(request)
            raise problem(403, "csrf", f"give the {CSRF_HEADER} of this session; reload the page")

    def refuse_foreign(self, request: web.Request) -> None:
        """Let no page of another origin on. Browsers send `Origin` with whatever changes something; who sends none is
        none, and has the header to show.

        Raises:
            HTTPException: 403.
        """
        origin = request.headers.get("Origin")
        if origin is not None and origin != self._public_url and not _same_host(origin, request.host):
            self._refused(request)
            raise problem(403, "origin", "pages of another origin may not do this")

    async def prepared(self, request: web.Request, response: web.StreamResponse) -> None:
        """A signal of the application's: an answer is about to be sent, and a session begun or renewed goes with it."""
        if (session := request.get(SESSION)) is not None:
            self._set(response, self._written(session), session.expires - self._now())

    def forget(self, response: web.StreamResponse) -> None:
        """Have the browser forget its session."""
        self._set(response, "", 0)

    # ---- the cookie -------------------------------------------------------------------------------------------------

    def _set(self, response: web.StreamResponse, value: str, lasts_s: int) -> None:
        """By the header itself: when an answer is about to be sent, aiohttp has written its own cookies already."""
        secure = "; Secure" if self._secure else ""
        kept = f"Path=/; Max-Age={max(0, lasts_s)}; HttpOnly; SameSite=Strict{secure}"
        response.headers.add(hdrs.SET_COOKIE, f"{self.cookie}={value}; {kept}")

    def _written(self, session: Session) -> str:
        bearer = session.bearer
        facts = [bearer.name, bearer.scope, session.token, session.nonce, session.begun, session.seen]
        said = json.dumps(facts, separators=(",", ":")).encode()
        return _coded(self._mac(said) + said)

    def _read(self, cookie: str) -> Session | None:
        """What was written; None for what we have not written."""
        try:
            found = base64.b64decode(cookie + "=" * (-len(cookie) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        mac, said = found[:_MAC_BYTES], found[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(said)):
            return None
        facts: list[Any] = json.loads(said)  # ours, as it is signed
        name, scope, token, nonce, begun, seen = facts
        return Session(Bearer(name, scope), token, nonce, begun, seen) if scope in SCOPES else None

    def _mac(self, said: bytes) -> bytes:
        return hmac.digest(self._key, b"cookie " + said, hashlib.sha256)

    def _fingerprint(self, token: str) -> str:
        return self._fingerprint_of(ApiTokens.digest(token))

    def _fingerprint_of(self, digest: bytes) -> str:
        return _coded(hmac.digest(self._key, b"token " + digest, hashlib.sha256)[:16])

    def _refused(self, request: web.Request) -> None:
        self._counts["refused_token"] += 1
        log.warning("a page of another origin, from %s", client_of(request), extra=named("console_refused"))

    def _now(self) -> int:
        return int(self._wall().astimezone(UTC).timestamp())


def _coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _same_host(origin: str, host: str) -> bool:
    """Whether a page was served by the host it now asks, as over a tunnel to this machine."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and parts.netloc == host
