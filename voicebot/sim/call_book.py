"""The calls of an account: who is on the line, so that the account's REST API can reach into a call."""

from __future__ import annotations

from typing import Literal, Protocol

CallStatus = Literal["ringing", "in-progress", "completed", "busy", "no-answer", "failed", "canceled"]


class Reachable(Protocol):
    """A call that can be told what to do in the middle of it. After its end, it is deaf."""

    @property
    def call_sid(self) -> str: ...

    @property
    def status(self) -> CallStatus: ...

    @property
    def parties(self) -> tuple[str, str]:
        """The caller's number and the number called."""
        ...

    def go_to(self, url: str, method: str = "POST") -> None:
        """Drop the TwiML that is running, end its stream, and go on with the document at `url`."""
        ...

    def play(self, twiml: str) -> None:
        """The same, with a document that is given in words.

        Raises:
            TwimlError: it is not TwiML; the call goes on as it was.
        """
        ...

    def hang_up(self) -> None:
        """End the call."""
        ...


class CallBook:
    """The calls of one account by CallSid, with those that are over."""

    def __init__(self) -> None:
        self._calls: dict[str, Reachable] = {}

    def enter(self, call: Reachable) -> None:
        """A call is placed."""
        self._calls[call.call_sid] = call

    def find(self, call_sid: str) -> Reachable | None:
        """The call, on the line or over; None for one that never was."""
        return self._calls.get(call_sid)

    def on_the_line(self) -> list[Reachable]:
        """Calls that ring or talk, in the order in which they were placed."""
        return [call for call in self._calls.values() if call.status in ("ringing", "in-progress")]
