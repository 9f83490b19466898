"""The caller and the model of calls that change hands: by themselves they play a call as its scenario says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voicebot.flow.loader import load_folder
from voicebot.sim.caller import Interrupt, Say
from voicebot.sim.clock import run_virtual
from voicebot.sim.enduring_caller import EnduringCaller
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.scenario import Scenario, load_scenarios
from voicebot.sim.stage import stage
from voicebot.sim.steady_brain import AGAIN
from voicebot.sim.verdict import answered_lines, opening_of

FLOWS = Path(__file__).parents[2] / "flows"
SHELF = load_folder(FLOWS)


def scenario_of(name: str) -> Scenario:
    """A scenario in which nobody interrupts."""
    found = next(one for one in load_scenarios(FLOWS / "scenarios" / "restaurant_ordering.py") if one.name == name)
    calm = (
        replace(one, caller=Say(one.caller.text)) if isinstance(one.caller, Interrupt) else one
        for one in found.exchanges
    )
    return replace(found, exchanges=tuple(calm))


async def report_of(scenario: Scenario, *quirks: Quirks) -> tuple[dict[str, Any], EnduringCaller]:
    brain, opening = scenario.steady_brain(), opening_of(SHELF.get(scenario.flow))
    caller = EnduringCaller(scenario.steps(), answered_lines(scenario, opening), asks_again=[AGAIN])
    async with stage(SHELF, lambda: brain, default_flow=scenario.flow, quirks=quirks) as made:
        await replace(made.phone(scenario), behaviour=caller).call()
        (received,) = await made.crm.wait_for(1, 60)
        data: dict[str, Any] = json.loads(received.body)["data"]
        return data, caller


@pytest.mark.parametrize("name", ["delivery", "too far"])
@pytest.mark.parametrize("quirks", [(), (Quirks(drop_at_event=150), Quirks())])
def test_call_goes_as_its_scenario_says(name: str, quirks: tuple[Quirks, ...]) -> None:
    scenario = scenario_of(name)
    report, caller = run_virtual(report_of(scenario, *quirks))
    assert tuple(phase["name"] for phase in report["phases"]) == scenario.expected.phases
    assert report["outcome"] == scenario.expected.outcome
    assert scenario.expected.observations.items() <= report["observations"].items()
    assert caller.problems == ()
    assert quirks or caller.repeated == []
