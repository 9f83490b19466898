"""What happens in a call, written down while it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .call_result import CallResult, measure
from .timeline import CallEnded, Event, StreamRecord, Violation


class CallLog:
    """The events of one call and what was wrong with them.

    Args:
        on_event: called with every event as soon as it is known.

    Attributes:
        streams: those that are closed, in order.
    """

    def __init__(self, on_event: Callable[[Event], None] | None) -> None:
        self.streams: list[StreamRecord] = []
        self._on_event = on_event
        self._events: list[Event] = []
        self._violations: list[Violation] = []
        self._lateness_ms: list[float] = []

    def tell(self, event: Event) -> None:
        """Something happened."""
        self._events.append(event)
        if self._on_event:
            self._on_event(event)

    def object(self, code: str, problem: str, at_ms: float) -> None:
        """The server broke the protocol; `code` is the vendor's."""
        self._violations.append(Violation(code, problem, at_ms))

    def close_stream(self, record: StreamRecord, violations: Iterable[Violation]) -> None:
        """A stream is over."""
        self.streams.append(record)
        self._violations += violations

    def note_lateness(self, late_ms: float) -> None:
        """A frame passed this much later than it was due."""
        self._lateness_ms.append(late_ms)

    def result(
        self, call_sid: str, ended: CallEnded, problems: Iterable[str], spoken_tape: bytes, heard_tape: bytes
    ) -> CallResult:
        """The finished call, its events in order of time."""
        events = sorted(self._events, key=lambda event: event.at_ms)
        return CallResult(
            call_sid=call_sid,
            ended_by=ended.by,
            reason=ended.reason,
            duration_ms=ended.at_ms,
            events=tuple(events),
            violations=tuple(self._violations),
            problems=tuple(problems),
            streams=tuple(self.streams),
            statistics=measure(heard_tape, events, self.streams, self._lateness_ms),
            caller_tape=spoken_tape,
            heard_tape=heard_tape,
        )
