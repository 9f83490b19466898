"""How a call moves through its flow: what follows from what is known, and where a phase ends.

What is recorded changes what is computed, may move the call to where its answers lead now, and may complete the phase.
A phase that is complete does its commit, if it has one, and is left by the first transition whose guard holds
(`_advance`). Limits, silence, rules, keys and failures lead out of a phase that is not: `engine`, `keying` and
`errands` say where to, and `_enter` goes there. Every step is written as an entry, and the entry is what changes the
state.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace

from pydantic import JsonValue

from voicebot.flow.model import Flow, Phase, PhaseLimits, Say
from voicebot.flow.observations import ObservationSpec
from voicebot.flow.tools import Once, Tool
from voicebot.flow.ways_out import Transfer

from .entries import (
    ClosingBegan,
    EndedReason,
    EngineEntry,
    ObservationRecorded,
    ObservationWithdrawn,
    PhaseCause,
    PhaseEntered,
    StatementBegun,
    TransferBegan,
)
from .events import (
    Answer,
    AskReply,
    CallContext,
    Close,
    ConfigurePhase,
    EngineEffect,
    SpeakExactly,
    Write,
)
from .standing import Standing
from .state import EngineState, apply
from .witness import weighed

MOST_TRANSFERS = 3  # in one call; past them nobody is rung any more
CLOSING_NOTES: Mapping[EndedReason, str] = {
    "caller_finished": "The caller wants to end the call. Say a short, friendly goodbye now.",
    "completed": "Everything is done. Say a short, friendly goodbye now.",
    "transferred": "Say in one short sentence that you are connecting them now.",
    "transfer_failed": "Nobody can be reached: do not say that you connect them. Apologise, and say a short goodbye.",
    "silence": "The caller has not answered for a while. Say that you will hang up now, and a short goodbye.",
    "duration_limit": "The time for this call is over. Apologise briefly, say what is noted so far, and say goodbye.",
}
_ENDS_AS: Mapping[PhaseCause, EndedReason] = {"silence": "silence", "cost": "cost_limit"}


class Movement(ABC):
    """The part of the engine that moves a call from phase to phase."""

    def __init__(self, flow: Flow, context: CallContext) -> None:
        self.flow, self.context = flow, context
        self.state = EngineState(flow.initial_phase)
        self.standing = Standing(flow, self.state)
        self._tools: dict[str, Tool] = {tool.name: tool for phase in flow.phases for tool in flow.tools_in(phase)}
        self._started_at: float | None = None
        self._now = 0.0

    @property
    def phase(self) -> Phase:
        """The phase the call is in."""
        return self.standing.phase

    @property
    def values(self) -> Mapping[str, object]:
        """Recorded values by name, as Python objects."""
        return self.standing.values

    @property
    def known(self) -> dict[str, JsonValue]:
        """Recorded values by name, in JSON form."""
        return self.standing.known

    def missing(self) -> list[ObservationSpec]:
        """The observations that this phase needs and does not have, or that the caller has not agreed to yet."""
        return self.standing.missing(self.phase)

    def _limits(self) -> PhaseLimits | None:
        return None if self.state.closing is not None else self.flow.limits_of(self.phase)

    def _weigh(self, *, final: bool = False) -> list[EngineEffect]:
        effects: list[EngineEffect] = []
        before, unsaid = self.state.phase, []
        for entry in weighed(self.state, final=final):
            effects.append(self._write(entry))
            if entry.state == "contradicted":
                unsaid.append(entry.subject)
                if entry.of == "value":
                    effects.append(self._write(ObservationWithdrawn(entry.subject, "contradicted")))
        if not unsaid:
            return effects
        # The model counted on what was not said; a commit is looked at anew when it is released.
        effects += self._drop_held(f"nobody said so: {', '.join(unsaid)}", commits=False)
        effects += self._after_change(corrected=True)
        if self.state.closing is None:
            named = ", ".join(dict.fromkeys(unsaid))
            moved = "" if self.state.phase == before else " The conversation is back in an earlier part."
            told = f"Not understood after all, and not recorded: {named}.{moved} Ask for it again."
            effects += [ConfigurePhase(), AskReply(told)]
        return effects

    # ---- what follows from new values -----------------------------------------------------------------------------

    def _work_out(self) -> list[EngineEffect]:
        """Bring computed fields up to date, and take back answers about what has changed; one leads to another."""
        effects: list[EngineEffect] = []
        dependent = [spec for spec in self.flow.specs.values() if spec.ask.computed is not None or spec.ask.about]
        for _ in dependent:
            changes = [change for spec in dependent if (change := self._work_out_one(spec)) is not None]
            if not changes:
                break
            effects += changes
        return effects

    def _work_out_one(self, spec: ObservationSpec) -> EngineEffect | None:
        if spec.ask.computed is None:
            return self._write(ObservationWithdrawn(spec.name, "outdated")) if self.standing.outdated(spec) else None
        value, observed = self.standing.worked_out(spec), self.state.observed.get(spec.name)
        if value is None:
            return None if observed is None else self._write(ObservationWithdrawn(spec.name, "not_computed"))
        if observed is not None and observed.json_value == value:
            return None
        return self._write(ObservationRecorded(spec.name, value, "computed", "", self.state.turn))

    def _after_change(self, *, corrected: bool) -> list[EngineEffect]:
        """What follows from new values: computed fields, another way for the call if a known value changed, its end."""
        effects, before = [], self.known
        effects += self._work_out()
        corrected |= any(self.known.get(name) != value for name, value in before.items())
        if corrected and self.state.closing is None and (detour := self.standing.detour()) is not None:
            effects += self._enter(detour, "correction")
        return [*effects, *self._advance(), *self._release()]

    # ---- phases ---------------------------------------------------------------------------------------------------

    def _advance(self) -> list[EngineEffect]:
        """Leave the phase if it is done, and every one after it that is done on entry; each at most once."""
        effects: list[EngineEffect] = []
        passed: set[str] = set()
        while self.state.closing is None and self.state.phase not in passed and self._done():
            before = self.state.phase
            passed.add(before)
            effects += self._leave_phase()
            if self.state.phase == before:
                break
        return effects

    def _done(self) -> bool:
        """Whether the phase is over now; one that lasts exactly so long is when its time is."""
        limits = self._limits()
        return self.standing.complete() and not (limits is not None and limits.exact)

    def _leave_phase(self) -> list[EngineEffect]:
        """Do what the phase commits to, if anything, then take the first transition whose guard holds."""
        commit = self.phase.commit
        if commit is not None and not self.standing.committed(commit.tool.name):
            return self._commit(commit)
        target = self.standing.onward(self.phase)
        if target is None or target == self.state.phase:
            return []
        return self._enter(target, "return" if target in self.state.path else "criteria")

    def _enter(self, name: str, cause: PhaseCause) -> list[EngineEffect]:
        effects: list[EngineEffect] = [self._write(PhaseEntered(name, self.state.phase, cause)), ConfigurePhase()]
        return effects + self._end_here(cause)

    def _end_here(self, cause: PhaseCause) -> list[EngineEffect]:
        """End the call, or have the caller joined to somebody, if that is what the phase does."""
        match self.phase.end:
            case None:
                return []
            case Transfer() as way:
                return self._transfer_here(way)
        return self._close(_ENDS_AS.get(cause, "completed"), note="")

    def _go_on(self, note: str) -> list[EngineEffect]:
        """The model is to speak without a turn of the caller: something else has happened, which `note` tells."""
        if self.state.closing is not None and self.phase.end is None:
            return []
        return [AskReply(note), *self._say_what_must_be_said()]

    def _close(self, reason: EndedReason, note: str | None = None, *, words: Say | None = None) -> list[EngineEffect]:
        if self.state.closing is not None:
            return []
        wanted = CLOSING_NOTES.get(reason, "") if note is None else note
        return [*self._drop_held("the call is ending"), self._write(ClosingBegan(reason)), Close(reason, wanted, words)]

    def _transfer(
        self, way: Transfer, *, note: str | None = None, quote: str = "", turn: int = 0
    ) -> list[EngineEffect]:
        """Have the caller joined to a target, once they were told so; not for ever."""
        if self.state.closing is not None:
            return []
        if len(self.state.transfers) >= MOST_TRANSFERS:
            return self._close("transfer_failed", note)
        ring_s = way.timeout if way.timeout is not None else self.flow.rung(way).timeout
        began = self._write(TransferBegan(way.to, way.brief, ring_s, quote, turn))
        return [began, *self._close("transferred", note, words=self._last_words())]

    def _transfer_here(self, way: Transfer) -> list[EngineEffect]:
        """The phase joins the caller to somebody: with exact words, or with those that its instructions ask for."""
        effects = self._transfer(way, note="")
        closing = self.state.closing
        told = closing != "transfer_failed" and (way.say or self.phase.instructions)
        return effects if told or closing is None else [*effects, AskReply(CLOSING_NOTES[closing])]

    def _last_words(self) -> Say | None:
        """The exact words that go before a transfer, if the phase has any."""
        end = self.phase.end
        if not (isinstance(end, Transfer) and end.say):
            return None
        return Say(end.say, interruptible=False).in_language(self.standing.language)

    def _collected(self) -> list[ObservationSpec]:
        return self.standing.collected(self.phase)

    def _say_what_must_be_said(self) -> list[EngineEffect]:
        """Have every statement of the phase spoken that can be, was not heard, and is not being said."""
        effects: list[EngineEffect] = []
        for say in self.phase.must_say if self.state.closing is None else ():
            text, wordings = self.standing.statement(say), self.standing.wordings(say)
            if text is None or not wordings.isdisjoint(
                (self.state.heard.get(say.name), self.state.saying.get(say.name))
            ):
                continue
            effects.append(self._write(StatementBegun(say.name, text)))
            effects.append(SpeakExactly(replace(say.in_language(self.standing.language), text=text, also=None)))
        return effects

    # ---- writing --------------------------------------------------------------------------------------------------

    def _write(self, entry: EngineEntry) -> EngineEffect:
        apply(self.state, self.flow, entry, self._now)
        return Write(entry)

    def _answer(self, call_id: str, answer: Mapping[str, object]) -> EngineEffect:
        return Answer(call_id, json.dumps(answer, ensure_ascii=False))

    # ---- what tools have to do with it, see `errands` --------------------------------------------------------------

    @abstractmethod
    def _commit(self, commit: Once) -> list[EngineEffect]:
        """Do what the phase was for."""

    @abstractmethod
    def _release(self) -> list[EngineEffect]:
        """Run what was held, if the evidence is weighed now."""

    @abstractmethod
    def _drop_held(self, problem: str, *, commits: bool = True) -> list[EngineEffect]:
        """Answer for what was held and will not run."""
