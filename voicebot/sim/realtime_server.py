"""The twin of the Realtime API on loopback: WebSockets around `RealtimeSession`.

`async with RealtimeServer(brain_factory) as server:` listens, `server.url` is where. It waits by the event loop's clock
only, so it runs in real and in virtual time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .brain import Brain
from .realtime_config import Refused
from .realtime_quirks import Quirks, Timing
from .realtime_records import Closing, SeededIds
from .realtime_session import RealtimeSession

API_KEY = "sk-twin"
PATHS = ("/v1/realtime", "/openai/v1/realtime")  # the second is Azure's

_T = TypeVar("_T", Timing, Quirks)
_FIRST_DAY = 2_000_000_000.0  # unix time when a server starts, unless it is given a wall clock
_LARGEST_FRAME = 24 * 1024 * 1024  # 15 MiB of audio in base64, and some
_WRITE_LIMIT_S = 10.0
_CLOSE_LIMIT_S = 2.0


class RealtimeServer:
    """Listens for Realtime API clients.

    Args:
        brain_factory: called once per connection; may give the same brain again, as for a call that reconnects.
        api_key: the only one accepted, as `Authorization: Bearer` or, as on Azure, `api-key`.
        port: 0 takes a free one.
        timing, quirks: for all connections, or one per connection in order (usual ones after the last).
        shuffle: seed of orders and delays that the protocol leaves open; None is the usual order.
        seed: of the ids.
        wall: what a wall clock shows, for `expires_at`. By default the server's own calendar starts in 2033, so that
            no session seems to have expired to a client that looks at a real clock.
        record: keep sessions with every event; turn it off where thousands of calls are made.

    Attributes:
        sessions: one per connection that got so far, in order, if recorded.
        available: while False, connections are answered 503.
        connections: how many asked for a session.
    """

    def __init__(
        self,
        brain_factory: Callable[[], Brain],
        *,
        api_key: str = API_KEY,
        port: int = 0,
        timing: Timing | Sequence[Timing] | None = None,
        quirks: Quirks | Sequence[Quirks] = (),
        shuffle: int | None = None,
        seed: int = 0,
        wall: Callable[[], datetime] | None = None,
        record: bool = True,
    ) -> None:
        self.sessions: list[RealtimeSession] = []
        self.available = True
        self.connections = 0
        self._brain_factory = brain_factory
        self._api_key = api_key
        self._port = port
        self._timing = timing or ()
        self._quirks = quirks
        self._shuffle = shuffle
        self._seed = seed
        self._wall = wall
        self._record = record
        self._server: Server | None = None
        self._started = 0.0

    @property
    def url(self) -> str:
        """Where clients connect; they add `?model=`."""
        return f"ws://127.0.0.1:{self._port}{PATHS[0]}"

    @property
    def problems(self) -> list[str]:
        """Those of all recorded sessions."""
        return [problem for session in self.sessions for problem in session.problems]

    async def __aenter__(self) -> RealtimeServer:
        self._started = asyncio.get_running_loop().time()
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self._port,
            process_request=self._admit,
            compression=None,
            max_size=_LARGEST_FRAME,
            open_timeout=None,  # a slow handshake is ours to play
            ping_interval=None,
            close_timeout=_CLOSE_LIMIT_S,
            server_header=None,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer by HTTP what never becomes a WebSocket."""
        await asyncio.sleep(_of_connection(self._timing, self.connections, Timing()).handshake_s)
        if not self.available:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "The service is unavailable.\n")
        if urlsplit(request.path).path not in PATHS:
            return connection.respond(HTTPStatus.NOT_FOUND, "Not found.\n")
        if not self._authorized(request.headers):
            error = {"message": "Incorrect API key provided.", "type": "invalid_request_error"}
            body = json.dumps({"error": error | {"param": None, "code": "invalid_api_key"}})
            return connection.respond(HTTPStatus.UNAUTHORIZED, body)
        return None

    def _authorized(self, headers: Headers) -> bool:
        given = headers.get("api-key") or headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), self._api_key.encode())

    async def _serve(self, connection: ServerConnection) -> None:
        session = self._session(connection.request)
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            await _run(session, connection)

    def _session(self, request: Request | None) -> RealtimeSession:
        headers = request.headers if request is not None else Headers()
        model = parse_qs(urlsplit(request.path).query).get("model", [""])[0] if request is not None else ""
        number, self.connections = self.connections, self.connections + 1
        now = asyncio.get_running_loop().time()
        session = RealtimeSession(
            self._brain_factory(),
            now=now,
            unix_now=self._wall().timestamp() if self._wall is not None else _FIRST_DAY + now - self._started,
            model=model,
            ids=SeededIds(self._seed * 1_000_003 + number),
            timing=_of_connection(self._timing, number, Timing()),
            quirks=_of_connection(self._quirks, number, Quirks()),
            shuffle=None if self._shuffle is None else self._shuffle * 1_000_003 + number,
            refusal=_unfit(headers, model),
            record=self._record,
        )
        if self._record:
            self.sessions.append(session)
        return session


def _of_connection(given: _T | Sequence[_T], number: int, usual: _T) -> _T:
    if not isinstance(given, Sequence):
        return given
    return given[number] if number < len(given) else usual


def _unfit(headers: Headers, model: str) -> Refused | None:
    """What is wrong with a handshake that the API answers by an `error` event."""
    if "OpenAI-Beta" in headers:
        message = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API."
        return Refused("beta_api_shape_disabled", message)
    if not model:
        return Refused("missing_required_parameter", "Missing required parameter: 'model'.", "model")
    if not model.startswith("gpt-realtime"):
        message = f"The model `{model}` does not exist or you do not have access to it."
        return Refused("model_not_found", message, "model")
    return None


async def _run(session: RealtimeSession, connection: ServerConnection) -> None:
    """Move frames until the session or the client ends the connection."""
    loop = asyncio.get_running_loop()
    while True:
        for text in session.data_to_send():
            async with asyncio.timeout(_WRITE_LIMIT_S):
                await connection.send(text)
        if session.closing is not None:
            await _close(session.closing, connection)
            return
        deadline = session.deadline()
        if deadline is not None and deadline <= loop.time():
            session.on_deadline(loop.time())
            continue
        try:
            async with asyncio.timeout_at(deadline):
                frame = await connection.recv()
        except TimeoutError:
            session.on_deadline(loop.time())
        else:
            session.handle(frame if isinstance(frame, str) else "", loop.time())  # a binary frame is no event


async def _close(closing: Closing, connection: ServerConnection) -> None:
    if closing.code is None:
        connection.transport.abort()
    else:
        await connection.close(closing.code, closing.reason)
