"""Scenarios in Python: what the helpers say, and what is read from files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.errors import ScenarioError
from voicebot.sim.brain import Calls, Says
from voicebot.sim.scenario import (
    Exchange,
    Expected,
    Say,
    Scenario,
    confirmed,
    declined,
    judged_as,
    load_scenarios,
    noted,
    rule,
)

IN_PYTHON = """
from voicebot.sim.scenario import Exchange, Expected, Say, Scenario

short = Scenario(
    {name!r},
    {flow!r},
    (Exchange(Say("Hello?")),),
    Expected(),
)
scenarios = [short]
"""
IN_YAML = """
- name: {name}
  script:
    - caller: Hello?
"""


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def in_python(name: str, flow: str = "visit") -> str:
    return IN_PYTHON.format(name=name, flow=flow)


def in_yaml(name: str) -> str:
    return IN_YAML.format(name=name)


# ---- helpers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "call"),
    [
        (noted(people=(2, "for two")), Calls("record", {"people": {"value": 2, "quote": "for two"}})),
        (confirmed(address="that's it"), Calls("record", {"address": {"confirmed": True, "quote": "that's it"}})),
        (declined(occasion="private"), Calls("record", {"occasion": {"declined": True, "quote": "private"}})),
        (
            judged_as("the caller is\n sure", True, "quite sure"),
            Calls("judge", {"criterion": "the caller is sure", "holds": True, "quote": "quite sure"}),
        ),
        (rule("human", "a person, please"), Calls("apply_rule", {"rule": "human", "quote": "a person, please"})),
    ],
    ids=["noted", "confirmed", "declined", "judged", "rule"],
)
def test_understanding_becomes_a_call(said: Calls, call: Calls) -> None:
    assert said == call


def test_scenario_knows_where_it_was_written() -> None:
    here = Scenario("a", "visit", (Exchange(Say("Hi"), ((Says("Hello"),),)),), Expected())
    file, _, line = here.place.rpartition(":")
    assert file == __file__
    assert "here = Scenario(" in Path(__file__).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert here == Scenario("a", "visit", here.exchanges, Expected(), place="elsewhere:1")


# ---- files and folders ----------------------------------------------------------------------------------------------


def test_folder_gives_both_kinds_in_order(tmp_path: Path) -> None:
    folder = written(
        tmp_path, visit_py=in_python("one"), visit_yaml=in_yaml("two"), order_yml=in_yaml("one"), notes_txt="no"
    )
    written(folder, _shared_py="raise SystemExit", test_visit_py="raise SystemExit")
    assert [(one.flow, one.name) for one in load_scenarios(folder)] == [
        ("order", "one"),
        ("visit", "one"),
        ("visit", "two"),
    ]


def test_only_named_flows_are_read(tmp_path: Path) -> None:
    folder = written(tmp_path, visit_py=in_python("one"), visit_yaml=in_yaml("two"), broken_py="1 / 0")
    assert [one.name for one in load_scenarios(folder, ["visit"])] == ["one", "two"]
    with pytest.raises(ScenarioError, match=r"there is no scenario file .*nobody\.py or \.yaml"):
        load_scenarios(folder, ["visit", "nobody"])


@pytest.mark.parametrize("suffix", ["py", "yaml"])
def test_one_file_is_read_alone(tmp_path: Path, suffix: str) -> None:
    folder = written(tmp_path, visit_py=in_python("same"), visit_yaml=in_yaml("same"))
    (one,) = load_scenarios(folder / f"visit.{suffix}")
    assert (one.flow, one.name, one.exchanges) == ("visit", "same", (Exchange(Say("Hello?")),))
    assert one.place == f"{folder / 'visit'}.{suffix}:{4 if suffix == 'py' else 2}"


def test_two_scenarios_of_a_flow_never_share_a_name(tmp_path: Path) -> None:
    folder = written(tmp_path, visit_py=in_python("same"), visit_yaml=in_yaml("same"))
    with pytest.raises(ScenarioError) as told:
        load_scenarios(folder)
    assert str(told.value) == (
        f"{folder / 'visit.yaml'}:2: visit has another scenario 'same', at {folder / 'visit.py'}:4 (rename one of them)"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("scenarios = [", "visit.py:1: syntax error: "),
        ("\nwhere = 1\nwhere.to()\n", "visit.py:3: AttributeError: "),
        ("raise SystemExit('bye')", "visit.py:1: SystemExit: bye"),
        ("from nowhere import x", "visit.py:1: ModuleNotFoundError: "),
        ("", "visit.py must hold scenarios = "),
        ("scenarios = []", "visit.py must hold scenarios = "),
        ("scenarios = ['a']", "visit.py must hold scenarios = "),
    ],
)
def test_broken_python_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    written(tmp_path, visit_py=text)
    with pytest.raises(ScenarioError) as told:
        load_scenarios(tmp_path / "visit.py")
    assert str(told.value).removeprefix(f"{tmp_path}/").startswith(problem)


def test_nothing_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"there is no scenario file .*visit\.yaml"):
        load_scenarios(tmp_path / "visit.yaml")
    for folder in (tmp_path, tmp_path / "scenarios"):
        with pytest.raises(ScenarioError, match=f"there are no scenarios in {folder}"):
            load_scenarios(folder)
