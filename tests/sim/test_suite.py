"""`voicebot test`: outcomes, coverage and JUnit."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.end_to_end.reception import flow
from voicebot.errors import ScenarioError
from voicebot.sim.suite import Coverage, Outcome, coverage, run_suite, scenarios_of, write_junit

FLOWS = Path(__file__).parents[2] / "flows"


def outcome(scenario: str, *phases: str, problems: tuple[str, ...] = ()) -> Outcome:
    steps = tuple(zip((None, *phases), phases, strict=False))
    return Outcome("visit", scenario, problems, steps, 10.0, 0.5)


@pytest.mark.parametrize(
    ("outcomes", "covered"),
    [
        ([], Coverage((0, 2), (0, 1), ("phase reception", "phase bye", "reception → bye"))),
        ([outcome("short", "reception")], Coverage((1, 2), (0, 1), ("phase bye", "reception → bye"))),
        ([outcome("short", "reception"), outcome("whole", "reception", "bye")], Coverage((2, 2), (1, 1), ())),
    ],
)
def test_coverage_names_what_was_missed(outcomes: list[Outcome], covered: Coverage) -> None:
    assert coverage(flow, outcomes) == covered


def test_junit_holds_every_scenario_and_problem(tmp_path: Path) -> None:
    write_junit(tmp_path / "j.xml", [outcome("good", "reception"), outcome("bad", problems=("no <report>", "no end"))])
    [suite] = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["good", "bad"]
    failure = suite[1][0]
    assert (failure.get("message"), failure.text) == ("no <report>", "no <report>\nno end")


def test_shipped_scenario_plays_in_its_own_process() -> None:
    first, *rest = run_suite(FLOWS, ["restaurant_ordering"], parallel=2)
    assert first.problems == ()
    assert first.steps[0] == (None, "order")
    assert [one.scenario for one in (first, *rest)] == [
        one.name for one in scenarios_of(FLOWS, ["restaurant_ordering"])
    ]


def test_flow_without_scenarios_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="nobody"):
        scenarios_of(FLOWS, ["nobody"])
    with pytest.raises(ScenarioError, match="no scenarios"):
        scenarios_of(tmp_path)
