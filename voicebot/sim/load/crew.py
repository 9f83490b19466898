"""The phones on the line: as many as are wanted, each with its place among the frames."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from .model import Model
from .phone import Phone
from .pump import FramePump
from .readings import Readings
from .target import Target

LONGEST_CALL_S = 600.0
HEARD_BY_S = 5.0  # who is on the line for so long has heard something


@dataclass(frozen=True, slots=True)
class _OnLine:
    phone: Phone
    slot: int
    since: float


class Crew:
    """
    Args:
        size: phones at most.
        tasks: what dialling and hanging up run in.
    """

    def __init__(
        self,
        target: Target,
        model: Model,
        readings: Readings,
        http: aiohttp.ClientSession,
        size: int,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.slots: list[Phone | None] = [None] * size
        self._target, self._model, self._readings, self._http, self._tasks = target, model, readings, http, tasks
        self._free = deque(range(size))
        self._on_line: deque[_OnLine] = deque()  # the one that has been there longest first

    @property
    def up(self) -> int:
        """Phones that have dialled and not hung up."""
        return len(self._on_line)

    def follow(self, calls: int) -> None:
        """Have so many phones on the line: those that lack dial now, those too many hang up."""
        while self.up < calls and self._free:
            self._dial()
        while self.up > calls:
            self._leave(self._on_line.popleft())

    def renew(self, now: float) -> None:
        """Have calls that have become long end, not all at the same time, and others begin in their place."""
        size = len(self.slots)
        long = [one for one in self._on_line if now - one.since > LONGEST_CALL_S * (1 + one.slot / size) / 2]
        for one in long:
            self._on_line.remove(one)
            self._leave(one)

    def _dial(self) -> None:
        slot = self._free.popleft()
        phone = self.slots[slot] = self._model.phone(self._target, self._readings)
        self._on_line.append(_OnLine(phone, slot, asyncio.get_running_loop().time()))
        self._tasks.create_task(phone.call(self._http))

    def _leave(self, one: _OnLine) -> None:
        if one.phone.ear.silent and asyncio.get_running_loop().time() - one.since > HEARD_BY_S:
            self._readings.fail("a caller heard nothing")
        self._model.end_session(one.phone)
        self._tasks.create_task(self._hang_up(one))

    async def _hang_up(self, one: _OnLine) -> None:
        await one.phone.hang_up(self._http)
        self.slots[one.slot] = None
        self._free.append(one.slot)
        self._model.forget(one.phone)


@asynccontextmanager
async def crew(
    target: Target, model: Model, readings: Readings, http: aiohttp.ClientSession, size: int
) -> AsyncIterator[Crew]:
    """Phones for a while; at the end all hang up."""
    tasks = await asyncio.TaskGroup().__aenter__()  # by hand: an error of the body stays as it is
    made = Crew(target, model, readings, http, size, tasks)
    pump = FramePump(made.slots, readings)
    try:
        yield made
    finally:
        made.follow(0)
        await tasks.__aexit__(None, None, None)
        pump.close()
