"""Short calls by the thousand, and whether the server is afterwards as it was before."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import aiohttp

from voicebot.errors import ScenarioError
from voicebot.sim.account import WEBHOOK_SECRET
from voicebot.sim.crm import CrmSink

from .endings import BAD_EVERY, GREETING_MS, MODEL_FAULTS, Ending, ShortCall, WrongEndError, ending
from .figures import Window
from .phone import NoStreamError, Phone
from .plan import Plan
from .pump import FramePump
from .readings import Readings, percentile_ms
from .scene import Scene, open_http, scene
from .steps import END_LIMIT_S, clocks, window_between

WARM_UP_CALLS = 200  # at least, and a tenth of the calls: a heap grows to its size within some hundred
EXPOSED = 200  # places for calls whose end the server has yet to notice
CALL_LIMIT_S = 90.0
REPORTS_LIMIT_S = 60.0  # after the last call, for those that the server must notice by itself
STILL_S = 3.0  # descriptors that do not change for so long stay
STILL_LIMIT_S = 40.0  # longer than any connection is kept for another request
SAMPLE_S = 1.0
GROWTH_LIMIT_KIB = 1024
GROWTH_FROM = 5_000  # calls; of fewer, what was before the first look is too little to be at rest


@dataclass(frozen=True, slots=True)
class Rest:
    """What a server holds; None for what it does not tell. `done`: calls until then."""

    done: int
    memory_kib: int | None
    descriptors: int | None
    sockets: int | None
    tasks: int | None
    calls: int | None


@dataclass
class Soaked:
    """What a soak has shown.

    Attributes:
        base, end: the server at rest, after some first calls and after the last one.
        course: the server at work, each second.
        ended: calls by how they ended.
        window: the time of the calls between the two.
        lateness_p99_ms: how late the load itself was with a frame in it.
        reports: calls of which so many reports came, by how many; None without a CRM.
    """

    base: Rest | None = None
    end: Rest | None = None
    course: list[Rest] = field(default_factory=list)
    window: Window | None = None
    lateness_p99_ms: float | None = None
    ended: Counter[str] = field(default_factory=Counter)
    reports: Counter[int] | None = None
    failures: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


async def run_soak(
    plan: Plan, tell: Callable[[Rest], None], *, bad_every: int = BAD_EVERY, first_calls: int | None = None
) -> Soaked:
    """Place the plan's calls, as many at once as its greatest load; each sample is told when it is taken.

    Args:
        first_calls: before the server is looked at for the first time; None: as many as let its heap grow to its size.

    Raises:
        ScenarioError: the server did not start.
    """
    at_once = min(max(plan.calls), plan.total)
    soaked = Soaked()
    async with (
        CrmSink(WEBHOOK_SECRET) as crm,
        scene(plan, 2 * at_once + EXPOSED, greeting_ms=GREETING_MS, crm_url=crm.url) as up,
    ):
        soak = _Soak(up, crm, at_once, bad_every)
        try:
            await soak.place(min(first_calls or max(WARM_UP_CALLS, plan.total // 10), plan.total))
            soaked.base = await soak.rest(None)
            soak.ended.clear()
            soaked.course.append(soaked.base)
            begun, up.readings.recording = clocks(up), True
            async with asyncio.TaskGroup() as both:
                sampling = both.create_task(soak.sample(soaked.course, tell))
                await soak.place(plan.total)
                sampling.cancel()
            soaked.window = window_between(begun, clocks(up), 0.0)
            soaked.lateness_p99_ms = percentile_ms(up.readings.lateness_s, 99)
            soaked.end = await soak.rest(soaked.base)
            soaked.course.append(soaked.end)
            tell(soaked.end)
        finally:
            await soak.close()
        soaked.reports = soak.reports() if up.server.ours else None
        soaked.ended, soaked.failures = soak.ended, dict(up.readings.failures)
        soaked.complaints = up.server.complaints()
    return soaked


def left_over(soaked: Soaked, total: int) -> list[str]:
    """What is not as it should be after a soak, in words."""
    base, end = soaked.base, soaked.end
    if base is None or end is None:
        return ["the soak did not come to its end"]
    found = [f"{times} × {problem}" for problem, times in soaked.failures.items()]
    for reports, calls in sorted((soaked.reports or Counter[int]()).items()):
        if reports != 1:
            found.append(f"{calls} calls have {reports or 'no'} report{'s' * (reports > 1)}")
    for name in ("descriptors", "sockets", "tasks", "calls"):
        before, after = getattr(base, name), getattr(end, name)
        if before is not None and after is not None and after > before:
            found.append(f"{after - before} {name} are left over")
    if base.memory_kib is not None and end.memory_kib is not None and total >= GROWTH_FROM:
        grown_kib = end.memory_kib - base.memory_kib
        if grown_kib > GROWTH_LIMIT_KIB:
            found.append(f"memory has grown by {grown_kib} KiB, more than {GROWTH_LIMIT_KIB}")
    return found


class _Soak:
    def __init__(self, up: Scene, crm: CrmSink, at_once: int, bad_every: int) -> None:
        self.ended: Counter[str] = Counter()
        self._up, self._crm, self._bad_every = up, crm, bad_every
        self._http = open_http()
        self._numbers, self._done = count(), 0
        self._known: Counter[str] = Counter()  # reports by CallSid
        self._webhook_ids: set[str] = set()
        self._slots: list[Phone | None] = [None] * at_once
        self._pump = FramePump(self._slots, up.readings)

    async def close(self) -> None:
        self._pump.close()
        await self._http.close()

    async def place(self, calls: int) -> None:
        """Have so many calls, one after the other in each place."""
        left = iter(range(calls))
        async with asyncio.TaskGroup() as places:
            for slot in range(min(len(self._slots), calls)):
                places.create_task(self._calls_of(slot, left))

    async def _calls_of(self, slot: int, left: Iterator[int]) -> None:
        for _ in left:
            await self._one(slot)
            self._done += 1

    async def _one(self, slot: int) -> None:
        number = next(self._numbers)
        how = ending(number, self._bad_every)
        readings = self._up.readings if how is Ending.WELL else Readings()  # what a bad call sees is no failure
        phone = self._up.model.phone(self._up.server.target, readings, MODEL_FAULTS.get(how))
        self._slots[slot] = phone
        self._known[phone.call_sid] += 0
        try:
            async with asyncio.timeout(CALL_LIMIT_S):
                await ShortCall(phone, self._http, number).run(how)
        except WrongEndError as exc:
            self._up.readings.fail(f"{exc} ({how.value})")
        except (OSError, aiohttp.ClientError, NoStreamError) as exc:
            self._up.readings.fail(f"{str(exc) or repr(exc)} ({how.value})")
        finally:
            phone.abort()
            self._slots[slot] = None
            self._up.model.forget(phone)
        self.ended[how.value] += 1

    # ---- how the server is ------------------------------------------------------------------------------------------

    async def sample(self, course: list[Rest], tell: Callable[[Rest], None]) -> None:
        """Look at it at work, until cancelled or it is gone."""
        while True:
            await asyncio.sleep(SAMPLE_S)
            self._count_reports()
            try:
                course.append(await self._look())
            except ScenarioError as exc:
                self._up.readings.fail(str(exc))
                return
            tell(course[-1])

    async def rest(self, base: Rest | None) -> Rest:
        """Look at it when nothing is at work any more, and no connection is kept that need not be.

        Args:
            base: how it was before; what is as it was then is not waited for any longer.
        """
        await self._reported()
        self._crm.close_connections()
        await self._http.close()
        self._http = open_http()
        if not await self._up.server.idle(self._up.http, END_LIMIT_S):
            self._up.readings.fail("calls did not end")
        loop = asyncio.get_running_loop()
        looked = await self._look()
        since = begun = loop.time()
        while loop.time() - begun < STILL_LIMIT_S:
            await asyncio.sleep(STILL_S / 10)
            now = await self._look()
            if (now.descriptors, now.sockets, now.tasks) != (looked.descriptors, looked.sockets, looked.tasks):
                since, looked = loop.time(), now
            still = loop.time() - since >= STILL_S
            if still and (base is None or _no_more(now, base)):
                return now
        return looked

    async def _look(self) -> Rest:
        server, http = self._up.server, self._up.http
        processes, told = server.processes, await server.gauges(http)
        calls = await server.calls(http) if told.calls_active is None else told.calls_active
        descriptors, sockets = processes.descriptors() if processes else (None, None)
        memory_kib = processes.memory_kib() if processes else None
        return Rest(self._done, memory_kib, descriptors, sockets, told.tasks, calls)

    # ---- reports ----------------------------------------------------------------------------------------------------

    def reports(self) -> Counter[int]:
        """How many calls have no report, one, two …"""
        self._count_reports()
        return Counter(self._known.values())

    async def _reported(self) -> None:
        if not self._up.server.ours:
            return
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() - begun < REPORTS_LIMIT_S:
            self._count_reports()
            if 0 not in self._known.values():
                return
            await asyncio.sleep(STILL_S / 10)

    def _count_reports(self) -> None:
        """Count what has come, and let go of it; a repetition has the id of the one before, and is no other report."""
        for one in self._crm.received:
            if one.problem is not None:
                self._up.readings.fail(f"a report that a CRM would refuse: {one.problem}")
            elif one.webhook_id not in self._webhook_ids:
                self._webhook_ids.add(one.webhook_id)
                self._known[json.loads(one.body)["data"]["call_sid"]] += 1
        self._crm.received.clear()


def _no_more(now: Rest, base: Rest) -> bool:
    pairs = ((now.descriptors, base.descriptors), (now.sockets, base.sockets), (now.tasks, base.tasks))
    return all(after is None or before is None or after <= before for after, before in pairs)
