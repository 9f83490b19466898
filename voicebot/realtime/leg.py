"""The leg to the model: a WebSocket around a `Conversation`.

Everything that has a reason stands in `conversation`; here bytes move, time passes and sockets break. No task is
started: the caller's reading task also keeps the deadlines, and whoever has something to send writes it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Callable, Sequence

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from voicebot.call.ports import AppendAudio, ModelCommand, ModelEvent, ModelLost
from voicebot.errors import ModelUnavailableError, RealtimeEventError
from voicebot.log_events import named

from .conversation import FATAL_CODES, Conversation
from .endpoint import endpoint
from .limits import Limits
from .server_events import ErrorReported, parse
from .session import SessionConfig
from .socket import ModelSocket, open_socket

log = logging.getLogger(__name__)

_MAX_EVENT_BYTES = 16 * 2**20  # the API's own bound for an event is 15 MiB of base64
_CLOSE_S = 2.0
_MAX_MALFORMED = 50
_RETRYABLE_STATUS = (408, 425, 429)
_FINAL_CLOSE_CODES = (1008, 3000, 3003)  # policy violation, unauthorized, forbidden
_KEY = re.compile(r"\b(?:sk|ek)-\S+")


async def connect(
    url: str,
    *,
    api_key: str,
    config: SessionConfig,
    open_timeout_s: float = 10.0,
    write_timeout_s: float = 5.0,
    limits: Limits | None = None,
    unix_now: Callable[[], float] = time.time,
    call_sid: str = "-",
) -> RealtimeLeg:
    """Open a session and configure it; the first event of the leg is `ModelReady`.

    Args:
        url: `wss://…`, or `ws://…` on loopback; the model is added to its query. An Azure address is recognised.
        api_key: sent in the handshake and kept nowhere; empty for a server that asks for none.
        config: what the session is asked for.
        open_timeout_s: bound of everything up to the configured session.
        write_timeout_s: how long the server may take no bytes before it is given up.
        limits: bounds of the conversation.
        unix_now: the time of day (unix seconds), by which the session's end is told.
        call_sid: stands in every line that is logged.

    Raises:
        ModelUnavailableError: the server cannot be reached, or refused the connection or the configuration.
    """
    where = endpoint(url, config.model)
    try:
        async with asyncio.timeout(open_timeout_s):
            socket = await open_socket(where.address, where.headers(api_key), max_message_bytes=_MAX_EVENT_BYTES)
            now = asyncio.get_running_loop().time()
            conversation = Conversation(config, now, limits, unix_now=unix_now())
            leg = RealtimeLeg(socket, conversation, write_timeout_s=write_timeout_s, call_sid=call_sid)
            try:
                await leg._configure()
            except (asyncio.CancelledError, ModelUnavailableError):
                socket.abort()  # nobody else knows of it
                raise
            return leg
    except TimeoutError as exc:
        raise ModelUnavailableError(f"the model did not answer within {open_timeout_s:g} s", retryable=True) from exc
    except (WebSocketException, OSError) as exc:
        raise _unavailable(exc) from exc


class RealtimeLeg:
    """A session with the model, as the call sees it (`ModelLeg`)."""

    def __init__(
        self, socket: ModelSocket, conversation: Conversation, *, write_timeout_s: float, call_sid: str
    ) -> None:
        self._socket, self._conversation = socket, conversation
        socket.on_stall = self._watch_writes
        self._write_timeout_s, self._call_sid = write_timeout_s, call_sid
        self._loop = asyncio.get_running_loop()
        self._pending: list[ModelEvent] = []  # what came and was not given yet
        self._alarm: asyncio.Timeout | None = None  # of the read that waits
        self._watchdog: asyncio.TimerHandle | None = None  # of writes that stall
        self._closed = False
        self._broken: str | None = None  # why we gave the connection up ourselves
        self._malformed = 0
        self._lost: ModelLost | None = None

    async def receive(self) -> Sequence[ModelEvent]:
        """Wait for the next events; the last one ever is `ModelLost`. Cancelling it loses nothing."""
        while not self._pending:
            if self._lost is not None:
                return [self._lost]
            self._pending = await self._next()
            self._note_end(self._pending)
            self._flush()
        events, self._pending = self._pending, []
        return events

    async def send(self, commands: Sequence[ModelCommand]) -> None:
        """Write commands in order. A lost connection is told by `receive`."""
        now, audio = self._loop.time(), True
        for command in commands:
            self._conversation.perform(command, now)
            audio = audio and type(command) is AppendAudio
        if not audio:  # which moves no deadline, fifty times a second
            self._set_alarm()
        self._flush()

    async def close(self) -> None:
        """Close the connection within two seconds; does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        if self._watchdog is not None:
            self._watchdog.cancel()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._socket.close()
        except TimeoutError:
            self._socket.abort()

    async def _configure(self) -> None:
        events = await self.receive()
        if isinstance(events[-1], ModelLost):
            raise ModelUnavailableError(events[-1].reason, retryable=events[-1].retryable)
        self._pending = list(events)

    # ---- reading

    async def _next(self) -> list[ModelEvent]:
        try:
            async with asyncio.timeout_at(self._conversation.deadline()) as self._alarm:
                texts = await self._socket.receive()
        except TimeoutError:
            return self._conversation.on_deadline(self._loop.time())
        except ConnectionClosed as exc:
            return [self._loss(exc)]
        finally:
            self._alarm = None
        events: list[ModelEvent] = []
        for text in texts:
            events += self._take(text)
            if events and isinstance(events[-1], ModelLost):
                break
        return events

    def _take(self, text: bytes) -> list[ModelEvent]:
        try:
            event = parse(text)
        except RealtimeEventError as exc:
            return self._skip(exc)
        if event is None:
            return []
        events = self._conversation.handle(event, self._loop.time())
        if isinstance(event, ErrorReported):
            self._log_diagnostics()
        return events

    def _skip(self, exc: RealtimeEventError) -> list[ModelEvent]:
        self._malformed += 1
        if self._malformed == 1:
            log.warning(
                "skipped a malformed event of the model: %s", exc, extra=named("model_malformed", self._call_sid)
            )
        if self._malformed < _MAX_MALFORMED:
            return []
        self._give_up("too many malformed events")
        return [ModelLost("too many malformed events", retryable=True)]

    def _set_alarm(self) -> None:
        """A command may have changed the next deadline while a read waits."""
        alarm = self._alarm
        if alarm is not None and not alarm.expired():
            due = self._conversation.deadline()
            if due != alarm.when():
                alarm.reschedule(due)

    # ---- writing

    def _flush(self) -> None:
        """Write what is to be sent."""
        for text in self._conversation.data_to_send():
            self._socket.write(text)

    def _watch_writes(self) -> None:
        """Bound a stall of the server's by a timer that is there only while it lasts."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        since, self._watchdog = self._socket.stalled_since, None
        if since is None or self._closed:
            return
        due = since + self._write_timeout_s
        if due <= self._loop.time():
            self._give_up("the model takes no data")
        else:
            self._watchdog = self._loop.call_at(due, self._watch_writes)

    # ---- ends

    def _give_up(self, reason: str) -> None:
        self._broken = self._broken or reason
        self._socket.abort()

    def _loss(self, exc: ConnectionClosed) -> ModelLost:
        if self._closed:
            return ModelLost("closed by the call", retryable=False)
        if self._broken:
            return ModelLost(self._broken, retryable=True)
        if exc.rcvd is None:
            return ModelLost("the connection broke", retryable=True)
        reason = _KEY.sub("…", exc.rcvd.reason)
        final = exc.rcvd.code in _FINAL_CLOSE_CODES or any(code in reason for code in FATAL_CODES)
        said = f"closed by the model: {exc.rcvd.code} {reason}".rstrip()
        return ModelLost(said, retryable=not final)

    def _note_end(self, events: Sequence[ModelEvent]) -> None:
        if events and isinstance(events[-1], ModelLost):
            self._lost = events[-1]
            log.info("the model is gone: %s", self._lost.reason, extra=named("model_gone", self._call_sid))

    def _log_diagnostics(self) -> None:
        for diagnostic in self._conversation.diagnostics():
            error = diagnostic.error
            log.log(
                logging.INFO if diagnostic.expected else logging.WARNING,
                "the model reports %s (param %s, event %s)",
                error.reason,
                error.param,
                error.event_id,
                extra=named("model_reports", self._call_sid),
            )


def _unavailable(exc: Exception) -> ModelUnavailableError:
    """Say in our words why no connection came about, without address and headers."""
    if isinstance(exc, InvalidStatus):
        status = exc.response.status_code
        body = (exc.response.body or b"").decode("utf-8", "replace")
        retryable = (status in _RETRYABLE_STATUS or status >= 500) and not any(code in body for code in FATAL_CODES)
        return ModelUnavailableError(f"the model's server answered {status}", retryable=retryable)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return ModelUnavailableError("the certificate of the model's server is not valid", retryable=False)
    return ModelUnavailableError(f"the model's server cannot be reached ({type(exc).__name__})", retryable=True)
