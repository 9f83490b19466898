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

from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import (
    CallerTurnTaken,
    EngineEntry,
    SilenceNoticed,
    ToolAnswered,
)
from voicebot.engine.events import (
    CallContext,
    CallerTurnEnded,
    CallStarted,
    EngineEffect,
    EngineEvent,
    ResponseEnded,
    SilenceLasted,
    ToolFinished,
    ToolProposed,
    Write,
)
from voicebot.flow.model import Flow

from .entries import CallerConnected, Entry, FunctionCalled

_DECISIONS = get_args(EngineEntry)


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
    for at_ms, event in _inputs(journal):
        now = at_ms / 1000
        yield from _written(at_ms, engine.on_deadline(now))
        if event is not None:
            yield from _written(at_ms, engine.handle(event, now))


def _written(at_ms: int, effects: Iterable[EngineEffect]) -> Iterator[tuple[int, EngineEntry]]:
    return ((at_ms, effect.entry) for effect in effects if isinstance(effect, Write))


def _inputs(journal: Sequence[tuple[int, Entry]]) -> Iterator[tuple[int, EngineEvent | None]]:
    """The engine's inputs in order. The calls of one response stand together; every other entry only passes time."""
    calls: list[ToolProposed] = []
    for position, (at_ms, entry) in enumerate(journal):
        if isinstance(entry, FunctionCalled):
            calls.append(ToolProposed(entry.call_id, entry.name, entry.arguments))
            following = journal[position + 1][1] if position + 1 < len(journal) else None
            if not isinstance(following, FunctionCalled):
                yield at_ms, ResponseEnded(tuple(calls))
                calls = []
            continue
        match entry:
            case CallerConnected():
                yield at_ms, CallStarted()
            case CallerTurnTaken(item_id=item_id):
                yield at_ms, CallerTurnEnded(item_id)
            case ToolAnswered(call_id=call_id, output=output, ok=ok):
                yield at_ms, ToolFinished(call_id, output, ok)
            case SilenceNoticed(rung=rung):
                yield at_ms, SilenceLasted(rung)
            case _:
                yield at_ms, None
