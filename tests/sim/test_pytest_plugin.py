"""pytest in a user's project: scenarios are tests, failures read like a list, everything else is left alone.

Each test runs pytest in a process of its own, with this plugin named and no other loaded by itself, so that it makes no
difference what else is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOW = """
from voicebot.flow import Flow, HangUp, Observations, Phase, To, ask, it


class Visit(Observations):
    name: str = ask("the caller's full name")


flow = Flow(
    goal="Find out who is calling.",
    observations=Visit,
    opening="Good morning, who is calling?",
    phases=[
        Phase("reception", instructions="Find out who calls.", observations=[it.name], transitions=[To("bye")]),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
"""
GOOD = """
- name: Ada
  script:
    - caller: This is Ada Lovelace.
      means: {name: Ada Lovelace}
      bot: Thank you Ada, and goodbye!
  expect: {phases: [reception, bye], observations: {name: Ada Lovelace}, ended_reason: completed}
"""
WRONG = GOOD.replace("name: Ada\n", "name: Bo\n").replace("{name: Ada Lovelace}, ended", "{name: Bo}, ended")
IN_PYTHON = """
from voicebot.sim.brain import Says
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario, noted

replies = ((noted(name=("Cleo", "I am Cleo")),), (Says("Goodbye Cleo!"),))
scenarios = [Scenario("Cleo", "visit", (Exchange(Say("I am Cleo."), replies),), Expected(phases=("reception", "bye")))]
"""
SOMEBODY_ELSES = "raise SystemExit('nobody may run this')"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "flows" / "scenarios").mkdir(parents=True)
    (tmp_path / "flows" / "visit.py").write_text(FLOW, encoding="utf-8")
    return tmp_path


def write(project: Path, **files: str) -> None:
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (project / "flows" / "scenarios" / f"{stem}.{suffix}").write_text(text, encoding="utf-8")


def run(project: Path, *options: str) -> tuple[int, str]:
    """pytest's exit code and what it printed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "voicebot.sim.pytest_plugin",
        "-W",
        "error",
        "--color=no",
        *options,
    ]
    surroundings = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=project, env=surroundings, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("speed", [(), ("--voicebot-quick",)], ids=["whole", "quick"])
def test_every_scenario_is_a_test(project: Path, speed: tuple[str, ...]) -> None:
    write(project, visit_yaml=GOOD, visit_py=IN_PYTHON)
    code, shown = run(project, "flows", "-v", "--strict-markers", *speed)
    assert code == 0, shown
    assert "flows/scenarios/visit.py::Cleo PASSED" in shown
    assert "flows/scenarios/visit.yaml::Ada PASSED" in shown
    assert "2 passed" in shown


def test_failure_is_a_list_of_problems(project: Path) -> None:
    write(project, visit_yaml=GOOD + WRONG)
    code, shown = run(project)
    assert code == 1
    assert "1 failed, 1 passed" in shown
    assert "\nname: expected 'Bo', reported 'Ada Lovelace'\n" in shown
    assert f"\n({project / 'flows' / 'scenarios' / 'visit.yaml'}:9)\n" in shown
    assert "_ visit: Bo _" in shown
    assert "\n   bot: Good morning, who is calling?\ncaller: This is Ada Lovelace.\n" in shown
    assert "FAILED flows/scenarios/visit.yaml::Bo - Failed: name: expected 'Bo', r" in shown
    assert "Traceback" not in shown and "pytest_plugin.py" not in shown


def test_other_peoples_files_are_left_alone(project: Path) -> None:
    for folder, neighbour in [("elsewhere", "a_flow = 1"), ("scenarios", FLOW), ("far/scenarios", None)]:
        (project / folder).mkdir(parents=True)
        (project / folder / "visit.py").write_text(SOMEBODY_ELSES, encoding="utf-8")
        if neighbour is not None:
            (project / folder / "other.py").write_text(neighbour, encoding="utf-8")
    (project / "visit.py").write_text("their_own = 1", encoding="utf-8")
    write(project, nobody_yaml=GOOD, visit_txt=GOOD, _visit_py=SOMEBODY_ELSES)
    code, shown = run(project)
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED, shown


def test_broken_file_is_told_with_its_line(project: Path) -> None:
    write(project, visit_yaml=GOOD + "  titel: oh\n", visit_py="1 / 0\n")
    code, shown = run(project)
    assert code == pytest.ExitCode.INTERRUPTED
    assert (
        f"\n{project / 'flows' / 'scenarios' / 'visit.yaml'}:8: there is no 'titel' here (did you mean 'title'?"
        in shown
    )
    assert f"\n{project / 'flows' / 'scenarios' / 'visit.py'}:1: ZeroDivisionError: division by zero\n" in shown
    assert "2 errors" in shown
    assert "Traceback" not in shown


def test_broken_flow_is_told_with_its_line(project: Path) -> None:
    write(project, visit_yaml=GOOD)
    (project / "flows" / "visit.py").write_text(FLOW.replace('To("bye")', 'To("by")'), encoding="utf-8")
    code, shown = run(project)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert f"{project / 'flows' / 'visit.py'}:" in shown
    assert "Traceback" not in shown


def test_marker_chooses_and_workers_share(project: Path) -> None:
    write(project, visit_yaml=GOOD, visit_py=IN_PYTHON)
    code, shown = run(project, "-p", "xdist.plugin", "-n2", "-m", "voicebot", "--voicebot-quick")
    assert code == 0, shown
    assert "2 passed" in shown
    code, shown = run(project, "-m", "not voicebot")
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "2 deselected" in shown


def test_plugin_is_light_where_nobody_needs_it() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import voicebot.sim.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["voicebot", "voicebot.sim", "voicebot.sim.pytest_plugin"]
