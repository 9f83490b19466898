"""What every store keeps and promises: calls, single-use tokens, journals, reports and the outbox of deliveries.

A call is its journal. Entries that something outside depends on are appended durably (the call waits until they are
safe), the rest is written in groups shortly after. The report and its outbox rows are written in one transaction, so
that a crash at any moment leaves either an unfinished call or a report that a worker will deliver.

All wall times are aware and in UTC. Several processes may work on the same data at once. Methods raise `StoreError`
when the store does not answer; nothing that raised has been half done, and every write may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from urllib.parse import urlsplit

Direction = Literal["inbound", "outbound"]

DeliveryState = Literal[
    "pending",  # to be tried at `due`
    "delivered",  # the receiver answered 2xx
    "dead",  # all attempts failed; waits for a person
    "disabled",  # the receiver said 410; held until somebody requeues one of its deliveries
]


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry of a call's journal.

    `sequence` counts from 1 within the call, `at_ms` from the call's start (monotonic), `body` is JSON text.
    """

    sequence: int
    kind: str
    at_ms: int
    wall: datetime
    body: str


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What is known of a call without its journal. `token_issued_at` is unix seconds; `ended` is set by `finish`."""

    call_sid: str
    flow_name: str
    flow_version: str
    caller: str | None
    called: str | None
    direction: Direction
    started: datetime
    attempt: int
    token_issued_at: int
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A body to be posted to a receiver. `webhook_id` is unique and stays the same over all attempts."""

    webhook_id: str
    url: str
    body: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of the outbox. `attempts` counts those that are over; `due` is None unless the state is `pending`.

    While a worker holds the row, `due` is when its lease lapses. `tried`, `status` and `reason` are of the last
    attempt; `status` is set by success, `reason` by failure.
    """

    webhook_id: str
    call_sid: str
    url: str
    body: str
    state: DeliveryState
    attempts: int
    due: datetime | None
    created: datetime
    tried: datetime | None = None
    status: int | None = None
    reason: str | None = None

    @property
    def attempt(self) -> int:
        """The number of the attempt under way or next, from 1."""
        return self.attempts + 1

    @property
    def host(self) -> str:
        return host_of(self.url)


def host_of(url: str) -> str:
    """Host and port of `url` in lower case: what receivers are told apart by. Empty for what is no URL."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


class Outbox(Protocol):
    """The part of a store that a delivery worker needs."""

    async def due(
        self, now: datetime, *, limit: int, lease_s: float, per_host: int, under_way: Mapping[str, int]
    ) -> list[Delivery]:
        """Lease deliveries whose time has come, oldest first; each goes to one caller until `lease_s` have passed.

        `under_way` counts what the caller is posting already, by host; with those, no host gets more than `per_host`.
        """
        ...

    async def next_due(self, after: datetime) -> datetime | None:
        """When the first delivery that is not due yet at `after` will be."""
        ...

    async def delivered(self, webhook_id: str, now: datetime, status: int) -> None:
        """The receiver accepted it. Holds whatever another worker recorded before."""
        ...

    async def failed(
        self,
        webhook_id: str,
        now: datetime,
        reason: str,
        *,
        attempt: int,
        next_at: datetime | None,
        disable: bool = False,
    ) -> None:
        """Attempt `attempt` failed: try again at `next_at`, or never (None: a dead letter).

        `disable` holds this and all other deliveries to the same URL, present and future, until `requeue`. Does
        nothing if this attempt was recorded before (a lease had lapsed).
        """
        ...


class Store(Outbox, Protocol):
    """Everything that outlives a process."""

    async def open_call(self, record: CallRecord) -> tuple[CallRecord, bool]:
        """Make a call known, once: returns the record that stands, and whether it is this one."""
        ...

    async def call(self, call_sid: str) -> CallRecord | None: ...

    async def calls(self, limit: int, before: str | None = None) -> list[CallRecord]:
        """Latest calls first; with `before`, a call's `call_sid`, those that started before it."""
        ...

    async def claim_token(self, call_sid: str, attempt: int, now: datetime) -> bool:
        """Use up the stream token of this attempt: True for exactly one caller, ever."""
        ...

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, durable: bool) -> None:
        """Add to a call's journal, in the order of the calls of this method.

        With `durable`, returns when the entries and all before them survive a crash of the machine. Without, returns
        at once; they are written within 50 ms. An entry that is there already is left alone.

        Raises:
            StoreError: `durable`: they are not safe yet, but are kept and written as soon as the store can. Or: too
                much waits to be written, and these were not kept. Or: `durable` and the journal has another entry
                with this number, which stands.
        """
        ...

    async def journal(self, call_sid: str, after: int = 0) -> list[StoredEntry]:
        """Entries with a sequence beyond `after`, in order, with those of this process not yet written."""
        ...

    async def finish(
        self,
        call_sid: str,
        report: str,
        deliveries: Sequence[NewDelivery],
        *,
        ended: datetime,
        last_entries: Sequence[StoredEntry] = (),
    ) -> bool:
        """End a call: its last entries, its report (JSON text) and its outbox rows, all or nothing.

        Returns:
            False, with nothing changed, if the call has a report already.
        """
        ...

    async def report(self, call_sid: str) -> str | None: ...

    async def deliveries(self, limit: int, state: DeliveryState | None = None) -> list[Delivery]:
        """Latest first."""
        ...

    async def requeue(self, webhook_id: str, now: datetime) -> bool:
        """Send it again from the first attempt on, whatever its state; enables its URL. False if unknown."""
        ...

    def healthy(self) -> bool:
        """False from a write that failed until one succeeds; the store tries by itself."""
        ...

    async def close(self) -> None:
        """Write what waits, then let go of everything. Does nothing the second time.

        Raises:
            StoreError: what waited could not be written.
        """
        ...
