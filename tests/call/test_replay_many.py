"""Rehearsals of the shipped flows, replayed: an unchanged flow decides the same, an edit flags whom it touches."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.shipped import AT_THE_TABLE as SCENARIOS
from voicebot.call.about import context_of
from voicebot.call.entries import CallOpened
from voicebot.call.replay import Difference, replay
from voicebot.delivery.report import fold_report, whole_body
from voicebot.engine.entries import PhaseEntered
from voicebot.flow import To, it
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.flow.model import Flow
from voicebot.sim.scenario import Scenario
from voicebot.sim.table import TableRead, table_read

FLOWS = Path(__file__).parents[2] / "flows"
SEEDS = (0, 3, 8)


@cache
def shelf() -> FlowShelf:
    return load_folder(FLOWS)


@cache
def read(flow: str, name: str, seed: int) -> TableRead:
    scenario = next(one for one in SCENARIOS if (one.flow, one.name) == (flow, name))
    return table_read(scenario, shelf().get(flow), seed=seed)


def difference(flow: Flow, call: TableRead) -> Difference | None:
    opened = next(entry for _, entry in call.journal if isinstance(entry, CallOpened))
    return replay(flow, context_of(call.record, opened.variables), call.journal)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.flow}: {one.name}")
def test_unchanged_flow_decides_the_same_in_every_call(scenario: Scenario) -> None:
    flow = shelf().get(scenario.flow).flow
    for seed in SEEDS:
        call = read(scenario.flow, scenario.name, seed)
        assert difference(flow, call) is None
        again = fold_report(call.record, flow, call.stored)
        assert json.loads(whole_body(again))["data"] == json.loads(json.dumps(call.report))


def test_negated_guard_flags_exactly_the_calls_that_come_to_it() -> None:
    flow = shelf().get("restaurant_ordering").flow
    order = flow.phases[0]
    assert [to.phase for to in order.transitions] == ["address", "details"]
    negated = replace(order, transitions=(To("address", when=~(it.mode == "delivery")), To("details")))
    edited = replace(flow, phases=(negated, *flow.phases[1:]))
    for scenario in SCENARIOS:
        if scenario.flow != "restaurant_ordering":
            continue
        for seed in SEEDS:
            call = read(scenario.flow, scenario.name, seed)
            left = [entry for _, entry in call.journal if isinstance(entry, PhaseEntered) and entry.previous == "order"]
            touched = any(entry.cause in ("criteria", "return", "correction") for entry in left)
            found = difference(edited, call)
            assert (found is not None) is touched, scenario.name
            if found is not None:
                assert isinstance(found.then, PhaseEntered) and found.then.previous == "order"
                assert isinstance(found.now, PhaseEntered) and found.now.phase != found.then.phase
