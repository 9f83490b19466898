"""The leg to the model: a WebSocket around a `Conversation`.

Everything that has a reason stands in `conversation`; here bytes move, time passes and sockets break. No task is
started: what comes is taken in the step in which it comes, and whoever has something to send writes it.
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
from voicebot.inbox import Inbox
from voicebot.log_events import named

from .conversation import FATAL_CODES, Conversation
from .endpoint import endpoint
from .limits import Limits
from .server_events import ErrorReported, parse
from .session import SessionConfig
from .socket import ModelSocket, open_socket

log = logging.getLogger(__name__)

MOST_WAITING = 1000  # events that came and were not received; then no more are read

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
        self._write_timeout_s, self._call_sid = write_timeout_s, call_sid
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox[ModelEvent]()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0  # no later than the conversation's deadline; an early one looks again
        self._watchdog: asyncio.TimerHandle | None = None  # of writes that stall
        self._closed = False
        self._broken: str | None = None  # why we gave the connection up ourselves
        self._malformed = 0
        self._lost: ModelLost | None = None
        socket.on_stall = self._watch_writes
        self._set_alarm()
        socket.give_to(self._take, self._over)

    async def receive(self) -> Sequence[ModelEvent]:
        """Wait for the next events; the last one ever is `ModelLost`. Cancelling it loses nothing."""
        events = await self._inbox.receive()
        if not events and self._lost is not None:
            return [self._lost]
        if len(events) >= MOST_WAITING:
            self._socket.resume_reading()
        return events

    def hear(self, payload: bytes) -> None:
        """The hot path, fifty times a second: audio moves no deadline."""
        text = self._conversation.append(payload)
        if text is None:
            self._conversation.perform(AppendAudio(payload), self._loop.time())
        else:
            self._socket.write(text)

    async def send(self, commands: Sequence[ModelCommand]) -> None:
        """Write commands in order. A lost connection is told by `receive`."""
        now = self._loop.time()
        for command in commands:
            self._conversation.perform(command, now)
        self._flush()

    async def close(self) -> None:
        """Close the connection within two seconds; does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        for timer in (self._watchdog, self._alarm):
            if timer is not None:
                timer.cancel()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._socket.close()
        except TimeoutError:
            self._socket.abort()

    async def _configure(self) -> None:
        events = await self.receive()
        if isinstance(events[-1], ModelLost):
            raise ModelUnavailableError(events[-1].reason, retryable=events[-1].retryable)
        self._inbox.put_back(events)

    # ---- reading

    def _take(self, text: bytes) -> None:
        """A message has come."""
        if self._lost is not None:
            return
        try:
            event = parse(text)
        except RealtimeEventError as exc:
            self._skip(exc)
            return
        if event is None:
            return
        events = self._conversation.handle(event, self._loop.time())
        if isinstance(event, ErrorReported):
            self._log_diagnostics()
        self._tell(events)
        self._flush()

    def _tell(self, events: Sequence[ModelEvent]) -> None:
        if not events or self._lost is not None:
            return
        if isinstance(events[-1], ModelLost):
            self._lost = events[-1]
            log.info("the model is gone: %s", self._lost.reason, extra=named("model_gone", self._call_sid))
        waiting = len(self._inbox.waiting)
        self._inbox.put(events)
        if waiting < MOST_WAITING <= len(self._inbox.waiting):
            self._socket.pause_reading()
        if self._lost is not None:
            self._inbox.end()

    def _skip(self, exc: RealtimeEventError) -> None:
        self._malformed += 1
        if self._malformed == 1:
            log.warning(
                "skipped a malformed event of the model: %s", exc, extra=named("model_malformed", self._call_sid)
            )
        if self._malformed >= _MAX_MALFORMED:
            self._give_up("too many malformed events")
            self._tell([ModelLost("too many malformed events", retryable=True)])

    # ---- time

    def _set_alarm(self) -> None:
        """Look at the conversation no later than its deadline, which moves on with every delta."""
        due = self._conversation.deadline()
        if due is None or self._closed or (self._alarm is not None and self._alarm_at <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = self._loop.call_at(due, self._look), due

    def _look(self) -> None:
        self._alarm = None
        due, now = self._conversation.deadline(), self._loop.time()
        if due is not None and due <= now:
            self._tell(self._conversation.on_deadline(now))
        self._flush()

    # ---- writing

    def _flush(self) -> None:
        """Write what is to be sent, and note when to look again."""
        for text in self._conversation.data_to_send():
            self._socket.write(text)
        self._set_alarm()

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

    def _over(self) -> None:
        """The connection is over."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._tell([self._loss(self._socket.end)])

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
