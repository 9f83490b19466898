"""What a finished call leaves behind, and the figures worked out from its tape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from . import g711
from .resumption import Resumption, resumptions
from .tape import Sound, first_sound_ms, sound_on, sounds
from .timeline import (
    BREATH_MS,
    BYTES_PER_MS,
    FRAME_MS,
    BotSaid,
    CallerSaid,
    Ender,
    Event,
    StreamRecord,
    Violation,
)


@dataclass(frozen=True, slots=True)
class Gap:
    """Silence because the playout buffer had run dry."""

    start_ms: float
    end_ms: float

    @property
    def length_ms(self) -> float:
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True)
class Turn:
    """The caller stopped speaking at `end_ms`; the bot was first heard `latency_ms` later."""

    text: str
    end_ms: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Interruption:
    """The caller began to speak over the bot, which was silent `latency_ms` later."""

    text: str
    start_ms: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """`gaps` is all starvation between two `clear`s; `underruns` are those inside an utterance of the bot.

    `lateness_ms` is how late this phone itself was at each of its frames: figures of a late phone prove little.
    """

    turns: tuple[Turn, ...]
    interruptions: tuple[Interruption, ...]
    gaps: tuple[Gap, ...]
    underruns: tuple[Gap, ...]
    lateness_ms: tuple[float, ...]

    @property
    def lateness_max_ms(self) -> float:
        return max(self.lateness_ms, default=0.0)

    @property
    def latencies_ms(self) -> tuple[float, ...]:
        return tuple(turn.latency_ms for turn in self.turns)


@dataclass(frozen=True)
class CallResult:
    """A finished call. `events` are in order of time; `problems` are the caller's own complaints."""

    call_sid: str
    ended_by: Ender
    reason: str
    duration_ms: float
    events: tuple[Event, ...]
    violations: tuple[Violation, ...]
    problems: tuple[str, ...]
    streams: tuple[StreamRecord, ...]
    statistics: Statistics
    caller_tape: bytes
    heard_tape: bytes

    @property
    def bot_said(self) -> tuple[BotSaid, ...]:
        return tuple(event for event in self.events if isinstance(event, BotSaid))

    @property
    def caller_said(self) -> tuple[CallerSaid, ...]:
        return tuple(event for event in self.events if isinstance(event, CallerSaid))

    @property
    def resumptions(self) -> tuple[Resumption, ...]:
        """How the call went on after each of its streams but the last."""
        return resumptions(self.events, sound_on(self.heard_tape))

    def stereo(self) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """The whole call at 8 kHz: the caller (left) and what he heard (right), of equal length."""
        return g711.decode(self.caller_tape), g711.decode(self.heard_tape)


def measure(
    heard_tape: bytes | bytearray,
    events: Sequence[Event],
    streams: Sequence[StreamRecord],
    lateness_ms: Sequence[float],
) -> Statistics:
    """Work out the figures of a call from its tape and its events, in order of time."""
    audible = sound_on(heard_tape)
    turns = [event for event in events if isinstance(event, CallerSaid)]
    gaps = [gap for stream in streams for gap in _gaps(stream)]
    said = [event for event in events if isinstance(event, BotSaid)]
    return Statistics(
        turns=tuple(_turns(audible, turns, len(heard_tape) / BYTES_PER_MS)),
        interruptions=tuple(_interruptions(audible, turns, said)),
        gaps=tuple(gaps),
        underruns=tuple(gap for gap in gaps if any(_breaks(gap, utterance) for utterance in said)),
        lateness_ms=tuple(lateness_ms),
    )


def _turns(audible: Sound, spoken: Sequence[CallerSaid], call_ms: float) -> list[Turn]:
    ends = [said.start_ms for said in spoken[1:]] + [call_ms] * bool(spoken)
    turns = []
    for said, until_ms in zip(spoken, ends, strict=True):
        if sounds(audible, said.end_ms - BREATH_MS, said.end_ms):
            continue  # the bot was talking already: nothing was waited for
        first_ms = first_sound_ms(audible, said.end_ms, until_ms)
        if first_ms is not None:
            turns.append(Turn(said.text, said.end_ms, first_ms - said.end_ms))
    return turns


def _interruptions(audible: Sound, spoken: Sequence[CallerSaid], heard: Sequence[BotSaid]) -> list[Interruption]:
    return [
        Interruption(said.text, said.start_ms, _silenced_at(audible, said.start_ms, heard) - said.start_ms)
        for said in spoken
        if sounds(audible, said.start_ms - BREATH_MS, said.start_ms) and sounds(audible, said.start_ms, said.end_ms)
    ]


def _silenced_at(audible: Sound, at_ms: float, heard: Sequence[BotSaid]) -> float:
    """Where the utterance ends that was interrupted; by its words, and where it has none that we know by silence."""
    words = next((said.end_ms for said in heard if said.start_ms < at_ms < said.end_ms), None)
    return words if words is not None else _quiet_from(audible, at_ms)


def _quiet_from(audible: Sound, at_ms: float) -> float:
    """The end of the sound at `at_ms`: where at least `BREATH_MS` of silence begin."""
    first = int(at_ms * BYTES_PER_MS)
    loud = np.flatnonzero(audible[first:])
    breaks = np.flatnonzero(np.diff(loud) > BREATH_MS * BYTES_PER_MS)
    last = loud[breaks[0]] if breaks.size else loud[-1]
    return (first + int(last) + 1) / BYTES_PER_MS


def _gaps(stream: StreamRecord) -> list[Gap]:
    gaps = (Gap(before.end_ms, after.at_ms) for before, after in pairwise(stream.played))
    clears = [clear.at_ms for clear in stream.clears]
    return [gap for gap in gaps if gap.length_ms > 0 and not any(_made(gap, at_ms) for at_ms in clears)]


def _made(gap: Gap, clear_ms: float) -> bool:
    """Whether that `clear` made the silence: the frame that it met in the ear is still heard to its end."""
    return gap.start_ms - FRAME_MS <= round(clear_ms, 3) <= gap.end_ms  # times come from a clock in seconds


def _breaks(gap: Gap, said: BotSaid) -> bool:
    """Whether the silence fell into the utterance, or cut it off."""
    if said.start_ms < gap.start_ms and gap.end_ms < said.end_ms:
        return True
    return not said.complete and abs(gap.start_ms - said.end_ms) < BREATH_MS
