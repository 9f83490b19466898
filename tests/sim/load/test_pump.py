from __future__ import annotations

import asyncio

import pytest

from voicebot.sim.load.frames import FRAME_MS
from voicebot.sim.load.pump import FramePump
from voicebot.sim.load.readings import Readings

LIMIT_S = 20.0


class Counted:
    """Counts its borders."""

    def __init__(self, enough: int, *, streaming: bool = True) -> None:
        self.streaming, self.at = streaming, list[float]()
        self._enough, self.done = enough, asyncio.Event()

    def frame(self, now: float) -> None:
        self.at.append(now)
        if len(self.at) >= self._enough:
            self.done.set()


async def test_each_phone_passes_its_borders_in_turn() -> None:
    phones = [Counted(25), Counted(25), Counted(25)]
    readings = Readings(recording=True)
    pump = FramePump(phones, readings)
    async with asyncio.timeout(LIMIT_S):
        await phones[2].done.wait()
    pump.close()
    counts = [len(phone.at) for phone in phones]
    assert max(counts) - min(counts) <= 1
    assert len(readings.lateness_s) == sum(counts)
    assert min(readings.lateness_s) >= 0
    # The schedule is absolute: none comes before its time, however late the first one was.
    assert phones[0].at[-1] - phones[0].at[0] + max(readings.lateness_s) >= 24 * FRAME_MS / 1000


async def test_empty_places_and_silent_phones_are_passed_over() -> None:
    silent, speaking = Counted(1, streaming=False), Counted(5)
    slots: list[Counted | None] = [None, silent, speaking]
    pump = FramePump(slots, Readings())
    async with asyncio.timeout(LIMIT_S):
        await speaking.done.wait()
        slots[0] = late = Counted(2)
        await late.done.wait()
    pump.close()
    assert silent.at == []


async def test_closed_pump_passes_no_more() -> None:
    phone = Counted(2)
    pump = FramePump([phone], Readings())
    async with asyncio.timeout(LIMIT_S):
        await phone.done.wait()
    pump.close()
    passed = len(phone.at)
    await asyncio.sleep(0.1)
    assert len(phone.at) == passed


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")


@pytest.mark.usefixtures("elsewhere")
async def test_without_the_kernels_timer_it_goes_too() -> None:
    phones = [Counted(10), Counted(10)]
    pump = FramePump(phones, Readings())
    async with asyncio.timeout(LIMIT_S):
        await phones[1].done.wait()
    pump.close()
    assert abs(len(phones[0].at) - len(phones[1].at)) <= 1
