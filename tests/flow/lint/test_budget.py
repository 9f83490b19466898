"""The estimate of what the model has to read, held against what the engine gives it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import PhaseEntered
from voicebot.engine.events import CallContext
from voicebot.flow import Flow, Phase
from voicebot.flow.lint.budget import CHARACTERS_PER_TOKEN, tokens
from voicebot.flow.lint.study import Study
from voicebot.flow.loader import load_file, load_folder

ROOT = Path(__file__).parents[3]
FLOWS = {name: loaded.flow for name, loaded in load_folder(ROOT / "flows").flows.items()}
FLOWS |= {path.stem: load_file(path).flow for path in sorted((ROOT / "tests/flow/clean_flows").glob("*.py"))}


def before(study: Study, phase: Phase) -> list[str]:
    """Every phase that a call may have passed on its way to this one, and this one."""
    found = {phase.name}
    while more := {
        name for name, ways in study.ways.items() if name not in found and any(way.end in found for way in ways)
    }:
        found |= more
    return [*sorted(found - {phase.name}), phase.name]


def read_by_the_model(flow: Flow, phase: Phase) -> int:
    """Characters of instructions and tools, when the call has just come to the phase, after all it may have passed."""
    engine = PhaseEngine(flow, CallContext("CA1", "+14155550123", "+15550100001", datetime(2026, 1, 1, tzinfo=UTC)))
    engine.restore([(0.0, PhaseEntered(name, None, "jump")) for name in before(Study(flow), phase)], 0.0)
    tools = [
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in engine.tools()
    ]
    return len(engine.instructions(0.0)) + len(json.dumps(tools, ensure_ascii=False))


@pytest.mark.parametrize("name", FLOWS)
def test_estimate_is_near_what_the_engine_gives(name: str) -> None:
    flow = FLOWS[name]
    study = Study(flow)
    for phase in flow.phases:
        real = read_by_the_model(flow, phase) / CHARACTERS_PER_TOKEN
        assert 0.75 * real < tokens(study, phase) < 1.4 * real, phase.name


def test_longer_texts_cost_more() -> None:
    flow = FLOWS["kiosk"]
    (first, *_) = flow.phases
    assert tokens(Study(flow), first) < 4000
    longer = Flow(goal=flow.goal, phases=flow.phases, observations=flow.observations, knowledge="fact " * 8000)
    assert tokens(Study(longer), first) - tokens(Study(flow), first) == 10_000
