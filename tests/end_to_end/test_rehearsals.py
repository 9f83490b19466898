"""The shipped flows, from the dialling to the report, on the twin's virtual clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import get_args

import pytest

from tests.end_to_end import reception
from tests.shipped import FLOWS, SCENARIOS
from voicebot.call.entries import read_entry
from voicebot.engine.entries import EngineEntry
from voicebot.flow.loader import FlowShelf
from voicebot.sim.clock import run_virtual
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.scenario import Scenario, load_scenarios
from voicebot.sim.stage import Rehearsal, rehearse
from voicebot.sim.table import table_read
from voicebot.store.contract import StoredEntry

SHOWCASES = [load_scenarios(path)[0] for path in sorted((FLOWS / "scenarios").glob("*.py"))]
NAMES = {"item_id", "call_id"}
MEASURED = {"took_ms"}

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

TOGETHER = (
    Quirks(
        odd_deltas=True, item_done_first=True, no_conversation_created=True, rate_limits="start", unknown_events=True
    ),
    Quirks(transcript_late_s=2.0, done_late_s=0.5, no_metadata=True),
    Quirks(ignores_truncate=True, reject_updates=(2,), misreadings=1),
    Quirks(fail_responses=(2, 5)),
)


def names(scenario: Scenario) -> str:
    return f"{scenario.flow}: {scenario.name}"


@pytest.fixture(scope="module", params=SCENARIOS, ids=names)
def rehearsal(request: pytest.FixtureRequest, shelf: FlowShelf) -> Rehearsal:
    """The whole call of a scenario, once for all that is asked of it."""
    return run_virtual(rehearse(request.param, shelf))


def test_flow_reaches_its_goal(rehearsal: Rehearsal) -> None:
    assert_as_it_should_be(rehearsal)


def test_table_decides_as_the_whole_path(rehearsal: Rehearsal, shelf: FlowShelf) -> None:
    if not rehearsal.scenario.needs_whole_call:
        assert_table_agrees(rehearsal, shelf)


@pytest.mark.parametrize("scenario", SHOWCASES, ids=names)
def test_flow_reaches_its_goal_without_conversion(scenario: Scenario, shelf: FlowShelf) -> None:
    rehearsal = run_virtual(rehearse(scenario, shelf, codec="pcmu"))
    assert_as_it_should_be(rehearsal)
    assert_table_agrees(rehearsal, shelf)


def assert_as_it_should_be(rehearsal: Rehearsal) -> None:
    assert rehearsal.problems == ()
    assert rehearsal.understood == len(rehearsal.result.caller_said) or not rehearsal.scenario.talks
    assert not any(said.damaged for said in rehearsal.result.bot_said)
    assert rehearsal.result.statistics.underruns == ()


def assert_table_agrees(rehearsal: Rehearsal, shelf: FlowShelf) -> None:
    """The engine decides the same over the whole path and at the table, and nearly as soon."""
    read = table_read(rehearsal.scenario, shelf.get(rehearsal.scenario.flow))
    assert decisions(read.stored) == decisions(rehearsal.journal)
    assert read.problems == rehearsal.problems == ()
    assert [(said.text, said.complete) for said in read.heard if said.complete] == [
        (said.text, said.complete) for said in rehearsal.result.bot_said if said.complete
    ]
    turns, ours = len(read.said), rehearsal.scenario.calls_out
    rang_s = ours.rings_ms / 1000 if ours is not None else 0.0
    rendered = len(rehearsal.scenario.expected.statements)  # exact words may have to be rendered first
    near_s = 0.5 + 0.15 * turns + 1.0 * rendered
    assert read.duration_s + rang_s == pytest.approx(rehearsal.result.duration_ms / 1000, abs=near_s)


def decisions(journal: Sequence[StoredEntry]) -> list[tuple[str, dict[str, object]]]:
    """The engine's entries without times; names of items become the order in which they first appear."""
    order: dict[str, int] = {}
    found = []
    for one in journal:
        if not isinstance(read_entry(one.kind, one.body), get_args(EngineEntry)):
            continue
        body = {key: value for key, value in json.loads(one.body).items() if key not in MEASURED}
        for name in NAMES & body.keys():
            body[name] = order.setdefault(body[name], len(order))
        found.append((one.kind, body))
    return found


@pytest.mark.parametrize("scenario", SHOWCASES, ids=names)
def test_showcase_holds_an_interruption(scenario: Scenario, shelf: FlowShelf) -> None:
    assert scenario.expected.interruptions
    assert scenario.expected.phases


@pytest.mark.parametrize("fact", TOLERATED)
def test_flow_survives_a_difficult_model(fact: str) -> None:
    rehearsal = run_virtual(rehearse(reception.VISIT, reception.shelf, quirks=TOLERATED[fact]))
    assert rehearsal.problems == ()


@pytest.mark.parametrize("quirks", TOGETHER)
def test_showcase_survives_several_difficulties_at_once(quirks: Quirks, shelf: FlowShelf) -> None:
    rehearsal = run_virtual(rehearse(SHOWCASES[-1], shelf, quirks=quirks))
    assert rehearsal.problems == ()


@pytest.mark.parametrize(("scenario", "seed"), [*zip(SHOWCASES, range(3), strict=True)])
def test_flow_survives_every_legal_order(scenario: Scenario, seed: int, shelf: FlowShelf) -> None:
    rehearsal = run_virtual(rehearse(scenario, shelf, shuffle=seed))
    assert rehearsal.problems == ()
