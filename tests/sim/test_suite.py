"""`voicebot test`: outcomes, coverage and JUnit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from voicebot.errors import FlowError, ScenarioError, UnknownFlowError
from voicebot.sim.coverage import Point
from voicebot.sim.suite import Outcome, Plan, call_count, run_suite, scenarios_of, write_junit

FLOWS = Path(__file__).parents[2] / "flows"


def outcome(scenario: str, problems: tuple[str, ...] = ()) -> Outcome:
    return Outcome("visit", scenario, problems, frozenset(), 10.0, 0.5)


def test_junit_holds_every_scenario_and_problem(tmp_path: Path) -> None:
    write_junit(tmp_path / "j.xml", [outcome("good"), outcome("bad", problems=("no <report>", "no end"))])
    [suite] = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.get("name") for case in suite] == ["good", "bad"]
    failure = suite[1][0]
    assert (failure.get("message"), failure.text) == ("no <report>", "no <report>\nno end")


def test_junit_tells_variations_apart(tmp_path: Path) -> None:
    write_junit(tmp_path / "j.xml", [outcome("good"), replace(outcome("good"), seed=7)])
    [suite] = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert [case.get("name") for case in suite] == ["good", "good [seed 7]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two flows with three scenarios."""
    (tmp_path / "visit.py").write_text("from tests.end_to_end.reception import flow\n")
    scenarios = tmp_path / "scenarios"
    scenarios.mkdir()
    (scenarios / "visit.py").write_text(
        "from tests.end_to_end.reception import HANGS_UP, VISIT\nscenarios = [VISIT, HANGS_UP]\n"
    )
    (scenarios / "other.py").write_text(
        "from dataclasses import replace\nfrom tests.end_to_end.reception import VISIT\n"
        "scenarios = [replace(VISIT, flow='other')]\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), [("other", "visit"), ("visit", "visit"), ("visit", "hangs up")]),
        (("visit",), [("visit", "visit"), ("visit", "hangs up")]),
        (("visit:hangs up",), [("visit", "hangs up")]),
        (("visit:hangs up", "visit"), [("visit", "hangs up"), ("visit", "visit")]),
        (("visit:hangs up", "other"), [("visit", "hangs up"), ("other", "visit")]),
    ],
)
def test_flows_and_scenarios_are_chosen_by_name(folder: Path, names: Sequence[str], found: list[object]) -> None:
    assert [(one.flow, one.name) for one in scenarios_of(folder, names)] == found


def test_unknown_scenario_is_named_with_those_there_are(folder: Path) -> None:
    with pytest.raises(ScenarioError, match="visit has no scenario 'nope', but visit, hangs up"):
        scenarios_of(folder, ["visit:nope"])


@pytest.mark.parametrize(
    ("seeds", "quick", "calls"), [((1, 2, 3), False, 8), ((1, 2, 3), True, 6), ((), False, 2), ((), True, 0)]
)
def test_plan_counts_its_calls(folder: Path, seeds: tuple[int, ...], quick: bool, calls: int) -> None:
    assert call_count(Plan(folder, ("visit",), seeds, quick)) == calls


@pytest.mark.parametrize(("quick", "calls"), [(False, 2 + 2 + 2 + 1), (True, 1 + 1 + 1 + 1)])
def test_call_that_no_table_has_is_played_whole_even_in_haste(tmp_path: Path, quick: bool, calls: int) -> None:
    scenarios = tmp_path / "scenarios"
    scenarios.mkdir()
    talk = "script: [{caller: I am Ada., means: {name: Ada}, bot: Goodbye.}]"
    (scenarios / "visit.yaml").write_text(
        f"- {{name: a, {talk}}}\n- {{name: b, calls_out: person, {talk}}}\n- {{name: c, {talk}}}\n"
        "- {name: d, calls_out: busy, expect: {ended_reason: busy, report: {direction: outbound}}}\n"
    )
    (tmp_path / "visit.py").write_text("from tests.end_to_end.reception import flow\n")
    assert call_count(Plan(tmp_path, ("visit",), seeds=(1,), quick=quick)) == calls
    [busy] = run_suite(Plan(tmp_path, ("visit:d",), seeds=(1, 2), quick=quick))
    assert (busy.seed, busy.problems) == (None, ())


def test_whole_path_comes_first_then_the_seeds(folder: Path) -> None:
    outcomes = list(run_suite(Plan(folder, ("visit",), seeds=tuple(range(1, 27))), parallel=2))
    assert [(one.scenario, one.seed) for one in outcomes] == [
        (scenario, seed) for scenario in ("visit", "hangs up") for seed in (None, *range(1, 27))
    ]
    assert all(Point("transition", "reception → bye") in one.covered for one in outcomes if one.scenario == "visit")
    assert {one.problems for one in outcomes} == {()}


def test_one_variation_needs_no_process_of_its_own(folder: Path) -> None:
    [outcome] = run_suite(Plan(folder, ("visit:visit",), seeds=(7,), quick=True))
    assert (outcome.seed, outcome.problems) == (7, ())


def test_both_ways_of_playing_cover_the_same(folder: Path) -> None:
    whole, varied = run_suite(Plan(folder, ("visit:visit",), seeds=(1,)), parallel=1)
    assert whole.covered == varied.covered != frozenset()


def test_flow_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(UnknownFlowError, match="no flow is named 'other'"):
        list(run_suite(Plan(folder, ("other",), seeds=(1,), quick=True)))


def test_broken_flow_says_more_than_one_that_is_not_there(folder: Path) -> None:
    (folder / "other.py").write_text("flow =\n")
    with pytest.raises(FlowError, match=r"other\.py:1: syntax error"):
        list(run_suite(Plan(folder, ("other",), seeds=(1,), quick=True)))


def test_shipped_scenario_plays_in_its_own_process() -> None:
    names = ("restaurant_ordering:small delivery", "language_assessment:a teacher")
    first, second = run_suite(Plan(FLOWS, names, seeds=()), parallel=2)
    assert first.problems == second.problems == ()
    assert [one.scenario for one in (first, second)] == ["small delivery", "a teacher"]


def test_flow_without_scenarios_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="nobody"):
        scenarios_of(FLOWS, ["nobody"])
    with pytest.raises(ScenarioError, match="no scenarios"):
        scenarios_of(tmp_path)
