"""A call as the engine sees it: an engine, the moment, and what has come of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import (
    EngineEntry,
    EvidenceWeighed,
    ObservationRecorded,
    ObservationWithdrawn,
    PhaseCause,
    PhaseEntered,
    ProposalRefused,
)
from voicebot.engine.events import (
    Answer,
    AskReply,
    CallContext,
    CallerTranscribed,
    CallerTurnEnded,
    CallStarted,
    EngineEffect,
    EngineEvent,
    ResponseEnded,
    RunTool,
    SpeakExactly,
    StatementEnded,
    ToolFinished,
    ToolProposed,
    TranscriptMissed,
    Write,
)
from voicebot.flow import Flow

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALLER = "+14155550123"


class Line:
    """An engine and the moment."""

    def __init__(self, flow: Flow, *, caller: str | None = CALLER, start: bool = True) -> None:
        self.now = 100.0
        self.engine = PhaseEngine(flow, CallContext("CA1", caller, "+15550100", START))
        self.effects: list[EngineEffect] = []
        self.timed: list[tuple[float, EngineEntry]] = []
        self.calls = 0
        if start:
            self.take(CallStarted())

    # ---- what happens ---------------------------------------------------------------------------------------------

    def take(self, event: EngineEvent) -> list[EngineEffect]:
        return self._note(self.engine.handle(event, self.now))

    def _note(self, made: list[EngineEffect]) -> list[EngineEffect]:
        self.effects += made
        self.timed += [(self.now, entry) for entry in written(made)]
        return made

    def wait(self, seconds: float) -> list[EngineEffect]:
        """Time passes; the engine is called whenever it wants to be."""
        made: list[EngineEffect] = []
        end = self.now + seconds
        for _ in range(100):
            due = self.engine.deadline()
            if due is None or due > end:
                self.now = end
                return made
            self.now = max(self.now, due)
            made += self._note(self.engine.on_deadline(self.now))
        raise AssertionError("the engine wants to be called again and again")

    def turn(self) -> list[EngineEffect]:
        """The caller has said something; its transcript is still to come."""
        return self.take(CallerTurnEnded(f"item-{self.engine.state.turn + 1}"))

    def hear(self, text: str, turn: int | None = None) -> list[EngineEffect]:
        """The transcript of a turn comes, by default of the latest."""
        return self.take(CallerTranscribed(f"item-{turn or self.engine.state.turn}", text))

    def miss(self, turn: int | None = None) -> list[EngineEffect]:
        """The transcript of a turn, by default of the latest, will never come."""
        return self.take(TranscriptMissed(f"item-{turn or self.engine.state.turn}", "failed"))

    def say(self, text: str) -> list[EngineEffect]:
        """The caller says this, and its transcript is there at once."""
        return [*self.turn(), *self.hear(text)]

    def call(self, name: str, arguments: object = None) -> list[EngineEffect]:
        """The model calls one function; `arguments` are JSON text, or what is to be written as such."""
        return self.take(self.proposal(name, arguments))

    def proposal(self, name: str, arguments: object = None) -> ToolProposed:
        text = arguments if isinstance(arguments, str) else json.dumps({} if arguments is None else arguments)
        self.calls += 1
        return ToolProposed(f"call-{self.calls}", name, text)

    def together(self, *calls: tuple[str, object]) -> list[EngineEffect]:
        """The model calls several functions in one response."""
        return self.take(ResponseEnded(tuple(self.proposal(name, arguments) for name, arguments in calls)))

    def record(self, quote: str = "so", **values: object) -> dict[str, Any]:
        """The model records values with a quote; returns the answer that it reads."""
        return answer(self.call("record", quoting(quote, **values)))

    def confirm(self, name: str, quote: str = "yes") -> dict[str, Any]:
        """The model says that the caller has agreed to what was read back; returns the answer that it reads."""
        return answer(self.call("record", {name: {"confirmed": True, "quote": quote}}))

    def tell(self, text: str, **values: object) -> dict[str, Any]:
        """The caller says this, and the model records values with these words as their quote."""
        self.say(text)
        return self.record(text, **values)

    def finish(
        self, output: str = "done", *, ok: bool = True, refused: bool = False, **records: Any
    ) -> list[EngineEffect]:
        """The tool that was started last comes back."""
        return self.take(ToolFinished([*self.engine.state.running][-1], output, ok, refused, records))

    def heard(self, name: str, *, complete: bool = True) -> list[EngineEffect]:
        """The statement that is being said is over."""
        return self.take(StatementEnded(name, self.engine.state.saying.get(name, "something else"), complete))

    # ---- what has come of it --------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        return self.engine.state.phase

    @property
    def path(self) -> list[str]:
        return self.engine.state.path

    @property
    def causes(self) -> list[PhaseCause]:
        return [step.cause for step in self.engine.state.steps]

    @property
    def known(self) -> dict[str, Any]:
        return self.engine.known

    @property
    def entries(self) -> list[EngineEntry]:
        return written(self.effects)

    @property
    def started(self) -> list[RunTool]:
        """The tools that were started, in order."""
        return [effect for effect in self.effects if isinstance(effect, RunTool)]

    def evidence(self, name: str) -> str:
        """The state of the evidence for a value."""
        return self.engine.state.observed[name].quote.state

    def offered(self) -> list[str]:
        return [offer.name for offer in self.engine.tools()]


def quoting(quote: str, **values: object) -> dict[str, object]:
    """The arguments of `record`."""
    return {name: {"value": value, "quote": quote} for name, value in values.items()}


def written(effects: Iterable[EngineEffect]) -> list[EngineEntry]:
    return [effect.entry for effect in effects if isinstance(effect, Write)]


def notes(effects: Iterable[EngineEffect]) -> list[str]:
    """What the model is told when it is to speak."""
    return [effect.note for effect in effects if isinstance(effect, AskReply)]


def spoken(effects: Iterable[EngineEffect]) -> list[str]:
    """What is spoken word for word."""
    return [effect.say.text for effect in effects if isinstance(effect, SpeakExactly)]


def entered(effects: Iterable[EngineEffect]) -> list[tuple[str, PhaseCause]]:
    """The phases that were entered, and why."""
    return [(entry.phase, entry.cause) for entry in written(effects) if isinstance(entry, PhaseEntered)]


def recorded(effects: Iterable[EngineEffect]) -> dict[str, Any]:
    """What was recorded; None for what was withdrawn."""
    found: dict[str, Any] = {}
    for entry in written(effects):
        match entry:
            case ObservationRecorded(name=name, value=value):
                found[name] = value
            case ObservationWithdrawn(name=name):
                found[name] = None
    return found


def weighings(effects: Iterable[EngineEffect]) -> list[tuple[str, str, str]]:
    """What was weighed: subject, what the quote stands for, and what became of it."""
    return [(e.subject, e.of, e.state) for e in written(effects) if isinstance(e, EvidenceWeighed)]


def answers(effects: Iterable[EngineEffect]) -> dict[str, str]:
    """What each call was answered; each at most once."""
    made = [effect for effect in effects if isinstance(effect, Answer)]
    assert len({one.call_id for one in made}) == len(made)
    return {one.call_id: one.output for one in made}


def outputs(effects: Iterable[EngineEffect]) -> dict[str, Any]:
    """What each call was answered, read as JSON."""
    return {call_id: json.loads(output) for call_id, output in answers(effects).items()}


def answer(effects: Iterable[EngineEffect]) -> dict[str, Any]:
    """The one answer among the effects."""
    (only,) = outputs(effects).values()
    made: dict[str, Any] = only
    return made


def refusal(effects: Sequence[EngineEffect]) -> str:
    """Why a call was refused as a whole; that and nothing else has happened."""
    (entry,) = written(effects)
    assert isinstance(entry, ProposalRefused)
    assert len(effects) == 2
    assert answer(effects) == {"refused": entry.problem}
    return entry.problem


def kinds(effects: Iterable[EngineEffect]) -> list[str]:
    """The effects by name, entries by theirs."""
    return [type(effect.entry if isinstance(effect, Write) else effect).__name__ for effect in effects]


def restored(line: Line) -> PhaseEngine:
    """Another engine that has read the journal of this one."""
    engine = PhaseEngine(line.engine.flow, line.engine.context)
    engine.restore(line.timed, line.timed[0][0])
    return engine
