"""What the server shows of itself: numbers to whoever scrapes, spans to a collector, both fed from one place.

Calls, their reports and their deliveries are told here as they happen (`of_call`, `reported`, `delivered`); what only
has a present value is read when somebody asks (`text`).
"""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from voicebot import __version__
from voicebot.call.entries import Entry, TextMessage
from voicebot.delivery.worker import Attempted
from voicebot.errors import StoreError
from voicebot.log_events import named
from voicebot.observe.call_metrics import CallMetrics, count_end
from voicebot.observe.context import for_no_call_yet
from voicebot.observe.families import Families
from voicebot.observe.prices import Price
from voicebot.observe.process import process_state
from voicebot.observe.registry import exposition
from voicebot.observe.spans import CallSpans, delivery_span
from voicebot.observe.tracing import Tracing
from voicebot.store.contract import CallRecord, Store

from .gatekeeper import Gatekeeper
from .lifecycle import Calls
from .logs import LineCount

log = logging.getLogger(__name__)

STORE_LIMIT_S = 2.0  # for the outbox's state; a scrape does not wait longer for it
_STARTED_AT = time.time()
_STORE = "store_"  # how the events of what the store refused begin (`log_events`)

Told = Callable[[Entry, datetime], None]
Request = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Observing:
    """The numbers and spans of this process."""

    def __init__(
        self,
        *,
        price: Price | None = None,
        tracing: Tracing | None = None,
        worker: int | None = None,
        loop_lag: Callable[[], float] = lambda: 0.0,
        gatekeeper: Gatekeeper | None = None,
    ) -> None:
        """
        Args:
            price: of the model's tokens, if it is known.
            tracing: where spans go, if anywhere.
            worker: the number of this process among several.
            loop_lag: by how much the event loop is late now (s).
            gatekeeper: knows who is connected, and counts who was turned away.
        """
        self.families = Families()
        self._price, self._tracing, self._loop_lag = price, tracing, loop_lag
        self._gatekeeper = gatekeeper
        self._worker = "" if worker is None else str(worker)
        self._spans: dict[tuple[str, int], CallSpans] = {}
        self._lines = LineCount(self._count_line)
        self.families.info.set(1, __version__, platform.python_version())
        self.families.started.set(_STARTED_AT)

    # ---- what happens -----------------------------------------------------------------------------------------------

    def of_call(self, record: CallRecord) -> Told:
        """What is to be told of every entry of a call at work here."""
        count = CallMetrics(self.families, record.flow_name, self._price).take
        if self._tracing is None:
            return lambda entry, at: count(entry)
        tracing = self._tracing
        spans = CallSpans(record.call_sid, record.flow_name, record.flow_version, record.attempt)
        self._spans[record.call_sid, record.attempt] = spans

        def told(entry: Entry, at: datetime) -> None:
            count(entry)
            if over := spans.take(entry, at):
                tracing.write(over)

        return told

    def let_go(self, record: CallRecord, at: datetime) -> None:
        """The call is not at work here any more, however that came; it may have come back meanwhile."""
        spans = self._spans.pop((record.call_sid, record.attempt), None)
        if spans is not None and self._tracing is not None:
            self._tracing.write(spans.end(at))

    def refused(self, reason: str) -> None:
        """A caller hears a sentence instead of a conversation."""
        self.families.refused.add(reason)

    def texted(self, record: CallRecord, message: TextMessage) -> None:
        """A text message with which a call ends was sent, or was not."""
        self.families.messages.add(record.flow_name, "sent" if message.problem is None else "failed")

    def waited(self, result: str, seconds: float) -> None:
        """A caller without a place has waited for one."""
        self.families.queue_wait.observe(seconds, result)

    def outbound_refused(self, reason: str) -> None:
        """A call that somebody wanted placed may not be, or not now."""
        self.families.outbound_refused.add(reason)

    def outbound(self, result: str) -> None:
        """A phone that we rang was answered, or was not."""
        self.families.outbound.add(result)

    def reported(self, report: Mapping[str, Any]) -> None:
        """A call's report was written here."""
        count_end(self.families, report)

    def delivered(self, attempted: Attempted) -> None:
        """A post to a receiver is over."""
        one = attempted.delivery
        self.families.attempts.add(attempted.result)
        self.families.delivery_time.observe((attempted.ended - attempted.began).total_seconds())
        if self._tracing is not None:
            times = (attempted.began, attempted.ended)
            span = delivery_span(one.call_sid, one.webhook_id, one.host, one.attempt, *times, attempted.result)
            self._tracing.write([span])

    @web.middleware
    async def middleware(self, request: web.Request, handler: Request) -> web.StreamResponse:
        """Time each request; and have none inherit the call of the one before it on the same connection."""
        began, status = time.perf_counter(), 500
        with for_no_call_yet():
            try:
                answer = await handler(request)
                status = answer.status
            except web.HTTPException as exc:
                status = exc.status
                raise
            finally:
                if status != 101:  # a media socket lasts as long as its call
                    resource = request.match_info.route.resource
                    route = resource.canonical if resource is not None else "none"
                    self.families.requests.observe(time.perf_counter() - began, route, f"{status // 100}xx")
        return answer

    def _count_line(self, level: str, event: str) -> None:
        self.families.log_lines.add(level, event)
        if event.startswith(_STORE) and level != "INFO":
            self.families.store_errors.add()

    # ---- life -------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Count log lines from now on."""
        logging.getLogger().addHandler(self._lines)

    async def close(self) -> None:
        """Send the spans that wait."""
        logging.getLogger().removeHandler(self._lines)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    # ---- what is asked ----------------------------------------------------------------------------------------------

    def own_text(self, calls: Calls, store: Store) -> str:
        """The metrics of this process."""
        families, state = self.families, process_state()
        families.calls_active.set(calls.count)
        families.calls_limit.set(calls.max_calls)
        families.accepting.set(calls.accepting)
        families.unwritten.set(sum(len(session.unwritten) for session in calls.sessions.values()))
        families.store_healthy.set(store.healthy())
        families.loop_lag.set(self._loop_lag())
        families.tasks.set(len(asyncio.all_tasks()))
        families.threads.set(state.threads)
        families.descriptors.set(state.descriptors)
        families.sockets.set(state.sockets)
        families.memory.set(state.memory_bytes)
        families.cpu.add(by=state.cpu_s - families.cpu.value())
        if self._gatekeeper is not None:
            families.connections.set(self._gatekeeper.open)
            for reason, count in self._gatekeeper.snapshot().items():
                families.turned_away.add(reason, by=count - families.turned_away.value(reason))
        return exposition(families.own, self._worker)

    async def shared_text(self, store: Store, now: datetime) -> str:
        """The metrics of the store, the same for all processes; none while it does not answer."""
        try:
            async with asyncio.timeout(STORE_LIMIT_S):
                backlog = await store.backlog()
        except (StoreError, TimeoutError) as exc:
            log.warning(
                "the outbox cannot be counted: %s",
                str(exc) or f"no answer within {STORE_LIMIT_S:g} s",
                extra=named("store_outbox_not_counted"),
            )
            return ""
        families = self.families
        for state in ("pending", "dead", "disabled"):
            families.deliveries.set(getattr(backlog, state), state)
        since = backlog.oldest_pending
        families.oldest.set(0.0 if since is None else max((now - since).total_seconds(), 0.0))
        return exposition(families.shared)
