"""What stands between a server's audio and the caller's ear: the playout buffer, and the caller's handset.

Nothing here waits or looks at a clock: `now` is an argument, in seconds of the event loop's clock. A call is a row of
20 ms frames counted from the moment it was placed.
"""

from __future__ import annotations

from collections import deque
from math import floor

from .timeline import BYTES_PER_MS, FRAME_MS, Cleared, Mark, Played

FRAME_BYTES = FRAME_MS * BYTES_PER_MS
SILENCE = b"\xff"  # +0 in mu-law
_EARLY_S = 1e-6  # timers may fire a rounding error before their time


class PlayoutBuffer:
    """Audio and marks in the order they came, played a frame at a time; the truth about what was heard.

    `played` says which of the received bytes were heard and when, `marks` when each mark came and was passed.
    """

    def __init__(self) -> None:
        self.received_bytes = 0
        self.waiting_bytes = 0
        self.played: list[Played] = []
        self.marks: list[Mark] = []
        self.clears: list[Cleared] = []
        self._items: deque[memoryview | Mark] = deque()
        self._ripe: list[Mark] = []  # behind the last byte of the frame that is in the ear
        self._playing = False

    def append(self, payload: bytes) -> None:
        self._items.append(memoryview(payload))
        self.received_bytes += len(payload)
        self.waiting_bytes += len(payload)

    def mark(self, name: str, at_ms: float) -> list[Mark]:
        """Put a mark behind everything; returns it when nothing is before it, so that it is due at once."""
        mark = Mark(name, at_ms)
        self.marks.append(mark)
        if self._items:
            self._items.append(mark)
        elif self._playing:
            self._ripe.append(mark)
        else:
            return [mark]
        return []

    def take(self, size: int, at_ms: float) -> bytes:
        """Begin to play the next frame: at most `size` bytes, fewer when the buffer runs dry."""
        if not self._items:
            self._playing = False
            return b""
        taken = bytearray()
        while self._items:
            head = self._items.popleft()
            if isinstance(head, Mark):
                self._ripe.append(head)
                continue
            room = size - len(taken)
            taken += head[:room]
            if room < len(head):
                self._items.appendleft(head[room:])
                break
        self._playing = bool(taken)
        if taken:
            self._write_down(self.received_bytes - self.waiting_bytes, len(taken), at_ms)
            self.waiting_bytes -= len(taken)
        return bytes(taken)

    def frame_over(self) -> list[Mark]:
        """The frame was played to its end; returns the marks that were passed."""
        self._playing = False
        return self._take_ripe()

    def clear(self, at_ms: float) -> list[Mark]:
        """Drop what waits; returns all marks not yet passed, in order."""
        marks = self._take_ripe() + [item for item in self._items if isinstance(item, Mark)]
        for mark in marks:
            mark.flushed = True
        self.clears.append(Cleared(at_ms, self.waiting_bytes / BYTES_PER_MS, tuple(mark.name for mark in marks)))
        self._items.clear()
        self.waiting_bytes = 0
        return marks

    def _write_down(self, first_byte: int, count: int, at_ms: float) -> None:
        last = self.played[-1] if self.played else None
        if last and last.end_ms == at_ms and last.first_byte + last.count == first_byte:
            self.played[-1] = Played(last.at_ms, last.first_byte, last.count + count)
        else:
            self.played.append(Played(at_ms, first_byte, count))

    def _take_ripe(self) -> list[Mark]:
        ripe, self._ripe = self._ripe, []
        return ripe


class Handset:
    """The caller's end: a microphone, an ear, and the tape of both in whole frames since the call was placed."""

    def __init__(self, began_at: float) -> None:
        self.spoken_tape = bytearray()
        self.heard_tape = bytearray()
        self._began_at = began_at
        self._microphone = bytearray()
        self._announcement = PlayoutBuffer()
        self._in_ear = b""

    @property
    def frames(self) -> int:
        return len(self.heard_tape) // FRAME_BYTES

    @property
    def elapsed_ms(self) -> float:
        """The last border that was passed."""
        return self.frames * FRAME_MS

    @property
    def next_border(self) -> float:
        return self._began_at + (self.elapsed_ms + FRAME_MS) / 1000

    @property
    def speaking(self) -> bool:
        return bool(self._microphone)

    def at_ms(self, now: float) -> float:
        return (now - self._began_at) * 1000

    def borders_until(self, now: float) -> int:
        """How many borders were passed by `now` and not yet handled."""
        return max(0, floor((now + _EARLY_S - self._began_at) * 1000 / FRAME_MS) - self.frames)

    def say(self, payload: bytes) -> float:
        """Speak mu-law audio after what is being spoken; returns when it begins, in ms."""
        begins_ms = self.elapsed_ms + len(self._microphone) / BYTES_PER_MS
        self._microphone += payload
        return begins_ms

    def announce(self, payload: bytes) -> None:
        """Play mu-law audio of the line's own (`<Say>`) while no stream is open."""
        self._announcement.append(payload)

    def advance(self, now: float) -> None:
        """Pass the borders until `now` with no stream on the line."""
        for _ in range(self.borders_until(now)):
            self.end_frame()
            self.begin_frame(self._announcement.take(FRAME_BYTES, self.elapsed_ms))

    def end_frame(self) -> bytes:
        """The frame is over: put both sides on tape and return what the microphone picked up in it."""
        spoken = bytes(self._microphone[:FRAME_BYTES]).ljust(FRAME_BYTES, SILENCE)
        del self._microphone[:FRAME_BYTES]
        self.spoken_tape += spoken
        self.heard_tape += self._in_ear.ljust(FRAME_BYTES, SILENCE)
        self._in_ear = b""
        return spoken

    def begin_frame(self, payload: bytes) -> None:
        self._in_ear = payload
