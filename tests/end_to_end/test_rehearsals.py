"""The three flows, from the dialling to the report, on the twin's virtual clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.flow.loader import FlowShelf
from voicebot.sim.clock import run_virtual
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.scenario import Scenario, load_scenarios
from voicebot.sim.stage import Rehearsal, rehearse

FLOWS = Path(__file__).parents[2] / "flows"
SCENARIOS = load_scenarios(FLOWS / "scenarios")
SHOWCASES = [load_scenarios(path)[0] for path in sorted((FLOWS / "scenarios").glob("*.py"))]

TOLERATED = {
    "deltas of odd length": Quirks(odd_deltas=True),
    "transcripts two seconds late": Quirks(transcript_late_s=2.0),
    "response.done half a second late": Quirks(done_late_s=0.5),
    "items done before outputs": Quirks(item_done_first=True),
    "no conversation.created": Quirks(no_conversation_created=True),
    "rate limits first": Quirks(rate_limits="start"),
    "unknown events": Quirks(unknown_events=True),
    "metadata not echoed": Quirks(no_metadata=True),
    "truncation ignored": Quirks(ignores_truncate=True),
    "an update rejected once": Quirks(reject_updates=(2,)),
    "responses failing now and then": Quirks(fail_responses=(2, 5)),
    "a reading that went wrong": Quirks(misreadings=1),
}


def names(scenario: Scenario) -> str:
    return f"{scenario.flow}: {scenario.name}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=names)
def test_flow_reaches_its_goal(scenario: Scenario, shelf: FlowShelf) -> None:
    assert_as_it_should_be(run_virtual(rehearse(scenario, shelf)))


@pytest.mark.parametrize("scenario", SHOWCASES, ids=names)
def test_flow_reaches_its_goal_without_conversion(scenario: Scenario, shelf: FlowShelf) -> None:
    assert_as_it_should_be(run_virtual(rehearse(scenario, shelf, codec="pcmu")))


def assert_as_it_should_be(rehearsal: Rehearsal) -> None:
    assert rehearsal.problems == ()
    assert rehearsal.understood == len(rehearsal.result.caller_said)
    assert not any(said.damaged for said in rehearsal.result.bot_said)
    assert rehearsal.result.statistics.underruns == ()


@pytest.mark.parametrize("scenario", SHOWCASES, ids=names)
def test_showcase_holds_an_interruption(scenario: Scenario, shelf: FlowShelf) -> None:
    assert scenario.expected.interruptions
    assert scenario.expected.phases


@pytest.mark.parametrize("fact", TOLERATED)
def test_flow_survives_a_difficult_model(fact: str, shelf: FlowShelf) -> None:
    rehearsal = run_virtual(rehearse(SHOWCASES[-1], shelf, quirks=TOLERATED[fact]))
    assert rehearsal.problems == ()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("scenario", SHOWCASES, ids=names)
def test_flow_survives_every_legal_order(scenario: Scenario, seed: int, shelf: FlowShelf) -> None:
    rehearsal = run_virtual(rehearse(scenario, shelf, shuffle=seed))
    assert rehearsal.problems == ()
