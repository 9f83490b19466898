"""Whom the account calls: what becomes of the ringing, and who answers, a human being or a machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .caller import Act, Caller, Conversation, Moment, PutDown, Speak
from .dial_outcome import Dials
from .person import RATE_HZ, coded_voice
from .recorder import BEEP

AnsweredBy = Literal["human", "machine_end_beep", "machine_end_silence", "machine_end_other", "fax", "unknown"]
Ringing = Literal["answered", "busy", "no-answer", "failed"]
SPEECH_END_S = 1.2  # of silence that end a greeting (MachineDetectionSpeechEndThreshold)
DETECTED_S = 0.3  # after a tone
TAPE_S = 60.0  # what a machine records, and then it hangs up
GREETING = "You have reached the answering machine. Please speak after the tone."
_TONE = "\x07"  # stands for the machine's tone among its words


def machine_voice(text: str) -> bytes:
    """A machine's voice, and its tone."""
    return BEEP if text == _TONE else coded_voice(text)


@dataclass(frozen=True)
class Callee:
    """What becomes of a call to a phone.

    Attributes:
        ringing: `no-answer` rings until the account's time-out.
        ring_s: before it is answered, or busy, or fails.
        behaviour: makes who answers.
        answered_by: what the carrier finds out, `detected_s` after the answer.
        voice: gives words as mu-law at 8 kHz.
        dial: what becomes of whom the line rings for them; see `Phone`.
    """

    ringing: Ringing = "answered"
    ring_s: float = 3.0
    behaviour: Callable[[], Conversation] = field(default=lambda: Caller(()))
    answered_by: AnsweredBy = "human"
    detected_s: float = 2.5
    voice: Callable[[str], bytes] = coded_voice
    dial: Dials = ()


def machine(greeting: str = GREETING, *, tone: bool = True, ring_s: float = 3.0) -> Callee:
    """An answering machine, which is recognised when its greeting is over: by its tone, or by silence."""
    greets_s = len(machine_voice(greeting)) / RATE_HZ
    ends_s = len(BEEP) / RATE_HZ + DETECTED_S if tone else SPEECH_END_S
    return Callee(
        ring_s=ring_s,
        behaviour=lambda: Machine(greeting, tone=tone),
        answered_by="machine_end_beep" if tone else "machine_end_silence",
        detected_s=greets_s + ends_s,
        voice=machine_voice,
    )


class Machine:
    """An answering machine: greets, gives its tone, records for a while."""

    def __init__(self, greeting: str, *, tone: bool) -> None:
        self._says = [greeting, *([_TONE] if tone else [])]
        self._recording_since_ms: float | None = None

    @property
    def problems(self) -> Sequence[str]:
        return ()

    def step(self, moment: Moment) -> Sequence[Act]:
        if self._says:
            said, self._says = self._says, []
            return [Speak(text) for text in said]
        if moment.speaking:
            return []
        if self._recording_since_ms is None:
            self._recording_since_ms = moment.at_ms
        return [PutDown()] if moment.at_ms - self._recording_since_ms >= TAPE_S * 1000 else []

    def line_ended(self, at_ms: float) -> None:
        """Whoever called has hung up."""
