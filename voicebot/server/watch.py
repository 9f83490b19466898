"""Watching over calls that nobody has any more: this instance beats, sees whose beats stopped, and rescues their calls.

A process that dies takes nothing with it but the caller's stream. Usually the phone line notices at once and asks what
comes next (`/twilio/after`), and whoever is asked goes on with the call. Where it does not notice, the connection is
half open and the caller hears nothing: then the instance that first sees the owner's beats stop takes the call over,
and asks Twilio to send it to `/twilio/after`. A call that cannot be had back is reported as it ended. One whose caller
the phone line has taken elsewhere needs nobody: it is let be until its result comes, or must have come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from voicebot.call.past import Past, read_past
from voicebot.engine.entries import EndedReason
from voicebot.errors import JournalError, StoreError, TwilioError
from voicebot.log_events import named
from voicebot.store.contract import CallRecord, Store
from voicebot.telephony.rest import TwilioRest
from voicebot.web.session_ids import is_session_id

from .lifecycle import CLAIM_LIMIT_S, MOST_ATTEMPTS, RETURN_LIMIT_S, Calls
from .liveness import BEAT_S, RECOVERY_S, Observer
from .reporting import Reporter, fitting_reason

log = logging.getLogger(__name__)

ADRIFT_S = 20.0  # a call that is ours with nobody at work on it: its taking over failed halfway
ORPHANS_EVERY = 5  # beats: how often calls are looked for whose owner never beats at all
MOST_CALLS = 5_000  # unfinished ones that are looked at
AT_ONCE = 16  # calls that are asked back from Twilio at the same time
ASK_AGAIN_S = (0.3, 1.0, 3.0)


class Watch:
    """One instance's watch over its own calls and over those of the dead."""

    def __init__(
        self,
        store: Store,
        calls: Calls,
        reporter: Reporter,
        rest: TwilioRest | None,
        after_url: str,
        wall: Callable[[], datetime],
    ) -> None:
        """
        Args:
            rest: Twilio's REST API; None without an account to ask with.
            after_url: where a call that is asked back goes on.
            wall: the time of day, aware UTC.
        """
        self._store, self._calls, self._reporter, self._rest = store, calls, reporter, rest
        self._after_url, self._wall = after_url, wall
        self._time = asyncio.get_running_loop().time
        self._observer = Observer()
        self._rescuing: set[str] = set()
        self._owners: frozenset[str] = frozenset()  # of unfinished calls, when these were looked at last
        self._adrift: dict[str, float] = {}  # calls of ours that nobody here is at work on, and since when
        self._room = asyncio.Semaphore(AT_ONCE)
        self._looks = 0

    async def others(self) -> frozenset[str]:
        """Other instances that a call may go to: alive as far as can be seen, and taking calls."""
        try:
            takers = await self._store.takers()
        except StoreError:
            return frozenset()
        return self._observer.living(takers) - {self._calls.owner}

    async def run(self) -> None:
        """Beat and look until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                began = self._time()
                try:
                    await self._look(tasks)
                except StoreError as exc:
                    self._observer.blind(RECOVERY_S)
                    log.warning(
                        "the store does not answer, so nobody is taken for dead: %s",
                        exc,
                        extra=named("store_watch_blind"),
                    )
                await asyncio.sleep(max(0.0, BEAT_S - (self._time() - began)))

    async def take_no_more(self) -> None:
        """Let the others know at once that no call may come here any more; else the next beat does."""
        try:
            await self._store.beat(self._calls.owner, takes_calls=False)
        except StoreError as exc:
            log.warning("the others learn later that this instance stops: %s", exc, extra=named("store_not_told"))

    async def retire(self) -> None:
        """This instance stops: whoever looks need not wait for its beats."""
        try:
            await self._store.retire(self._calls.owner)
        except StoreError as exc:
            log.warning("the store was not told that this instance stops: %s", exc, extra=named("store_not_told"))

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        sessions, began = self._calls.sessions, self._time()
        owned = await self._store.beat(self._calls.owner, takes_calls=self._calls.taking)
        if self._time() - began > BEAT_S:
            self._observer.blind()  # others may have waited as long to write their beats
        for call_sid, session in sessions.items():
            if owned.get(call_sid) != session.attempt:
                session.taken()  # or over; then it has ended by itself
        for record in await self._adrift_for_good(owned):
            self._rescue_once(record, tasks)
        beats = await self._store.beats()
        if self._looks % ORPHANS_EVERY == 0:
            self._owners = frozenset(record.owner for record in await self._unfinished())
        self._looks += 1
        dead = self._observer.look(beats, self._owners, self._time()) - {self._calls.owner}
        if not dead:
            return
        orphans = [record for record in await self._unfinished() if record.owner in dead]
        for record in orphans:
            self._rescue_once(record, tasks)
        for owner in dead & beats.keys() - {record.owner for record in orphans}:
            await self._store.retire(owner)

    async def _adrift_for_good(self, owned: Mapping[str, int]) -> list[CallRecord]:
        """Calls that are ours and went wrong on their way to us, once nothing can come of them any more."""
        idle = owned.keys() - self._calls.at_work - self._rescuing
        self._adrift = {call_sid: self._adrift.get(call_sid, self._time()) for call_sid in idle}
        late = [call_sid for call_sid, since in self._adrift.items() if self._time() - since >= ADRIFT_S]
        records = [await self._store.call(call_sid) for call_sid in late]
        return [record for record in records if record is not None and record.owner == self._calls.owner]

    async def _unfinished(self) -> list[CallRecord]:
        return await self._store.calls(MOST_CALLS, ended=False)

    # ---- a call that nobody has -------------------------------------------------------------------------------------

    def _rescue_once(self, record: CallRecord, tasks: asyncio.TaskGroup) -> None:
        if record.call_sid not in self._rescuing:
            self._rescuing.add(record.call_sid)
            tasks.create_task(self._rescue(record), name=f"rescue {record.call_sid}")

    async def _rescue(self, record: CallRecord) -> None:
        try:
            await self._have_back(record)
        except StoreError as exc:
            log.warning("a call could not be rescued yet: %s", exc, extra=named("call_not_rescued", record.call_sid))
        except Exception:  # a defect met by one call must not stop the watch over all others
            log.exception("a call could not be rescued", extra=named("call_rescue_broke", record.call_sid))
        finally:
            self._rescuing.discard(record.call_sid)

    async def _have_back(self, record: CallRecord) -> None:
        """Ask the call back, or end it."""
        past = await self._past(record)
        if past is not None and past.awaited is not None:  # the caller is elsewhere, and nobody needs to be at work
            self._adrift[record.call_sid] = self._time()
            if record.owner != self._calls.owner:  # from now on we see to it that it is reported
                await self._store.take_over(record.call_sid, record.attempt, self._calls.owner, token_issued_at=0)
        elif past is None or past.closed is not None:
            if await self._conclude(record, past):
                await self._asked_back(record)  # whoever still holds a dead line hears how the call ended
        elif record.owner == self._calls.owner:
            await self._conclude(record, past)
        elif not record.claimed and record.token_issued_at:
            # The answer to a webhook was the last that its owner did: the stream may be on its way to another one.
            await asyncio.sleep(CLAIM_LIMIT_S)
            await self._conclude(record, past)
        else:
            taken = await self._store.take_over(record.call_sid, record.attempt, self._calls.owner, token_issued_at=0)
            if taken is not None:
                log.warning(
                    "its owner is silent: asking the call back", extra=named("call_owner_silent", record.call_sid)
                )
                if await self._asked_back(taken) and taken.attempt < MOST_ATTEMPTS:
                    await asyncio.sleep(RETURN_LIMIT_S)
                await self._conclude(taken, past)  # which does nothing if it has gone on

    async def _past(self, record: CallRecord) -> Past | None:
        try:
            return read_past(await self._store.journal(record.call_sid), self._wall())
        except JournalError as exc:
            log.error("a call cannot be gone on with: %s", exc, extra=named("call_not_resumable", record.call_sid))
            return None

    async def _asked_back(self, record: CallRecord) -> bool:
        """Have Twilio send the call to us; False if it is over, or has gone on meanwhile.

        Where that cannot be asked, it may come by itself, as clients over the web do.
        """
        if self._rest is None or is_session_id(record.call_sid):
            return True
        for delay_s in (*ASK_AGAIN_S, None):
            standing = await self._store.call(record.call_sid)
            if standing is None or standing.attempt != record.attempt:
                return False
            try:
                async with self._room:
                    return await self._rest.redirect(record.call_sid, self._after_url) == "done"
            except TwilioError as exc:
                log.warning("the call was not asked back: %s", exc, extra=named("call_not_asked_back", record.call_sid))
                if delay_s is None or not exc.retryable:
                    break
                await asyncio.sleep(delay_s)
        return True

    async def _conclude(self, record: CallRecord, past: Past | None) -> bool:
        """Report a call that is over; False if others have done so, or have it."""
        reason: EndedReason = "error" if past is None else fitting_reason(past)
        return await self._reporter.report(record, reason=reason)
