"""Callers without a conversation: those for whom there is no place, and who call outside their flow's hours.

There is neither a stream nor a model: the phone line says some words, and then has them wait, leave a message, or rings
somebody for them, as the operator chose (`VOICEBOT_OVERFLOW`) or the flow says (`closed`).

*Who waits* hears words and silence in turn, and asks for a place again each time. No place is held for them meanwhile;
but whoever comes, or asks, leaves free as many places as there are guests who came before. A guest that has not asked
for a while is taken for gone, and leaves nobody behind it.

*What came of it* is told at `/twilio/passed` by the way's action, and of a message by its recording's status callback
too, whichever comes first; the end of the call at `/twilio/status`. Any of them may be lost, late or repeated, and any
instance may be asked. Whoever changes the guest's note last to `gone` has it reported, once, as a call of this flow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from voicebot.call.entries import Entry, LineClosed, PassedOn, PassingEnded, kind_of, write_entry
from voicebot.engine.entries import EndedReason
from voicebot.errors import CallTakenError, FlowError, StoreError
from voicebot.flow.loader import FlowShelf, LoadedFlow
from voicebot.flow.model import Flow
from voicebot.flow.ways_out import Voicemail, WayOut
from voicebot.log_events import named
from voicebot.observe.context import work_for
from voicebot.store.contract import CallRecord, Store, StoredEntry
from voicebot.telephony import twiml
from voicebot.telephony.full_house import FullHouse

from .guests import Guest, GuestBook, Stop, Way
from .lifecycle import Obstacle, opened_by
from .passing import OVER, PASSED_PATH, RECORDED_PATH, SLACK_S, TALK_LIMIT_S, result_of
from .reporting import Reporter

log = logging.getLogger(__name__)

ASK_S = 10.0  # of silence, before who waits asks for a place again
MOST_ASKED = 300  # times, however quickly they come
LEAST_WAITING = 10  # may wait, however few places there are
STALE_S = 45.0  # since who waits was last heard of: words and silence take less than half of it
MESSAGE_S = 120.0  # the longest one, of a full house
RING_S = 25.0
LOOK_S = 5.0  # between looks at guests who are gone
RESULT_LIMIT_S = 15.0  # after the end of the call, for what came of the last way
_NO_LIMIT = 1_000_000  # for a call that is over as soon as it is recorded


class Lobby:
    """The guests, wherever they came in."""

    def __init__(
        self,
        *,
        owner: str,
        store: Store,
        reporter: Reporter,
        shelf: Callable[[], FlowShelf],
        house: FullHouse,
        most_waiting: int,
        public_url: str,
        voice_path: str,
        wall: Callable[[], datetime],
        refused: Callable[[Obstacle], None] = lambda obstacle: None,
        waited: Callable[[str, float], None] = lambda result, seconds: None,
    ) -> None:
        """
        Args:
            owner: the id of this instance.
            house: what callers get for whom there is no place.
            most_waiting: guests in the queue at most.
            voice_path: where who waits asks again.
            refused: told why a guest has got no place.
            waited: told what came of waiting (`admitted`, `hung_up`, `timed_out`), and how long it took (s).
        """
        self._owner, self._store, self._reporter, self._shelf = owner, store, reporter, shelf
        self._house, self._most_waiting, self._public_url, self._wall = house, most_waiting, public_url, wall
        self._again_url = public_url + voice_path
        self._refused, self._waited = refused, waited
        self._book = GuestBook(store)
        self._wake = asyncio.Event()
        self._reporting: set[str] = set()

    # ---- who comes --------------------------------------------------------------------------------------------------

    def may_know(self, flow: Flow) -> bool:
        """Whether a caller of this flow may be a guest: else the store need not be asked."""
        return flow.hours is not None or self._house.wait_s is not None or self._house.then == "voicemail"

    async def guest(self, call_sid: str) -> Guest | None:
        """The guest of this call.

        Raises:
            StoreError: it cannot be said.
        """
        return await self._book.find(call_sid)

    async def ahead(self, call_sid: str) -> int:
        """How many wait who came before this call, which may be new."""
        if self._house.wait_s is None:
            return 0
        waiting = self._waiting(await self._book.every())
        before = [guest.call_sid for guest in waiting]
        return before.index(call_sid) if call_sid in before else len(before)

    def _waiting(self, guests: Sequence[Guest]) -> list[Guest]:
        """Those who still ask, in the order in which they came."""
        since = self._wall() - timedelta(seconds=STALE_S)
        return [guest for guest in guests if guest.waits and not guest.gone and guest.seen >= since]

    async def admitted(self, guest: Guest) -> None:
        """There was a place for one who waited: it is a call like any other now."""
        await self._book.remove(guest.call_sid)
        self._waited("admitted", (self._wall() - guest.since).total_seconds())

    async def closed(self, caller: CallRecord, flow: Flow) -> str:
        """TwiML for somebody who calls outside the hours of `flow`."""
        closed = flow.closed
        ways = tuple(_way(flow, way) for way in closed.then) if closed is not None else ()
        guest = self._new(caller, flow, "closed", ways, words=closed.say if closed is not None else "")
        log.info("called outside the hours", extra=named("call_outside_hours", caller.call_sid))
        standing, _ = await self._book.make(self._onward(guest))
        return self._answer(self._kept(standing))

    async def full(self, caller: CallRecord, flow: Flow, obstacle: Obstacle) -> str | None:
        """TwiML for a new caller for whom there is no place; None if they are no guests of ours."""
        then, now = self._house.then, self._wall()
        ways = {"voicemail": (Way(None, MESSAGE_S),), "sentence": (), "busy": ()}.get(then)
        if ways is None:
            ways = (Way(then, RING_S),) if then != caller.called else ()  # ours would ring us again, for ever
        guest = replace(self._new(caller, flow, "full", ways), obstacle=obstacle)
        if self._house.wait_s is not None and len(self._waiting(await self._book.every())) < self._most_waiting:
            queue = PassedOn(1, "queue", None, self._house.wait_s + STALE_S)
            guest = replace(guest, stops=(Stop(queue, now),))
        elif then != "voicemail":
            return None
        else:
            guest = self._onward(guest)
        standing, is_new = await self._book.make(guest)
        if is_new and not standing.waits:
            self._refused(obstacle)
        return self._answer(standing)

    async def asks_again(self, guest: Guest, times: int) -> str:
        """TwiML for one who waits, asks for the `times`-th time, and for whom there is no place yet."""
        now = self._wall()
        waited_s = (now - guest.since).total_seconds()
        over = waited_s >= (self._house.wait_s or 0.0) or times >= MOST_ASKED

        def counted(standing: Guest) -> Guest | None:
            if not standing.waits or times <= standing.tries:  # the same request once more
                return None
            if not over:
                return replace(standing, tries=times, seen=now)
            return self._onward(standing.with_result(PassingEnded(1, "no_answer", round(waited_s)), now))

        changed, by_us = await self._book.change(guest.call_sid, counted)
        if changed is None:
            return twiml.hang_up()
        if by_us and not changed.waits:
            self._gave_up(changed, "timed_out", waited_s)
        return self._answer(self._kept(changed))

    def answer_again(self, guest: Guest) -> str:
        """The TwiML that was answered last: the same webhook has come once more."""
        return self._answer(guest)

    def _new(
        self, caller: CallRecord, flow: Flow, reason: EndedReason, ways: tuple[Way, ...], words: str = ""
    ) -> Guest:
        now = self._wall()
        return Guest(
            call_sid=caller.call_sid,
            flow=caller.flow_name,
            language=flow.languages[0],
            caller=caller.caller,
            called=caller.called,
            reason=reason,
            since=now,
            seen=now,
            words=words,
            ways=ways,
        )

    # ---- where they are taken ---------------------------------------------------------------------------------------

    def _onward(self, guest: Guest) -> Guest:
        """The guest on the next way; or gone, if there is none."""
        if not guest.ways:
            return guest.left()
        way, *rest = guest.ways
        number = len(guest.stops) + 1
        if way.address is None:
            on = PassedOn(number, "voicemail", None, way.seconds + SLACK_S)
        else:
            on = PassedOn(number, "transfer", way.address, way.seconds + TALK_LIMIT_S + SLACK_S)
        return replace(guest, stops=(*guest.stops, Stop(on, self._wall())), way=way, ways=tuple(rest))

    def _answer(self, guest: Guest) -> str:
        """What the phone line does for a guest, as it stands."""
        stop, way, language = guest.open_stop, guest.way, guest.language
        if stop is None or guest.gone:
            return self._farewell(guest)
        words = guest.words if stop.on.number == 1 else ""
        action_url = f"{self._public_url}{PASSED_PATH}?way={stop.on.number}"
        if stop.on.to == "queue":
            again_url = f"{self._again_url}?waited={guest.tries + 1}"
            return twiml.wait(again_url, language=language, wait_s=ASK_S, first=guest.tries == 0)
        if way is None:
            raise StoreError("a guest is nowhere")
        if way.address is None:
            status_url = f"{self._public_url}{RECORDED_PATH}?way={stop.on.number}"
            return twiml.record_message(
                language=language,
                action_url=action_url,
                status_url=status_url,
                longest_s=way.seconds,
                words=words,
            )
        return twiml.ring(
            way.address,
            language=language,
            action_url=action_url,
            ring_s=way.seconds,
            talk_s=TALK_LIMIT_S,
            caller_id=way.caller_id or guest.caller or guest.called,
            words=words,
        )

    def _farewell(self, guest: Guest) -> str:
        last = guest.stops[-1].result if guest.stops else None
        if last is not None and last.done:
            return twiml.say_received(guest.language) if last.status == "recorded" else twiml.hang_up()
        if guest.reason == "closed" and not guest.stops:
            return twiml.say_closed(guest.language, guest.words)
        return twiml.say_goodbye(guest.language)

    async def came_back(self, call_sid: str, number: int, form: Mapping[str, str]) -> str | None:
        """TwiML for a guest of whom it is told what came of its `number`-th stop; None if there is no such guest.

        Args:
            form: what Twilio tells of the dial or of the recording.
        """
        now, over = self._wall(), form.get("CallStatus") in OVER

        def changed(standing: Guest) -> Guest | None:
            stop = standing.open_stop
            if standing.gone or stop is None or stop.on.number != number or stop.on.to == "queue":
                return None
            result = result_of(stop.on, form)
            told = standing.with_result(result, now)
            return told.left() if result.done or over else self._onward(told)

        guest, _ = await self._book.change(call_sid, changed)
        return None if guest is None else self._answer(self._kept(guest))

    async def line_over(self, call_sid: str) -> None:
        """The phone line says that the call is over: what came of its last stop is told about now, or never."""
        now = self._wall()

        def changed(standing: Guest) -> Guest | None:
            if standing.gone or standing.line_over is not None:
                return None
            if not standing.waits:
                return replace(standing, line_over=now)
            waited_s = (now - standing.since).total_seconds()
            return standing.with_result(PassingEnded(1, "canceled", round(waited_s)), now).left()

        try:
            guest, by_us = await self._book.change(call_sid, changed)
            if guest is not None and by_us and guest.gone:
                self._gave_up(guest, "hung_up", (now - guest.since).total_seconds())
                self._kept(guest)
        except StoreError as exc:
            log.warning("the end of the call is seen later: %s", exc, extra=named("store_end_seen_later", call_sid))

    def _gave_up(self, guest: Guest, result: str, waited_s: float) -> None:
        self._waited(result, waited_s)
        if guest.obstacle is not None:
            self._refused(guest.obstacle)

    def _kept(self, guest: Guest) -> Guest:
        """Have one that is gone reported at once."""
        if guest.gone:
            self._wake.set()
        return guest

    # ---- their reports ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Report guests who are gone, of whichever instance, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                try:
                    for guest in await self._book.every():
                        if await self._is_gone(guest) and guest.call_sid not in self._reporting:
                            self._reporting.add(guest.call_sid)
                            tasks.create_task(self._report(guest.call_sid), name=f"guest {guest.call_sid}")
                except StoreError as exc:
                    log.warning("guests are looked at later: %s", exc, extra=named("store_guests_wait"))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()

    async def _is_gone(self, guest: Guest) -> bool:
        """Whether nothing more comes of a guest, told or not: what Twilio tells may be lost."""
        if guest.gone:
            return True
        now, stop = self._wall(), guest.open_stop
        if guest.waits:
            if now - guest.seen <= timedelta(seconds=STALE_S):
                return False
            waited_s = (guest.seen - guest.since).total_seconds()

            def lost(standing: Guest) -> Guest | None:
                if standing.gone or standing.change != guest.change:
                    return None
                return standing.with_result(PassingEnded(1, "canceled", round(waited_s)), now).left()

            changed, by_us = await self._book.change(guest.call_sid, lost)
            if changed is not None and by_us:
                self._gave_up(changed, "hung_up", waited_s)
            return by_us
        late = guest.line_over is not None and now - guest.line_over >= timedelta(seconds=RESULT_LIMIT_S)
        if not late and stop is not None and now - stop.at <= timedelta(seconds=stop.on.limit_s):
            return False
        _, by_us = await self._book.change(guest.call_sid, lambda standing: None if standing.gone else standing.left())
        return by_us

    async def _report(self, call_sid: str) -> None:
        work_for(call_sid)
        try:
            if (guest := await self._book.find(call_sid)) is not None:
                await self._write_report(guest)
                await self._book.remove(call_sid)
        except StoreError as exc:
            log.warning("a guest is reported later: %s", exc, extra=named("store_guests_wait", call_sid))
        except Exception:  # a defect met by one guest must not stop the reports of all others
            log.exception("a guest could not be reported", extra=named("guest_broke", call_sid))
        finally:
            self._reporting.discard(call_sid)

    async def _write_report(self, guest: Guest) -> None:
        loaded: LoadedFlow | None = None
        with suppress(FlowError):  # not there any more: then the report says what is known without it
            loaded = self._shelf().get(guest.flow)
        known = CallRecord(
            call_sid=guest.call_sid,
            flow_name=guest.flow,
            flow_version=loaded.version if loaded is not None else "",
            caller=guest.caller,
            called=guest.called,
            direction="inbound",
            started=guest.since,
            owner=self._owner,
            attempt=1,
            token_issued_at=0,
        )
        record, _ = await self._store.open_call(known, max_calls=_NO_LIMIT)
        if record is None or record.ended is not None or record.token_issued_at:
            return  # it was reported before; or admitted, and is a call now
        if loaded is not None:
            await self._write(record, [(guest.since, opened_by(record, loaded, {})), *_told(guest)])
        await self._reporter.report(record, reason=guest.reason, flow=loaded.flow if loaded is not None else None)

    async def _write(self, record: CallRecord, lines: Sequence[tuple[datetime, Entry]]) -> None:
        stored = [
            StoredEntry(number, kind_of(entry), _ms(at - record.started), at, write_entry(entry))
            for number, (at, entry) in enumerate(lines, 1)
        ]
        with suppress(CallTakenError):  # then another process reports it
            await self._store.append(record.call_sid, stored, attempt=record.attempt, durable=True)


def _told(guest: Guest) -> list[tuple[datetime, Entry]]:
    """What is in the guest's journal behind its beginning."""
    told: list[tuple[datetime, Entry]] = [(guest.since, LineClosed(guest.reason))]
    for stop in guest.stops:
        told.append((stop.at, stop.on))
        if stop.result is not None:
            told.append((stop.ended or stop.at, stop.result))
    return told


def _way(flow: Flow, way: WayOut) -> Way:
    if isinstance(way, Voicemail):
        return Way(None, way.max)
    target = flow.rung(way)
    return Way(target.address, way.timeout if way.timeout is not None else target.timeout, target.caller_id)


def _ms(since: timedelta) -> int:
    return round(since.total_seconds() * 1000)
