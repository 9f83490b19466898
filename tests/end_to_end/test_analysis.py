"""The look back at a call on the whole path: done, late, lost, nonsense, and never a value that nobody said."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.end_to_end.cakes import LEMON, flow, journal
from tests.end_to_end.test_oracles import CLIENT, SERVER
from voicebot.call.analysis import ANALYSIS_LIMIT_S
from voicebot.call.entries import read_entry
from voicebot.call.replay import replay
from voicebot.delivery.report_schema import report_schema
from voicebot.engine.entries import ObservationFilled
from voicebot.engine.events import CallContext
from voicebot.flow import Analysis, Report, it, otherwise
from voicebot.flow.loader import FlowShelf, load_flow, load_folder
from voicebot.sim.brain import Calls, Says
from voicebot.sim.clock import run_virtual
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.realtime_records import Exchanged
from voicebot.sim.scenario import Exchange, Expected, Hear, Say, Scenario, Wait, concluded, load_scenarios, noted
from voicebot.sim.scenario import HangUp as PutDown
from voicebot.sim.stage import Rehearsal, rehearse
from voicebot.sim.table import table_read
from voicebot.sim.table_chance import TableFaults
from voicebot.sim.verdict import VIRTUAL_START

FLOWS = Path(__file__).parents[2] / "flows"
SUMMARY = "Ada wants a lemon cake on Friday, and hung up before she was asked for the day."
told = replace(
    flow, report=Report(outcome={"sold": it.day.filled, "incomplete": otherwise}, analysis=Analysis("what they want"))
)
cakes = load_flow("cakes", told)
shelf = FlowShelf({"cakes": cakes})

MORE = Exchange(
    Say("Ada Lovelace, and I need it on Friday."),
    ((noted(name=("Ada Lovelace", "Ada Lovelace")),), (Says("Thank you, Ada. And on which day would you like it?"),)),
)
FOUND = concluded(SUMMARY, day=("Friday", "I need it on Friday"))
DONE = Expected(
    analysis="done",
    summary=SUMMARY,
    filled_after=("day",),
    observations={"day": "Friday", "accepted": None},
    evidence={"day": "confirmed"},
    outcome="incomplete",
    ended_reason="caller_hung_up",
)
SKIPPED = Expected(analysis="skipped", filled_after=(), observations={"day": None}, ended_reason="caller_hung_up")


def called(expected: Expected, analysis: Calls = FOUND, *, leaves: tuple[Exchange, ...] = ()) -> Scenario:
    endings = leaves or (Exchange(Hear()), Exchange(PutDown()))
    return Scenario("left", "cakes", (LEMON, MORE, *endings), expected, analysis=analysis)


def played(scenario: Scenario, quirks: Quirks | None = None) -> Rehearsal:
    return run_virtual(rehearse(scenario, shelf, quirks=quirks or Quirks()))


@cache
def done() -> Rehearsal:
    return played(called(DONE))


def reason(rehearsal: Rehearsal) -> object:
    [entry] = journal(rehearsal, "call_analysed")
    return entry["reason"]


def is_analysis(one: Exchanged, kind: str) -> bool:
    """Whether an event on the wire is of this kind and about the look back."""
    response: Any = (one.event or {}).get("response")
    return (
        one.event is not None
        and one.event["type"] == kind
        and isinstance(response, dict)
        and "analysis" in (response.get("metadata") or {})
    )


# ---- done -----------------------------------------------------------------------------------------------------------


def test_call_is_summed_up_and_filled_in() -> None:
    rehearsal = done()
    assert rehearsal.problems == ()
    found = rehearsal.report["evidence"]["day"]
    assert (found["kind"], found["quote"], found["turn"]) == ("analysis", "I need it on Friday", 2)
    assert rehearsal.report["observation_status"]["day"] == "filled"
    kinds = [one.kind for one in rehearsal.journal if one.kind != "line_quality"]
    assert kinds[-3:] == ["call_analysed", "observation_filled", "call_ended"]
    schema = report_schema("cakes", told)
    jsonschema.Draft202012Validator(schema["properties"]["data"]).validate(rehearsal.report)


def test_what_is_filled_moves_nothing() -> None:
    report = done().report
    assert report["outcome"] == "incomplete"  # though `day` is there
    assert [phase["name"] for phase in report["phases"]] == ["cake", "who", "when"]
    assert report["tools"] == []
    before = played(called(Expected(), concluded("Nothing."))).report
    assert report["progress"] == before["progress"]


def test_look_back_passes_the_vendors_types() -> None:
    [session] = done().sessions
    events = [one for one in session.transcript if one.event is not None]
    asked = [one for one in events if is_analysis(one, "response.create")]
    ended = [one for one in events if is_analysis(one, "response.done")]
    assert (len(asked), len(ended)) == (1, 1)
    for one in events[events.index(asked[0]) :]:
        (CLIENT if one.sender == "client" else SERVER).validate_python(one.event, strict=False)


def test_server_that_gives_no_metadata_back_is_understood() -> None:
    assert played(called(DONE), Quirks(no_metadata=True)).problems == ()


def test_caller_may_hang_up_in_mid_sentence() -> None:
    leaves = (Exchange(Wait(2500)), Exchange(PutDown()))
    rehearsal = played(called(DONE, leaves=leaves))
    assert rehearsal.problems == ()
    assert rehearsal.report["transcript"][-1]["interrupted"] is True
    [session] = rehearsal.sessions
    sent = [one for one in session.transcript if one.sender == "client" and one.event is not None]
    at = next(number for number, one in enumerate(sent) if is_analysis(one, "response.create"))
    assert sent[at - 1].event is not None
    assert sent[at - 1].event["type"] == "conversation.item.truncate"


def test_decisions_replay_and_an_edit_shows() -> None:
    rehearsal = done()
    entries = [(one.at_ms, read_entry(one.kind, one.body)) for one in rehearsal.journal]
    context = CallContext("CA0", rehearsal.scenario.caller_number, None, VIRTUAL_START)
    assert replay(told, context, entries) is None
    difference = replay(replace(told, report=Report()), context, entries)
    assert difference is not None
    assert isinstance(difference.then, ObservationFilled) and difference.now is None


# ---- skipped --------------------------------------------------------------------------------------------------------


def test_late_answer_delays_the_report_by_its_bound_alone() -> None:
    rehearsal = played(called(SKIPPED), Quirks(analysis_late_s=40.0))
    assert rehearsal.problems == ()
    assert reason(rehearsal) == "the model took too long"
    [ended] = journal(rehearsal, "call_ended")
    waited_s = (ended["at_ms"] - rehearsal.result.duration_ms) / 1000
    assert waited_s == pytest.approx(ANALYSIS_LIMIT_S, abs=1.5)  # the call's clock began with the webhook


def test_model_that_is_lost_meanwhile_ends_it() -> None:
    [session] = done().sessions
    events = [one for one in session.transcript if one.sender == "server"]
    began = next(number for number, one in enumerate(events, 1) if is_analysis(one, "response.created"))
    rehearsal = played(called(SKIPPED), Quirks(drop_at_event=began))
    assert rehearsal.problems == ()
    assert reason(rehearsal) == "the model was gone"


@pytest.mark.parametrize("arguments", ["{broken", "[]", '{"said":{}}', '{"summary":"' + "x" * 70_000 + '"}'])
def test_nonsense_is_no_analysis(arguments: str) -> None:
    rehearsal = played(called(SKIPPED, Calls("conclude", arguments)))
    assert rehearsal.problems == ()
    assert reason(rehearsal)


def test_value_that_nobody_said_is_dropped() -> None:
    invented = concluded(
        SUMMARY, day=("Monday", "Monday at noon would suit me best"), accepted=(True, "I do accept the price")
    )
    rehearsal = played(
        called(replace(SKIPPED, analysis="done", observations={"day": None, "accepted": None}), invented)
    )
    assert rehearsal.problems == ()
    dropped = journal(rehearsal, "proposal_refused")
    assert [one["subject"] for one in dropped] == ["day", "accepted"]
    assert {one["problem"] for one in dropped} == {"the caller did not say that, as far as it was understood"}


def test_transcripts_that_never_come_leave_it_unverifiable() -> None:
    rehearsal = played(called(Expected(), FOUND), Quirks(transcript="missing"))
    report = rehearsal.report
    assert (report["analysis"], report["filled_after"]) == ("done", ["day"])
    assert report["evidence"]["day"]["state"] == "unverifiable"


# ---- at the table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_any_variation_comes_to_the_same(seed: int) -> None:
    assert table_read(called(DONE), cakes, seed=seed).problems == ()


@pytest.mark.parametrize(
    ("faults", "status"),
    [
        (TableFaults(analysis_failures=1.0), "skipped"),
        (TableFaults(analysis_late_s=30.0), "skipped"),
        (TableFaults(transcript_late_s=2.0), "done"),
        (TableFaults(transcript_late_s=30.0), "done"),
    ],
)
def test_faults_at_the_table_end_the_call_in_time(faults: TableFaults, status: str) -> None:
    for seed in range(4):
        call = table_read(called(replace(DONE, analysis=status), FOUND), cakes, seed=seed, faults=faults)
        assert call.report["analysis"] == status
        assert [problem for problem in call.problems if problem.startswith("the call")] == []


def test_caller_who_wants_nothing_kept_is_not_summed_up() -> None:
    scenarios = {one.name: one for one in load_scenarios(FLOWS / "scenarios", ["financial_advisor"])}
    advisor = load_folder(FLOWS).get("financial_advisor")
    report = table_read(scenarios["no consent"], advisor).report
    assert (report["analysis"], report["summary"], report["filled_after"]) == (None, None, [])
    assert table_read(scenarios["called away"], advisor).report["analysis"] == "done"
