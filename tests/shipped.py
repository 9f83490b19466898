"""The scenarios of the shipped flows, read once in a process."""

from __future__ import annotations

from pathlib import Path

from voicebot.sim.scenario import load_scenarios

FLOWS = Path(__file__).parents[1] / "flows"
SCENARIOS = load_scenarios(FLOWS / "scenarios")
AT_THE_TABLE = [one for one in SCENARIOS if not one.needs_whole_call]
