"""`voicebot test` as a user runs it: a defect in a flow makes it fail with a line that says where to look."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import environment

FLOW = """
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ask, it

class Visit(Observations):
    urgent: bool = ask("whether it is urgent")

flow = Flow(
    goal="Sort calls.",
    observations=Visit,
    opening="Practice of Doctor Rossi.",
    phases=[
        Phase(
            "sort",
            instructions="Ask whether it is urgent.",
            observations=[it.urgent],
            transitions=[To("doctor", when=it.urgent.yes), To("desk")],
        ),
        Phase("doctor", instructions="Say that the doctor comes.", end=HangUp()),
        Phase("desk", instructions="Say that the desk calls back.", end=HangUp()),
    ],
)
"""
SCENARIO = """
from voicebot.sim.brain import Says
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario, noted

scenarios = [
    Scenario(
        "urgent",
        "practice",
        (Exchange(Say("It is urgent!"), ((noted(urgent=(True, "It is urgent")),), (Says("He comes at once."),))),),
        Expected(phases=("sort", "doctor"), ended_reason="completed"),
    )
]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "practice.py").write_text(FLOW)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "practice.py").write_text(SCENARIO)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "voicebot", "test", "--flows", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment(), check=False)


def test_good_flow_passes(folder: Path) -> None:
    ran = run(folder, "--variations", "4", "--junit", str(folder / "j.xml"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed, covered, summed = ran.stdout.splitlines()
    assert passed.startswith("passed  practice: urgent  (whole path: ")
    assert covered.startswith("covered practice: 5 calls; phases 2/3, ")
    assert "; never: phase desk, " in covered
    assert summed.startswith("5 passed, 0 failed")
    assert (folder / "j.xml").read_text().count("<testcase") == 5


def test_negated_guard_fails_every_call(folder: Path) -> None:
    (folder / "practice.py").write_text(FLOW.replace("when=it.urgent.yes", "when=~it.urgent.yes"))
    ran = run(folder, "--quick", "--variations", "5")
    assert ran.returncode == 1
    assert "        seed 1: phases: expected ('sort', 'doctor'), reported ('sort', 'desk')" in ran.stdout.splitlines()
    assert "        and 2 more: seeds 4-5" in ran.stdout.splitlines()
    assert "to play one again: voicebot test 'practice:urgent' --seed 1" in ran.stdout


def test_one_seed_is_played_again_by_itself(folder: Path) -> None:
    ran = run(folder, "practice:urgent", "--seed", "3")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed, summed = ran.stdout.splitlines()
    assert passed.startswith("passed  practice: urgent  (1 variation: ")
    assert summed.startswith("1 passed, 0 failed")


def test_unknown_scenario_and_nothing_to_play_are_told(folder: Path) -> None:
    ran = run(folder, "practice:nope")
    assert (ran.returncode, ran.stderr.strip()) == (2, "voicebot: practice has no scenario 'nope', but urgent")
    assert run(folder, "--quick", "--variations", "0").returncode == 2
