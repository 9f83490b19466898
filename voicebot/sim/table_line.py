"""The caller's line at the table: plays what it is sent on a playout clock of its own, and knows what was heard.

It follows `sim.line`: 20 ms frames; a mark is echoed when the frame that ends the audio before it is over; a clear lets
the frame in the ear end and drops the rest, and echoes the marks that it overtakes at once. What the caller hears is
read from the bytes that were played, and from nothing else. Times are milliseconds since the call began.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from voicebot.call.ports import CallerEvent, ClearPlayback, CloseLeg, LegCommand, MarkPlayed, PlayAudio, SendMark

from .listener import Heard
from .table_chance import Chance, TableFaults
from .table_clock import Schedule
from .table_speech import BEGIN, END, read
from .timeline import BREATH_MS, BYTES_PER_MS, FRAME_MS

WORDS_LATE_MS = 100.0  # from the end of an utterance until its words are understood, as by the twin's listener

_BEGIN = bytes([BEGIN])
_ROUNDING = 1e-6


def border_after(at_ms: float) -> float:
    """The end of the frame in which `at_ms` lies."""
    return math.ceil(at_ms / FRAME_MS - _ROUNDING) * FRAME_MS


@dataclass(slots=True)
class Utterance:
    """One utterance of the bot as the line got it and played it.

    Attributes:
        pieces: (played from, audio).
        end_ms: where its audio ends, or is cut.
        cut: it was not played to the end of what was sent of it.
        closed_ms: when the last mark behind it was due.
    """

    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    sent_bytes: int = 0
    end_ms: float = 0.0
    cut: bool = False
    closed_ms: float = 0.0

    @property
    def start_ms(self) -> float:
        return self.pieces[0][0] if self.pieces else self.end_ms

    @property
    def sent_ms(self) -> float:
        return self.sent_bytes / BYTES_PER_MS

    @property
    def played_ms(self) -> float:
        return sum(len(audio) for _, audio in self.pieces) / BYTES_PER_MS

    @property
    def is_whole(self) -> bool:
        """Whether its end was played."""
        return not self.cut and bool(self.pieces) and self.pieces[-1][1][-1] == END

    def heard(self) -> Heard:
        """Its words, from what was played of it."""
        reading = read(b"".join([audio for _, audio in self.pieces]))
        return Heard(reading.text, self.start_ms, self.end_ms, reading.complete, reading.damaged)


class TableLine:
    """Takes the server's commands as they arrive, and tells the caller's side what sounds.

    Args:
        tell: sends an event to the server.

    Attributes:
        utterances: all that the server had played, in order.
        clears: when the server cleared the line.
        free_ms: where the audio ends that is known now.
        sound_from_ms: where the sound begins that ends there.
        changes: counts what changed either of them.
    """

    def __init__(
        self, schedule: Schedule, tell: Callable[[CallerEvent], None], chance: Chance, faults: TableFaults
    ) -> None:
        self.utterances: list[Utterance] = []
        self.clears: list[float] = []
        self.free_ms = self.sound_from_ms = -math.inf
        self.changes = 0
        self._schedule, self._tell, self._chance, self._faults = schedule, tell, chance, faults
        self._last_byte = b""
        self._marks: dict[int, str] = {}  # not echoed yet
        self._marked = 0
        self._told = 0  # utterances whose words the caller has had
        self._over = False

    # ---- from the server ----

    def obey(self, command: LegCommand) -> None:
        """Do what has arrived; a line that is over is deaf."""
        if self._over:
            return
        match command:
            case PlayAudio(payload):
                if payload:
                    self._play(payload)
            case SendMark(name):
                self._mark(name)
            case ClearPlayback():
                self._clear()
            case CloseLeg():
                self.stop()

    def stop(self) -> None:
        """The line is over: nothing more sounds, and nothing more is echoed."""
        self._over = True
        self._cut(self._now_ms)
        self._marks.clear()

    def _play(self, payload: bytes) -> None:
        at_ms = self._now_ms
        starts_ms = self.free_ms
        if starts_ms <= at_ms:
            starts_ms = border_after(at_ms)
            if starts_ms - self.free_ms >= FRAME_MS:
                self.sound_from_ms = starts_ms
        for audio, begins in self._parts(payload):
            if begins or not self.utterances:
                self.utterances.append(Utterance())
            utterance = self.utterances[-1]
            utterance.pieces.append((starts_ms, audio))
            utterance.sent_bytes += len(audio)
            starts_ms += len(audio) / BYTES_PER_MS
            utterance.end_ms = utterance.closed_ms = starts_ms
        self.free_ms, self._last_byte = starts_ms, payload[-1:]
        self.changes += 1

    def _parts(self, payload: bytes) -> Iterator[tuple[bytes, bool]]:
        """The payload cut where an utterance begins, with whether each part begins one."""
        if _BEGIN not in payload:
            yield payload, False
            return
        cuts = self._beginnings(payload)
        if not cuts or cuts[0] > 0:
            yield payload[: cuts[0] if cuts else None], False
        for start, end in zip(cuts, [*cuts[1:], None], strict=False):  # none, or as many
            yield payload[start:end], True

    def _beginnings(self, payload: bytes) -> list[int]:
        """Where utterances begin in it; the first byte may only go on with what the last payload began."""
        found: list[int] = []
        at = payload.find(_BEGIN)
        while at != -1:
            if at > 0 or self._last_byte != _BEGIN:
                found.append(at)
            behind = len(payload) - len(payload[at:].lstrip(_BEGIN))
            at = payload.find(_BEGIN, behind)
        return found

    def _mark(self, name: str) -> None:
        due_ms = max(self._now_ms, border_after(self.free_ms) if self.free_ms > self._now_ms else 0.0)
        if self.utterances:
            self.utterances[-1].closed_ms = due_ms
        self._marked += 1
        self._marks[self._marked] = name
        if due_ms <= self._now_ms:
            self._passed(self._marked)
        else:
            self._schedule.at(due_ms / 1000, partial(self._passed, self._marked))

    def _passed(self, number: int) -> None:
        name = self._marks.pop(number, None)
        if name is not None and not self._chance.strikes(self._faults.mark_loss):
            self._tell(MarkPlayed(name))

    def _clear(self) -> None:
        at_ms = self._now_ms
        self.clears.append(at_ms)
        self._cut(border_after(at_ms))
        flushed, self._marks = list(self._marks), self._marks
        if not self._faults.clear_echoes_marks:
            self._marks = {}
        for number in flushed:
            self._passed(number)

    def _cut(self, at_ms: float) -> None:
        """Drop what would sound after `at_ms`."""
        if self.free_ms <= at_ms:
            return
        self.free_ms = at_ms
        self.changes += 1
        for utterance in reversed(self.utterances):
            if utterance.end_ms <= at_ms:
                return
            utterance.pieces = [
                (start, audio[: int((at_ms - start) * BYTES_PER_MS)])
                for start, audio in utterance.pieces
                if start < at_ms
            ]
            utterance.end_ms, utterance.cut = at_ms, True
        self._last_byte = b""

    @property
    def _now_ms(self) -> float:
        return self._schedule.now * 1000

    # ---- to the caller's ear ----

    def sounds_in(self, frame_end_ms: float) -> bool:
        """Whether there is sound in the frame that ends then."""
        return self.sound_from_ms < frame_end_ms - _ROUNDING and self.free_ms > frame_end_ms - FRAME_MS + _ROUNDING

    def next_words_ms(self) -> float:
        """When the words of an utterance will have been understood, as far as is known now."""
        while self._told < len(self.utterances):
            utterance = self.utterances[self._told]
            if utterance.pieces:
                return self._understood_ms(utterance)
            self._told += 1  # dropped before it was heard
        return math.inf

    def take_words(self, until_ms: float) -> list[Heard]:
        """The utterances whose words have been understood by then."""
        words = []
        while self.next_words_ms() <= until_ms:
            words.append(self.utterances[self._told].heard())
            self._told += 1
        return words

    def rest(self) -> list[Heard]:
        """What was heard and not yet understood, at the end of the call."""
        rest, self._told = self.utterances[self._told :], len(self.utterances)
        return [utterance.heard() for utterance in rest if utterance.pieces]

    def _understood_ms(self, utterance: Utterance) -> float:
        if utterance.is_whole:
            return utterance.end_ms + WORDS_LATE_MS
        if utterance.cut:
            return utterance.end_ms + BREATH_MS
        following = self._told + 1
        if following < len(self.utterances):
            return self.utterances[following].start_ms + WORDS_LATE_MS
        return math.inf
