"""Twilio's REST API on loopback: what it asks of a call, the twin's phone does (Twilio REST API docs, 2010-04-01).

It checks credentials and forms as the vendor does, and writes down what the vendor would let pass and a good client
does not send. Calls are found in a `CallBook`, into which the phones enter theirs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, NoReturn
from urllib.parse import urlsplit

from aiohttp import web

from .call_book import CallBook, Reachable
from .twiml_player import TwimlError

API_VERSION = "2010-04-01"
LONGEST_TWIML = 4000  # characters
HUNG_S = 600.0  # a request left hanging is given up after this
_FORM = "application/x-www-form-urlencoded"
_UPDATE_FIELDS = frozenset(
    {
        *("Url", "Method", "Twiml", "Status", "FallbackUrl", "FallbackMethod", "StatusCallback"),
        *("StatusCallbackMethod", "TimeLimit"),
    }
)
_MESSAGES = {
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    20500: "Internal Server Error",
    20503: "Service Unavailable",
    21205: "Url is not a valid URL",
    21220: "Call is not in-progress. Cannot redirect.",
    12100: "Document parse failure",
    20001: "Invalid parameter",
}


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """How to answer one request otherwise than by doing what it asks. `hang` and `reset` never answer.

    A delay alone (status 200) is a slow answer: the request is carried out after it.
    """

    status: Literal[200, 429, 500, 503] = 200
    retry_after: str | None = None
    delay_s: float = 0.0
    hang: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class RestRequest:
    """One request as it came. `status` is what was answered, None when nothing was; `code` the vendor's, of an error.

    `at_s` is the loop's time.
    """

    at_s: float
    method: str
    path: str
    form: Mapping[str, str]
    status: int | None
    code: int | None


class TwilioRest:
    """An HTTP server for the account's REST requests, up while the `async with` lasts.

    Args:
        account_sid, auth_token: the account's.
        book: the calls that can be reached.
        api_keys: further user names and their secrets.
        port: 0 takes a free one.
        ended_code: what a redirect of an ended call is refused with; both are seen of the vendor.

    Attributes:
        requests: all that came, in order.
        violations: what the vendor lets pass and a good client does not send.
        available: while False, every request is answered 503.
    """

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        book: CallBook,
        *,
        api_keys: Mapping[str, str] | None = None,
        port: int = 0,
        ended_code: Literal[20404, 21220] = 20404,
    ) -> None:
        self.requests: list[RestRequest] = []
        self.violations: list[str] = []
        self.available = True
        self._account_sid, self._book, self._port, self._ended_code = account_sid, book, port, ended_code
        self._users = {account_sid: auth_token, **(api_keys or {})}
        self._answers: deque[RestAnswer] = deque()
        self._released = asyncio.Event()
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """What stands in the place of `https://api.twilio.com`."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> TwilioRest:
        app = web.Application()
        calls = f"/{API_VERSION}/Accounts/{{account_sid}}/Calls"
        app.router.add_get(f"{calls}/{{call_sid}}.json", self._fetch_call)
        app.router.add_post(f"{calls}/{{call_sid}}.json", self._update_call)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        await self._runner.cleanup()

    def answer_with(self, *answers: RestAnswer) -> None:
        """Answer the next requests so, after those that were ordered before."""
        self._answers.extend(answers)

    async def wait_for(self, n: int, timeout_s: float) -> list[RestRequest]:
        """Wait until `n` requests came, of whatever kind, and return all.

        Raises:
            TimeoutError: fewer came.
        """
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= n)
        return list(self.requests)

    # ---- calls ------------------------------------------------------------------------------------------------------

    async def _fetch_call(self, request: web.Request) -> web.StreamResponse:
        try:
            await self._admit(request, {})
            return await self._answer(request, {}, self._show(self._find(request)))
        except _RefusedError as refused:
            return await self._answer(request, {}, refused=refused)

    async def _update_call(self, request: web.Request) -> web.StreamResponse:
        form = await self._form(request)
        try:
            await self._admit(request, form)
            call = self._find(request)
            self._update(call, form)
            return await self._answer(request, form, self._show(call))
        except _RefusedError as refused:
            return await self._answer(request, form, refused=refused)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        form = await self._form(request)
        try:
            await self._admit(request, form)
        except _RefusedError as refused:
            return await self._answer(request, form, refused=refused)
        self._object(request, "is not an address of this API")
        return await self._answer(request, form, refused=_RefusedError(404, 20404))

    def _update(self, call: Reachable, form: Mapping[str, str]) -> None:
        """Carry out what the form asks for.

        Raises:
            _RefusedError: it cannot be done.
        """
        self._check_update(form)
        if form.get("Status") == "completed":
            self._require(call, "ringing", "in-progress")
            call.hang_up()
        elif url := form.get("Url"):
            self._require(call, "in-progress")
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise _RefusedError(400, 21205)
            call.go_to(url, form.get("Method", "POST").upper())
        elif twiml := form.get("Twiml"):
            self._require(call, "in-progress")
            try:
                call.play(twiml)
            except TwimlError as broken:
                raise _RefusedError(400, 12100) from broken

    def _check_update(self, form: Mapping[str, str]) -> None:
        """Object to a form that asks for nothing, for several things at once, or in words that the vendor has not."""
        wishes = [name for name in ("Url", "Twiml", "Status") if form.get(name)]
        if len(wishes) != 1:
            self.violations.append(f"an update of a call asks for {' and '.join(wishes) or 'nothing'}")
        for name in sorted(form.keys() - _UPDATE_FIELDS):
            self.violations.append(f"an update of a call has no field {name!r}")
        if form.get("Status", "completed") not in ("completed", "canceled"):
            raise _RefusedError(400, 20001)
        if form.get("Method", "POST").upper() not in ("GET", "POST"):
            raise _RefusedError(400, 20001)
        if len(form.get("Twiml", "")) > LONGEST_TWIML:
            raise _RefusedError(400, 20001)

    def _require(self, call: Reachable, *states: str) -> None:
        if call.status in states:
            return
        if call.status == "ringing" or self._ended_code == 21220:
            raise _RefusedError(400, 21220)
        raise _RefusedError(404, 20404)

    def _find(self, request: web.Request) -> Reachable:
        call = self._book.find(request.match_info["call_sid"])
        if call is None or request.match_info["account_sid"] != self._account_sid:
            raise _RefusedError(404, 20404)
        return call

    def _show(self, call: Reachable) -> dict[str, object]:
        """The call as the API shows it, as far as the twin knows it."""
        from_, to = call.parties
        return {
            "sid": call.call_sid,
            "account_sid": self._account_sid,
            "api_version": API_VERSION,
            "direction": "inbound",
            "from": from_,
            "to": to,
            "status": call.status,
            "uri": f"/{API_VERSION}/Accounts/{self._account_sid}/Calls/{call.call_sid}.json",
        }

    # ---- every request ----------------------------------------------------------------------------------------------

    async def _form(self, request: web.Request) -> dict[str, str]:
        if request.method == "GET":
            return {}
        if request.content_type != _FORM:
            self._object(request, f"comes as {request.content_type}, not as a form")
        given = await request.post()
        for name in {name for name in given if len(given.getall(name)) > 1}:
            self._object(request, f"gives {name} more than once")
        return {name: str(value) for name, value in given.items()}

    async def _admit(self, request: web.Request, form: Mapping[str, str]) -> None:
        """Let a request pass that nothing was ordered for, and whose sender is known.

        Raises:
            _RefusedError: it may not.
        """
        order = self._answers.popleft() if self._answers else RestAnswer()
        if order.delay_s:
            await asyncio.sleep(order.delay_s)
        if order.hang or order.reset:
            await self._leave(request, form, hang=order.hang)
        if order.status != 200 or not self.available:
            status = order.status if order.status != 200 else 503
            raise _RefusedError(status, 20000 + status, order.retry_after)
        if not self._known(request.headers.get("Authorization", "")):
            raise _RefusedError(401, 20003)

    async def _leave(self, request: web.Request, form: Mapping[str, str], *, hang: bool) -> NoReturn:
        """Never answer.

        Raises:
            _RefusedError: always; the connection is broken, so that nobody reads it.
        """
        await self._write_down(request, form, None, None)
        if hang:
            with suppress(TimeoutError):
                async with asyncio.timeout(HUNG_S):
                    await self._released.wait()
        if request.transport is not None:
            request.transport.abort()
        raise _RefusedError(503, 20503)

    def _known(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            user, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        known = self._users.get(user)
        return scheme == "Basic" and known is not None and hmac.compare_digest(known.encode(), secret.encode())

    async def _answer(
        self,
        request: web.Request,
        form: Mapping[str, str],
        shown: Mapping[str, object] | None = None,
        *,
        refused: _RefusedError | None = None,
    ) -> web.StreamResponse:
        if refused is None:
            await self._write_down(request, form, 200, None)
            return web.json_response(shown)
        if not (request.transport is None or request.transport.is_closing()):
            await self._write_down(request, form, refused.status, refused.code)
        headers = {"Retry-After": refused.retry_after} if refused.retry_after is not None else None
        return web.json_response(refused.body(), status=refused.status, headers=headers)

    async def _write_down(
        self, request: web.Request, form: Mapping[str, str], status: int | None, code: int | None
    ) -> None:
        now = asyncio.get_running_loop().time()
        async with self._changed:
            self.requests.append(RestRequest(now, request.method, request.path, dict(form), status, code))
            self._changed.notify_all()

    def _object(self, request: web.Request, problem: str) -> None:
        self.violations.append(f"{request.method} {request.path} {problem}")


class _RefusedError(Exception):
    """The request is not carried out. `code` is the vendor's."""

    def __init__(self, status: int, code: int, retry_after: str | None = None) -> None:
        super().__init__(status, code)
        self.status, self.code, self.retry_after = status, code, retry_after

    def body(self) -> dict[str, object]:
        return {
            "code": self.code,
            "message": _MESSAGES[self.code],
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
