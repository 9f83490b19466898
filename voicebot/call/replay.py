"""A recorded call against a flow: what the engine would decide now, given what happened then.

The journal holds every input of the engine (the caller's turns, the model's calls, what tools answered, silences, and
the time of each) beside every decision. Replaying feeds the inputs to an engine of the given flow, old or edited, and
compares its decisions with the recorded ones. The same flow decides the same; an edited one differs from some entry on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import get_args

from voicebot.engine.analysis import read
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import (
    CallerSaid,
    CallerTurnTaken,
    CallerUnclear,
    EngineEntry,
    KeysRefused,
    ObservationRecorded,
    SilenceNoticed,
    StatementCut,
    StatementHeard,
    TimeRanOut,
    ToolAnswered,
)
from voicebot.engine.events import (
    AnalysisCame,
    CallContext,
    CallerTranscribed,
    CallerTurnEnded,
    CallResumed,
    CallStarted,
    EndWanted,
    EngineEffect,
    EngineEvent,
    KeyPressed,
    MoneySpent,
    ResponseEnded,
    SecretEntered,
    SilenceLasted,
    StatementEnded,
    ToolFinished,
    ToolProposed,
    TranscriptMissed,
    TransferWanted,
    Write,
)
from voicebot.engine.keying import NOTHING_PRESSED
from voicebot.flow.model import Flow

from .entries import (
    CallAnalysed,
    CallerConnected,
    CallTakenOver,
    EndAsked,
    Entry,
    FunctionCalled,
    HandedOver,
    KeyPress,
    LegLost,
    TokensSpent,
    TransferAsked,
)

_DECISIONS = get_args(EngineEntry)
_ROUNDING_S = 0.002


@dataclass(frozen=True, slots=True)
class Difference:
    """Where an edited flow goes another way: from the `number`-th decision (from 1) on, `at_ms` into the call.

    `then` is the recorded decision and `now` the one of the edited flow; None where that side decides nothing more.
    """

    number: int
    at_ms: int
    then: EngineEntry | None
    now: EngineEntry | None


def replay(flow: Flow, context: CallContext, journal: Sequence[tuple[int, Entry]]) -> Difference | None:
    """The first decision that `flow` would take otherwise; None when it decides as recorded.

    Args:
        flow: the flow to replay against.
        context: what was known when the call began.
        journal: the call's entries with their times (ms since it began), in order.
    """
    recorded = [(at_ms, entry) for at_ms, entry in journal if isinstance(entry, _DECISIONS)]
    decided = list(_decisions(flow, context, journal))
    last_ms = journal[-1][0] if journal else 0
    for number, (then, now) in enumerate(zip_longest(recorded, decided), 1):
        was, would_be = then[1] if then else None, now[1] if now else None
        if was is None or would_be is None or _bare(was) != _bare(would_be):
            return Difference(number, then[0] if then else now[0] if now else last_ms, was, would_be)
    return None


def _bare(entry: EngineEntry) -> EngineEntry:
    """The decision without what was measured rather than decided."""
    return replace(entry, took_ms=0) if isinstance(entry, ToolAnswered) else entry


def _decisions(
    flow: Flow, context: CallContext, journal: Sequence[tuple[int, Entry]]
) -> Iterator[tuple[int, EngineEntry]]:
    engine = PhaseEngine(flow, context)
    calls: list[ToolProposed] = []
    cut: list[str] = []  # statements that the engine itself has taken for cut, when the call came to other hands
    nobody_has_it = False
    usd = 0.0
    for (at_ms, entry), following in zip_longest(journal, journal[1:]):
        now = at_ms / 1000
        nobody_has_it |= isinstance(entry, (LegLost, HandedOver, CallTakenOver))
        if not nobody_has_it:  # else no limit is kept until the caller is back
            # Times are kept in whole milliseconds: a limit that was reached then is reached now, and no other one is.
            slack_s = _ROUNDING_S if _may_be_late(entry) else -_ROUNDING_S
            yield from _written(at_ms, engine.on_deadline(now + slack_s))
        nobody_has_it &= not isinstance(entry, CallerConnected)
        event = _input(entry, engine)
        if isinstance(entry, TokensSpent) and entry.usd is not None:
            usd += entry.usd
            event = MoneySpent(usd)
        if isinstance(entry, FunctionCalled):  # the calls of one response stand together, and are decided together
            calls.append(ToolProposed(entry.call_id, entry.name, entry.arguments))
            if following is None or not isinstance(following[1], FunctionCalled):
                event, calls = ResponseEnded(tuple(calls)), []
        if isinstance(entry, StatementCut) and entry.name in cut:
            cut.remove(entry.name)
        elif event is not None:
            decided = list(_written(at_ms, engine.handle(event, now)))
            if isinstance(event, CallResumed):
                cut += [decision.name for _, decision in decided if isinstance(decision, StatementCut)]
            yield from decided


def _may_be_late(entry: Entry) -> bool:
    """Whether it may have been written because a time was over."""
    by_keys = isinstance(entry, ObservationRecorded) and entry.kind == "keypad"
    return by_keys or isinstance(entry, (TimeRanOut, KeysRefused))


def _written(at_ms: int, effects: Iterable[EngineEffect]) -> Iterator[tuple[int, EngineEntry]]:
    return ((at_ms, effect.entry) for effect in effects if isinstance(effect, Write))


def _input(entry: Entry, engine: PhaseEngine) -> EngineEvent | None:
    """The input of the engine that an entry stands for, if it is one."""
    match entry:
        case CallerConnected():
            return CallResumed() if engine.state.steps else CallStarted()
        case CallerTurnTaken(item_id=item_id, cut=cut):
            return CallerTurnEnded(item_id, cut)
        case CallerSaid(item_id=item_id, text=text):
            return CallerTranscribed(item_id, text)
        case CallerUnclear(item_id=item_id, reason=reason):
            return TranscriptMissed(item_id, reason)
        case KeyPress(digit=digit):
            return KeyPressed(digit)
        case ObservationRecorded(name=name, kind="keypad") if name in engine.flow.secrets:
            return SecretEntered(name, "")
        case KeysRefused(name=name, problem=problem) if name in engine.flow.secrets and problem != NOTHING_PRESSED:
            return SecretEntered(name, problem)
        case ToolAnswered() if entry.call_id in engine.state.running:
            return ToolFinished(entry.call_id, entry.output, entry.ok, entry.refused, entry.records)
        case StatementHeard(name=name, text=text):
            return StatementEnded(name, text, complete=True)
        case StatementCut(name=name):
            return StatementEnded(name, engine.state.saying.get(name, ""), complete=False)
        case SilenceNoticed(rung=rung):
            return SilenceLasted(rung)
        case EndAsked():
            return EndWanted()
        case TransferAsked(target=target):
            return TransferWanted(target)
        case CallAnalysed(status="done", arguments=arguments):
            return AnalysisCame(read(arguments).said)
    return None
