"""What a line carries, told to whoever listens in on it, as a recorder does."""

from __future__ import annotations

from typing import Protocol


class LineTap(Protocol):
    """Told of each message of a stream in the order on the wire, in the step in which it comes or goes; never waits.

    Payloads are mu-law at 8 kHz.
    """

    def heard(self, payload: bytes, timestamp_ms: int) -> None:
        """Audio of the caller, which begins so long after the stream."""
        ...

    def sent(self, payload: bytes) -> str | None:
        """Audio is about to be sent; returns a mark that is to be sent before it, if there is one."""
        ...

    def marked(self, name: str) -> None:
        """A mark is about to be sent."""
        ...

    def cleared(self) -> str:
        """A `clear` was sent; returns a mark that must be sent next."""
        ...

    def echoed(self, name: str) -> bool:
        """A mark came back; returns whether it is one of the tap's own, which nobody else is to hear of."""
        ...
