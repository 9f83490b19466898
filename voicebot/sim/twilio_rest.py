"""Twilio's REST API on loopback: what it asks of a call, the twin's phone does (Twilio REST API docs, 2010-04-01).

It checks credentials and forms as the vendor does, and writes down what the vendor would let pass and a good client
does not send. Calls are found in a `CallBook`, into which the phones enter theirs; calls that are placed are given to
`place`. Messages and the addresses of numbers are kept.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, NoReturn

from aiohttp import web

from .call_book import CallBook, Reachable
from .twilio_forms import (
    LONGEST_TWIML,
    NUMBER_FIELDS,
    REPEATED,
    Placed,
    RefusedError,
    check_message,
    check_number,
    is_address,
    odd_call,
    odd_message,
    odd_number,
    read_call,
)
from .twiml_player import TwimlError

API_VERSION = "2010-04-01"
HUNG_S = 600.0  # a request left hanging is given up after this
_FORM = "application/x-www-form-urlencoded"
_LOST: web.RequestKey[bool] = web.RequestKey("lost", bool)  # its answer does not arrive
_UPDATE_FIELDS = frozenset(
    {
        *("Url", "Method", "Twiml", "Status", "FallbackUrl", "FallbackMethod", "StatusCallback"),
        *("StatusCallbackMethod", "TimeLimit"),
    }
)


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """How to answer one request otherwise than by doing what it asks. `hang` and `reset` never answer.

    A delay alone (status 200) is a slow answer: the request is carried out after it. `lost`: it is carried out, and
    its answer does not arrive.
    """

    status: Literal[200, 429, 500, 503] = 200
    retry_after: str | None = None
    delay_s: float = 0.0
    hang: bool = False
    reset: bool = False
    lost: bool = False


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
        numbers: the account's own.
        place: begins a call, and returns its CallSid; without it the account may call nobody.

    Attributes:
        requests: all that came, in order.
        violations: what the vendor lets pass and a good client does not send.
        available: while False, every request is answered 503.
        messages: the forms of those that were sent.
        numbers: the account's own, with what it has set of them.
        unsubscribed: numbers that want no messages.
        ended_code: as given; may be changed.
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
        numbers: Sequence[str] = (),
        place: Callable[[Placed], str] | None = None,
    ) -> None:
        self.messages: list[Mapping[str, str]] = []
        self.numbers: dict[str, dict[str, str]] = {number: {} for number in numbers}
        self.unsubscribed: set[str] = set()
        self._place = place
        self.requests: list[RestRequest] = []
        self.violations: list[str] = []
        self.available = True
        self._account_sid, self._book, self._port, self.ended_code = account_sid, book, port, ended_code
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
        account = f"/{API_VERSION}/Accounts/{{account_sid}}"
        calls = f"{account}/Calls"
        app.router.add_post(f"{account}/Calls.json", self._create_call)
        app.router.add_post(f"{account}/Messages.json", self._send_message)
        app.router.add_get(f"{account}/IncomingPhoneNumbers.json", self._list_numbers)
        app.router.add_post(f"{account}/IncomingPhoneNumbers/{{sid}}.json", self._update_number)
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
        except RefusedError as refused:
            return await self._answer(request, {}, refused=refused)

    async def _update_call(self, request: web.Request) -> web.StreamResponse:
        form = await self._form(request)
        try:
            await self._admit(request, form)
            call = self._find(request)
            self._update(call, form)
            return await self._answer(request, form, self._show(call))
        except RefusedError as refused:
            return await self._answer(request, form, refused=refused)

    async def _create_call(self, request: web.Request) -> web.StreamResponse:
        form = await self._form(request)
        try:
            await self._admit(request, form)
            self.violations += odd_call(form)
            placed = read_call(form, tuple(self.numbers))
            if self._place is None:
                raise RefusedError(400, 21203)
            call_sid = self._place(placed)
            return await self._answer(request, form, self._shown(call_sid, placed), status=201)
        except RefusedError as refused:
            return await self._answer(request, form, refused=refused)

    def _shown(self, call_sid: str, placed: Placed) -> dict[str, object]:
        """A call that was queued."""
        return {
            "sid": call_sid,
            "account_sid": self._account_sid,
            "api_version": API_VERSION,
            "direction": "outbound-api",
            "from": placed.from_,
            "to": placed.to,
            "status": "queued",
            "uri": f"/{API_VERSION}/Accounts/{self._account_sid}/Calls/{call_sid}.json",
        }

    # ---- messages and numbers ---------------------------------------------------------------------------------------

    async def _send_message(self, request: web.Request) -> web.StreamResponse:
        form = await self._form(request)
        try:
            await self._admit(request, form)
            self.violations += odd_message(form)
            check_message(form, tuple(self.numbers))
            if form["To"] in self.unsubscribed:
                raise RefusedError(400, 21610)
            self.messages.append(form)
            shown = {"sid": f"SM{uuid.uuid4().hex}", "status": "queued", "to": form["To"], "body": form["Body"]}
            return await self._answer(request, form, shown, status=201)
        except RefusedError as refused:
            return await self._answer(request, form, refused=refused)

    async def _list_numbers(self, request: web.Request) -> web.StreamResponse:
        try:
            await self._admit(request, {})
            wanted = request.query.get("PhoneNumber", "")
            found = [self._number(one) for one in self.numbers if wanted in one]
            return await self._answer(request, {}, {"incoming_phone_numbers": found, "page": 0, "next_page_uri": None})
        except RefusedError as refused:
            return await self._answer(request, {}, refused=refused)

    async def _update_number(self, request: web.Request) -> web.StreamResponse:
        form = await self._form(request)
        try:
            await self._admit(request, form)
            number = next((one for one in self.numbers if number_sid(one) == request.match_info["sid"]), None)
            if number is None:
                raise RefusedError(404, 20404)
            self.violations += odd_number(form)
            check_number(form)
            self.numbers[number] |= {NUMBER_FIELDS[name]: text for name, text in form.items() if name in NUMBER_FIELDS}
            return await self._answer(request, form, self._number(number))
        except RefusedError as refused:
            return await self._answer(request, form, refused=refused)

    def _number(self, number: str) -> dict[str, object]:
        blank = dict.fromkeys(NUMBER_FIELDS.values(), "")
        return {"sid": number_sid(number), "phone_number": number, **blank, **self.numbers[number]}

    # ---- whatever else ----------------------------------------------------------------------------------------------

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        form = await self._form(request)
        try:
            await self._admit(request, form)
        except RefusedError as refused:
            return await self._answer(request, form, refused=refused)
        self._object(request, "is not an address of this API")
        return await self._answer(request, form, refused=RefusedError(404, 20404))

    def _update(self, call: Reachable, form: Mapping[str, str]) -> None:
        """Carry out what the form asks for.

        Raises:
            RefusedError: it cannot be done.
        """
        self._check_update(form)
        if form.get("Status") in ("completed", "canceled"):
            self._require(call, "ringing", *(["in-progress"] if form["Status"] == "completed" else []))
            call.hang_up()
        elif url := form.get("Url"):
            self._require(call, "in-progress")
            if not is_address(url):
                raise RefusedError(400, 21205)
            call.go_to(url, form.get("Method", "POST").upper())
        elif twiml := form.get("Twiml"):
            self._require(call, "in-progress")
            try:
                call.play(twiml)
            except TwimlError as broken:
                raise RefusedError(400, 12100) from broken

    def _check_update(self, form: Mapping[str, str]) -> None:
        """Object to a form that asks for nothing, for several things at once, or in words that the vendor has not."""
        wishes = [name for name in ("Url", "Twiml", "Status") if form.get(name)]
        if len(wishes) != 1:
            self.violations.append(f"an update of a call asks for {' and '.join(wishes) or 'nothing'}")
        for name in sorted(form.keys() - _UPDATE_FIELDS):
            self.violations.append(f"an update of a call has no field {name!r}")
        if form.get("Status", "completed") not in ("completed", "canceled"):
            raise RefusedError(400, 20001)
        if form.get("Method", "POST").upper() not in ("GET", "POST"):
            raise RefusedError(400, 20001)
        if len(form.get("Twiml", "")) > LONGEST_TWIML:
            raise RefusedError(400, 20001)

    def _require(self, call: Reachable, *states: str) -> None:
        if call.status in states:
            return
        if call.status == "ringing" or self.ended_code == 21220:
            raise RefusedError(400, 21220)
        raise RefusedError(404, 20404)

    def _find(self, request: web.Request) -> Reachable:
        call = self._book.find(request.match_info["call_sid"])
        if call is None or request.match_info["account_sid"] != self._account_sid:
            raise RefusedError(404, 20404)
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
        for name in {name for name in given if len(given.getall(name)) > 1} - REPEATED:
            self._object(request, f"gives {name} more than once")
        return {name: " ".join(map(str, given.getall(name))) for name in given}

    async def _admit(self, request: web.Request, form: Mapping[str, str]) -> None:
        """Let a request pass that nothing was ordered for, and whose sender is known.

        Raises:
            RefusedError: it may not.
        """
        order = self._answers.popleft() if self._answers else RestAnswer()
        if order.delay_s:
            await asyncio.sleep(order.delay_s)
        request[_LOST] = order.lost
        if order.hang or order.reset:
            await self._leave(request, form, hang=order.hang)
        if order.status != 200 or not self.available:
            status = order.status if order.status != 200 else 503
            raise RefusedError(status, 20000 + status, order.retry_after)
        if not self._known(request.headers.get("Authorization", "")):
            raise RefusedError(401, 20003)

    async def _leave(self, request: web.Request, form: Mapping[str, str], *, hang: bool) -> NoReturn:
        """Never answer.

        Raises:
            RefusedError: always; the connection is broken, so that nobody reads it.
        """
        await self._write_down(request, form, None, None)
        if hang:
            with suppress(TimeoutError):
                async with asyncio.timeout(HUNG_S):
                    await self._released.wait()
        if request.transport is not None:
            request.transport.abort()
        raise RefusedError(503, 20503)

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
        refused: RefusedError | None = None,
        status: int = 200,
    ) -> web.StreamResponse:
        if refused is None:
            await self._write_down(request, form, status, None)
            if request.get(_LOST) and request.transport is not None:
                request.transport.abort()
            return web.json_response(shown, status=status)
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


def number_sid(number: str) -> str:
    """The sid of a number of the account."""
    return "PN" + hashlib.md5(number.encode(), usedforsecurity=False).hexdigest()
