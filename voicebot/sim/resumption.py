"""How a call went on when one of its streams was over: what was lost, and when the caller heard something again.

Judged on the line alone: by the streams that were opened and closed, and by the sound in the caller's ear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .tape import Sound, first_sound_ms
from .timeline import BYTES_PER_MS, Event, StreamBroke, StreamClosed, StreamOpened


@dataclass(frozen=True, slots=True)
class Resumption:
    """A stream ended at `lost_ms` and the call's next one was open at `stream_ms`.

    `lost_ms` is when the connection really broke, also where the line noticed only later. `audible_ms` is the first
    sound that the caller heard of the new stream; None if there was none before it ended.
    """

    lost_ms: float
    stream_ms: float
    audible_ms: float | None

    @property
    def stream_gap_ms(self) -> float:
        """How long the call was without a stream."""
        return self.stream_ms - self.lost_ms

    @property
    def audible_gap_ms(self) -> float | None:
        """How long the caller heard nothing of the call; None if he never heard of it again."""
        return None if self.audible_ms is None else self.audible_ms - self.lost_ms


def resumptions(events: Sequence[Event], sound: Sound) -> tuple[Resumption, ...]:
    """One for each stream of a call but the first.

    Args:
        events: the call's, in order of time.
        sound: where the caller heard something, from the moment the call was placed.
    """
    return tuple(_resumptions(events, sound))


def _resumptions(events: Sequence[Event], sound: Sound) -> Iterator[Resumption]:
    lost_ms: float | None = None
    broke = {event.stream_sid: event.at_ms for event in events if isinstance(event, StreamBroke)}
    closed = {event.stream_sid: event.at_ms for event in events if isinstance(event, StreamClosed)}
    for event in events:
        match event:
            case StreamClosed(at_ms, stream_sid):
                lost_ms = broke.get(stream_sid, at_ms)
            case StreamOpened(at_ms, stream_sid) if lost_ms is not None:
                until_ms = closed.get(stream_sid, len(sound) / BYTES_PER_MS)
                yield Resumption(lost_ms, at_ms, first_sound_ms(sound, at_ms, until_ms))
                lost_ms = None
