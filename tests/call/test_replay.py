"""Recorded calls against the flow they ran and against edited ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from tests.end_to_end.reception import HANGS_UP, VISIT, Visit, flow, shelf
from voicebot.call.entries import Entry, read_entry
from voicebot.call.replay import replay
from voicebot.engine.entries import PhaseEntered, ProposalRefused, TimeRanOut
from voicebot.engine.events import CallContext
from voicebot.flow import Flow, HangUp, Phase, To, it
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.sim.clock import run_virtual
from voicebot.sim.scenario import Scenario, load_scenarios
from voicebot.sim.stage import rehearse

FLOWS = Path(__file__).parents[2] / "flows"
SHIPPED = [load_scenarios(path)[-1] for path in sorted((FLOWS / "scenarios").glob("*.py"))]
CALLER = "+15550123456"


def recorded(scenario: Scenario, flows: FlowShelf) -> list[tuple[int, Entry]]:
    rehearsal = run_virtual(rehearse(scenario, flows))
    assert rehearsal.problems == ()
    return [(one.at_ms, read_entry(one.kind, one.body)) for one in rehearsal.journal]


@cache
def visit() -> list[tuple[int, Entry]]:
    return recorded(VISIT, shelf)


def context(caller: str | None = CALLER) -> CallContext:
    return CallContext("CA0", caller, None, datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("scenario", SHIPPED, ids=lambda one: f"{one.flow}: {one.name}")
def test_unchanged_flow_decides_the_same(scenario: Scenario) -> None:
    flows = load_folder(FLOWS)
    journal = recorded(scenario, flows)
    caller = scenario.caller_number if scenario.caller_number.startswith("+") else None
    assert replay(flows.get(scenario.flow).flow, context(caller), journal) is None


def test_hang_up_replays_too() -> None:
    assert replay(flow, context(), recorded(HANGS_UP, shelf)) is None


def edited(*phases: Phase) -> Flow:
    return Flow(goal=flow.goal, observations=Visit, opening=flow.opening, phases=phases)


BYE = Phase("bye", end=HangUp())


def test_edited_guard_is_found_where_it_matters() -> None:
    other = Phase("other", observations=(it.reason,), transitions=(To("bye"),))
    changed = edited(
        Phase(
            "reception",
            observations=(it.name, it.reason),
            transitions=(To("other", when=it.reason == "toothache"), To("bye")),
        ),
        other,
        BYE,
    )
    difference = replay(changed, context(), visit())
    assert difference is not None
    assert difference.then == PhaseEntered("bye", "reception", "criteria")
    assert difference.now == PhaseEntered("other", "reception", "criteria")
    assert difference.at_ms in [at_ms for at_ms, entry in visit() if entry == difference.then]


def test_closed_field_is_a_refusal() -> None:
    changed = edited(Phase("reception", observations=(it.name,), transitions=(To("bye"),)), BYE)
    difference = replay(changed, context(), visit())
    assert difference is not None
    assert isinstance(difference.now, PhaseEntered | ProposalRefused)


def test_edit_that_no_call_touches_changes_nothing() -> None:
    unused = Phase("unused", observations=(it.reason,), transitions=(To("bye"),))
    reception = replace(flow.phases[0], instructions="Quite another tone.")
    assert replay(edited(reception, unused, BYE), context(), visit()) is None


def test_shorter_limit_ends_the_call_sooner() -> None:
    from voicebot.flow import Limits

    difference = replay(replace(flow, limits=Limits(duration=3.0)), context(), visit())
    assert difference is not None
    assert difference.now == TimeRanOut("call")
