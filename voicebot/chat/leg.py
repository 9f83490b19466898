"""The leg of a caller who types: what is sent to it is heard at once, so the call never waits for playback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import CallerEvent, CallerLeft, CloseLeg, LegCommand, MarkPlayed, SendMark


class TypingLeg:
    """A `CallerLeg` without a line: `tell` is what the caller does, marks come back as they are sent.

    What waits to be received is bounded by what was sent since the last time, and by the caller's one turn.
    """

    audio_format = AudioFormat.PCMU_8K
    quality = None

    def __init__(self) -> None:
        self._events: list[CallerEvent] = []
        self._left: CallerLeft | None = None
        self._came = asyncio.Event()

    @property
    def unheard(self) -> bool:
        """Whether something that the caller did has not been received yet."""
        return bool(self._events)

    def tell(self, event: CallerEvent) -> None:
        """The caller does something; nothing comes after they have left."""
        if self._left is None:
            self._events.append(event)
            self._left = event if isinstance(event, CallerLeft) else None
            self._came.set()

    def give_audio_to(self, hear: Callable[[bytes], bool]) -> None:
        """Whoever types is not heard."""

    async def receive(self) -> Sequence[CallerEvent]:
        """Wait for the next events; the last one ever is `CallerLeft`."""
        if not self._events and self._left is not None:
            return [self._left]
        await self._came.wait()
        self._came.clear()
        events, self._events = self._events, []
        return events

    async def send(self, commands: Sequence[LegCommand]) -> None:
        """Take commands; nothing here can be lost."""
        for command in commands:
            if isinstance(command, SendMark):
                self.tell(MarkPlayed(command.name))
            elif isinstance(command, CloseLeg):
                self.tell(CallerLeft("hangup"))
