"""How a caller behaves: what he perceives, what he does, and callers that follow a script.

A caller is told every 20 ms what reaches his ear and answers with what he does; he reads no clock. He takes turns by
ear alone: sound and silence, not protocol messages. Any object with the methods of `Conversation` can be a caller.

A scripted caller counts the bot's utterances from his own last act: he waits for one that began after it and is
followed by `pause_ms` of silence, as a person does, before he goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .listener import Heard
from .recorder import is_beep
from .timeline import BREATH_MS, FRAME_MS

PAUSE_MS = 700
TIMEOUT_MS = 30_000
KEY_SPACING_MS = 200  # a tone and the pause behind it

# ---- what a caller perceives and does -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moment:
    """The last 20 ms, ending at `at_ms`.

    `audible` says that there was sound in the caller's ear, `said` which utterances ended, `speaking` that the
    caller's own words are still under way; `frame` is what reached his ear, mu-law at 8 kHz, where there is sound.
    """

    at_ms: float
    audible: bool
    said: tuple[Heard, ...] = ()
    speaking: bool = False
    frame: bytes = b""


@dataclass(frozen=True, slots=True)
class Speak:
    """Say this, after what is being said."""

    text: str


@dataclass(frozen=True, slots=True)
class PressKey:
    """Press one of 0-9 * # A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class PutDown:
    """Hang up."""


Act = Speak | PressKey | PutDown


class Conversation(Protocol):
    """Anything that can be on the phone."""

    @property
    def problems(self) -> Sequence[str]:
        """What went wrong from the caller's point of view."""
        ...

    def step(self, moment: Moment) -> Sequence[Act]:
        """Called every 20 ms from the answer on."""
        ...

    def line_ended(self, at_ms: float) -> None:
        """The other side ended the call; `step` is not called again."""
        ...


# ---- steps of a script --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """Wait until the bot has finished, then speak. Gives up after `timeout_ms` of the bot's silence, as all below."""

    text: str
    timeout_ms: float = TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Speak over the bot, `after_ms` after its next utterance began; one that is over by then is let pass."""

    text: str
    after_ms: float = 800
    timeout_ms: float = TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Press:
    """Press keys, 200 ms apart; `after_bot` waits as `Say` does, else at once."""

    digits: str
    after_bot: bool = True
    timeout_ms: float = TIMEOUT_MS

    def __post_init__(self) -> None:
        if not self.digits or set(self.digits) - set("0123456789*#ABCD"):
            raise ValueError(f"not keys of a telephone: {self.digits!r}")


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait until the bot has finished, and do nothing about it."""

    timeout_ms: float = TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class LeaveMessage:
    """Wait for the tone of a recording, then speak: words that no model hears."""

    text: str
    timeout_ms: float = TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Wait:
    """Let this time pass, whatever the bot does."""

    ms: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """Hang up at once."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for the other side to hang up; also what a caller does whose script is at its end."""

    timeout_ms: float = TIMEOUT_MS


Step = Say | Interrupt | Press | Hear | LeaveMessage | Wait | HangUp | Listen

# ---- the caller ---------------------------------------------------------------------------------------------------


class Ear:
    """Tells utterances from sound: one begins after `BREATH_MS` of silence and ends with it.

    Sound that goes on after words have ended is a new utterance too, however short the silence between them was.
    """

    def __init__(self) -> None:
        self.began_ms: float | None = None  # of the latest utterance since `forget`
        self._last_sound_ms = float("-inf")

    def hear(self, moment: Moment) -> None:
        if moment.audible:
            if self.silence_ms(moment.at_ms) >= BREATH_MS:
                self.began_ms = moment.at_ms - FRAME_MS
            self._last_sound_ms = moment.at_ms
        for heard in moment.said:
            if self._last_sound_ms >= heard.end_ms + FRAME_MS:
                self.began_ms = max(heard.end_ms, self.began_ms or 0.0)

    def silence_ms(self, at_ms: float) -> float:
        return at_ms - self._last_sound_ms

    def forget(self) -> None:
        """Count utterances from now on; one that is under way does not count."""
        self.began_ms = None


class Caller:
    """A caller who follows a script, one step after the other.

    Args:
        steps: what he does.
        pause_ms: silence after which he takes the bot to have finished.
    """

    def __init__(self, steps: Sequence[Step], *, pause_ms: float = PAUSE_MS) -> None:
        self._steps = tuple(steps)
        self._pause_ms = pause_ms
        self._index = 0
        self._ear = Ear()
        self._problems: list[str] = []
        self._speaking = False
        self._patient_from_ms: float | None = None  # the silence of the bot counts from here
        self._waiting_from_ms: float | None = None  # a `Wait`, or keys under way
        self._keys = ""
        self._beeped = False

    @property
    def problems(self) -> Sequence[str]:
        return tuple(self._problems)

    @property
    def finished(self) -> bool:
        """Whether every step was done (a `Listen` is done by listening)."""
        return self._index >= len(self._steps) or isinstance(self._steps[self._index], Listen)

    def step(self, moment: Moment) -> Sequence[Act]:
        self._ear.hear(moment)
        if isinstance(self._current(), LeaveMessage):
            self._beeped = self._beeped or is_beep(moment.frame)
        if self._patient_from_ms is None:
            self._patient_from_ms = moment.at_ms
        if self._speaking and not moment.speaking:
            self._spoke(moment)
        if self._speaking:
            return []
        if self._keys:
            return self._next_key(moment)
        return self._try(self._current(), moment)

    def line_ended(self, at_ms: float) -> None:
        if self._speaking:
            self._problems.append(f"the line ended at {at_ms:.0f} ms while the caller spoke step {self._index}")
        elif not self.finished:
            self._problems.append(f"the line ended at {at_ms:.0f} ms before {self._name()}")

    def _try(self, step: Step, moment: Moment) -> Sequence[Act]:
        match step:
            case HangUp():
                return self._done([PutDown()])
            case Wait(ms):
                return self._wait(ms, moment)
            case Say(text) if self._bot_finished(moment):
                return self._speak(text)
            case Interrupt(text, after_ms) if self._bot_has_spoken_for(after_ms, moment):
                return self._speak(text)
            case Press(digits, after_bot) if not after_bot or self._bot_finished(moment):
                self._keys = digits
                if self._ear.silence_ms(moment.at_ms) >= BREATH_MS:
                    self._ear.forget()  # one under way still counts: keys do not interrupt
                return self._next_key(moment)
            case LeaveMessage(text) if self._beeped and not moment.audible:
                self._beeped = False
                return self._speak(text)
            case Hear() if self._bot_finished(moment):
                self._ear.forget()
                return self._done([])
            case Say() | Interrupt() | Press() | Hear() | LeaveMessage() | Listen():
                return self._lose_patience(step.timeout_ms, moment)

    def _current(self) -> Step:
        return self._steps[self._index] if self._index < len(self._steps) else Listen()

    def _bot_finished(self, moment: Moment) -> bool:
        return self._ear.began_ms is not None and self._ear.silence_ms(moment.at_ms) >= self._pause_ms

    def _bot_has_spoken_for(self, after_ms: float, moment: Moment) -> bool:
        if self._ear.began_ms is None or moment.at_ms < self._ear.began_ms + after_ms:
            return False
        return self._ear.silence_ms(moment.at_ms) < BREATH_MS

    def _speak(self, text: str) -> Sequence[Act]:
        self._speaking = True
        self._ear.forget()
        return self._done([Speak(text)])

    def _spoke(self, moment: Moment) -> None:
        """My words are over. An utterance that began and ended under them answers something else: it was cut off."""
        self._speaking = False
        self._patient_from_ms = moment.at_ms
        if self._ear.silence_ms(moment.at_ms) >= BREATH_MS:
            self._ear.forget()

    def _next_key(self, moment: Moment) -> Sequence[Act]:
        if self._waiting_from_ms is not None and moment.at_ms < self._waiting_from_ms + KEY_SPACING_MS:
            return []
        digit, self._keys = self._keys[0], self._keys[1:]
        self._waiting_from_ms = moment.at_ms
        self._patient_from_ms = moment.at_ms
        return [PressKey(digit)] if self._keys else self._done([PressKey(digit)])

    def _wait(self, ms: float, moment: Moment) -> Sequence[Act]:
        if self._waiting_from_ms is None:
            self._waiting_from_ms = moment.at_ms
        return self._done([]) if moment.at_ms >= self._waiting_from_ms + ms else []

    def _lose_patience(self, timeout_ms: float, moment: Moment) -> Sequence[Act]:
        patient_from_ms = self._patient_from_ms if self._patient_from_ms is not None else moment.at_ms
        if min(moment.at_ms - patient_from_ms, self._ear.silence_ms(moment.at_ms)) < timeout_ms:
            return []
        self._problems.append(f"{timeout_ms / 1000:g} s of silence before {self._name()}")
        return [PutDown()]

    def _done(self, acts: Sequence[Act]) -> Sequence[Act]:
        self._index += 1
        self._waiting_from_ms = None
        return acts

    def _name(self) -> str:
        return f"step {self._index + 1}, {self._current()!r}" if self._index < len(self._steps) else "the end"
