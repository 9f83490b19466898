"""A CRM on loopback: takes reports, proves their signatures by the specification's own library, and fails on order.

It answers 200 to what it could prove and 401 to the rest, unless told otherwise (Standard Webhooks).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from types import TracebackType

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

TOLERANCE = timedelta(minutes=5)
LARGEST_BODY = 20_000  # bytes; the specification asks for less than 20 kB
HUNG_S = 600.0  # a request left hanging is given up after this
_ACCEPTED_BODY = 16 << 20
_ID = re.compile(r"[^.\s]+")
_TYPE = re.compile(r"[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class CrmAnswer:
    """How to answer one request. `reset` breaks the connection, `hang` never answers; both read the request first."""

    status: int = 200
    retry_after: str | None = None
    location: str | None = None
    delay_s: float = 0.0
    hang: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came. `problem` says what is wrong with it, also when the signature is right.

    `payload` is None when the body is not a JSON object; `status` is what was answered, None when nothing was.
    `at_s` is the loop's time.
    """

    webhook_id: str
    timestamp: str
    body: bytes
    payload: Mapping[str, object] | None
    verified: bool
    problem: str | None
    status: int | None
    path: str
    at_s: float


class CrmSink:
    """An HTTP server for reports, up while the `async with` lasts.

    Args:
        secret: `whsec_…`, the same as the sender's.
        answers: for the first requests, in order; those after them are answered as `CrmSink` describes.
        wall: aware UTC time by which freshness is judged; by default the library judges, by the machine's clock.
    """

    def __init__(
        self, secret: str, *, answers: Iterable[CrmAnswer] = (), wall: Callable[[], datetime] | None = None
    ) -> None:
        self.received: list[Received] = []
        self._webhook = Webhook(secret)
        self._wall = wall
        self._answers = deque(answers)
        self._url: str | None = None
        self._changed = asyncio.Condition()
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        """Where to post to."""
        if self._url is None:
            raise RuntimeError("the sink is not up: use it in `async with`")
        return self._url

    async def __aenter__(self) -> CrmSink:
        app = web.Application(client_max_size=_ACCEPTED_BODY)
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{port}/reports"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        await self._runner.cleanup()

    def answer_with(self, *answers: CrmAnswer) -> None:
        """Answer the next requests so, after those scripted before."""
        self._answers.extend(answers)

    def recover(self) -> None:
        """Forget what was ordered of the next requests: from now on they are answered as `CrmSink` describes."""
        self._answers.clear()

    def close_connections(self) -> None:
        """Close the connections there are, which are kept for another request; one under way would be broken."""
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            connection.force_close()

    def reports(self) -> list[Received]:
        """What a CRM would book: proven requests that were answered 2xx, the first of each id."""
        booked: dict[str, Received] = {}
        for one in self.received:
            if one.verified and one.status is not None and 200 <= one.status < 300:
                booked.setdefault(one.webhook_id, one)
        return list(booked.values())

    async def wait_for(self, n: int, timeout_s: float) -> list[Received]:
        """Wait until `n` requests came, of whatever kind, and return all.

        Raises:
            TimeoutError: fewer came.
        """
        await self.wait_until(lambda: len(self.received) >= n, timeout_s)
        return list(self.received)

    async def wait_for_reports(self, n: int, timeout_s: float) -> list[Received]:
        """Wait until `reports` has `n` of them, and return it.

        Raises:
            TimeoutError: fewer came.
        """
        await self.wait_until(lambda: len(self.reports()) >= n, timeout_s)
        return self.reports()

    async def wait_until(self, enough: Callable[[], bool], timeout_s: float) -> None:
        """Wait until this holds; asked at every request that comes.

        Raises:
            TimeoutError: it does not.
        """
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(enough)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        problem = self._unproven(request.headers, body)
        answer = self._answers.popleft() if self._answers else CrmAnswer(401 if problem else 200)
        await self._write_down(request, body, problem, None if answer.hang or answer.reset else answer.status)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.hang:
            await self._hang()
        if answer.reset and request.transport is not None:
            request.transport.abort()
        return web.Response(status=answer.status, headers=_headers(answer))

    async def _hang(self) -> None:
        async with asyncio.timeout(HUNG_S):
            await self._released.wait()

    async def _write_down(self, request: web.Request, body: bytes, unproven: str | None, status: int | None) -> None:
        payload = _json_object(body)
        webhook_id = request.headers.get("webhook-id", "")
        received = Received(
            webhook_id=webhook_id,
            timestamp=request.headers.get("webhook-timestamp", ""),
            body=body,
            payload=payload,
            verified=unproven is None,
            problem=unproven or _malformed(request, webhook_id, body, payload),
            status=status,
            path=request.path,
            at_s=asyncio.get_running_loop().time(),
        )
        async with self._changed:
            self.received.append(received)
            self._changed.notify_all()

    def _unproven(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Why the signature proves nothing; None when it does."""
        try:
            if self._wall is None:
                self._webhook.verify(body, dict(headers), json_parse=False)
            else:
                self._verify_at(self._wall(), headers, body)
        except (WebhookVerificationError, ValueError) as exc:  # the library raises ValueError for a malformed header
            return str(exc) or "malformed signature"
        return None

    def _verify_at(self, now: datetime, headers: Mapping[str, str], body: bytes) -> None:
        """As the library verifies, by another clock than the machine's."""
        signed_at = datetime.fromtimestamp(int(headers.get("webhook-timestamp", "")), UTC)
        if abs(now - signed_at) > TOLERANCE:
            raise WebhookVerificationError("Message timestamp too old or too new")
        expected = self._webhook.sign(headers.get("webhook-id", ""), signed_at, body.decode())
        if not any(compare_digest(expected, one) for one in headers.get("webhook-signature", "").split()):
            raise WebhookVerificationError("No matching signature found")


def _headers(answer: CrmAnswer) -> dict[str, str]:
    headers = {"Retry-After": answer.retry_after, "Location": answer.location}
    return {name: value for name, value in headers.items() if value is not None}


def _json_object(body: bytes) -> Mapping[str, object] | None:
    try:
        payload = json.loads(body)
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None


def _malformed(request: web.Request, webhook_id: str, body: bytes, payload: Mapping[str, object] | None) -> str | None:
    """What the specification would object to in a request that is signed well."""
    if request.method != "POST":
        return f"method is {request.method}, not POST"
    if not _ID.fullmatch(webhook_id):
        return f"webhook-id has a dot or a space: {webhook_id!r}"
    if request.content_type != "application/json":
        return f"content type is {request.content_type}"
    if payload is None:
        return "body is not a JSON object"
    if not (isinstance(payload.get("type"), str) and _TYPE.fullmatch(str(payload["type"]))):
        return f"type is {payload.get('type')!r}"
    if not isinstance(payload.get("timestamp"), str) or "data" not in payload:
        return "body lacks timestamp or data"
    if len(body) >= LARGEST_BODY:
        return f"body has {len(body)} bytes"
    return None
