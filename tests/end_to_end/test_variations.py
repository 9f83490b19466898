"""Every shipped scenario at the table, in more than five hundred legal orders of its events."""

from __future__ import annotations

import pytest

from tests.shipped import AT_THE_TABLE as SCENARIOS
from voicebot.flow.loader import FlowShelf
from voicebot.sim.scenario import Scenario
from voicebot.sim.table import table_read

SEEDS = range(1, 18)


def test_variations_are_five_hundred() -> None:
    assert len(SCENARIOS) * len(SEEDS) >= 500


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.flow}: {one.name}")
def test_every_variation_passes(scenario: Scenario, shelf: FlowShelf) -> None:
    failed = {
        seed: read.problems
        for seed in SEEDS
        if (read := table_read(scenario, shelf.get(scenario.flow), seed=seed)).problems
    }
    assert failed == {}
