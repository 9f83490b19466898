"""What a call needs of whoever records it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from .entries import Entry, RecordingEnded


class CallRecording(Protocol):
    """The recording of a call at work, which never holds the call up."""

    def give_notes_to(self, note: Callable[[Entry], None]) -> None:
        """Have what becomes of it written into the journal by `note`."""
        ...

    def told(self, entry: Entry, at: datetime) -> None:
        """Take every entry of the journal as it is decided; consent and refusal are among them."""
        ...

    def pause(self) -> None:
        """Keep silence of the caller from now on; a second time it does nothing."""
        ...

    def resume(self) -> None:
        """Keep what the caller says again; a second time it does nothing."""
        ...

    async def end(self, *, over: bool) -> RecordingEnded | None:
        """The stream is over, and the call too if `over`; returns within seconds what it has come to, once."""
        ...
