"""Gauges from a server's `/metrics`, in the text format of Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

LOOP_LAG = "voicebot_event_loop_lag_seconds"
TASKS = "voicebot_tasks"
CALLS_ACTIVE = "voicebot_calls_active"


@dataclass(frozen=True, slots=True)
class Gauges:
    """What a server tells of itself; None for what it does not tell. Of several workers the longest lag, and sums."""

    loop_lag_s: float | None = None
    tasks: int | None = None
    calls_active: int | None = None


def gauges(page: str) -> Gauges:
    """Read the answer of `/metrics`, which is of all workers, whichever is asked."""
    tasks, active = values(page, TASKS), values(page, CALLS_ACTIVE)
    return Gauges(
        loop_lag_s=max(values(page, LOOP_LAG), default=None),
        tasks=round(sum(tasks)) if tasks else None,
        calls_active=round(sum(active)) if active else None,
    )


def values(page: str, name: str) -> list[float]:
    """Every sample of a metric, whatever its labels."""
    found = []
    for line in page.splitlines():
        rest = line.removeprefix(name)
        if rest is not line and rest[:1] in ("{", " "):
            text = rest.rpartition("}")[2].split()[:1]
            found += [float(text[0])] if text else []
    return found
