"""The connections of the server: each has a limit of time in whatever state it is, and a `Gatekeeper` that lets it in.

aiohttp reads HTTP; what is added here is what it leaves to a proxy: who sends no request, half of one, or a byte now
and then is closed, who has asked is closed when nothing more comes, and nothing of the inside is in any answer.

    connected ──(FIRST_REQUEST_S)── headers are whole ──(ANSWER_LIMIT_S)── answered ──(IDLE_S, FRIEND_IDLE_S)── …
                                            └── a WebSocket: from then on its handler has its own limits
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

from voicebot.log_events import named

from .answers import SAFE_HEADERS
from .gatekeeper import Gatekeeper, Reason, Stay
from .proxies import UNKNOWN, Address, read_address
from .sockets import BACKLOG

log = logging.getLogger(__name__)

FIRST_REQUEST_S = 8.0  # from the connection to the end of the first request's headers
IDLE_S = 8.0  # from an answer to the end of the next request's headers
SPREAD = 0.25  # of a limit, by chance: connections that came together must not be closed in one stall of the loop
FRIEND_IDLE_S = 90.0  # the same on a connection that has proved itself: a proxy keeps those for 60 s as a rule
ANSWER_LIMIT_S = 30.0  # from the headers to the answer, body included; handlers have smaller limits
LINGER_S = 2.0  # for a body that nobody wants to read
MAX_LINE_BYTES = 8190
MAX_FIELD_BYTES = 4096
MAX_HEADERS = 64  # Twilio sends some fifteen, a proxy a few more
GATEKEEPER: web.AppKey[Gatekeeper] = web.AppKey("gatekeeper", Gatekeeper)
CLIENT: web.RequestKey[str] = web.RequestKey("client", str)  # the address of whoever asks, for the log

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_runner(app: web.Application) -> web.AppRunner:
    """How aiohttp serves an application of ours. Nobody sends us compressed bodies, so none is unpacked."""
    return web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=FRIEND_IDLE_S + 5.0,  # ours come first
        shutdown_timeout=1.0,
    )


class Entrance(asyncio.Protocol):
    """A connection on which nothing has come yet: light, as a thousand of them at once must not hold up the calls."""

    __slots__ = ("_due", "_gatekeeper", "_limit", "_loop", "_make", "_stay", "_transport")

    def __init__(self, gatekeeper: Gatekeeper, loop: asyncio.AbstractEventLoop, make: Callable[[], Connection]) -> None:
        """`make`: gives who is to have the connection once there is something to read."""
        self._gatekeeper, self._loop, self._make = gatekeeper, loop, make
        self._stay: Stay | None = None
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the first request must be whole, by the loop's clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape alone
        peer = transport.get_extra_info("peername")
        address = read_address(str(peer[0])) if isinstance(peer, tuple) else None
        self._stay = self._gatekeeper.admit(self, address)
        if self._stay is None:
            self._transport.abort()
        else:
            self._due = self._loop.time() + spread(FIRST_REQUEST_S)
            self._limit = self._loop.call_at(self._due, self._too_late)

    def data_received(self, data: bytes) -> None:
        if self._stay is None or self._limit is None or self._transport is None:
            return
        self._limit.cancel()
        connection = self._make()
        self._transport.set_protocol(connection)
        connection.take_over(self._transport, self._stay, self._due)
        connection.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if self._stay is not None:
            self._gatekeeper.leave(self._stay)

    def dismiss(self) -> None:
        """Close."""
        if self._transport is not None:
            self._transport.close()

    def _too_late(self) -> None:
        self._gatekeeper.counts["closed_no_request"] += 1
        self.dismiss()


class Connection(web.RequestHandler):
    """One connection, from the first byte to its end."""

    def __init__(self, server: web.Server, gatekeeper: Gatekeeper, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is what turns it off
            auto_decompress=False,
            keepalive_timeout=FRIEND_IDLE_S + 5.0,
            lingering_time=LINGER_S,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_HEADERS,
        )
        self._gatekeeper, self._time_of = gatekeeper, loop
        self._stay: Stay | None = None
        self._limit: asyncio.TimerHandle | None = None

    # ---- asyncio.Protocol -------------------------------------------------------------------------------------------

    def take_over(self, transport: asyncio.Transport, stay: Stay, due: float) -> None:
        """The first bytes have come; at `due`, by the loop's clock, they must be a whole request."""
        self._stay, stay.guest = stay, self
        self.connection_made(transport)
        self._limit = self._time_of.call_at(due, self._too_late, "closed_no_request")

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._stay is None:
            return
        self._unlimited()
        self._gatekeeper.leave(self._stay)
        super().connection_lost(exc)

    # ---- what becomes of it -----------------------------------------------------------------------------------------

    def dismiss(self) -> None:
        """Close, without waiting until the other side has taken what it did not take yet."""
        self._unlimited()
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.force_close()

    def request_begun(self, request: web.Request) -> tuple[Address | None, bool]:
        """The headers are whole; as `Gatekeeper.begin`."""
        assert self._stay is not None
        self._within(ANSWER_LIMIT_S, "closed_slow")
        return self._gatekeeper.begin(self._stay, request.headers.getall("X-Forwarded-For", ()))

    def request_done(self) -> None:
        """There is an answer, to be taken within the time in which the next request must come."""
        assert self._stay is not None
        self._gatekeeper.finish(self._stay)
        if self.transport is not None:
            self._within(FRIEND_IDLE_S if self._stay.proven else IDLE_S, "closed_idle")

    def vouch(self) -> None:
        """It has sent something that only a friend can."""
        assert self._stay is not None
        self._gatekeeper.vouch(self._stay)

    def upgraded(self) -> None:
        """It is a WebSocket now, whose handler sees to its limits."""
        self._unlimited()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request, or what our code broke on, without a word about the inside."""
        if status < 500:
            self._gatekeeper.counts["malformed"] += 1
            log.debug("a request is no HTTP: %s", type(exc).__name__, extra=named("request_malformed"))
        else:
            log.error("a request failed", exc_info=exc, extra=named("request_broke"))
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        text = "bad request" if status < 500 else "the server failed"
        answer = web.Response(status=status, text=text, headers=SAFE_HEADERS)
        answer.force_close()
        return answer

    # ---- time -------------------------------------------------------------------------------------------------------

    def _within(self, limit_s: float, reason: Reason) -> None:
        self._unlimited()
        self._limit = self._time_of.call_later(spread(limit_s), self._too_late, reason)

    def _unlimited(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _too_late(self, reason: Reason) -> None:
        self._gatekeeper.counts[reason] += 1
        self.dismiss()


class Doors:
    """The sockets on which an application is served."""

    def __init__(self, runner: web.AppRunner) -> None:
        """`runner`: set up, and made by `make_runner`; its application has a gatekeeper."""
        self._runner, self._gatekeeper = runner, runner.app[GATEKEEPER]
        self._loop = asyncio.get_running_loop()
        self._listening: list[asyncio.Server] = []

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where connections are taken, in the order in which the sockets were opened."""
        return [one.getsockname()[:2] for server in self._listening for one in server.sockets]

    async def open(self, listening: socket.socket) -> None:
        """Take connections from a socket that listens, or is about to."""
        self._listening.append(await self._loop.create_server(self._entrance, sock=listening, backlog=BACKLOG))

    def close(self) -> None:
        """Take no more connections; those that are there stay."""
        for server in self._listening:
            server.close()
        self._listening.clear()

    def _entrance(self) -> Entrance:
        return Entrance(self._gatekeeper, self._loop, self._connection)

    def _connection(self) -> Connection:
        server = self._runner.server
        assert server is not None
        return Connection(server, self._gatekeeper, self._loop)


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have each request counted and timed by its connection; outermost of all middlewares."""
    connection, gatekeeper = request.protocol, request.app[GATEKEEPER]
    if not isinstance(connection, Connection):  # served otherwise, as by a test: who asks is known all the same
        peer = read_address(request.remote or "")
        request[CLIENT] = str(gatekeeper.proxies.client(peer, request.headers.getall("X-Forwarded-For", ())))
        return await handler(request)
    client, welcome = connection.request_begun(request)
    request[CLIENT] = str(client)
    try:
        if not welcome:
            raise web.HTTPTooManyRequests(text="too many requests at once", headers={"Retry-After": "1"})
        return await handler(request)
    finally:
        connection.request_done()


def guard(app: web.Application, gatekeeper: Gatekeeper) -> None:
    """Have an application served behind a gatekeeper."""
    app[GATEKEEPER] = gatekeeper
    app.on_response_prepare.append(_prepared)
    app.on_shutdown.append(_send_home)


async def _send_home(app: web.Application) -> None:
    app[GATEKEEPER].send_home()  # aiohttp does not know of those that have said nothing
    await asyncio.sleep(0)  # in which their ends are told


async def _prepared(request: web.Request, response: web.StreamResponse) -> None:
    """A signal of the application's: an answer is about to be sent."""
    for name, value in SAFE_HEADERS.items():
        if name == "Server":
            response.headers[name] = value
        else:
            response.headers.setdefault(name, value)


def client_of(request: web.Request) -> str:
    """The address of whoever asks, for the log."""
    return request.get(CLIENT) or request.remote or UNKNOWN


def upgraded(request: web.Request) -> None:
    """The request's connection is a WebSocket from now on."""
    if isinstance(request.protocol, Connection):
        request.protocol.upgraded()


def spread(limit_s: float) -> float:
    """A limit of one connection, up to a quarter shorter by chance."""
    return limit_s * (1 - SPREAD * random.random())


def vouch(request: web.Request) -> None:
    """This request has a signature or a token that holds: its connection is a friend's."""
    if isinstance(request.protocol, Connection):
        request.protocol.vouch()
