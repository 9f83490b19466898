"""A scenario with other legs on the telephone: what it says of them is held against what came of the call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.end_to_end.conftest import FLOWS
from voicebot.errors import ScenarioError
from voicebot.flow.loader import FlowShelf
from voicebot.sim.clock import run_virtual
from voicebot.sim.matchers import AtLeast, Holding, OneOf, Something
from voicebot.sim.parties import CallOut, Rung
from voicebot.sim.scenario import Expected, Scenario, load_scenarios
from voicebot.sim.second_legs import rung_problems
from voicebot.sim.stage import Rehearsal, rehearse
from voicebot.sim.table import table_read
from voicebot.sim.verdict import report_problems

DESK = "+15550100044"
BRIEF = "A call from 1 5 5 5 0 1 2 3 4 5 6."


def shipped(name: str) -> Scenario:
    found = load_scenarios(FLOWS / "scenarios", ["appointment_reminder"])
    return next(one for one in found if one.name == name)


@pytest.fixture(scope="module")
def rehearsal(shelf: FlowShelf) -> Rehearsal:
    """A call that we place, whose caller is put through, told to whoever answers."""
    return run_virtual(rehearse(shipped("cannot decide"), shelf))


@pytest.mark.parametrize(
    ("expected", "problems"),
    [
        ({"direction": "outbound", "answered_by": "human", "variables": {"patient": "Ada Lovelace"}}, []),
        (
            {
                "transfer": {"number": DESK, "talk_s": AtLeast(2), "at": Something()},
                "phases": Holding({"cause": "stuck"}),
            },
            [],
        ),
        ({"answered_by": "machine_end_beep"}, ["answered_by: expected 'machine_end_beep', reported 'human'"]),
        (
            {"transfer": {"result": OneOf(["busy", "failed"]), "talk_s": None}},
            [
                "transfer.result: expected one of 'busy', 'failed', reported 'completed'",
                "transfer.talk_s: expected None, reported 2",
            ],
        ),
        ({"passed_on": []}, ["passed_on: expected 0 entries, reported 1: [{'to': 'transfer', 'target': '+1555010"]),
        ({"recording": {"status": "erased"}}, ["recording.status: expected 'erased', reported 'kept'"]),
    ],
)
def test_report_is_held_against_what_is_expected(
    rehearsal: Rehearsal, expected: Mapping[str, Any], problems: list[str]
) -> None:
    assert rehearsal.problems == ()
    wrong = replace(rehearsal.scenario, expected=Expected(report=expected))
    found = report_problems(wrong, rehearsal.report, silences=0)
    assert len(found) == len(problems)
    assert all(line.startswith(told) for line, told in zip(found, problems, strict=True))


@pytest.mark.parametrize(
    ("rung", "problems"),
    [
        ([Rung(hears=BRIEF)], []),
        ([Rung()], []),
        ([Rung(hears="Hello.")], [f"whoever answered at desk was told '{BRIEF}' instead of 'Hello.'"]),
        ([Rung("busy"), Rung()], ["the phone line rang desk once, the scenario says 2 times"]),
        ([], ["the phone line rang desk once, the scenario says 0 times"]),
    ],
)
def test_second_leg_is_held_against_the_scenario(
    rehearsal: Rehearsal, rung: Sequence[Rung], problems: list[str]
) -> None:
    assert list(rung_problems({"desk": (DESK, rung)}, rehearsal.result)) == problems


def test_somebody_who_is_never_rung_is_missed(rehearsal: Rehearsal) -> None:
    assert list(rung_problems({"chief": ("+15550100045", [Rung(hears="Hi.")])}, rehearsal.result)) == [
        "the phone line rang chief 0 times, the scenario says once",
        "whoever answered at chief was told None instead of 'Hi.'",
    ]


def test_call_that_comes_to_something_else_fails(shelf: FlowShelf) -> None:
    busy = shipped("busy")
    wrong = replace(busy, calls_out=CallOut("failed"), expected=Expected(ended_reason="busy", report={"variables": {}}))
    assert run_virtual(rehearse(wrong, shelf)).problems == ("ended_reason: expected 'busy', reported 'failed'",)


def test_target_that_the_flow_has_not_is_told_with_its_place(shelf: FlowShelf) -> None:
    wrong = replace(shipped("nobody free"), transfer={"kitchen": (Rung("busy"),)})
    with pytest.raises(
        ScenarioError, match=r"appointment_reminder\.yaml:\d+: .* no target 'kitchen' \(there are: desk\)"
    ):
        run_virtual(rehearse(wrong, shelf))


def test_flow_that_is_called_from_nowhere_is_told(shelf: FlowShelf) -> None:
    wrong = replace(shipped("busy"), caller_number="+1555")
    with pytest.raises(ScenarioError, match="the call is not placed: 4"):
        run_virtual(rehearse(wrong, shelf))


def test_table_says_what_it_cannot_play(shelf: FlowShelf) -> None:
    with pytest.raises(ScenarioError, match="'nobody free' needs a whole call"):
        table_read(shipped("nobody free"), shelf.get("appointment_reminder"))


def test_table_plays_a_call_of_ours_as_the_whole_path_does(shelf: FlowShelf) -> None:
    read = table_read(shipped("confirmed"), shelf.get("appointment_reminder"))
    assert read.problems == ()
    report = read.report
    assert (report["direction"], report["caller"], report["called"]) == ("outbound", "+15550100004", "+15550123456")
    assert (report["answered_by"], report["recording"]) == ("human", None)
    assert [one["problem"] for one in report["messages"]] == [None]
