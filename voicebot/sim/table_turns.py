"""The caller's words as the model at the table takes them: turns that end with silence, transcribed some time later.

Voice activity is detected as by the twin's server: speech is certain after `ONSET_MS`, and over after `SILENCE_MS`.
Words that follow within that silence belong to the same turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from voicebot.call.ports import (
    CallerTranscript,
    ModelEvent,
    SpeechStarted,
    SpeechStopped,
    TranscriptFailed,
    TurnCommitted,
)

from .table_chance import Chance, TableFaults
from .table_clock import Ids, Schedule
from .table_speech import one_line, text_within
from .vad import ONSET_MS

SILENCE_MS = 500.0
TRANSCRIPT_S = (0.4, 0.02, 2.5)  # usual, shortest, longest; past 3 s a call that ends does not wait for it


@dataclass(frozen=True, slots=True, eq=False)
class _Words:
    text: str
    begins_ms: float
    ends_ms: float


class TableTurns:
    """The model's ear.

    Args:
        tell: sends an event to the server.
        keep: makes a turn an item of the conversation: (item id, text).
        ids: names the turns.
        uplink_s: how late the caller's sound is here.
    """

    def __init__(
        self,
        schedule: Schedule,
        tell: Callable[[ModelEvent], None],
        keep: Callable[[str, str], None],
        chance: Chance,
        faults: TableFaults,
        ids: Ids,
        uplink_s: float,
    ) -> None:
        self._schedule, self._tell, self._keep, self._ids = schedule, tell, keep, ids
        self._chance, self._faults, self._uplink_s = chance, faults, uplink_s
        self._asleep: list[Callable[[], None]] | None = []  # what came before the session was ready, in order
        self._early: list[_Words] | None = []  # said before the line was open
        self._silent_from_ms = math.inf  # no more sound comes
        self._words: list[_Words] = []  # of the turn under way
        self._latest_ms = 0.0  # where the words begin that were said last
        self._item_id: str | None = None

    # ---- the line ----

    def open(self, at_ms: float) -> None:
        """The caller's stream is open: what he says from here on is heard."""
        early, self._early = self._early or [], None
        for words in early:
            if words.ends_ms > at_ms:
                said = text_within(words.text, at_ms - words.begins_ms)
                self.say(words.text.removeprefix(said), max(at_ms, words.begins_ms), words.ends_ms)

    def say(self, text: str, begins_ms: float, ends_ms: float) -> None:
        """The caller speaks."""
        words = _Words(one_line(text), begins_ms, ends_ms)
        if self._early is not None:
            self._early.append(words)
            return
        self._latest_ms = begins_ms
        self._when_heard(begins_ms + ONSET_MS, partial(self._begin, words))
        self._when_heard(ends_ms + SILENCE_MS, partial(self._end, words))

    def hang_up(self, at_ms: float) -> None:
        """No sound comes from the line after this."""
        self._silent_from_ms = min(self._silent_from_ms, at_ms)

    def _when_heard(self, at_ms: float, action: Callable[[], None]) -> None:
        """When the sound of `at_ms` is here: do this, if it ever comes, and as soon as the session is ready."""

        def do() -> None:
            if at_ms > self._silent_from_ms:
                return
            if self._asleep is None:
                action()
            else:
                self._asleep.append(action)

        self._schedule.at(at_ms / 1000 + self._uplink_s, do)

    # ---- the session ----

    def wake(self) -> None:
        """The session is ready: take what was held for it."""
        held, self._asleep = self._asleep or [], None
        for action in held:
            action()

    def commit(self) -> None:
        """The server closes the turn; what the caller goes on to say is another one."""
        until_ms = self._heard_until_ms()
        going_on = [words for words in self._words if words.ends_ms > until_ms and until_ms < self._silent_from_ms]
        self._close(until_ms)
        for words in going_on:
            said = text_within(words.text, until_ms - words.begins_ms)
            self.say(words.text.removeprefix(said), until_ms, words.ends_ms)

    def _close(self, until_ms: float) -> None:
        """Make an item of what was said in the turn."""
        item_id, self._item_id = self._item_id or self._ids("item-caller"), None
        heard = [
            words.text if words.ends_ms <= until_ms else text_within(words.text, until_ms - words.begins_ms)
            for words in self._words
        ]
        text = " ".join(filter(None, heard))
        self._words.clear()
        self._keep(item_id, text)
        self._tell(TurnCommitted(item_id))
        delay_s = self._chance.wait(*TRANSCRIPT_S) + self._faults.transcript_late_s
        self._schedule.after(delay_s, partial(self._transcribe, item_id, text))

    def _begin(self, words: _Words) -> None:
        self._words.append(words)
        if self._item_id is None:
            self._item_id = self._ids("item-caller")
            self._tell(SpeechStarted(self._item_id, int(words.begins_ms)))

    def _end(self, words: _Words) -> None:
        goes_on = words.ends_ms <= self._latest_ms < words.ends_ms + SILENCE_MS
        if words not in self._words or goes_on:
            return
        self._tell(SpeechStopped(self._item_id or "", int(words.ends_ms)))
        self._close(words.ends_ms)

    def _transcribe(self, item_id: str, text: str) -> None:
        if self._chance.strikes(self._faults.transcript_loss):
            self._tell(TranscriptFailed(item_id, "audio_unintelligible"))
        else:
            self._tell(CallerTranscript(item_id, text))

    def _heard_until_ms(self) -> float:
        """How far the caller's sound has come."""
        return min(self._silent_from_ms, (self._schedule.now - self._uplink_s) * 1000)
