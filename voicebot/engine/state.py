"""What a call's journal folds to, and the one place where that changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from voicebot.flow.expressions import Judged
from voicebot.flow.model import Flow

from .detection import Leaning
from .entries import (
    AskedAgain,
    CallerSaid,
    CallerTurnTaken,
    CallerUnclear,
    ClosingBegan,
    CostReached,
    EndedReason,
    EngineEntry,
    EvidenceKind,
    EvidenceState,
    EvidenceWeighed,
    JudgementMade,
    KeysRefused,
    LanguageSwitched,
    ObservationConfirmed,
    ObservationDeclined,
    ObservationFilled,
    ObservationRecorded,
    ObservationWithdrawn,
    PhaseCause,
    PhaseEntered,
    ProposalRefused,
    RuleApplied,
    SilenceNoticed,
    StatementBegun,
    StatementCut,
    StatementHeard,
    TimeRanOut,
    ToolAnswered,
    ToolHeld,
    ToolStarted,
    TransferBegan,
    TransferFailed,
)

EARLIER_TURNS = 6  # a quote is looked for in the turn it was recorded in, and in as many before it


@dataclass(frozen=True, slots=True)
class Quote:
    """Words that the model claims the caller said in `turn`, and what has become of the claim."""

    text: str
    turn: int
    state: EvidenceState
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """A recorded value with where it came from.

    Attributes:
        since: the caller's turn in which it came to have this value.
        about: what the values were that it is about, when it was recorded.
        agreed: the caller's yes to its reading back.
    """

    value: object
    json_value: JsonValue
    kind: EvidenceKind
    quote: Quote
    since: int = 0
    about: Mapping[str, JsonValue] = field(default_factory=dict)
    agreed: Quote | None = None
    before: Observed | None = None  # the last value that was borne out, should this one not be


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the model made of a criterion in words."""

    holds: bool
    quote: Quote


@dataclass(frozen=True, slots=True)
class Step:
    """A phase that was entered, and why."""

    phase: str
    cause: PhaseCause


@dataclass(frozen=True, slots=True)
class Use:
    """A use of a tool that is under way. `since` is when it was held or started, on the engine's clock."""

    tool: str
    arguments: str
    commit: bool
    since: float


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool that runs once came back with."""

    output: str
    ok: bool
    refused: bool


@dataclass(slots=True)
class EngineState:
    """What the journal folds to."""

    phase: str
    steps: list[Step] = field(default_factory=list)
    entered_at: float = 0.0
    turn: int = 0
    turns_in_phase: int = 0
    recorded_in_phase: bool = False
    observed: dict[str, Observed] = field(default_factory=dict)
    declined: set[str] = field(default_factory=set)
    key_tries: dict[str, int] = field(default_factory=dict)  # field → entries by keys that went wrong in this phase
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    asked_again: dict[str, int] = field(default_factory=dict)  # subject → the caller's turns before it was asked
    turn_of: dict[str, int] = field(default_factory=dict)  # item → turn
    transcripts: dict[int, str] = field(default_factory=dict)  # of the latest turns; of all, if an analysis follows
    untranscribed: set[int] = field(default_factory=set)
    held: dict[str, Use] = field(default_factory=dict)  # call_id → use, until its evidence is there
    running: dict[str, Use] = field(default_factory=dict)  # call_id → use, while it works
    results: dict[str, list[Result]] = field(default_factory=dict)  # of tools that run once, in order
    unchanged: set[str] = field(default_factory=set)  # the commits since whose last start nothing was recorded
    saying: dict[str, str] = field(default_factory=dict)  # statement → text, while it is said
    heard: dict[str, str] = field(default_factory=dict)  # statement → text that was heard to its end
    switched: LanguageSwitched | None = None  # the last time; None while the call is in the flow's first language
    leaning: Leaning = field(default_factory=Leaning)  # of the caller, since the last switch
    costs_too_much: bool = False
    closing: EndedReason | None = None
    transfers: list[str] = field(default_factory=list)  # the targets of those begun, in order
    unreached: str | None = None  # the target that nobody answered, until the call goes on elsewhere
    filled: dict[str, Observed] = field(default_factory=dict)  # when the call was over; nothing rests on these

    @property
    def path(self) -> list[str]:
        """The phases entered so far, in order."""
        return [step.phase for step in self.steps]


def apply(state: EngineState, flow: Flow, entry: EngineEntry, now: float) -> None:
    """Change the state as an entry says.

    Raises:
        KeyError: the entry names what the flow does not have.
        ValidationError: a recorded value is none of its field.
    """
    match entry:
        case PhaseEntered():
            state.phase, state.entered_at, state.turns_in_phase = entry.phase, now, 0
            state.recorded_in_phase, state.unreached = False, None
            state.key_tries.clear()
            state.steps.append(Step(entry.phase, entry.cause))
        case CallerTurnTaken():
            state.turn = entry.turn
            state.turns_in_phase += not entry.cut
            state.turn_of[entry.item_id] = entry.turn
        case CallerSaid():
            _hear(state, flow, entry)
        case CallerUnclear():
            if (turn := state.turn_of.get(entry.item_id)) is not None:
                state.untranscribed.add(turn)
        case ObservationRecorded():
            _record(state, flow, entry)
        case ObservationConfirmed():
            agreed = Quote(entry.quote, entry.turn, "provisional")
            state.observed[entry.name] = replace(state.observed[entry.name], agreed=agreed)
            state.recorded_in_phase = True
            state.unchanged.clear()
        case ObservationDeclined():
            state.declined.add(entry.name)
            state.recorded_in_phase = True
        case ObservationWithdrawn():
            if entry.reason != "contradicted":  # that one went when it was weighed
                del state.observed[entry.name]
                state.asked_again.pop(entry.name, None)
            state.unchanged.clear()
        case ObservationFilled():
            _fill(state, flow, entry)
        case JudgementMade():
            state.verdicts[entry.criterion] = Verdict(entry.holds, Quote(entry.quote, entry.turn, "provisional"))
            state.recorded_in_phase = True
        case EvidenceWeighed():
            _weigh(state, entry)
        case LanguageSwitched():
            state.switched, state.leaning = entry, Leaning()
        case CostReached():
            state.costs_too_much = True
        case KeysRefused():
            state.key_tries[entry.name] = entry.attempt
        case AskedAgain():
            state.asked_again |= dict.fromkeys(entry.subjects, entry.turn)
        case ToolHeld():
            state.held[entry.call_id] = Use(entry.tool, entry.arguments, entry.commit, now)
        case ToolStarted():
            state.held.pop(entry.call_id, None)
            state.running[entry.call_id] = Use(entry.tool, entry.arguments, entry.commit, now)
            if entry.commit:
                state.unchanged.add(entry.tool)
        case ToolAnswered():
            state.held.pop(entry.call_id, None)
            if state.running.pop(entry.call_id, None) is not None and entry.tool in flow.once:
                state.results.setdefault(entry.tool, []).append(Result(entry.output, entry.ok, entry.refused))
        case StatementBegun():
            state.saying[entry.name] = entry.text
        case StatementHeard():
            state.saying.pop(entry.name, None)
            state.heard[entry.name] = entry.text
        case StatementCut():
            state.saying.pop(entry.name, None)
        case TransferBegan():
            state.transfers.append(entry.target)
        case TransferFailed():
            state.closing, state.unreached = None, entry.target
        case ClosingBegan():
            state.closing = entry.reason
            state.held.clear()
        case ProposalRefused() | RuleApplied() | SilenceNoticed() | TimeRanOut():
            return


def _hear(state: EngineState, flow: Flow, entry: CallerSaid) -> None:
    turn = state.turn_of.get(entry.item_id)
    if turn is None:
        return
    if len(flow.languages) > 1:
        state.leaning = state.leaning.after(entry.text, flow.languages)
    state.transcripts[turn] = entry.text
    if flow.report.analysis is not None and flow.report.analysis.fill:
        return  # any of them may be quoted when the call is over
    for old in [known for known in state.transcripts if known < state.turn - 2 * EARLIER_TURNS]:
        del state.transcripts[old]


def _fill(state: EngineState, flow: Flow, entry: ObservationFilled) -> None:
    quote = Quote(entry.quote, entry.turn, entry.state, entry.score)
    state.filled[entry.name] = Observed(_typed(flow, entry), entry.value, "analysis", quote)


def _typed(flow: Flow, entry: ObservationRecorded | ObservationFilled) -> object:
    if flow.specs[entry.name].ask.secret:
        return entry.value  # a stand-in; the value itself is in the vault
    return flow.specs[entry.name].adapter.validate_json(json.dumps(entry.value))


def _record(state: EngineState, flow: Flow, entry: ObservationRecorded) -> None:
    spec, typed = flow.specs[entry.name], _typed(flow, entry)
    quote = Quote(entry.quote, entry.turn, "provisional" if entry.kind == "speech" else "confirmed")
    old = state.observed.get(entry.name)
    same = old if old is not None and old.json_value == entry.value else None
    about = {name: state.observed[name].json_value for name in spec.ask.about if name in state.observed}
    borne_out = old is not None and old.quote.state in ("confirmed", "unverifiable")
    before = replace(old, before=None) if old is not None and borne_out else old.before if old is not None else None
    state.observed[entry.name] = Observed(
        typed,
        entry.value,
        entry.kind,
        quote,
        since=entry.turn if same is None else same.since,
        about=about,
        agreed=None if same is None else same.agreed,
        before=before,
    )
    state.declined.discard(entry.name)
    state.recorded_in_phase = True
    state.unchanged.clear()


def _weigh(state: EngineState, entry: EvidenceWeighed) -> None:
    if entry.state == "confirmed":
        state.asked_again.pop(Judged.fact(entry.subject) if entry.of == "verdict" else entry.subject, None)
    if entry.of == "verdict":
        verdict = state.verdicts[entry.subject]
        if entry.state == "contradicted":
            del state.verdicts[entry.subject]
        else:
            weighed = replace(verdict.quote, state=entry.state, score=entry.score)
            state.verdicts[entry.subject] = replace(verdict, quote=weighed)
        return
    observed = state.observed[entry.subject]
    if entry.of == "agreement":
        agreed = observed.agreed
        taken_back = agreed is None or entry.state == "contradicted"
        kept = None if agreed is None or taken_back else replace(agreed, state=entry.state, score=entry.score)
        state.observed[entry.subject] = replace(observed, agreed=kept)
        return
    if entry.state != "contradicted":
        quote = replace(observed.quote, state=entry.state, score=entry.score)
        state.observed[entry.subject] = replace(observed, quote=quote)
    elif observed.before is not None:
        state.observed[entry.subject] = observed.before
    else:
        del state.observed[entry.subject]
