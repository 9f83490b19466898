"""Figures of calls, from their digests: by the hour, and how far callers get in a flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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


async def counted(store: Store, wanted: CallFilter) -> tuple[list[FoundCall], bool]:
    """The latest calls of these, and whether they are all."""
    found: list[FoundCall] = []
    place: tuple[datetime, str] | None = None
    while len(found) < COUNTED:
        some = await store.find_calls(wanted, AT_ONCE, place)
        found += some
        if len(some) < AT_ONCE:
            return found, True
        place = some[-1].record.started, some[-1].record.call_sid
    return found, False


def hours_of(calls: Iterable[FoundCall], since: datetime, until: datetime, price: Price | None) -> list[Hour]:
    """Every hour that some of the time lies in, with the calls that began in it."""
    first = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    by_hour: dict[datetime, list[FoundCall]] = {}
    while first < until:
        by_hour[first] = []
        first += timedelta(hours=1)
    for one in calls:
        hour = one.record.started.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if hour in by_hour:
            by_hour[hour].append(one)
    return [hour_of(hour, some, price) for hour, some in by_hour.items()]


def hour_of(hour: datetime, calls: Sequence[FoundCall], price: Price | None) -> Hour:
    """The figures of these calls."""
    ended = [one.digest for one in calls if one.digest is not None]
    waits = [one.response_ms for one in ended if one.response_ms is not None]
    costs = [cost for one in ended if (cost := cost_of(one.tokens, price)) is not None]
    return Hour(
        hour=hour,
        calls=len(calls),
        live=sum(one.record.ended is None for one in calls),
        outcomes=_counted(one.outcome for one in ended),
        ended_reasons=_counted(one.ended_reason for one in ended),
        response_ms=round(median(waits)) if waits else None,
        cost_usd=round(sum(costs), 6) if price is not None else None,
        dead_air_s=round(sum(one.waited_ms + one.underrun_ms for one in ended) / 1000, 1),
        duration_s=round(sum(one.duration_s for one in ended), 1),
    )


def stats_of(
    flow: str, phases: Sequence[str], calls: Sequence[FoundCall], since: datetime, until: datetime, *, whole: bool
) -> FlowStats:
    """How far callers got; phases that the flow has now come first, then those that it had."""
    ended = [one.digest for one in calls if one.digest is not None]
    entered = Counter(phase for one in ended for phase in one.phases)
    last = Counter(one.last_phase for one in ended)
    dropped = Counter(one.last_phase for one in ended if _dropped(one))
    versions: dict[str, list[datetime]] = {}
    for one in calls:
        versions.setdefault(one.record.flow_version, []).append(one.record.started)
    return FlowStats(
        flow=flow,
        since=since,
        until=until,
        calls=len(ended),
        live=sum(one.record.ended is None for one in calls),
        whole=whole,
        phases=[
            PhaseStats(name=name, entered=entered[name], ended_here=last[name], dropped=dropped[name])
            for name in dict.fromkeys([*phases, *sorted(entered)])
        ],
        outcomes=_counted(one.outcome for one in ended),
        ended_reasons=_counted(one.ended_reason for one in ended),
        versions=[
            VersionStats(version=version, calls=len(starts), first=min(starts), last=max(starts))
            for version, starts in versions.items()
        ],
    )


def _dropped(digest: Digest) -> bool:
    return digest.ended_reason in DROPPED


def _counted(words: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(word if word is not None else "none" for word in words).most_common())
