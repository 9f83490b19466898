"""What the model is told of a phase, and what of it this connection of the model's knows already."""

from __future__ import annotations

from voicebot.engine.engine import PhaseEngine

from .ports import Configure, TurnTaking


class Briefing:
    """Of one call's models, one after the other."""

    def __init__(self, engine: PhaseEngine) -> None:
        self._engine = engine
        self.anew()

    def anew(self) -> None:
        """Another model is there, which goes by what every session begins with."""
        self._turns, self._language = TurnTaking(), self._engine.flow.languages[0]

    def configuration(self, now: float) -> Configure:
        """The phase as it is; how the model takes turns, and the language, only if that is new to it."""
        engine = self._engine
        turns = TurnTaking(round(engine.patience.pause * 1000), engine.patience.eagerness)
        turns_before, self._turns = self._turns, turns
        language_before, self._language = self._language, engine.language
        return Configure(
            engine.instructions(now),
            engine.tools(),
            turns if turns != turns_before else None,
            engine.language if engine.language != language_before else None,
        )
