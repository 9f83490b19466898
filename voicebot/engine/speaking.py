"""Which language a call is in: the flow's first, until the caller asks for another one of the flow's, or speaks it.

The model asks for a switch because the caller wants one, with their words; transcripts show it where the model does not
(see `detection`). What a caller has asked for is theirs to change: no transcript changes it. So that nothing flaps, one
turn of the caller switches once, and what was detected takes more than one turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from voicebot.tool_schema import ToolSchema

from . import offers
from .entries import LanguageSwitched
from .events import ConfigurePhase, EngineEffect, ToolProposed
from .keying import Keying
from .proposals import quote_of


class Speaking(Keying):
    """The part of the engine that decides on the language."""

    @property
    def language(self) -> str:
        """The language that the call is in: one of the flow's."""
        return self.standing.language

    @property
    def _others(self) -> list[str]:
        return [code for code in self.flow.languages if code != self.language]

    def _language_offers(self) -> list[ToolSchema]:
        return [offers.switch_language_offer(self._others)] if self._others else []

    def _switch_language(self, call: ToolProposed, arguments: Mapping[str, object]) -> list[EngineEffect]:
        language, before = arguments.get("language"), self.state.switched
        if self.state.closing is not None:
            return self._refuse(call, "the call is ending")
        if not isinstance(language, str) or language not in self._others:
            problem = f"language must be one of: {', '.join(self._others)}; go on in {self.language}"
            return self._refuse(call, problem)
        if before is not None and before.cause == "request" and before.turn == self.state.turn:
            return self._refuse(call, f"the caller has asked for {self.language} in this turn; go on in it")
        try:
            quote = quote_of(arguments, self.standing)
        except ValueError as exc:
            return self._refuse(call, str(exc))
        told = self._answer(call.call_id, {"language": language, "next": "Go on in it, and answer the caller."})
        return [told, *self._switch(language, "request", quote)]

    def _heard_to_speak(self) -> list[EngineEffect]:
        """A transcript came: go on in the language that the caller turns out to speak."""
        leaning, before = self.state.leaning, self.state.switched
        asked_for = before is not None and before.cause == "request"
        if asked_for or not leaning.sure or self.state.closing is not None or leaning.language not in self._others:
            return []
        return self._switch(str(leaning.language), "detection", "")

    def _switch(self, language: str, cause: Literal["request", "detection"], quote: str) -> list[EngineEffect]:
        switched = LanguageSwitched(language, self.language, cause, quote, self.state.turn)
        return [self._write(switched), ConfigurePhase()]
