"""The ears of the twin: hears the utterances of `speak` in a stream of audio, and how whole they came through.

The listener steps in the order in which audio completes a symbol or a stretch to be searched for chirps, so what it
hears does not depend on how the audio was cut into chunks. `speech_code` explains the code that it reads.
"""

from __future__ import annotations

import codecs
import math
from dataclasses import dataclass, field

import numpy as np

from .speech_code import END, PLACES, TONE_PEAK, Floats, Samples, Symbol, crc8, modem_of

_QUIET_PEAK = 300  # below it nobody speaks: the chirp alone has 1000
_ONSET_MS = 30  # before the sound that woke the listener: a chirp may have begun there softly, or clipped
_HUNT_MS = 5  # grid on which a listener that lost step looks for the next symbol
_PATIENCE_MS = 180  # of unreadable audio, after which the utterance is taken for cut
_RETRY_MS = 5  # after a chirp's start, where the search for the next one goes on
_SOUND_RMS = 0.6 * TONE_PEAK  # in 5 ms; the code alone has 800
_LOST = b"\xff"  # stands for an unreadable byte; no UTF-8 text contains it


@dataclass(frozen=True, slots=True)
class Heard:
    """An utterance as it was heard; times count from the first sample fed.

    `complete` says that its end was heard, `damaged` how many symbols were unreadable, missing, repeated or shifted on
    the way. `text` has U+FFFD for unreadable bytes; of a cut utterance it is what had fully come.
    """

    text: str
    start_ms: float
    end_ms: float
    complete: bool
    damaged: int


@dataclass(slots=True)
class _Utterance:
    """What was read so far; positions are samples since the first one fed."""

    start: int
    level: float
    heard_to: int  # end of the last symbol that was read, where the next is due
    damaged: int
    hunted: int | None = None  # None in step; else samples beyond `heard_to` in which no symbol was found
    payload: bytearray = field(default_factory=bytearray)

    def take(self, symbol: Symbol, at: int, symbol_len: int) -> None:
        """Note a symbol found at `at`; what lies between it and the one before was lost."""
        if symbol.place == END:
            lost = 0 if self._agrees(symbol) else max(0, round((at - self.heard_to) / symbol_len))
        else:
            lost = (symbol.place - len(self.payload)) % PLACES
        slipped, self.hunted, self.heard_to = self.hunted is not None, None, at + symbol_len
        if lost > PLACES // 2:  # rather a repetition than so long a loss
            self.damaged += 1
            return
        self.damaged += max(lost, slipped)
        self.payload += _LOST * lost
        if symbol.place != END:
            self.payload.append(symbol.value)
        elif not self._agrees(symbol):
            self.damaged = max(self.damaged, 1)

    def _agrees(self, end: Symbol) -> bool:
        return crc8(bytes(self.payload)) == end.value

    def text(self, *, complete: bool) -> str:
        """Unreadable bytes as U+FFFD; a character under way is left out unless nothing more comes."""
        return codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self.payload), complete)


class Listener:
    """Hears the utterances in a stream of audio, in any chunks.

    A cut utterance is told when the next one begins, when nothing readable came for some 0.3 s, or by `flush`.
    """

    def __init__(self, rate_hz: int) -> None:
        """Listen to PCM16 at 8000 or 24000 Hz."""
        self._rate_hz = rate_hz
        self._modem = modem_of(rate_hz)
        self._elapsed = 0  # samples fed
        self._audio: Floats = np.zeros(0)  # what is still needed of them …
        self._first = 0  # … from this one on
        self._fresh: list[Samples] = []  # … but for these, fed since the last step
        self._searched = 0  # chirps that begin before this sample are known
        self._asleep = True  # nobody speaks, and nothing is kept
        self._utterance: _Utterance | None = None

    @property
    def elapsed_ms(self) -> float:
        """How much audio was fed."""
        return self._ms(self._elapsed)

    @property
    def current(self) -> str | None:
        """Text so far of the utterance under way; None while there is none."""
        return self._utterance.text(complete=False) if self._utterance else None

    def feed(self, samples: Samples) -> list[Heard]:
        """Listen to more audio; returns the utterances that ended with it, in order."""
        if self._asleep:
            if samples.max(initial=0) < _QUIET_PEAK:
                self._elapsed += len(samples)
                return []
            self._wake()
        self._elapsed += len(samples)
        self._fresh.append(samples.copy())
        if self._elapsed < self._next_step():
            return []
        heard = self._listen()
        self._forget()
        return heard

    def flush(self) -> list[Heard]:
        """No more audio comes, or it breaks off here: end the utterance under way, if there is one."""
        elapsed = self._elapsed
        silence = np.zeros(self._samples(2 * _PATIENCE_MS) + self._modem.block_len, dtype=np.int16)
        heard = [] if self._asleep else self.feed(silence)
        self._elapsed, self._asleep, self._fresh = elapsed, True, []
        return heard

    def _samples(self, ms: float) -> int:
        return round(ms * self._rate_hz / 1000)

    def _ms(self, samples: int) -> float:
        return samples * 1000 / self._rate_hz

    def _wake(self) -> None:
        """Begin to keep audio, with silence before it."""
        self._asleep = False
        self._audio = np.zeros(self._samples(_ONSET_MS))
        self._first = self._searched = self._elapsed - len(self._audio)

    def _next_step(self) -> float:
        """How much audio must have been fed for anything to be done."""
        return min(self._search_due(), self._read_due())

    def _search_due(self) -> int:
        return self._searched + self._modem.block_len

    def _read_due(self) -> float:
        utterance = self._utterance
        if utterance is None:
            return math.inf
        if utterance.hunted is None:
            return utterance.heard_to + self._modem.reading_len
        hunt_from = utterance.heard_to + utterance.hunted
        due = hunt_from + 2 * self._modem.symbol_len
        # a symbol of a new utterance must not be taken for the lost one: its chirp has to be found before
        return due if self._searched > hunt_from else max(due, self._search_due())

    def _listen(self) -> list[Heard]:
        self._audio, self._fresh = np.concatenate((self._audio, *self._fresh)), []
        heard: list[Heard | None] = []
        while self._elapsed >= self._next_step():
            utterance = self._utterance
            if utterance is None or self._search_due() <= self._read_due():
                heard.append(self._search())
            else:
                heard.append(self._read(utterance))
        return [ended for ended in heard if ended]

    def _forget(self) -> None:
        """Drop audio that no step needs any more; fall asleep when the rest is quiet."""
        needed = min(self._searched, self._utterance.heard_to) if self._utterance else self._searched
        self._audio = self._audio[needed - self._first :]
        self._first = needed
        self._asleep = self._utterance is None and self._audio.max(initial=0) < _QUIET_PEAK

    def _cut_out(self, start: int, count: int) -> Floats:
        return self._audio[start - self._first :][:count]

    def _search(self) -> Heard | None:
        """Look for a chirp in the next block; a found one ends the utterance before it."""
        chirp = self._modem.find_chirp(self._cut_out(self._searched, self._modem.block_len))
        if chirp is None:
            self._searched += self._modem.block_len - self._modem.symbol_len
            return None
        start = self._searched + chirp.offset
        self._searched = start + self._samples(_RETRY_MS)
        broken_off = self._end(self._utterance, complete=False, until=start) if self._utterance else None
        self._utterance = _Utterance(start, chirp.level, start + self._modem.symbol_len, 0 if chirp.whole else 1)
        return broken_off

    def _read(self, utterance: _Utterance) -> Heard | None:
        """Read the symbol that is due, or hunt for it; the end symbol and lost patience end the utterance."""
        found = self._due(utterance) if utterance.hunted is None else self._hunt(utterance, utterance.hunted)
        if found:
            symbol, at = found
            utterance.take(symbol, at, self._modem.symbol_len)
            return self._end(utterance, complete=True) if symbol.place == END else None
        utterance.hunted = 0 if utterance.hunted is None else utterance.hunted + self._modem.symbol_len
        if utterance.hunted < self._samples(_PATIENCE_MS):
            return None
        return self._end(utterance, complete=False, until=utterance.heard_to + utterance.hunted)

    def _due(self, utterance: _Utterance) -> tuple[Symbol, int] | None:
        symbol = self._modem.read(self._cut_out(utterance.heard_to, self._modem.reading_len), utterance.level)
        return (symbol, utterance.heard_to) if symbol else None

    def _hunt(self, utterance: _Utterance, hunted: int) -> tuple[Symbol, int] | None:
        """The clearest symbol among those that begin up to one symbol later than hunted so far."""
        step, span, length = self._samples(_HUNT_MS), self._modem.symbol_len, self._modem.reading_len
        starts = range(utterance.heard_to + hunted + step, utterance.heard_to + hunted + span + 1, step)
        candidates = ((self._modem.read(self._cut_out(start, length), utterance.level), start) for start in starts)
        found = [(symbol, start) for symbol, start in candidates if symbol]
        return max(found, key=lambda candidate: candidate[0].strength, default=None)

    def _end(self, utterance: _Utterance, *, complete: bool, until: int = 0) -> Heard:
        self._utterance = None
        end = utterance.heard_to if complete else self._last_sound(utterance.heard_to, until, utterance.level)
        return Heard(
            utterance.text(complete=complete),
            max(0.0, self._ms(utterance.start)),
            self._ms(end),
            complete,
            utterance.damaged,
        )

    def _last_sound(self, start: int, until: int, level: float) -> int:
        """Where two stretches of 5 ms follow that are softer than an utterance of that level ever is."""
        stretch = self._samples(5)
        audio = self._cut_out(start, max(0, until - start))
        loud = [
            math.sqrt(float(np.mean(audio[at : at + stretch] ** 2))) > level * _SOUND_RMS
            for at in range(0, len(audio), stretch)
        ]
        quiet = (index for index in range(len(loud)) if not any(loud[index : index + 2]))
        return min(until, start + stretch * next(quiet, len(loud)))
