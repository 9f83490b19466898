"""Has every phone pass its border between two frames each 20 ms, evenly spread, on an absolute schedule."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Sequence
from typing import Protocol

from .frames import FRAME_MS
from .readings import Readings

HEAD_START_S = 0.05
_COARSE_S = 0.001  # between two looks at the clock, where there is no timer to wait for


class Framed(Protocol):
    """What has a border between two frames to pass."""

    streaming: bool

    def frame(self, now: float) -> None: ...


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`: interval and first expiry."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns"))


class FramePump:
    """Runs from its making until `close`; how late each frame is goes into the readings.

    On Linux it waits for the kernel's timer, as an event loop's own is too coarse; elsewhere it looks at the clock each
    millisecond.

    Args:
        slots: a phone or none in each; may change while the pump runs, not in number.
    """

    def __init__(self, slots: Sequence[Framed | None], readings: Readings) -> None:
        self._slots, self._readings = slots, readings
        self._every_s = FRAME_MS / 1000 / len(slots)
        self._start = time.perf_counter() + HEAD_START_S
        self._passed = 0
        self._timer: int | None = None
        self._handle: asyncio.TimerHandle | None = None
        if sys.platform == "linux":
            self._timer = _timer(self._every_s, self._start)
            asyncio.get_running_loop().add_reader(self._timer, self._expired)
        else:
            self._look()

    def close(self) -> None:
        """Pass no more borders."""
        if self._timer is not None:
            asyncio.get_running_loop().remove_reader(self._timer)
            os.close(self._timer)
        if self._handle is not None:
            self._handle.cancel()

    def _expired(self) -> None:
        assert self._timer is not None
        with contextlib.suppress(BlockingIOError):
            os.read(self._timer, 8)
        self._pass()

    def _look(self) -> None:
        self._pass()
        self._handle = asyncio.get_running_loop().call_later(_COARSE_S, self._look)

    def _pass(self) -> None:
        readings = self._readings
        while (now := time.perf_counter()) >= (due := self._start + self._passed * self._every_s):
            phone = self._slots[self._passed % len(self._slots)]
            self._passed += 1
            if phone is not None and phone.streaming:
                readings.note(readings.lateness_s, now - due)
                phone.frame(now)


def _timer(every_s: float, first_s: float) -> int:
    """A descriptor that can be read each `every_s`, from the time `first_s` on."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer: int = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    spec = _TimerSpec(*divmod(round(every_s * 1e9), 10**9), *divmod(round(first_s * 1e9), 10**9))
    absolute = 1
    if timer < 0 or libc.timerfd_settime(timer, absolute, ctypes.byref(spec), None) != 0:
        raise OSError(ctypes.get_errno(), "no timer")
    return timer
