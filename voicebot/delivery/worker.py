"""The worker that empties the outbox: leases what is due, posts it, records the outcome, and waits for what comes next.

Every process may run one; a lease gives each delivery to one of them. An outcome that could not be recorded (the
process died, the store is gone) is forgotten with its lease, and the delivery is made again under the same
`webhook-id`, by which the receiver knows it: at least once, never lost.

A receiver that is overloaded (429, 502, 503, 504) gets its next deliveries one at a time until it accepts one. When
each is tried again, the schedule and its `Retry-After` say. One that hangs keeps only the slots of its own host.

Only 410 is final: the receiver is disabled, which is an error in the log and a state in the outbox. Any other refusal,
400 and 404 included, is tried again over the whole schedule: a receiver that is being deployed or whose key was
mistyped answers so too, and a report is worth nine more requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from voicebot.errors import DeliveryError, StoreError
from voicebot.log_events import named
from voicebot.store.contract import Delivery, Outbox

from .schedule import next_attempt

log = logging.getLogger(__name__)

Post = Callable[[Delivery], Awaitable[int]]

LEASE_S = 30.0  # beyond the 15 s of a post and the time to record its outcome
LOOK_AGAIN_S = 30.0  # a report of another process, which died before it delivered it, waits no longer than this
STORE_RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0)


AttemptResult = Literal["delivered", "failed", "dead", "disabled"]


@dataclass(frozen=True, slots=True)
class Attempted:
    """A post is over. `failed`: it is tried again; `dead`: it is not; `disabled`: nothing more is sent to its URL."""

    delivery: Delivery
    began: datetime
    ended: datetime
    result: AttemptResult


class DeliveryWorker:
    """Delivers until cancelled; what is under way then is delivered by whoever runs when its lease has lapsed."""

    def __init__(
        self,
        outbox: Outbox,
        post: Post,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        *,
        parallel: int = 32,
        per_host: int = 4,
        attempted: Callable[[Attempted], None] = lambda attempted: None,
    ) -> None:
        """Make a worker.

        Args:
            outbox: where deliveries wait.
            post: makes one attempt within 15 s: the 2xx status, or `DeliveryError`.
            now: the wall time, aware.
            jitter: a random number from 0 to 1, as `random.random`.
            parallel: posts under way at once.
            per_host: of those to one host; a receiver that hangs leaves the rest to others.
            attempted: told of each post that is over.
        """
        self._attempted = attempted
        self._outbox, self._post, self._now, self._jitter = outbox, post, now, jitter
        self._parallel, self._per_host = parallel, per_host
        self._under_way: Counter[str] = Counter()
        self._overloaded: set[str] = set()  # hosts
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the outbox now: a report was just written."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        failures = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    pause_s = await self._start_due(tasks)
                    failures = 0
                except StoreError as exc:
                    pause_s = STORE_RETRY_S[min(failures, len(STORE_RETRY_S) - 1)]
                    failures += 1
                    log.warning(
                        "deliveries wait %g s for the store: %s", pause_s, exc, extra=named("store_deliveries_wait")
                    )
                await self._rest(pause_s)

    async def _start_due(self, tasks: asyncio.TaskGroup) -> float:
        """Start every post there is room for; returns for how many seconds there is nothing to do unless woken."""
        self._wake.clear()  # before looking: a report written from here on wakes us again
        now = self._now()
        leased = await self._outbox.due(
            now,
            limit=self._parallel - self._under_way.total(),
            lease_s=LEASE_S,
            per_host=self._per_host,
            under_way=self._under_way + Counter(dict.fromkeys(self._overloaded, self._per_host - 1)),
        )
        for delivery in leased:
            self._under_way[delivery.host] += 1
            tasks.create_task(self._deliver(delivery), name=f"deliver {delivery.webhook_id}")
        # What is due and was not leased waits for room, and the end of a post wakes us.
        next_due = await self._outbox.next_due(now)
        return LOOK_AGAIN_S if next_due is None else min((next_due - self._now()).total_seconds(), LOOK_AGAIN_S)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await self._attempt(delivery)
        except StoreError as exc:
            log.warning(
                "the outcome of delivery %s is not recorded, it will be made again: %s",
                delivery.webhook_id,
                exc,
                extra=named("store_outcome_not_recorded", delivery.call_sid),
            )
        finally:
            self._under_way -= Counter((delivery.host,))  # which forgets a host at zero
            self.wake()

    async def _attempt(self, delivery: Delivery) -> None:
        """One post and its record."""
        began = self._now()
        try:
            status = await self._post(delivery)
        except DeliveryError as exc:
            if exc.throttle:
                self._overloaded.add(delivery.host)
            await self._record_failure(delivery, began, exc.reason, exc.retry_after_s, disable=exc.disable)
        except Exception as exc:  # a defect met by one body must not stop the deliveries of all others
            log.exception(
                "delivery %s failed unexpectedly", delivery.webhook_id, extra=named("delivery_broke", delivery.call_sid)
            )
            await self._record_failure(delivery, began, f"failed unexpectedly: {type(exc).__name__}")
        else:
            self._overloaded.discard(delivery.host)
            self._attempted(Attempted(delivery, began, self._now(), "delivered"))
            await self._outbox.delivered(delivery.webhook_id, self._now(), status)
            log.info("delivery %s accepted", delivery.webhook_id, extra=named("delivery_accepted", delivery.call_sid))

    async def _record_failure(
        self,
        delivery: Delivery,
        began: datetime,
        reason: str,
        retry_after_s: float | None = None,
        *,
        disable: bool = False,
    ) -> None:
        now = self._now()
        next_at = None if disable else next_attempt(delivery.attempt, now, self._jitter(), retry_after_s)
        result: AttemptResult = "failed" if next_at else "disabled" if disable else "dead"
        self._attempted(Attempted(delivery, began, now, result))
        level = logging.WARNING if next_at else logging.ERROR
        fate = f"next attempt at {next_at:%F %T}" if next_at else "its URL is disabled" if disable else "given up"
        log.log(
            level,
            "delivery %s, attempt %d: %s; %s",
            delivery.webhook_id,
            delivery.attempt,
            reason,
            fate,
            extra=named("delivery_failed" if next_at else "delivery_dead", delivery.call_sid),
        )
        await self._outbox.failed(
            delivery.webhook_id, now, reason, attempt=delivery.attempt, next_at=next_at, disable=disable
        )
        if disable:
            log.error(
                "receiver at %s is disabled, as it says that it is gone; its deliveries are held until one is sent "
                "again: voicebot deliveries retry %s",
                delivery.host,
                delivery.webhook_id,
                extra=named("receiver_disabled", delivery.call_sid),
            )
