"""Who may be connected: how many strangers at once, in all and from one address, and who goes when one more comes.

A stranger is a connection on which nothing was signed yet. Twilio's webhooks and streams come from few addresses, many
at once, so a cap on an address alone would cut off callers. Here a connection counts only until it has sent something
with a valid signature or token (`vouch`); the calls themselves are bounded by admission.

Where strangers are at their limit, the one that has waited longest without a request goes, and the newcomer is let in.
So a crowd of silent sockets never locks out somebody who speaks at once. No clock is asked here: how long a connection
may wait is timed by the connection itself (`connections`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .proxies import Address, Proxies, counted_as

Reason = Literal[
    "refused_total",  # connections: there were too many, and all had a request at work
    "refused_address",  # the same, of one address
    "refused_client",  # requests: too many at once by one client behind a trusted proxy
    "closed_no_request",  # connections whose first request did not come whole in time: silent, half, dripping
    "closed_idle",  # that asked nothing more for a while
    "closed_slow",  # whose request was not answered in time, as when its body drips
    "closed_crowded",  # that waited longest when somebody else wanted in
    "malformed",  # requests that are no HTTP
    "forged",  # requests and handshakes whose signature does not hold
    "refused_stream",  # handshakes that held, and then no stream that we wait for
    "refused_token",  # requests with a wrong API token
    "throttled",  # those that came after too many of them
    "calls_full",  # new calls: all places are taken
    "calls_lagging",  # the process is late with those it has
    "calls_stopping",  # the process stops
    "calls_passed_on",  # sent to ask again, so that another instance takes them
]
REASONS: tuple[Reason, ...] = Reason.__args__  # type: ignore[attr-defined]


class Guest(Protocol):
    """A connection, as far as it can be told to go."""

    def dismiss(self) -> None:
        """Close at once."""
        ...


@dataclass(eq=False, slots=True)
class Stay:
    """What is known of a connection. `counted_as` is None while it counts for no address: it came from a proxy."""

    guest: Guest
    peer: Address | None
    counted_as: str | None
    proven: bool = False
    client: str | None = None  # for whom a proxy asks just now


@dataclass(eq=False, slots=True)
class _Crowd:
    """Connections in the order in which they began to wait."""

    waiting: dict[Stay, None] = field(default_factory=dict)
    at_work: dict[Stay, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.waiting) + len(self.at_work)

    def drop(self, stay: Stay) -> None:
        self.waiting.pop(stay, None)
        self.at_work.pop(stay, None)


class Gatekeeper:
    """The strangers at the door of one process, and counts of what happened there.

    Attributes:
        counts: how often each `Reason` was met since the start.
        open: connections that are there now, proven or not.
    """

    def __init__(self, proxies: Proxies, *, total: int, per_address: int) -> None:
        """
        Args:
            total: strangers at once.
            per_address: those of one address; behind a trusted proxy, requests at once of one client.
        """
        self.counts: Counter[Reason] = Counter()
        self.open = 0
        self.proxies, self._total, self._per_address = proxies, total, per_address
        self._strangers = _Crowd()
        self._by_address: dict[str, _Crowd] = {}
        self._by_client: Counter[str] = Counter()

    @property
    def strangers(self) -> int:
        """Connections that have proved nothing yet."""
        return len(self._strangers)

    def snapshot(self) -> Mapping[Reason, int]:
        """Every reason with its count, also those not met yet."""
        return {reason: self.counts[reason] for reason in REASONS}

    # ---- connections ------------------------------------------------------------------------------------------------

    def admit(self, guest: Guest, peer: Address | None) -> Stay | None:
        """Let a connection in, which waits for its first request; None if it must go."""
        stay = Stay(guest, peer, None if self.proxies.trusts(peer) else counted_as(peer))
        neighbours = self._by_address.get(stay.counted_as or "")
        if neighbours is not None and not self._room(neighbours, self._per_address):
            self.counts["refused_address"] += 1
            return None
        if not self._room(self._strangers, self._total):
            self.counts["refused_total"] += 1
            return None
        self.open += 1
        if stay.counted_as is not None:
            self._by_address.setdefault(stay.counted_as, _Crowd())
        for crowd in self._crowds(stay):
            crowd.waiting[stay] = None
        return stay

    def leave(self, stay: Stay) -> None:
        """The connection is gone."""
        self.open -= 1
        self._forget(stay)

    def send_home(self) -> None:
        """The server stops: whoever has asked for nothing yet goes."""
        for stay in list(self._strangers.waiting):
            stay.guest.dismiss()

    def vouch(self, stay: Stay) -> None:
        """It has sent something that only a friend can: from now on it counts for nobody."""
        if not stay.proven:
            self._forget(stay)
            stay.proven = True

    # ---- requests ---------------------------------------------------------------------------------------------------

    def begin(self, stay: Stay, forwarded: Iterable[str]) -> tuple[Address | None, bool]:
        """A request has come, up to the end of its headers: whose it is, and whether it may be answered.

        Args:
            forwarded: its `X-Forwarded-For` headers.
        """
        self._release_client(stay)
        client = self.proxies.client(stay.peer, tuple(forwarded))
        if stay.proven:
            return client, True
        for crowd in self._crowds(stay):
            if crowd.waiting.pop(stay, stay) is None:
                crowd.at_work[stay] = None
        if client == stay.peer:
            return client, True
        name = counted_as(client)
        if self._by_client[name] >= self._per_address:
            self.counts["refused_client"] += 1
            return client, False
        self._by_client[name] += 1
        stay.client = name
        return client, True

    def finish(self, stay: Stay) -> None:
        """The request is answered, and the connection waits for the next one."""
        self._release_client(stay)
        if stay.proven:
            return
        for crowd in self._crowds(stay):
            if crowd.at_work.pop(stay, stay) is None:
                crowd.waiting[stay] = None

    # ---- crowds -----------------------------------------------------------------------------------------------------

    def _room(self, crowd: _Crowd, limit: int) -> bool:
        """See that one more fits in."""
        if len(crowd) < limit:
            return True
        longest = next(iter(crowd.waiting), None)
        if longest is None:
            return False
        self.counts["closed_crowded"] += 1
        self._forget(longest)  # at once; that it is gone is told later
        longest.guest.dismiss()
        return True

    def _crowds(self, stay: Stay) -> tuple[_Crowd, ...]:
        neighbours = self._by_address.get(stay.counted_as or "")
        return (self._strangers,) if neighbours is None else (self._strangers, neighbours)

    def _forget(self, stay: Stay) -> None:
        self._release_client(stay)
        for crowd in self._crowds(stay):
            crowd.drop(stay)
        if stay.counted_as is not None and not self._by_address.get(stay.counted_as, True):
            del self._by_address[stay.counted_as]

    def _release_client(self, stay: Stay) -> None:
        if stay.client is not None:
            self._by_client[stay.client] -= 1
            if not self._by_client[stay.client]:
                del self._by_client[stay.client]
            stay.client = None
