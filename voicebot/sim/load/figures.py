"""The figures of a load, and what is said of them: medians, what a server carries, where the load was the limit."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .readings import Readings, percentile_ms

ABOVE_ALONE_MS = 20.0  # QUALITY of a carried load: so much may the uplink's p99 be above its own value at one call
FULL_CORE = 0.9  # share of its core from which the load has no time to spare
LATE_MS = 5.0  # p99 of its own lateness from which delays are the load's as much as the server's


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds that passed, and what was used in them; None for what cannot be read.

    Attributes:
        call_s: seconds of calls, all of them together.
        load_waited_s: time that the load could run and was not run.
    """

    wall_s: float
    call_s: float
    server_s: float | None
    waited_s: float | None
    load_s: float
    load_waited_s: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in KiB, of the idle server and under load; None where it cannot be read."""

    idle_kib: int | None
    loaded_kib: int | None


@dataclass(frozen=True, slots=True)
class Figures:
    """One load. Times in milliseconds; shares of one core's time from 0 to 1 (of more cores: more)."""

    codec: str
    calls: int
    window_s: float
    cpu_ms_per_call_second: float | None
    memory_kib_per_call: float | None
    idle_memory_mib: float | None
    loop_lag_ms: float | None
    uplink_p50_ms: float | None
    uplink_p99_ms: float | None
    downlink_p50_ms: float | None
    downlink_p99_ms: float | None
    barge_in_p50_ms: float | None
    barge_in_p99_ms: float | None
    truncation_most_ms: float | None
    truncation_least_ms: float | None
    webhook_p50_ms: float | None
    webhook_p99_ms: float | None
    lateness_p50_ms: float | None
    lateness_p99_ms: float | None
    server_share: float | None
    server_waited: float | None
    generator_share: float
    generator_waited: float | None
    frames: int
    turns: int
    barge_ins: int
    underruns: int
    failures: dict[str, int]


def figures(
    codec: str, calls: int, readings: Readings, window: Window, memory: Memory, loop_lag_s: float | None
) -> Figures:
    """Put together what a window has shown."""
    grown_kib = None if memory.idle_kib is None or memory.loaded_kib is None else memory.loaded_kib - memory.idle_kib
    return Figures(
        codec=codec,
        calls=calls,
        window_s=round(window.wall_s, 1),
        cpu_ms_per_call_second=_ratio(window.server_s, window.call_s / 1000, 2),
        memory_kib_per_call=_ratio(grown_kib, calls, 1),
        idle_memory_mib=_ratio(memory.idle_kib, 1024, 1),
        loop_lag_ms=_ratio(loop_lag_s, 1 / 1000, 2),
        uplink_p50_ms=percentile_ms(readings.uplink_s, 50),
        uplink_p99_ms=percentile_ms(readings.uplink_s, 99),
        downlink_p50_ms=percentile_ms(readings.downlink_s, 50),
        downlink_p99_ms=percentile_ms(readings.downlink_s, 99),
        barge_in_p50_ms=percentile_ms(readings.barge_in_s, 50),
        barge_in_p99_ms=percentile_ms(readings.barge_in_s, 99),
        truncation_most_ms=max(readings.truncation_ms, default=None),
        truncation_least_ms=min(readings.truncation_ms, default=None),
        webhook_p50_ms=percentile_ms(readings.webhook_s, 50),
        webhook_p99_ms=percentile_ms(readings.webhook_s, 99),
        lateness_p50_ms=percentile_ms(readings.lateness_s, 50),
        lateness_p99_ms=percentile_ms(readings.lateness_s, 99),
        server_share=_ratio(window.server_s, window.wall_s, 3),
        server_waited=_ratio(window.waited_s, window.wall_s, 3),
        generator_share=round(window.load_s / window.wall_s, 3),
        generator_waited=_ratio(window.load_waited_s, window.wall_s, 3),
        frames=len(readings.lateness_s),
        turns=readings.turns,
        barge_ins=len(readings.barge_in_s),
        underruns=readings.underruns,
        failures=dict(readings.failures),
    )


def _ratio(value: float | None, by: float, digits: int) -> float | None:
    return None if value is None or not by else round(value / by, digits)


_WORST = {"truncation_most_ms": max, "truncation_least_ms": min}
_COUNTS = frozenset({"frames", "turns", "barge_ins"})


def medians(runs: Sequence[Figures]) -> Figures:
    """Of several runs of one load: the median of each figure, the extremes of truncation, every failure."""
    first = runs[0]
    row: dict[str, object] = {}
    for name in Figures.__slots__:
        known = [value for run in runs if (value := getattr(run, name)) is not None]
        if name in ("codec", "calls"):
            row[name] = getattr(first, name)
        elif name == "failures":
            row[name] = _summed([run.failures for run in runs])
        elif name == "underruns":
            row[name] = sum(known)
        elif not known:
            row[name] = None
        elif name in _WORST:
            row[name] = _WORST[name](known)
        else:
            row[name] = round(statistics.median(known), None if name in _COUNTS else 3)
    return Figures(**row)  # type: ignore[arg-type]  # the fields are its own


def _summed(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(one.get(name, 0) for one in counts) for count in counts for name in count}


def faults(row: Figures) -> list[str]:
    """What went wrong, in words; a load without any has not failed."""
    found = [f"{times} × {problem}" for problem, times in row.failures.items()]
    if row.underruns:
        found.append(f"{row.underruns} × an answer's audio came too late to be played without a gap")
    return found


def not_carried(row: Figures, alone: Figures) -> list[str]:
    """Why this load is more than the server carries; nothing if it carries it.

    Args:
        alone: the figures of one call.
    """
    why = faults(row)
    if row.uplink_p99_ms is None or alone.uplink_p99_ms is None:
        why.append("no audio came up")
    elif row.uplink_p99_ms - alone.uplink_p99_ms >= ABOVE_ALONE_MS:
        why.append(f"uplink p99 {row.uplink_p99_ms:.1f} ms, {alone.uplink_p99_ms:.1f} ms with one call")
    return why


def load_was_limit(row: Figures) -> str | None:
    """Whether the load itself was too slow for its figures to be the server's alone, in words."""
    if row.generator_share >= FULL_CORE:
        return f"the load took {row.generator_share:.0%} of its own core: it was the limit, not the server"
    if row.lateness_p99_ms is not None and row.lateness_p99_ms >= LATE_MS:
        waited = row.generator_waited
        why = f", as its core was at other work for {waited:.0%} of the time" if waited and waited >= 0.05 else ""
        return f"the load was late itself, p99 {row.lateness_p99_ms:.1f} ms{why}: delays are partly its own"
    return None
