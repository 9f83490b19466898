"""Figures of calls, from their digests: by the hour, and how far callers get in a flow.

Calls are counted a page at a time and let go: of 20,000 of them nothing stays but what is shown.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median

from voicebot.observe.prices import Price
from voicebot.store.contract import CallFilter, FoundCall, Store
from voicebot.store.digest import Digest

from .models import FlowStats, Hour, PhaseStats, VersionStats
from .shown import cost_of

COUNTED = 20_000  # calls, for one answer
AT_ONCE = 500  # so that neither the loop nor a thread is busy for long
DROPPED = frozenset({"caller_hung_up", "connection_lost", "silence", "error", "model_failed", "shutdown"})


async def count(store: Store, wanted: CallFilter, add: Callable[[Sequence[FoundCall]], None]) -> bool:
    """Give the latest calls of these to `add`, in a thread, page by page; whether they are all."""
    seen = 0
    place: tuple[datetime, str] | None = None
    while seen < COUNTED:
        some = await store.find_calls(wanted, AT_ONCE, place)
        await asyncio.to_thread(add, some)
        if len(some) < AT_ONCE:
            return True
        seen += len(some)
        place = some[-1].record.started, some[-1].record.call_sid
    return False


class Hours:
    """Every hour that some of the time lies in, with the calls that began in it, and all of them together."""

    def __init__(self, since: datetime, until: datetime, price: Price | None) -> None:
        self._total = _Tally(since, price)
        self._hours: dict[datetime, _Tally] = {}
        hour = _hour_of(since)
        while hour < until:
            self._hours[hour] = _Tally(hour, price)
            hour += timedelta(hours=1)

    def add(self, calls: Iterable[FoundCall]) -> None:
        """Count these, too."""
        for call in calls:
            self._total.add(call)
            if (tally := self._hours.get(_hour_of(call.record.started))) is not None:
                tally.add(call)

    def shown(self) -> tuple[list[Hour], Hour]:
        """The hours, in their order, and the whole time as if it were one."""
        return [one.shown() for one in self._hours.values()], self._total.shown()


class _Tally:
    """The figures of some calls."""

    def __init__(self, hour: datetime, price: Price | None) -> None:
        self._hour, self._price = hour, price
        self._calls = self._live = self._silent_ms = 0
        self._cost_usd = self._duration_s = 0.0
        self._outcomes, self._ended_reasons = Counter[str | None](), Counter[str | None]()
        self._waits_ms: list[int] = []

    def add(self, call: FoundCall) -> None:
        self._calls += 1
        self._live += call.record.ended is None
        if (digest := call.digest) is None:
            return
        self._outcomes[digest.outcome] += 1
        self._ended_reasons[digest.ended_reason] += 1
        if digest.response_ms is not None:
            self._waits_ms.append(digest.response_ms)
        self._cost_usd += cost_of(digest.tokens, self._price) or 0.0
        self._silent_ms += digest.waited_ms + digest.underrun_ms
        self._duration_s += digest.duration_s

    def shown(self) -> Hour:
        return Hour(
            hour=self._hour,
            calls=self._calls,
            live=self._live,
            outcomes=_by_word(self._outcomes),
            ended_reasons=_by_word(self._ended_reasons),
            response_ms=round(median(self._waits_ms)) if self._waits_ms else None,
            cost_usd=round(self._cost_usd, 6) if self._price is not None else None,
            dead_air_s=round(self._silent_ms / 1000, 1),
            duration_s=round(self._duration_s, 1),
        )


class Reach:
    """How far callers got in a flow, where they were lost, and by which versions of it."""

    def __init__(self, flow: str, phases: Sequence[str], version: str | None) -> None:
        """
        Args:
            phases: that the flow has now; those that it had come after them.
            version: whose calls alone are counted; None: those of all.
        """
        self._flow, self._phases, self._version = flow, phases, version
        self.is_known = False  # whether the flow ever had a call, of whichever version
        self._ended = self._live = 0
        self._entered = Counter[str]()
        self._last, self._dropped = Counter[str | None](), Counter[str | None]()
        self._outcomes, self._ended_reasons = Counter[str | None](), Counter[str | None]()
        self._versions: dict[str, VersionStats] = {}

    def add(self, calls: Iterable[FoundCall]) -> None:
        """Count these, too."""
        for call in calls:
            self.is_known = True
            if self._version is not None and call.record.flow_version != self._version:
                continue
            self._live += call.record.ended is None
            self._add_version(call.record.flow_version, call.record.started)
            if call.digest is not None:
                self._add_ended(call.digest)

    def _add_version(self, version: str, started: datetime) -> None:
        if (known := self._versions.get(version)) is None:
            self._versions[version] = known = VersionStats(version=version, calls=0, first=started, last=started)
        known.calls += 1
        known.first, known.last = min(known.first, started), max(known.last, started)

    def _add_ended(self, digest: Digest) -> None:
        self._ended += 1
        self._entered.update(digest.phases)
        self._last[digest.last_phase] += 1
        self._dropped[digest.last_phase] += digest.ended_reason in DROPPED
        self._outcomes[digest.outcome] += 1
        self._ended_reasons[digest.ended_reason] += 1

    def shown(self, since: datetime, until: datetime, *, whole: bool) -> FlowStats:
        """The figures of what was counted, all of these times if `whole`."""
        names = dict.fromkeys([*self._phases, *sorted(self._entered)])
        return FlowStats(
            flow=self._flow,
            since=since,
            until=until,
            calls=self._ended,
            live=self._live,
            whole=whole,
            phases=[
                PhaseStats(
                    name=name,
                    entered=self._entered[name],
                    ended_here=self._last[name],
                    dropped=self._dropped[name],
                )
                for name in names
            ],
            outcomes=_by_word(self._outcomes),
            ended_reasons=_by_word(self._ended_reasons),
            versions=list(self._versions.values()),
        )


def _hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _by_word(counts: Counter[str | None]) -> dict[str, int]:
    """The most frequent first; what has no word stands as "none"."""
    return {word if word is not None else "none": count for word, count in counts.most_common()}
