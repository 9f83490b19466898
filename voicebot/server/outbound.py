"""Calls that we place: whether one may be placed, what comes of it, and that each is reported once.

An order is written down before Twilio is asked (`orders`), and every address that Twilio is given names it. What comes
back finds the order, whichever instance is asked:

*answered* The call becomes one like any other: recorded in the store, its model reached, its stream opened.
*busy, no answer, failed, taken back* It is reported without a model ever having been reached. Who was busy or did not
    answer may be called again, later.
*no answer of Twilio's* Nobody knows whether the call is placed. It is not asked for again, so that nobody is called
    twice; if nothing comes of it in time, it is reported as failed.

A phone that is called twice for one order, whatever went wrong, is put down at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from voicebot.call.entries import AnsweredBy, AnswererKnown, Entry, LineClosed, kind_of, write_entry
from voicebot.engine.entries import EndedReason
from voicebot.errors import CallTakenError, FlowError, OutboundRefusedError, StoreError, TwilioError
from voicebot.flow.loader import FlowShelf, LoadedFlow
from voicebot.log_events import named
from voicebot.observe.context import work_for
from voicebot.store.contract import CallRecord, Store, StoredEntry
from voicebot.telephony.outbound_policy import Policy, Refusal
from voicebot.telephony.rest import NewCall, TwilioRest

from .do_not_call import DoNotCall
from .lifecycle import Calls, opened_by
from .orders import KEPT, Order, OrderBook
from .reporting import Reporter

log = logging.getLogger(__name__)

ANSWERED_PATH, PROGRESS_PATH, DETECTED_PATH = "/twilio/answered", "/twilio/progress", "/twilio/answerer"
LOOK_S = 5.0  # between looks at orders that wait, or are lost
LOST_AFTER_S = 120.0  # beyond the longest ringing: no word of a call that was asked for
DETECTION_LIMIT_S = 90.0  # for who has answered; Twilio gives up after 30 s (MachineDetectionTimeout)
DETECTION_LOOK_S = 1.0
RATE_AGAIN = timedelta(seconds=10)  # before a call that is due, and would be one too many in this minute
_NO_LIMIT = 1_000_000  # for a call that is over as soon as it is recorded
_AGAIN: frozenset[EndedReason] = frozenset({"busy", "no_answer"})
_REASONS: Mapping[str, EndedReason] = {
    "completed": "never_connected",  # answered, and its stream never came
    "busy": "busy",
    "no-answer": "no_answer",
    "failed": "failed",
    "canceled": "canceled",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for: call `to` with this flow."""

    order_id: str
    to: str
    flow: str
    variables: Mapping[str, str]
    from_: str | None
    asked: str


class Outbound:
    """Places calls, and goes through with their orders. `run` is to run beside it."""

    def __init__(
        self,
        *,
        store: Store,
        calls: Calls,
        reporter: Reporter,
        rest: TwilioRest | None,
        shelf: Callable[[], FlowShelf],
        policy: Policy,
        do_not_call: DoNotCall,
        numbers: Mapping[str, str],
        public_url: str,
        ring_s: int,
        wall: Callable[[], datetime],
        line_over: Callable[[str], Awaitable[None]],
        refused: Callable[[Refusal], None] = lambda reason: None,
        ended: Callable[[str], None] = lambda result: None,
    ) -> None:
        """
        Args:
            rest: Twilio's REST API; None without an account.
            numbers: our numbers with their flows, as the operator set them.
            ring_s: how long a phone rings at most.
            wall: the time of day, aware UTC.
            line_over: told of a call whose line the phone network has ended.
            refused: told why a call was not placed.
            ended: told what came of a call that nobody answered, or that it was answered.
        """
        self._store, self._calls, self._reporter, self._rest, self._shelf = store, calls, reporter, rest, shelf
        self._policy, self._do_not_call, self._numbers = policy, do_not_call, numbers
        self._public_url, self._ring_s, self._wall, self._line_over = public_url, ring_s, wall, line_over
        self._count_refusal, self._count_end = refused, ended
        self._book = OrderBook(store, wall)
        self._tasks: asyncio.TaskGroup | None = None
        self._awaited: set[str] = set()  # calls at work here of which it is not known who has answered

    # ---- orders -----------------------------------------------------------------------------------------------------

    async def order(self, wanted: Wanted) -> Order:
        """Have a number called; returns once Twilio was asked. With an id that was used before, the order of then.

        Raises:
            OutboundRefusedError: it may not be called, or not now.
            UnknownFlowError: there is no such flow.
            StoreError: the order cannot be written down, and nobody was asked.
        """
        if (standing := await self._book.find(wanted.order_id)) is not None:
            return self._same(standing, wanted)
        if (refusal := await self._refusal(wanted.to)) is not None:
            raise self._refuse(refusal)
        own = self._own_numbers(wanted.flow)
        from_ = wanted.from_ or (own[0] if own else None)
        if from_ is None:
            mend = "give `from`, or list one of your numbers in the flow or in VOICEBOT_NUMBERS"
            raise OutboundRefusedError("no_number", f"the flow has no number to call from: {mend}")
        if self._rest is None:
            raise OutboundRefusedError("no_account", "set TWILIO_ACCOUNT_SID: without it no call can be placed")
        if self._calls.obstacle is not None:
            raise OutboundRefusedError("no_place", f"no call can be taken here now: {self._calls.obstacle}")
        if await self._book.line_is_busy(wanted.to):
            return await self._standing(wanted)
        if not await self._book.count(self._policy.within_rate):
            raise self._refuse("rate")
        now = self._wall()
        made = Order(
            order_id=wanted.order_id,
            to=wanted.to,
            from_=from_,
            flow=wanted.flow,
            asked=wanted.asked,
            owner=self._calls.owner,
            placed=now,
            changed=now,
            variables=wanted.variables,
        )
        order, is_new = await self._book.make(made)
        if order is None or not is_new:
            return await self._standing(wanted)
        if (placing := self._begin(self._place(order), order.order_id)) is not None:
            await asyncio.wait([placing])  # which goes on if whoever asks goes away
        return await self._book.find(order.order_id) or order

    async def find(self, order_id: str) -> Order | None:
        """An order, open or ended not long ago."""
        return await self._book.find(order_id)

    async def _standing(self, wanted: Wanted) -> Order:
        """The line is taken: by the same request, if it came twice at once."""
        standing = await self._book.find(wanted.order_id)
        if standing is None:
            raise self._refuse("line_busy")
        return self._same(standing, wanted)

    def _same(self, order: Order, wanted: Wanted) -> Order:
        if order.asked != wanted.asked:
            raise OutboundRefusedError("key_used", "another call was placed with this Idempotency-Key")
        return order

    async def _refusal(self, number: str) -> Refusal | None:
        return self._policy.refusal(number, self._wall(), do_not_call=await self._do_not_call.numbers())

    def _refuse(self, refusal: Refusal) -> OutboundRefusedError:
        self._count_refusal(refusal)
        log.warning("a call is not placed: %s", refusal, extra=named("outbound_refused"))
        return OutboundRefusedError(refusal, _WORDS[refusal])

    def _own_numbers(self, flow: str) -> list[str]:
        return [*self._shelf().get(flow).flow.numbers, *(one for one, name in self._numbers.items() if name == flow)]

    # ---- placing ----------------------------------------------------------------------------------------------------

    async def _place(self, order: Order) -> None:
        """Ask Twilio for the call of an order that is ours."""
        try:
            call_sid = await self._ask(order)
        except TwilioError as exc:
            log.error("a call is not placed: %s", exc, extra=named("outbound_not_placed", order.order_id))
            if exc.undone:
                await self._end_unanswered(order, order.order_id, "failed")
            else:  # it may ring: what comes of it tells
                await self._change(order.order_id, lambda standing: _asked_for(standing, order.tries))
        else:
            log.info("a call is placed", extra=named("outbound_placed", call_sid))
            await self._change(order.order_id, lambda standing: _with_sid(standing, order.tries, call_sid))

    async def _ask(self, order: Order) -> str:
        assert self._rest is not None
        query = f"?order={order.order_id}&try={order.tries}"
        answered, progress, detected = (
            f"{self._public_url}{path}{query}" for path in (ANSWERED_PATH, PROGRESS_PATH, DETECTED_PATH)
        )
        return await self._rest.place(NewCall(order.to, order.from_, answered, progress, detected, self._ring_s))

    async def _change(self, order_id: str, how: Callable[[Order], Order | None]) -> Order | None:
        try:
            return await self._book.change(order_id, how)
        except StoreError as exc:  # what Twilio tells, or the look at lost orders, puts it right
            log.error("an order is not up to date: %s", exc, extra=named("store_order_not_written", order_id))
            return None

    # ---- what Twilio tells ------------------------------------------------------------------------------------------

    async def answered(self, order_id: str, number: int, call_sid: str) -> CallRecord | None:
        """Somebody has answered: begin the call, or find the one that this request began before.

        Args:
            number: which try of the order it is.

        Returns:
            None if nobody is to be talked to: the order has another call, or there is no place for this one.

        Raises:
            StoreError, FlowError: the call cannot begin.
        """
        order = await self._book.find(order_id)
        if order is None or order.tries != number or order.call_sid not in (None, call_sid):
            log.error("a call that nobody ordered was answered", extra=named("outbound_doubled", call_sid))
            return None
        if (standing := await self._store.call(call_sid)) is not None:
            return standing if standing.ended is None else None
        loaded = self._shelf().get(order.flow)
        changed = await self._book.change(order_id, lambda one: _answered(one, number, call_sid))
        if changed is None:
            return None
        now = self._wall()
        known = self._record(order, call_sid, loaded, started=now, token_issued_at=int(now.timestamp()))
        with self._calls.place(call_sid) as held:
            record, is_new = None, False
            if held:
                record, is_new = await self._store.open_call(known, max_calls=self._calls.max_calls)
            if record is None:
                log.error("no room for a call that was answered", extra=named("call_refused_full", call_sid))
                return None
            if is_new:
                self._calls.open(record, loaded, order.variables)
                self._count_end("answered")
        if is_new:
            self._begin(self._await_detection(order_id, call_sid), call_sid)
        return record

    async def progressed(self, order_id: str, number: int, call_sid: str, status: str) -> None:
        """The call's status changed; at its end, the order goes on or ends.

        Raises:
            StoreError: what is to be kept cannot be.
        """
        order = await self._book.find(order_id)
        if order is None or order.tries != number or order.state in ("ended", "waiting"):
            return
        if status not in _REASONS:
            await self._book.change(order_id, lambda one: _with_sid(one, number, call_sid))
            return
        if order.call_sid not in (None, call_sid):
            return
        await self._line_over(call_sid)
        record = await self._store.call(call_sid)
        if record is None:
            await self._end_unanswered(order, call_sid, _REASONS[status])
        else:
            await self._book.change(order_id, lambda one: _ended(one, call_sid, None))

    async def detected(self, order_id: str, call_sid: str, answerer: AnswererKnown) -> None:
        """The phone line has found out who has answered. Where the call is at work elsewhere, the order tells it.

        Raises:
            StoreError: it cannot be told.
        """
        if (session := self._calls.get(call_sid)) is not None:
            self._awaited.discard(call_sid)
            session.answered_by(answerer)
            return

        def found(order: Order) -> Order | None:
            if order.call_sid not in (None, call_sid) or order.state == "ended":
                return None
            return replace(order, answered_by=answerer.answered_by, detection_ms=answerer.took_ms)

        await self._book.change(order_id, found)

    async def _await_detection(self, order_id: str, call_sid: str) -> None:
        """Tell a call of ours what another instance was told of it."""
        self._awaited.add(call_sid)
        try:
            async with asyncio.timeout(DETECTION_LIMIT_S):
                while call_sid in self._awaited and (session := self._calls.get(call_sid)) is not None:
                    order = await self._book.find(order_id)
                    if order is not None and order.answered_by is not None:
                        session.answered_by(AnswererKnown(order.answered_by, order.detection_ms))
                        break
                    await asyncio.sleep(DETECTION_LOOK_S)
        except TimeoutError:
            log.info("nobody has told who answered", extra=named("answerer_unknown", call_sid))
        finally:
            self._awaited.discard(call_sid)

    # ---- the end of a call that nobody has answered -----------------------------------------------------------------

    async def _end_unanswered(self, order: Order, call_id: str, reason: EndedReason) -> None:
        """Report it, once; then the order waits for its next call, or ends."""
        ended = self._wall()
        due = self._policy.next_try(order.tries, ended) if reason in _AGAIN else None

        def onward(standing: Order) -> Order | None:
            if standing.tries != order.tries or standing.state in ("waiting", "ended"):
                return None
            if due is None:
                return _ended(standing, call_id, reason)
            return replace(standing, state="waiting", due=due, call_sid=None, ended_reason=reason)

        await self._report(order, call_id, reason)
        if await self._change(order.order_id, onward) is not None:
            self._count_end(reason)
            log.info("nobody has answered: %s", reason, extra=named("outbound_not_answered", call_id))

    async def _report(self, order: Order, call_id: str, reason: EndedReason) -> None:
        loaded: LoadedFlow | None = None
        with suppress(FlowError):  # not there any more: then the report says what is known without it
            loaded = self._shelf().get(order.flow)
        record, is_new = await self._store.open_call(self._record(order, call_id, loaded), max_calls=_NO_LIMIT)
        if record is None or record.ended is not None:
            return
        if is_new and loaded is not None:
            await self._write(record, [opened_by(record, loaded, order.variables), LineClosed(reason)])
        await self._reporter.report(record, reason=reason, flow=loaded.flow if loaded is not None else None)

    async def _write(self, record: CallRecord, entries: list[Entry]) -> None:
        """What a later look at the call goes by, should this process die before the report is written."""
        wall = self._wall()
        at_ms = round((wall - record.started).total_seconds() * 1000)
        times = [(0, record.started), *((at_ms, wall) for _ in entries[1:])]
        stored = [
            StoredEntry(number, kind_of(entry), ms, at, write_entry(entry))
            for number, (entry, (ms, at)) in enumerate(zip(entries, times, strict=True), 1)
        ]
        with suppress(CallTakenError):  # then another process reports it
            await self._store.append(record.call_sid, stored, attempt=record.attempt, durable=True)

    def _record(
        self,
        order: Order,
        call_id: str,
        loaded: LoadedFlow | None,
        *,
        started: datetime | None = None,
        token_issued_at: int = 0,
    ) -> CallRecord:
        return CallRecord(
            call_sid=call_id,
            flow_name=order.flow,
            flow_version=loaded.version if loaded is not None else "",
            caller=order.from_,
            called=order.to,
            direction="outbound",
            started=started or order.placed,
            owner=self._calls.owner,
            attempt=1,
            token_issued_at=token_issued_at,
        )

    # ---- orders that wait, and those that are lost ------------------------------------------------------------------

    def _begin(self, work: Coroutine[object, object, None], of: str) -> asyncio.Task[None] | None:
        """Have a task do this; None while nobody goes through with orders, and then the look at lost ones does."""

        async def worked() -> None:
            work_for(of)
            try:
                await work
            except StoreError as exc:
                log.error("an order is not up to date: %s", exc, extra=named("store_order_not_written", of))
            except Exception:  # a defect met by one order must not stop all others
                log.exception("an order broke", extra=named("outbound_broke", of))

        if self._tasks is None:
            work.close()
            return None
        return self._tasks.create_task(worked(), name=f"order {of}")

    async def run(self) -> None:
        """Go through with orders until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                await asyncio.sleep(LOOK_S)
                try:
                    for order in await self._book.every():
                        await self._look_at(order)
                except StoreError as exc:
                    log.warning("orders are looked at later: %s", exc, extra=named("store_orders_wait"))

    async def _look_at(self, order: Order) -> None:
        now = self._wall()
        idle = now - order.changed
        if order.state == "ended":
            if idle > KEPT:
                await self._book.forget(order)
        elif order.state == "waiting":
            if order.due is not None and now >= order.due and self._calls.obstacle is None:
                await self._call_again(order)
        elif order.state == "answered":
            await self._look_at_answered(order, idle)
        elif idle > timedelta(seconds=self._ring_s + LOST_AFTER_S):
            log.error("nothing was heard of a call that was asked for", extra=named("outbound_lost", order.order_id))
            await self._end_unanswered(order, order.call_id, "failed")

    async def _look_at_answered(self, order: Order, idle: timedelta) -> None:
        """What Twilio tells at the end of a call may be lost."""
        if await self._store.report(order.call_id) is not None:
            await self._book.change(order.order_id, lambda one: _ended(one, order.call_sid, None))
        elif idle > timedelta(seconds=LOST_AFTER_S) and await self._store.call(order.call_id) is None:
            await self._end_unanswered(order, order.call_id, "never_connected")

    async def _call_again(self, order: Order) -> None:
        """It is time for the next call, if the number may still be called."""
        now, refusal = self._wall(), await self._refusal(order.to)
        if refusal is None and not await self._book.count(self._policy.within_rate):
            refusal = "rate"

        def onward(standing: Order) -> Order | None:
            if standing.state != "waiting" or standing.due != order.due:
                return None
            if refusal == "rate":
                return replace(standing, due=now + RATE_AGAIN)
            if refusal == "hours" and self._policy.hours is not None:
                return replace(standing, due=self._policy.hours.next_from(now))
            if refusal is not None:
                return _ended(standing, standing.call_sid, standing.ended_reason)
            again = replace(standing, state="placing", tries=standing.tries + 1, due=None, ended_reason=None)
            return replace(again, owner=self._calls.owner, placed=now, answered_by=None, detection_ms=None)

        changed = await self._book.change(order.order_id, onward)
        if refusal is not None:
            self._refuse(refusal)
        elif changed is not None:
            self._begin(self._place(changed), changed.order_id)


def answerer_of(form: Mapping[str, str]) -> AnswererKnown | None:
    """Who has answered, as Twilio tells (`AnsweredBy`, `MachineDetectionDuration` in ms)."""
    by, took = form.get("AnsweredBy", ""), form.get("MachineDetectionDuration", "")
    known = _ANSWERERS.get(by)
    return AnswererKnown(known, int(took) if took.isdecimal() and len(took) < 8 else None) if known else None


def _asked_for(order: Order, number: int) -> Order | None:
    return replace(order, state="ringing") if order.tries == number and order.state == "placing" else None


def _with_sid(order: Order, number: int, call_sid: str) -> Order | None:
    """The call has its sid; whatever else is known of it stays."""
    if order.tries != number or order.state not in ("placing", "ringing") or order.call_sid not in (None, call_sid):
        return None
    return replace(order, state="ringing", call_sid=call_sid)


def _answered(order: Order, number: int, call_sid: str) -> Order | None:
    if order.tries != number or order.state in ("waiting", "ended") or order.call_sid not in (None, call_sid):
        return None
    return replace(order, state="answered", call_sid=call_sid)


def _ended(order: Order, call_id: str | None, reason: EndedReason | None) -> Order | None:
    if order.state == "ended":
        return None
    return replace(order, state="ended", due=None, call_sid=call_id, ended_reason=reason)


_ANSWERERS: Mapping[str, AnsweredBy] = {
    "human": "human",
    "machine_end_beep": "machine_end_beep",
    "machine_end_silence": "machine_end_silence",
    "machine_end_other": "machine_end_other",
    "fax": "fax",
    "unknown": "unknown",
}
_WORDS: Mapping[Refusal, str] = {
    "number": "`to` is no telephone number in E.164 form, as +390612345678 is",
    "not_allowed": "VOICEBOT_OUTBOUND_ALLOW does not allow calls to this number",
    "do_not_call": "the number is on the list of VOICEBOT_DO_NOT_CALL, or the list cannot be read",
    "hours": "calls are placed only during VOICEBOT_OUTBOUND_HOURS",
    "rate": "VOICEBOT_OUTBOUND_RATE calls were placed in the last minute",
    "line_busy": "a call to this number is under way, or planned",
}
