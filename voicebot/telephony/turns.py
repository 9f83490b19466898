"""Audio that comes in one turn of the event loop, from however many phone lines, is converted together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicebot.audio.resample import Upsampler, upsample


class Conversions:
    """The conversions of one event loop: what has come is converted at the end of the turn in which it came.

    Nothing waits for more. The busier the loop is, the more lines bring audio in one turn, and the less each costs:
    `voicebot load` shows it as processor time per call that falls as calls grow.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: list[tuple[Upsampler, bytes]] = []
        self._takers: list[Callable[[bytes], object]] = []

    def add(self, stream: Upsampler, payload: bytes, take: Callable[[bytes], object]) -> None:
        """Convert the next payload of a stream, and have it given to `take`."""
        if not self._work:
            self._loop.call_soon(self.finish)
        self._work.append((stream, payload))
        self._takers.append(take)

    def finish(self) -> None:
        """Convert now what has come, since something must not overtake it."""
        work, self._work = self._work, []
        takers, self._takers = self._takers, []
        for take, converted in zip(takers, upsample(work), strict=True):
            try:
                take(converted)
            except Exception as exc:  # noqa: BLE001 - a defect of ours on one line; the others have their audio
                self._loop.call_exception_handler({"message": "audio was not taken", "exception": exc})
