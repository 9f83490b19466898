"""A call that waits for somebody who types: nothing is noticed because of the time they take.

Limits in time are lifted from the flow, and a silence lasts only when it is asked for. Everything else is the call as
it is on the telephone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from voicebot.audio.formats import AudioFormat
from voicebot.call.clips import ClipCache
from voicebot.call.core import CallCore
from voicebot.call.entries import Entry
from voicebot.call.events import Effect, Journal
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.events import CallContext, EngineEffect, EngineEvent, SilenceLasted
from voicebot.flow.model import Flow, PhaseLimits

_LONGEST_S = 4 * 3600.0  # the longest that a flow may say
_NEVER_S = 1e8


def unhurried(flow: Flow) -> Flow:
    """The flow without its limits in time; those in turns stay."""
    phases = tuple(replace(phase, limits=_in_turns(phase.limits)) for phase in flow.phases)
    limits = replace(flow.limits, duration=_LONGEST_S, phase=_in_turns(flow.limits.phase))
    return replace(flow, phases=phases, limits=limits)


def _in_turns(limits: PhaseLimits | None) -> PhaseLimits | None:
    if limits is None or limits.turns is None:
        return None
    return PhaseLimits(turns=limits.turns, then=limits.then)


class PatientEngine(PhaseEngine):
    """An engine that notices no silence until it is asked to notice one."""

    def __init__(self, flow: Flow, context: CallContext) -> None:
        super().__init__(unhurried(flow), context)
        self.silence_wanted = False

    def silence_delay_s(self, rung: int) -> float | None:
        """No time at all for the silence that was asked for; else longer than anybody waits."""
        return 0.0 if self.silence_wanted else _NEVER_S

    def handle(self, event: EngineEvent, now: float) -> list[EngineEffect]:
        """Take one event and say what follows from it."""
        if isinstance(event, SilenceLasted):
            self.silence_wanted = False
        return super().handle(event, now)


class PatientCore(CallCore):
    """A call's core that knows when it is the caller's turn, and tells what it writes down as it decides it."""

    def __init__(
        self,
        flow: Flow,
        context: CallContext,
        *,
        audio_format: AudioFormat,
        model: str,
        on_entry: Callable[[Entry], None],
        on_step: Callable[[], None],
    ) -> None:
        """
        Args:
            on_entry: called with each journal entry, in the order of deciding.
            on_step: called after each step of the call, when its entries have been told.
        """
        self._patient = PatientEngine(flow, context)
        super().__init__(self._patient, audio_format=audio_format, clips=ClipCache(), model=model)
        self._on_entry, self._on_step = on_entry, on_step

    @property
    def listening(self) -> bool:
        """Whether it is the caller's turn: nothing is said, owed or at work, so that a silence could begin."""
        return not self._patient.silence_wanted and self._silence_due() is not None

    def want_silence(self) -> bool:
        """Have the next rung of the silence ladder climbed when the core is asked next; False if there is none left."""
        left = self._rung < len(self.engine.flow.limits.silence)
        self._patient.silence_wanted = left
        self._due_known = False
        return left

    def _drain(self, now: float) -> list[Effect]:
        effects = super()._drain(now)
        for effect in effects:
            if isinstance(effect, Journal):
                self._on_entry(effect.entry)
        self._on_step()
        return effects
