"""Every shipped scenario over the whole path and at the table: the engine decides the same, and nearly as soon."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import get_args

import pytest

from tests.end_to_end.conftest import FLOWS
from voicebot.call.entries import read_entry
from voicebot.engine.entries import EngineEntry
from voicebot.flow.loader import FlowShelf
from voicebot.sim.clock import run_virtual
from voicebot.sim.scenario import Scenario, load_scenarios
from voicebot.sim.stage import rehearse
from voicebot.sim.table import table_read
from voicebot.store.contract import StoredEntry

SCENARIOS = load_scenarios(FLOWS / "scenarios")
NAMES = {"item_id", "call_id"}
MEASURED = {"took_ms"}


def decisions(journal: Sequence[StoredEntry]) -> list[tuple[str, dict[str, object]]]:
    """The engine's entries without times; names of items become the order in which they first appear."""
    order: dict[str, int] = {}
    found = []
    for one in journal:
        if not isinstance(read_entry(one.kind, one.body), get_args(EngineEntry)):
            continue
        body = {key: value for key, value in json.loads(one.body).items() if key not in MEASURED}
        for name in NAMES & body.keys():
            body[name] = order.setdefault(body[name], len(order))
        found.append((one.kind, body))
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.flow}: {one.name}")
def test_table_decides_as_the_whole_path(scenario: Scenario, shelf: FlowShelf) -> None:
    whole = run_virtual(rehearse(scenario, shelf, codec="pcmu"))
    read = table_read(scenario, shelf.get(scenario.flow))
    assert decisions(read.stored) == decisions(whole.journal)
    assert read.problems == whole.problems == ()
    assert [(said.text, said.complete) for said in read.heard if said.complete] == [
        (said.text, said.complete) for said in whole.result.bot_said if said.complete
    ]
    turns = len(read.said)
    assert read.duration_s == pytest.approx(whole.result.duration_ms / 1000, abs=0.5 + 0.15 * turns)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.flow}: {one.name}")
def test_every_variation_passes(scenario: Scenario, shelf: FlowShelf) -> None:
    failed = {
        seed: read.problems
        for seed in range(1, 31)
        if (read := table_read(scenario, shelf.get(scenario.flow), seed=seed)).problems
    }
    assert failed == {}
