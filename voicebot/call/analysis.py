"""The look back at a call whose line is closed: asked for at most once, and written down once, whatever comes of it.

    UNASKED ──ask──▶ ASKED ──take, skip──▶ OVER
       └────────────skip─────────────────┘

It is the last thing of a call, and the only one that nobody waits for on the line: the report does, for a few seconds.
"""

from __future__ import annotations

from enum import Enum, auto

from voicebot.engine.analysis import read
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.events import AnalysisCame, Write

from .entries import CallAnalysed, Entry
from .ports import Analyse, Analysed, AnalysisFailed

ANALYSIS_LIMIT_S = 5.0  # from the closed line until it must be in
_KEY = "call"


class _State(Enum):
    UNASKED = auto()
    ASKED = auto()  # the model is at it
    OVER = auto()  # what came of it is written, or the flow does not want it


class ClosingAnalysis:
    """One call's look back, as its core sees it."""

    def __init__(self, engine: PhaseEngine) -> None:
        self._engine = engine
        self._state = _State.UNASKED

    @property
    def under_way(self) -> bool:
        """Whether the model is at it."""
        return self._state is _State.ASKED

    def ask(self, now: float) -> Analyse | None:
        """What asks the model; None if there is nothing to ask, or was asked already."""
        if self._state is not _State.UNASKED or not self._engine.analysis_wanted or not self._engine.state.turn:
            return None
        self._state = _State.ASKED
        return Analyse(_KEY, *self._engine.analysis_request(now))

    def take(self, event: Analysed | AnalysisFailed, now: float) -> list[Entry]:
        """What is to be written of what the model made of the call, with all that could be filled in."""
        if self._state is not _State.ASKED or event.key != _KEY:
            return []
        if isinstance(event, AnalysisFailed):
            return self.skip(event.reason)
        try:
            made = read(event.arguments)
        except ValueError as exc:
            return self.skip(str(exc))
        wanted, self._state = self._engine.analysis_wanted, _State.OVER
        if not wanted:  # a word that came late has changed that
            return []
        effects = self._engine.handle(AnalysisCame(made.said), now)
        filled = [effect.entry for effect in effects if isinstance(effect, Write)]
        return [CallAnalysed("done", made.summary, event.arguments), *filled]

    def skip(self, reason: str) -> list[Entry]:
        """What is to be written when it is not to be had; nothing if that is written, or the flow does not want it."""
        unwritten, self._state = self._state is not _State.OVER, _State.OVER
        if not (unwritten and self._engine.analysis_wanted):
            return []
        return [CallAnalysed("skipped", reason=reason if self._engine.state.turn else "the caller said nothing")]
