"""What a caller does, on its way from a socket to the call: the part that every leg of a caller shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from voicebot.call.ports import CallerAudio, CallerEvent, CallerLeft
from voicebot.inbox import Inbox

from .socket import MediaSocket

MOST_WAITING = 200  # events that came and were not received; then no more are read


class CallerEvents(Inbox[CallerEvent]):
    """Audio goes to whoever hears it, all else to `receive`, until the caller has left."""

    __slots__ = ("_hear", "_socket", "left")

    def __init__(self, socket: MediaSocket) -> None:
        """`socket`: where it comes from, which waits while too much does."""
        super().__init__()
        self._socket = socket
        self._hear: Callable[[bytes], bool] = _nobody_hears
        self.left: CallerLeft | None = None

    def give_audio_to(self, hear: Callable[[bytes], bool]) -> None:
        """See `CallerLeg`."""
        self._hear = hear

    async def receive(self) -> list[CallerEvent]:
        """Wait for the next events. After `CallerLeft` every call gives it again, at once."""
        events = await super().receive()
        if not events and self.left is not None:
            return [self.left]
        if len(events) >= MOST_WAITING:
            self._socket.resume_reading()
        return events

    def audio(self, payload: bytes) -> None:
        """The caller is heard, fifty times a second; behind what waits already, audio waits too."""
        if self.waiting or not self._hear(payload):
            self.tell(CallerAudio(payload))

    def tell(self, event: CallerEvent) -> None:
        """The caller has done something else."""
        self.put((event,))
        if len(self.waiting) == MOST_WAITING:
            self._socket.pause_reading()

    def leave(self, reason: Literal["hangup", "lost"]) -> None:
        """The caller has left; does nothing the second time."""
        if self.left is None:
            self.left, self._hear = CallerLeft(reason), _nobody_hears
            self.tell(self.left)
            self.end()


def _nobody_hears(payload: bytes) -> bool:
    return False
