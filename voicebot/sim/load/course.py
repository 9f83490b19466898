"""A load that goes up and down over time, and how the server stood each second."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from voicebot.errors import ScenarioError

from .crew import Crew, crew
from .figures import Figures, Memory, Window, figures
from .plan import Plan
from .profiles import profile
from .readings import percentile_ms
from .scene import Scene, scene
from .steps import ROOM, Clocks, calls_end, clocks, warm_up, window_between
from .table import Sample

TICK_S = 0.04
MOST_SAMPLES = 600  # of a course, however long
START_LIMIT_S = 120.0  # and for the end, besides the course itself


@dataclass(frozen=True)
class Course:
    """What a course has shown: moment by moment, all of it, and what the server has logged as warnings and errors."""

    samples: list[Sample]
    row: Figures
    complaints: list[str]


async def run_course(plan: Plan, tell: Callable[[Sample], None]) -> Course:
    """Follow the plan's shape for its seconds; each sample is told when it is taken.

    Raises:
        ScenarioError: the server did not start, or does not take one call.
    """
    calls = max(plan.calls)
    try:
        async with asyncio.timeout(plan.seconds + START_LIMIT_S), scene(plan, calls + ROOM) as up:
            await warm_up(up)
            idle_kib = up.server.processes.memory_kib() if up.server.processes else None
            async with crew(up.server.target, up.model, up.readings, up.http, calls) as phones:
                samples, window = await _follow(plan, up, phones, tell)
            await calls_end(up)
    except TimeoutError as exc:
        raise ScenarioError("the calls did not come to an end") from exc
    most_mib = max((one.memory_mib for one in samples if one.memory_mib is not None), default=None)
    memory = Memory(idle_kib, None if most_mib is None else round(most_mib * 1024))
    lags_s = [one.loop_lag_ms / 1000 for one in samples if one.loop_lag_ms is not None]
    row = figures(plan.codec, calls, up.readings, window, memory, max(lags_s, default=None))
    return Course(samples, row, up.server.complaints())


async def _follow(plan: Plan, up: Scene, phones: Crew, tell: Callable[[Sample], None]) -> tuple[list[Sample], Window]:
    assert plan.shape is not None
    wanted, now = profile(plan.shape, max(plan.calls), plan.seconds), asyncio.get_running_loop().time
    every_s = max(1.0, plan.seconds / MOST_SAMPLES)
    sampler, samples = _Sampler(up, phones), list[Sample]()
    clocks_at_begin, begun_s, call_s = clocks(up), now(), 0.0
    up.readings.recording = True
    while (at_s := now() - begun_s) < plan.seconds:
        phones.follow(wanted(at_s))
        if at_s >= every_s * (len(samples) + 1):
            phones.renew(now())
            samples.append(await sampler.take(at_s))
            tell(samples[-1])
        before_s = now()
        await asyncio.sleep(TICK_S)
        call_s += phones.up * (now() - before_s)
    samples.append(await sampler.take(plan.seconds))
    tell(samples[-1])
    up.readings.recording = False
    return samples, window_between(clocks_at_begin, clocks(up), call_s)


class _Sampler:
    """Says what has changed since it was asked last."""

    def __init__(self, up: Scene, phones: Crew) -> None:
        self._up, self._phones = up, phones
        self._clocks: Clocks = clocks(up)
        self._uplink_seen = self._lateness_seen = 0

    async def take(self, at_s: float) -> Sample:
        up, readings = self._up, self._up.readings
        lag_s = (await up.server.gauges(up.http)).loop_lag_s
        now = clocks(up)
        passed = window_between(self._clocks, now, 0.0)
        uplink, self._uplink_seen = _since(readings.uplink_s, self._uplink_seen)
        lateness, self._lateness_seen = _since(readings.lateness_s, self._lateness_seen)
        self._clocks = now
        memory_kib = up.server.processes.memory_kib() if up.server.processes else None
        return Sample(
            at_s=round(at_s, 1),
            calls=self._phones.up,
            server_share=None if passed.server_s is None else round(passed.server_s / passed.wall_s, 3),
            memory_mib=None if memory_kib is None else round(memory_kib / 1024, 2),
            loop_lag_ms=None if lag_s is None else round(lag_s * 1000, 2),
            uplink_p50_ms=percentile_ms(uplink, 50),
            uplink_p99_ms=percentile_ms(uplink, 99),
            load_share=round(passed.load_s / passed.wall_s, 3),
            lateness_p99_ms=percentile_ms(lateness, 99),
            underruns=readings.underruns,
            failures=readings.failures.total(),
        )


def _since(values: array[float], seen: int) -> tuple[array[float], int]:
    return values[seen:], len(values)
