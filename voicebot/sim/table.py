"""The table read: whole calls on the product's call core, in words, without audio processing, sockets or an event loop.

A discrete simulation round `CallCore`: a line with a playout clock, a caller, a model that thinks with a brain, the
flow's own tools. Everything that the protocols leave open (delays, the order of events, the size of pieces) is decided
by a seed; seed 0 is the usual way. So a flow is played hundreds of times in seconds, each time a little differently,
and a seed replays one call exactly.

    caller ◀─ what is heard ─ line ◀─ LegCommand ── CallCore ── ModelCommand ─▶ model ─ asks a Brain
           ── what is said ──▶ (turns of the model)          ◀── events, later ──

A call is judged beside the core as it happens: replies one at a time and on the present phase's instructions, answers
to calls that were made, truncation within what was sent, and the ledger against what the line truly played.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from voicebot.call.entries import Entry, kind_of, write_entry
from voicebot.delivery.report import fold_report
from voicebot.engine.entries import SilenceNoticed
from voicebot.errors import ScenarioError, StoreError
from voicebot.flow.loader import LoadedFlow
from voicebot.store.contract import CallRecord, Direction, StoredEntry

from .brain import Brain
from .caller import Conversation
from .scenario import Scenario
from .table_call import TableCall
from .table_caller import PatientCaller
from .table_chance import Chance, TableFaults
from .timeline import BotSaid, CallerSaid
from .verdict import VIRTUAL_START, answered_lines, misheard, opening_of, report_problems

CALL_LIMIT_S = 3600.0


@dataclass(frozen=True)
class TableRead:
    """A call that was played at the table.

    Attributes:
        journal: its entries with their times (ms since it began), in order.
        heard: what the caller heard, from the bytes that were played to him alone.
        said: what he said.
        problems: everything that went another way than it should.
        duration_s: how long it took, in the call's own time.
    """

    loaded: LoadedFlow
    record: CallRecord
    journal: tuple[tuple[int, Entry], ...]
    heard: tuple[BotSaid, ...]
    said: tuple[CallerSaid, ...]
    problems: tuple[str, ...]
    duration_s: float

    @cached_property
    def stored(self) -> tuple[StoredEntry, ...]:
        """The journal as a store would keep it."""
        return tuple(
            StoredEntry(
                number, kind_of(entry), at_ms, self.record.started + timedelta(milliseconds=at_ms), write_entry(entry)
            )
            for number, (at_ms, entry) in enumerate(self.journal, 1)
        )

    @cached_property
    def report(self) -> dict[str, Any]:
        """`data` of the report that the journal folds to."""
        found: dict[str, Any] = fold_report(self.record, self.loaded.flow, self.stored)["data"]
        return found


def table_read(
    scenario: Scenario,
    loaded: LoadedFlow,
    *,
    seed: int = 0,
    brain: Brain | None = None,
    caller: Conversation | None = None,
    faults: TableFaults | None = None,
    limit_s: float = CALL_LIMIT_S,
) -> TableRead:
    """Play a scenario's call, and compare it with what is expected. As `play`, not on a running event loop.

    Args:
        brain, caller: in the place of the scenario's own; then nobody follows its script, and words are not compared.

    Raises:
        ScenarioError: there is more of it on the telephone than the table has.
    """
    if scenario.needs_whole_call:
        raise ScenarioError(
            f"{scenario.place}: {scenario.name!r} needs a whole call: the table has one leg, and a talk"
        )
    script = scenario.brain()
    played = play(
        loaded,
        brain or script,
        caller or PatientCaller(scenario.steps(), answered_lines(scenario, opening_of(loaded))),
        seed=seed,
        faults=faults,
        limit_s=limit_s,
        caller_number=scenario.caller_number,
        called_number=scenario.called_number,
        variables=scenario.calls_out.variables if scenario.calls_out is not None else None,
    )
    problems = [*played.problems]
    if brain is None and caller is None:
        problems += [f"the model: {problem}" for problem in (*script.problems, *script.unconsumed())]
        problems += misheard(scenario, loaded, played.heard)
    silences = sum(isinstance(entry, SilenceNoticed) for _, entry in played.journal)
    try:
        problems += report_problems(scenario, played.report, silences=silences, response_counts=seed == 0, whole=False)
    except StoreError as exc:
        problems.append(f"there is no report: {exc}")
    return replace(played, problems=tuple(problems))


def play(
    loaded: LoadedFlow,
    brain: Brain,
    caller: Conversation,
    *,
    seed: int = 0,
    faults: TableFaults | None = None,
    limit_s: float = CALL_LIMIT_S,
    caller_number: str = "+15550123456",
    called_number: str = "+15550100000",
    variables: Mapping[str, str] | None = None,
) -> TableRead:
    """Play one call, whatever brain and caller do in it; only what is wrong in any call is a problem.

    Must not be called on a running event loop: the flow's tools run on one of their own.

    Args:
        seed: decides delays and orders; 0 is the usual way.
        limit_s: a call that is longer (in its own time) is given up.
        variables: what a call of ours was placed with; None if somebody calls us.
    """
    number = caller_number if caller_number.startswith("+") else None  # `anonymous`
    call_sid = f"CA{seed & (1 << 128) - 1:032x}"
    ours = variables is not None
    from_, to = (called_number, number) if ours else (number, called_number)
    direction: Direction = "outbound" if ours else "inbound"
    record = CallRecord(call_sid, loaded.name, loaded.version, from_, to, direction, VIRTUAL_START, "", 1, 0)
    call = TableCall(loaded, brain, caller, record, Chance(seed), faults or TableFaults(), variables or {})
    call.play(limit_s)
    heard, said = tuple(call.handset.heard), tuple(call.handset.said)
    return TableRead(loaded, record, tuple(call.journal), heard, said, tuple(call.problems), call.now)
