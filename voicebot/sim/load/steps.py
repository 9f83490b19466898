"""One load after the other, each in a server of its own: the figures of a window in which all calls are at work."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from voicebot.errors import ScenarioError

from .crew import Crew, crew
from .figures import Figures, Memory, Window, figures, medians, not_carried
from .finder import Search
from .plan import Plan
from .processes import waited_s
from .profiles import DIALLED_PER_S
from .readings import Readings
from .scene import Scene, scene

WARM_UP_LIMIT_S = 10.0  # of the one call before
RENDERED_S = 1.0  # after its first answer, when exact words are rendered for all calls to come
LOOK_EVERY_S = 0.1
SETTLE_S = 4.0  # from the last call's beginning to the window
END_LIMIT_S = 20.0
STEP_LIMIT_S = 120.0  # of a step, besides its window and its ramp
ROOM = 10  # calls that the server may have beside those of the load
TRIES = 2  # of a load before it counts as too much


@dataclass(frozen=True)
class Step:
    """A load's figures, over all its runs, and what the server has logged as warnings and errors."""

    row: Figures
    complaints: list[str]


def _nothing(origin: str) -> AbstractAsyncContextManager[object]:
    return nullcontext()


async def measure(
    plan: Plan, calls: int, beside: Callable[[str], AbstractAsyncContextManager[object]] = _nothing
) -> Step:
    """Measure one load, as often as the plan says.

    Args:
        beside: what goes on in the window beside the calls, given the server's origin.

    Raises:
        ScenarioError: it could not be measured.
    """
    runs = [await _measure_once(plan, calls, beside) for _ in range(plan.runs)]
    return Step(medians([run.row for run in runs]), [line for run in runs for line in run.complaints])


async def find(plan: Plan, tell: Callable[[Step, list[str]], None], tell_of: Callable[[str], None]) -> Search:
    """Look for the most calls that the server carries, from the plan's greatest load on.

    A load that is too much for it is tried a second time: machines have bad moments.

    Args:
        tell: told of each load when it is measured, with why the server does not carry it.
        tell_of: told of loads that could not even be measured.

    Raises:
        ScenarioError: one call could not be measured.
    """
    alone = await measure(plan, 1)
    tell(alone, not_carried(alone.row, alone.row))
    search = Search(max(plan.calls))
    while (calls := search.next()) is not None:
        carried, tries = False, 0
        while not carried and tries < TRIES:
            carried, tries = await _carries(plan, calls, alone.row, tell, tell_of), tries + 1
        search.tell(calls, carried=carried)
    return search


async def _carries(
    plan: Plan,
    calls: int,
    alone: Figures,
    tell: Callable[[Step, list[str]], None],
    tell_of: Callable[[str], None],
) -> bool:
    try:
        step = await measure(plan, calls)
    except ScenarioError as exc:
        tell_of(str(exc))
        return False
    why = not_carried(step.row, alone)
    tell(step, why)
    return not why


async def _measure_once(plan: Plan, calls: int, beside: Callable[[str], AbstractAsyncContextManager[object]]) -> Step:
    limit_s = STEP_LIMIT_S + plan.seconds + calls / DIALLED_PER_S
    try:
        async with asyncio.timeout(limit_s), scene(plan, calls + ROOM) as up:
            await warm_up(up)
            idle_kib = up.server.processes.memory_kib() if up.server.processes else None
            async with crew(up.server.target, up.model, up.readings, up.http, calls) as phones:
                await _all_dial(phones, calls)
                lag_before = (await up.server.gauges(up.http)).loop_lag_s
                async with beside(up.server.asked[0]):
                    window = await _window(up, plan.seconds, calls)
                loaded_kib = up.server.processes.memory_kib() if up.server.processes else None
                lag_after = (await up.server.gauges(up.http)).loop_lag_s
            await calls_end(up)
    except TimeoutError as exc:
        raise ScenarioError(f"{calls} calls could not be measured within {limit_s:.0f} s") from exc
    lag_s = max((lag for lag in (lag_before, lag_after) if lag is not None), default=None)
    row = figures(plan.codec, calls, up.readings, window, Memory(idle_kib, loaded_kib), lag_s)
    return Step(row, up.server.complaints())


async def warm_up(up: Scene) -> None:
    """Have one call, so that the server has done everything once.

    Raises:
        ScenarioError: already this one failed.
    """
    async with crew(up.server.target, up.model, up.readings, up.http, 1) as phones:
        phones.follow(1)
        await _greeted(phones, up.readings)
    await calls_end(up)
    if up.readings.failures:
        said = "".join(f"\n  the server: {line}" for line in up.server.complaints()[:3])
        raise ScenarioError(f"one call alone failed: {'; '.join(up.readings.failures)}{said}")
    del up.readings.webhook_s[:]
    up.readings.underruns = 0


async def _greeted(phones: Crew, readings: Readings) -> None:
    """Wait until the first phone has heard a whole answer, and some more; or until it fails."""
    (phone,) = phones.slots
    due = time.monotonic() + WARM_UP_LIMIT_S
    while time.monotonic() < due and not readings.failures:
        await asyncio.sleep(LOOK_EVERY_S)
        if phone is not None and not phone.ear.silent and not phone.ear.hears:
            await asyncio.sleep(RENDERED_S)
            return


async def calls_end(up: Scene) -> None:
    """Wait for the server to see that all have hung up."""
    if not await up.server.idle(up.http, END_LIMIT_S):
        up.readings.fail("calls did not end")


async def _all_dial(phones: Crew, calls: int) -> None:
    for number in range(1, calls + 1):
        phones.follow(number)
        await asyncio.sleep(1 / DIALLED_PER_S)
    await asyncio.sleep(SETTLE_S)


async def _window(up: Scene, seconds: float, calls: int) -> Window:
    with _uncollected():
        begun = clocks(up)
        up.readings.recording = True
        await asyncio.sleep(seconds)
        up.readings.recording = False
        return window_between(begun, clocks(up), calls * seconds)


@dataclass(frozen=True, slots=True)
class Clocks:
    """What has passed so far, in seconds: on the wall, in the server's processes and in ours; None: unreadable."""

    wall_s: float
    server_s: float | None
    waited_s: float | None
    load_s: float
    load_waited_s: float | None


def clocks(up: Scene) -> Clocks:
    """Read them."""
    processes = up.server.processes
    server_s, server_waited_s = (processes.cpu_s(), processes.waited_s()) if processes else (None, None)
    ours_s = waited_s(os.getpid()) if processes else None
    return Clocks(time.perf_counter(), server_s, server_waited_s, time.process_time(), ours_s)


def window_between(begun: Clocks, ended: Clocks, call_s: float) -> Window:
    """What has passed between two readings."""
    return Window(
        wall_s=ended.wall_s - begun.wall_s,
        call_s=call_s,
        server_s=_between(begun.server_s, ended.server_s),
        waited_s=_between(begun.waited_s, ended.waited_s),
        load_s=ended.load_s - begun.load_s,
        load_waited_s=_between(begun.load_waited_s, ended.load_waited_s),
    )


def _between(begun: float | None, ended: float | None) -> float | None:
    return None if begun is None or ended is None else ended - begun


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without pauses of our own garbage collector."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
