"""What every store keeps and promises: calls and who has them, journals, reports and the outbox of deliveries.

A call is its journal. Entries that something outside depends on are appended durably (the call waits until they are
safe), the rest is written in groups shortly after. The report and its outbox rows are written in one transaction, so
that a crash at any moment leaves either an unfinished call or a report that a worker will deliver.

*Whose a call is.* Every process that answers the phone is an instance with an id of its own. A call belongs to one
instance at a time, its owner, and `attempt` counts the hands it went through. Whoever changes the owner raises the
attempt in the same step; whoever writes says with which attempt it does, and is refused once that is not the present
one (`CallTakenError`). So two instances may both believe that they have a call, but only one of them is in its journal.

*Who is alive.* An instance beats; `beats` counts its beats. No clock is compared: an observer takes an instance for
dead when its count has not changed for a while in which the observer's own beats succeeded all the time. (A store that
can be read and not written to stops every instance's beats, and none of them is dead.)

All wall times are aware and in UTC. Several processes may work on the same data at once. Methods raise `StoreError`
when the store does not answer; nothing that raised has been half done, and every write may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from urllib.parse import urlsplit

from .digest import Digest

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
    """What is known of a call without its journal.

    `owner` is the id of the instance that has it, `attempt` counts the owners it has had, from 1. `token_issued_at` is
    when the stream token of this attempt was made (unix seconds; 0: none was), `claimed` whether a stream has come with
    it. `ended` is set by `finish`.
    """

    call_sid: str
    flow_name: str
    flow_version: str
    caller: str | None
    called: str | None
    direction: Direction
    started: datetime
    owner: str
    attempt: int
    token_issued_at: int
    claimed: bool = False
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls are looked for: those of which all holds that is given.

    `number` is of the caller or the called (E.164). `since` is the first start that counts, `until` the first that does
    not any more. `outcome` and `ended_reason` are of ended calls alone.
    """

    ended: bool | None = None
    flow: str | None = None
    number: str | None = None
    direction: Direction | None = None
    outcome: str | None = None
    ended_reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call and its digest, which is None until it is over."""

    record: CallRecord
    digest: Digest | None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A body to be posted to a receiver. `webhook_id` is unique and stays the same over all attempts.

    `secret` and `bearer` name what the settings hold for this receiver: the secrets that sign (empty: those of
    `VOICEBOT_WEBHOOK_SECRET`) and a token for its `Authorization` header (empty: none). `secrets` are the fields whose
    values the receiver is to get out of the call's vault.
    """

    webhook_id: str
    url: str
    body: str
    secret: str = ""
    bearer: str = ""
    secrets: tuple[str, ...] = ()


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
    secret: str = ""
    bearer: str = ""
    secrets: tuple[str, ...] = ()

    @property
    def attempt(self) -> int:
        """The number of the attempt under way or next, from 1."""
        return self.attempts + 1

    @property
    def host(self) -> str:
        return host_of(self.url)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The outbox in short: how many deliveries stand in each state but `delivered`, and since when the oldest waits."""

    pending: int
    dead: int
    disabled: int
    oldest_pending: datetime | None


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

    # ---- calls and whose they are ---------------------------------------------------------------------------------

    async def open_call(self, record: CallRecord, *, max_calls: int) -> tuple[CallRecord | None, bool]:
        """Make a call known, once: returns the record that stands, and whether it is this one.

        Atomic over all instances: with `max_calls` calls unfinished already, a new one is not taken (None, False).
        """
        ...

    async def call(self, call_sid: str) -> CallRecord | None: ...

    async def calls(
        self, limit: int, before: str | None = None, *, caller: str | None = None, ended: bool | None = None
    ) -> list[CallRecord]:
        """Latest calls first; with `before`, a call's `call_sid`, those that started before it.

        `caller`: only those from or to this number (E.164). `ended`: only those that have ended, or only those that
        have not.
        """
        ...

    async def find_calls(
        self, wanted: CallFilter, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[FoundCall]:
        """Latest calls first; with `before`, a start and a `call_sid`, those that stand after that place.

        The place need not be a call's any more. No journal and no report is read, however many calls there are.
        """
        ...

    async def claim_stream(self, call_sid: str, attempt: int, owner: str) -> CallRecord | None:
        """A stream came to `owner` with the token of `attempt`: the call as it stands now, for exactly one caller.

        None if the call is unknown or over, if this is not its present attempt, or if the attempt was claimed before.
        If another instance was the owner, the call changes hands: its attempt is one more, and claimed; the rest stays
        as it is.
        """
        ...

    async def take_over(self, call_sid: str, attempt: int, owner: str, *, token_issued_at: int) -> CallRecord | None:
        """Make `owner` the owner, if the call is not over and this is still its present attempt.

        Returns the call with its new attempt, which no stream has claimed yet; None if another was first. `owner` may
        have it already: so an instance makes ready for another stream of its own call.
        """
        ...

    async def beat(self, owner: str, *, takes_calls: bool = True) -> dict[str, int]:
        """Say that this instance is alive, and whether calls may come to it.

        Returns its unfinished calls with the present attempt of each.
        """
        ...

    async def beats(self) -> dict[str, int]:
        """Every instance that has beaten and was not retired, with a count that every beat changes."""
        ...

    async def takers(self) -> frozenset[str]:
        """The instances whose last beat said that calls may come to them; whether they still live is not known here."""
        ...

    async def retire(self, owner: str) -> None:
        """Forget an instance: it stopped in order, or is taken for dead. Its unfinished calls stay as they are.

        Should it beat again, it is known again.
        """
        ...

    # ---- letters --------------------------------------------------------------------------------------------------

    async def post_letter(self, owner: str, letter: str) -> None:
        """Leave a letter for an instance. One that nobody takes is forgotten, after ten minutes at the earliest."""
        ...

    async def take_letters(self, owner: str) -> list[str]:
        """What was left for this instance, in order, and is from now on its own; now and then one comes twice."""
        ...

    # ---- journals -------------------------------------------------------------------------------------------------

    async def append(self, call_sid: str, entries: Sequence[StoredEntry], *, attempt: int, durable: bool) -> None:
        """Add to a call's journal, in the order of the calls of this method.

        With `durable`, returns when the entries and all before them survive a crash of the machine. Without, returns
        at once; they are written within 50 ms. An entry that is there already is left alone. Entries of another
        attempt than the call's present one, or of a call that is unknown or over, are dropped when it comes to writing
        them.

        Raises:
            CallTakenError: `durable`: they were dropped.
            StoreError: `durable`: they are not safe yet, but are kept and written as soon as the store can. Or: too
                much waits to be written, and these were not kept. Or: `durable` and the journal has another entry
                with this number, which stands.
        """
        ...

    async def journal(self, call_sid: str, after: int = 0) -> list[StoredEntry]:
        """Entries with a sequence beyond `after`, in order, with those of this process not yet written."""
        ...

    async def follow(self, call_sid: str, after: int, wait_s: float) -> list[StoredEntry]:
        """As `journal`, but if there are none yet, wait up to `wait_s` for the first ones, of whichever process.

        They are seen a fraction of a second after they are written. The store does not know whether any will come.
        """
        ...

    # ---- secrets --------------------------------------------------------------------------------------------------

    async def keep_secret(self, call_sid: str, name: str, sealed: bytes, *, attempt: int) -> None:
        """Keep a sealed value in the call's vault, durably; the last one of a name stands.

        The vault is emptied with the call's end, and from then on whenever a delivery's state changes, as soon as no
        pending delivery of the call is to have anything out of it; and with the call's erasure.

        Raises:
            CallTakenError: this is not the call's present attempt, or the call is unknown or over.
        """
        ...

    async def secrets(self, call_sid: str) -> dict[str, bytes]:
        """What is in the call's vault, by name."""
        ...

    # ---- ends and reports -----------------------------------------------------------------------------------------

    async def finish(
        self,
        call_sid: str,
        report: str,
        deliveries: Sequence[NewDelivery],
        *,
        attempt: int,
        ended: datetime,
        last_entries: Sequence[StoredEntry] = (),
    ) -> bool:
        """End a call: its last entries, its report (JSON text) and its outbox rows, all or nothing.

        A delivery whose `webhook_id` is in the outbox already is left alone.

        Returns:
            False, with nothing changed, if the call has a report already.

        Raises:
            CallTakenError: nothing changed; this is not the call's present attempt.
        """
        ...

    async def report(self, call_sid: str) -> str | None: ...

    async def reports(self, call_sids: Sequence[str]) -> dict[str, str]:
        """Those of these calls that have one."""
        ...

    # ---- deliveries -----------------------------------------------------------------------------------------------

    async def enqueue(self, call_sid: str, deliveries: Sequence[NewDelivery], now: datetime) -> None:
        """Put these into the outbox, due at once; one whose `webhook_id` is there already is left alone."""
        ...

    async def deliveries(
        self,
        limit: int,
        state: DeliveryState | None = None,
        *,
        call_sid: str | None = None,
        before: tuple[datetime, str] | None = None,
    ) -> list[Delivery]:
        """Latest first, those of one moment by their ids; with `before`, a `created` and a `webhook_id`, those after.

        The place need not be a delivery's any more.
        """
        ...

    async def delivery(self, webhook_id: str) -> Delivery | None: ...

    async def backlog(self) -> Backlog:
        """What waits in the outbox, whoever is to deliver it."""
        ...

    async def requeue(self, webhook_id: str, now: datetime) -> bool:
        """Send it again from the first attempt on, whatever its state; enables its URL. False if unknown."""
        ...

    # ---- exact statements -----------------------------------------------------------------------------------------

    async def clip(self, key: str) -> bytes | None:
        """The audio of an exact statement that some instance had rendered."""
        ...

    async def keep_clip(self, key: str, payload: bytes) -> None:
        """Keep such audio for all instances; a store may forget those not used for a month."""
        ...

    # ---- notes ------------------------------------------------------------------------------------------------------

    async def note(self, key: str) -> str | None:
        """A note that instances leave each other: what is to happen, and belongs to no call yet."""
        ...

    async def put_note(self, key: str, body: str | None, *, instead_of: str | None) -> bool:
        """Let `body` stand in the place of `instead_of`, safe from a crash of the machine; None is no note.

        Returns:
            False, with nothing changed, if something else stands there. A note that is `body` already counts as done,
            so that the write may be repeated: who must know whether it was theirs makes the body their own.
        """
        ...

    async def notes(self, prefix: str) -> dict[str, str]:
        """Every note whose key begins so, by key."""
        ...

    # ---- retention ------------------------------------------------------------------------------------------------

    async def erase(self, call_sid: str) -> bool:
        """Remove everything of an ended call: record, journal, report, deliveries, also those still to come.

        Returns:
            False, with nothing changed, if it is unknown or has not ended.
        """
        ...

    async def erase_caller(self, number: str) -> list[str]:
        """`erase` every ended call from or to this number (E.164); returns those that were.

        As with `erase_before`, each call goes as a whole, but after a `StoreError` some may be gone.
        """
        ...

    async def erase_before(self, moment: datetime, *, limit: int = 500) -> list[str]:
        """`erase` calls that ended before `moment`, oldest first, at most `limit`; returns those that were.

        One with a delivery that is still pending is kept.
        """
        ...

    # ---- the whole ------------------------------------------------------------------------------------------------

    def healthy(self) -> bool:
        """False from a write that failed until one succeeds; the store tries by itself."""
        ...

    async def close(self) -> None:
        """Write what waits, then let go of everything. Does nothing the second time.

        Raises:
            StoreError: what waited could not be written.
        """
        ...
