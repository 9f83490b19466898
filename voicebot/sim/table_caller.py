"""The caller's side at the table: a `Conversation` that hears the line and speaks into it, frame by frame.

A caller is asked every 20 ms what he does. One who says until when he will do nothing (`Resting`) is not asked in
between, as long as what reaches his ear stays as it is: the call is the same, and costs a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from .caller import (
    KEY_SPACING_MS,
    PAUSE_MS,
    Act,
    Caller,
    Conversation,
    Ear,
    HangUp,
    Interrupt,
    Listen,
    Moment,
    Press,
    PressKey,
    PutDown,
    Speak,
    Step,
    Wait,
)
from .listener import Heard
from .table_line import TableLine, border_after
from .table_speech import one_line, speech_ms
from .timeline import BREATH_MS, FRAME_MS, BotSaid, CallerSaid


@runtime_checkable
class Resting(Protocol):
    """A caller who can say how long he will only listen; what he is not asked about was as the moment before."""

    def rests_until_ms(self, moment: Moment) -> float:
        """When `step` may do something again, if all moments from here on are as `moment`, the last one, but later."""
        ...


class _PatientEar(Ear):
    """An ear that need not be asked in between, and that tells utterances apart however short the silence between."""

    def __init__(self) -> None:
        super().__init__()
        self._words_end_ms: float | None = None  # of those that no sound has followed yet

    def hear(self, moment: Moment) -> None:
        begins_ms = moment.at_ms - FRAME_MS
        if moment.audible and self._words_end_ms is not None and begins_ms >= self._words_end_ms:
            self.began_ms, self._words_end_ms = begins_ms, None
        super().hear(moment)
        for heard in moment.said:
            if self._last_sound_ms < heard.end_ms + FRAME_MS:
                self._words_end_ms = heard.end_ms

    def listen_on(self, until_ms: float) -> None:
        """The sound has gone on until then."""
        self._last_sound_ms = until_ms


class PatientCaller(Caller):
    """A scripted caller who knows how long he will only listen, and which line of the bot he answers.

    Where delays are left to chance, a caller who takes every pause for the end speaks too early: between "one moment,
    please" and what comes of it, for instance.

    Args:
        answers: for each step, the line that must have been heard since he last did something; None for any.
    """

    def __init__(
        self, steps: Sequence[Step], answers: Sequence[str | None] = (), *, pause_ms: float = PAUSE_MS
    ) -> None:
        super().__init__(steps, pause_ms=pause_ms)
        self._answers = tuple(answers)
        self._lines: set[str] = set()  # heard since then
        self._ear = self._patient_ear = _PatientEar()
        self._was_audible = False

    def step(self, moment: Moment) -> Sequence[Act]:
        if self._was_audible:
            self._patient_ear.listen_on(moment.at_ms - FRAME_MS)
        self._was_audible = moment.audible
        self._lines |= {heard.text for heard in moment.said if heard.complete}
        acts = super().step(moment)
        if acts:
            self._lines.clear()
        return acts

    def rests_until_ms(self, moment: Moment) -> float:
        if self._speaking:
            return math.inf  # until he perceives that his words are over
        if self._keys:
            return (self._waiting_from_ms or 0.0) + KEY_SPACING_MS
        step, began_ms = self._current(), self._ear.began_ms
        match step:
            case HangUp() | Press(after_bot=False):
                return 0.0
            case Wait(ms):
                return 0.0 if self._waiting_from_ms is None else self._waiting_from_ms + ms
        if moment.audible:
            return began_ms + step.after_ms if isinstance(step, Interrupt) and began_ms is not None else math.inf
        last_sound_ms = moment.at_ms - self._ear.silence_ms(moment.at_ms)
        out_of_patience_ms = max(self._patient_from_ms or 0.0, last_sound_ms) + step.timeout_ms
        if began_ms is None or isinstance(step, Listen):
            return out_of_patience_ms
        if isinstance(step, Interrupt):
            due_ms = began_ms + step.after_ms
            return min(out_of_patience_ms, due_ms) if due_ms < last_sound_ms + BREATH_MS else out_of_patience_ms
        return min(out_of_patience_ms, last_sound_ms + self._pause_ms) if self._has_his_line() else out_of_patience_ms

    def _bot_finished(self, moment: Moment) -> bool:
        return self._has_his_line() and super()._bot_finished(moment)

    def _has_his_line(self) -> bool:
        line = self._answers[self._index] if self._index < len(self._answers) else None
        return line is None or line in self._lines


class TableHandset:
    """Lets a conversation hear and speak.

    Args:
        say: called with the caller's words, where they begin and where they end, in ms since the call began.

    Attributes:
        heard: what the caller has understood so far.
        said: what he said himself.
    """

    def __init__(self, conversation: Conversation, line: TableLine, say: Callable[[str, float, float], None]) -> None:
        self.heard: list[BotSaid] = []
        self.said: list[CallerSaid] = []
        self._conversation, self._line, self._say = conversation, line, say
        self._resting = conversation if isinstance(conversation, Resting) else None
        self._moment = Moment(0.0, audible=False)
        self._rests_until_ms = 0.0
        self._speaks_until_ms = -math.inf
        self._next_ms = 0.0
        self._known_of = -1  # the line's changes that `_next_ms` takes into account; none

    def next_ms(self) -> float:
        """The next frame in which the caller must be asked, as far as is known now; it ends then."""
        if self._known_of != self._line.changes:
            self._known_of, self._next_ms = self._line.changes, self._work_out_next_ms()
        return self._next_ms

    def _work_out_next_ms(self) -> float:
        following = self._moment.at_ms + FRAME_MS
        if self._rests_until_ms <= following:
            return following
        due_ms = min(self._rests_until_ms, self._line.next_words_ms(), self._sound_changes_ms())
        if self._speaks_until_ms > self._moment.at_ms:
            due_ms = min(due_ms, self._speaks_until_ms if self._moment.speaking else following)
        return max(following, border_after(due_ms)) if due_ms < math.inf else due_ms

    def _sound_changes_ms(self) -> float:
        """The last frame before the sound in the caller's ear ends, or the first in which it begins."""
        at_ms, free_ms = self._moment.at_ms, self._line.free_ms
        if self._moment.audible:
            return max(border_after(free_ms), at_ms + FRAME_MS)
        return self._line.sound_from_ms + FRAME_MS if free_ms > at_ms else math.inf

    def step(self, at_ms: float) -> Sequence[PressKey | PutDown]:
        """Ask the caller, at the end of a frame; returns what he does besides speaking."""
        words = self._line.take_words(at_ms) if self._line.next_words_ms() <= at_ms else []
        self._tell(words)
        moment = Moment(at_ms, self._line.sounds_in(at_ms), tuple(words), self._speaks_until_ms > at_ms)
        self._moment = moment
        acts = self._conversation.step(moment)
        for act in acts:
            if isinstance(act, Speak):
                self._speak(act.text, at_ms)
        self._rests_until_ms = self._resting.rests_until_ms(moment) if self._resting is not None else 0.0
        self._known_of = -1
        return [act for act in acts if not isinstance(act, Speak)]

    def _speak(self, text: str, at_ms: float) -> None:
        begins_ms = max(at_ms, self._speaks_until_ms)
        self._speaks_until_ms = begins_ms + speech_ms(text)
        self.said.append(CallerSaid(one_line(text), begins_ms, self._speaks_until_ms, complete=True))
        self._say(text, begins_ms, self._speaks_until_ms)

    def end(self, at_ms: float, *, hung_up: bool) -> None:
        """The call is over; `hung_up` says that it was the caller's wish."""
        self._tell(self._line.rest())
        if not hung_up:
            self._conversation.line_ended(at_ms)

    def _tell(self, words: Sequence[Heard]) -> None:
        self.heard += [BotSaid(one.text, one.start_ms, one.end_ms, one.complete, one.damaged) for one in words]
