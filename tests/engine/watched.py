"""A call that is looked at from its journal alone, entry by entry: what the engine never does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.engine.any_flow import NAMES, TYPES
from tests.engine.line import Line, written
from voicebot.call.entries import kind_of, read_entry, write_entry
from voicebot.engine.engine import EVIDENCE_LIMIT_S, PhaseEngine
from voicebot.engine.entries import (
    ClosingBegan,
    EngineEntry,
    EvidenceWeighed,
    ObservationConfirmed,
    ObservationRecorded,
    ObservationWithdrawn,
    PhaseEntered,
    ToolAnswered,
    ToolStarted,
)
from voicebot.engine.errands import COMMIT_TRIES
from voicebot.engine.events import (
    Answer,
    AskReply,
    CallerTurnEnded,
    CallResumed,
    CallStarted,
    Close,
    EngineEffect,
    EngineEvent,
    ResponseEnded,
    RunTool,
    ToolFinished,
    ToolProposed,
)
from voicebot.engine.standing import Standing
from voicebot.engine.state import EngineState, apply
from voicebot.flow import Flow, Phase
from voicebot.flow.expressions import Heard

_ANSWERED = CallStarted | CallerTurnEnded | ResponseEnded | ToolFinished | CallResumed  # the model speaks after these


class Watched(Line):
    """`shadow` is what the journal comes to."""

    def __init__(self, flow: Flow, journal: Iterable[tuple[float, EngineEntry]] = ()) -> None:
        self.flow, self.shadow = flow, EngineState(flow.initial_phase)
        self.asked: list[str] = []
        self.event: EngineEvent | None = None
        super().__init__(flow, start=False)
        self.timed = [*journal]
        if not self.timed:
            self.take(CallStarted())
            return
        self.engine = PhaseEngine(flow, self.engine.context)
        self.engine.restore(self.timed, self.timed[0][0])
        for at, entry in self.timed:
            apply(self.shadow, flow, entry, at)
        self.now, self.calls = self.timed[-1][0] + 1.0, 1000
        under_way = {**self.shadow.running, **self.shadow.held}
        self.asked = [call_id for call_id, use in under_way.items() if not use.commit]
        self.take(CallResumed())

    def take(self, event: EngineEvent) -> list[EngineEffect]:
        self.event = event
        if isinstance(event, ResponseEnded):
            self.asked += [call.call_id for call in event.calls]
        elif isinstance(event, ToolProposed):
            self.asked.append(event.call_id)
        made = super().take(event)
        self.event = None
        return made

    def _note(self, made: list[EngineEffect]) -> list[EngineEffect]:
        super()._note(made)
        steps = len(self.shadow.steps)
        for entry in written(made):
            self._check(entry)
            apply(self.shadow, self.flow, entry, self.now)
            assert read_entry(kind_of(entry), write_entry(entry)) == entry
        assert self.shadow == self.engine.state, "the journal tells something else"
        assert len(self.shadow.steps) - steps <= len(NAMES) + 1, "the call runs in circles"
        self._check_effects(made)
        self._check_state()
        if self.shadow.closing is None:
            self._check_goes_on(made)
        return made

    # ---- each entry, in the state that it meets -------------------------------------------------------------------

    def _check(self, entry: EngineEntry) -> None:
        observed, standing = self.shadow.observed, Standing(self.flow, self.shadow)
        match entry:
            case PhaseEntered():
                assert self.shadow.closing is None, "it moves on during the goodbye"
                self._check_entered(entry, standing)
            case ToolStarted(tool=name) if name in self.flow.once and self.event != CallResumed():
                self._check_started(entry, standing)
            case ObservationConfirmed(name=name, turn=turn):
                assert turn > observed[name].quote.turn, "the model agreed with itself"
            case ObservationRecorded(name=name, value=value, kind=kind, quote=quote, turn=turn):
                assert type(value) is TYPES[name]
                assert (kind == "computed") == name.startswith("c")
                assert kind != "speech" or (quote.strip() and turn >= 1)
            case EvidenceWeighed(of="value", subject=name):
                known = observed[name].quote.state
                again = known == "unverifiable" and name in self.shadow.asked_again
                assert known == "provisional" or again, "it was settled before"
            case ToolAnswered(call_id=call_id):
                assert call_id in {*self.shadow.running, *self.shadow.held}
            case ClosingBegan():
                assert self.shadow.closing is None

    def _check_entered(self, entry: PhaseEntered, standing: Standing) -> None:
        left = standing.phase
        if entry.cause == "jump":
            assert entry.phase in left.may_jump
        if entry.cause not in ("criteria", "return"):
            return
        assert entry.previous == left.name
        limits = self.flow.limits_of(left)
        if limits is not None and limits.exact:
            assert self.now >= self.shadow.entered_at + (limits.duration or 0), "a time box was cut short"
        assert (entry.cause == "return") == (entry.phase in self.shadow.path)
        self._check_way(standing, left, entry.phase)

    def _check_way(self, standing: Standing, left: Phase, entered: str) -> None:
        """The phase is done, and left by the first guard that holds; those that are passed over are done too."""
        assert _done(self.flow, left, standing), f"{left.name} was left early"
        assert left.commit is None or standing.committed(left.commit.tool.name), f"{left.name} did not commit"
        phase, seen = left, {left.name}
        while True:
            facts = standing.facts()
            holding = [to for to in phase.transitions if to.when is None or to.when.evaluate(facts) is True]
            assert holding, f"no way leads out of {phase.name}"
            if holding[0].phase == entered:
                return
            phase = self.flow.by_name[holding[0].phase]
            assert phase.name not in seen, "the way leads nowhere"
            seen.add(phase.name)
            assert phase.name in self.shadow.path, f"{phase.name} was passed over unseen"
            assert _done(self.flow, phase, standing), f"{phase.name} was passed over undone"

    def _check_started(self, entry: ToolStarted, standing: Standing) -> None:
        results = self.shadow.results.get(entry.tool, [])
        assert not standing.unweighed(), "it rests on words that may not have been said"
        assert not standing.committed(entry.tool), "it has been done"
        assert self.flow.once[entry.tool].unverified == "go" or not self._unchecked(standing), "nobody checked it"
        failed = any(not result.refused for result in results)
        assert self.flow.once[entry.tool].idempotent or not failed, "nobody knows whether it has been done"
        if entry.commit:
            commit = standing.phase.commit
            assert commit is not None
            assert commit.tool.name == entry.tool
            assert _done(self.flow, standing.phase, standing), "it commits to what is not done"
            assert len(results) < COMMIT_TRIES

    def _unchecked(self, standing: Standing) -> list[str]:
        """What the call had to know on its way, and rests on words that nobody could compare."""
        phases = {*self.shadow.path, self.shadow.phase}
        names = {name for phase in phases for name in self.flow.collected_in[phase]}
        known = {name: standing.state.observed[name] for name in names if name in standing.state.observed}
        return [
            name
            for name, observed in known.items()
            if observed.quote.state == "unverifiable"
            and not self.flow.specs[name].ask.optional
            and (observed.agreed is None or observed.agreed.state != "confirmed")
            and (observed.agreed is None or self.flow.specs[name].ask.confirm is None)
        ]

    # ---- after each event -----------------------------------------------------------------------------------------

    def _check_effects(self, made: Sequence[EngineEffect]) -> None:
        once = [effect for effect in made if isinstance(effect, RunTool) and effect.tool in self.flow.once]
        assert all(effect.key == f"CA1:{effect.tool}" for effect in once)
        closings = [entry for entry in written(made) if isinstance(entry, ClosingBegan)]
        closes = [effect for effect in made if isinstance(effect, Close)]
        assert len(closes) == len(closings) or (self.event == CallResumed() and len(closes) == 1)

    def _check_state(self) -> None:
        engine, state = self.engine, self.engine.state
        answered = [effect.call_id for effect in self.effects if isinstance(effect, Answer)]
        under_way = {**state.running, **state.held}
        open_calls = [call_id for call_id, use in under_way.items() if not use.commit]
        assert sorted([*answered, *open_calls]) == sorted(self.asked), "a call is answered twice, or never"
        assert sum(use.commit for use in under_way.values()) <= 1
        deadline = engine.deadline()
        if state.held:
            assert deadline is not None
            assert deadline <= min(use.since for use in state.held.values()) + EVIDENCE_LIMIT_S
            assert Standing(self.flow, state).unweighed(), "it waits for nothing"
        if state.closing is not None:
            assert not state.held
            assert engine.tools() == ()
            assert deadline is None
        assert engine.phase.end is None or state.closing is not None
        assert 0.0 <= engine.progress() <= 1.0
        assert all(observed.quote.state != "contradicted" for observed in state.observed.values())

    def _check_goes_on(self, made: Sequence[EngineEffect]) -> None:
        """The caller is never left in silence, and the call never where it could go on."""
        standing, phase = Standing(self.flow, self.shadow), self.engine.phase
        asked = any(isinstance(effect, AskReply) for effect in made)
        moved = any(isinstance(entry, PhaseEntered) for entry in written(made))
        if moved and not isinstance(self.event, _ANSWERED):
            assert asked, "nobody speaks after the call has moved on"
        if any(isinstance(entry, ObservationWithdrawn) and entry.reason == "contradicted" for entry in written(made)):
            assert asked, "the model is not told to ask again"
        if moved and self.shadow.steps[-1].cause == "correction":
            assert standing.detour() in (None, phase.name), "the correction leads elsewhere"
        if isinstance(self.event, CallerTurnEnded | ResponseEnded):
            texts = {say.name: standing.statement(say) for say in phase.must_say}
            for name, text in texts.items():
                said = (self.shadow.saying.get(name), self.shadow.heard.get(name))
                assert text is None or text in said, "nobody says what must be said"
        limits = self.flow.limits_of(phase)
        boxed = limits is not None and limits.exact
        if isinstance(self.event, CallerTurnEnded) and standing.complete() and not self.engine.busy and not boxed:
            self._check_leaves(standing, phase, moved=moved)

    def _check_leaves(self, standing: Standing, phase: Phase, *, moved: bool) -> None:
        if phase.commit is None or standing.committed(phase.commit.tool.name):
            assert standing.onward(phase) in (None, phase.name) or moved, "the call is stuck although a way is open"
        else:
            results = self.shadow.results.get(phase.commit.tool.name, [])
            waits = bool(self.shadow.asked_again) or bool(results and results[-1].refused)
            assert waits or moved, "the commit is forgotten"


def _done(flow: Flow, phase: Phase, standing: Standing) -> bool:
    """Whether a phase has all it asks for, as its author would say it."""
    observed, facts = standing.state.observed, standing.facts()
    for name in flow.collected_in[phase.name]:
        how = flow.specs[name].ask
        if how.optional or (how.needed_if is not None and how.needed_if.evaluate(facts) is not True):
            continue
        if name not in observed:
            return False
        if how.confirm is not None and observed[name].kind == "speech" and observed[name].agreed is None:
            return False
    if any(Heard.fact(say.name) not in facts for say in phase.must_say):
        return False
    return all(criterion.evaluate(facts) is True for criterion in phase.success_criteria)
