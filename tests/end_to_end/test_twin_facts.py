"""The twin is a judge, not a mirror: ten facts of the protocols, each with a test that fails when the twin breaks it.

A fact is a check of one call's wire, or of its report. It holds on the twin as documented, and must not hold on a twin
in which that one thing was changed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.end_to_end.reception import HANGS_UP, VISIT, shelf
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import LineFaults
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.scenario import Scenario
from voicebot.sim.stage import Rehearsal, rehearse
from voicebot.sim.timeline import VerbPlayed

AS_DOCUMENTED, AS_USUAL = LineFaults(), Quirks()


@dataclass(frozen=True)
class Fact:
    """A check that raises AssertionError where the fact does not hold, and the twin in which it does not."""

    check: Callable[[Rehearsal], None]
    faults: LineFaults = AS_DOCUMENTED
    quirks: Quirks = AS_USUAL
    scenario: Scenario = VISIT


def sent_by(rehearsal: Rehearsal, sender: str, kind: str) -> Iterator[dict[str, object]]:
    """Events of one type on the model's wire."""
    for session in rehearsal.sessions:
        for one in session.transcript:
            if one.sender == sender and one.event is not None and one.event["type"] == kind:
                yield dict(one.event)


def responses(rehearsal: Rehearsal) -> list[dict[str, object]]:
    """The responses of the conversation that ended, clips left out."""
    done = [event["response"] for event in sent_by(rehearsal, "server", "response.done")]
    return [response for response in done if isinstance(response, dict) and response["conversation_id"] is not None]


def clear_echoes_every_pending_mark(rehearsal: Rehearsal) -> None:
    flushed = [mark for stream in rehearsal.result.streams for mark in stream.marks if mark.flushed]
    assert flushed
    assert all(mark.echoed_ms is not None for mark in flushed)


def every_played_mark_comes_back(rehearsal: Rehearsal) -> None:
    marks = [mark for stream in rehearsal.result.streams for mark in stream.marks]
    assert marks
    assert all(mark.echoed_ms is not None for mark in marks)


def hang_up_sends_stop(rehearsal: Rehearsal) -> None:
    assert rehearsal.report["ended_reason"] == "caller_hung_up"


def stream_end_asks_the_action(rehearsal: Rehearsal) -> None:
    verbs = [event.verb for event in rehearsal.result.events if isinstance(event, VerbPlayed)]
    assert verbs == ["Connect", "Hangup"]


def every_turn_gets_its_transcript(rehearsal: Rehearsal) -> None:
    assert rehearsal.understood == len(rehearsal.result.caller_said) > 0


def transcript_comes_within_a_second(rehearsal: Rehearsal) -> None:
    kinds = {"caller_turn_taken", "caller_said"}
    times = [(entry.kind, entry.at_ms) for entry in rehearsal.journal if entry.kind in kinds]
    turns = [at for kind, at in times if kind == "caller_turn_taken"]
    said = [at for kind, at in times if kind == "caller_said"]
    assert len(turns) == len(said) > 0
    assert all(later - earlier < 1000 for earlier, later in zip(turns, said, strict=True))


def every_update_is_accepted(rehearsal: Rehearsal) -> None:
    asked = list(sent_by(rehearsal, "client", "session.update"))
    assert len(list(sent_by(rehearsal, "server", "session.updated"))) == len(asked) > 0


def every_delta_holds_whole_samples(rehearsal: Rehearsal) -> None:
    deltas = [
        base64.b64decode(str(one["delta"])) for one in sent_by(rehearsal, "server", "response.output_audio.delta")
    ]
    assert deltas
    assert all(len(delta) % 2 == 0 for delta in deltas)


def every_response_holds_one_message_at_most(rehearsal: Rehearsal) -> None:
    outputs = [response["output"] for response in responses(rehearsal)]
    assert outputs
    for output in outputs:
        assert isinstance(output, list)
        assert sum(item["type"] == "message" for item in output) <= 1


def truncation_is_acknowledged(rehearsal: Rehearsal) -> None:
    asked = list(sent_by(rehearsal, "client", "conversation.item.truncate"))
    answered = [one["audio_end_ms"] for one in sent_by(rehearsal, "server", "conversation.item.truncated")]
    assert [one["audio_end_ms"] for one in asked] == answered
    assert answered


def no_response_begins_unasked(rehearsal: Rehearsal) -> None:
    begun = [one["response"] for one in sent_by(rehearsal, "server", "response.created")]
    assert begun
    assert all(isinstance(response, dict) and response["metadata"] for response in begun)


def metadata_are_echoed(rehearsal: Rehearsal) -> None:
    assert all(response["metadata"] for response in responses(rehearsal))


def exact_words_are_read_exactly(rehearsal: Rehearsal) -> None:
    asked = [json.dumps(one["response"]) for one in sent_by(rehearsal, "client", "response.create")]
    clips = [text for text in asked if "verbatim" in text]
    assert clips
    assert len(clips) == len(set(clips))  # none had to be rendered again


def no_response_fails(rehearsal: Rehearsal) -> None:
    assert all(response["status"] in ("completed", "cancelled") for response in responses(rehearsal))


FACTS = [
    Fact(clear_echoes_every_pending_mark, faults=LineFaults(clear_echoes_marks=False)),
    Fact(every_played_mark_comes_back, faults=LineFaults(mark_loss=0.5)),
    Fact(hang_up_sends_stop, faults=LineFaults(stop_sent=False), scenario=HANGS_UP),
    Fact(stream_end_asks_the_action, faults=LineFaults(request_action=False)),
    Fact(every_turn_gets_its_transcript, quirks=Quirks(transcript="missing")),
    Fact(transcript_comes_within_a_second, quirks=Quirks(transcript_late_s=1.5)),
    Fact(every_update_is_accepted, quirks=Quirks(reject_updates=(2,))),
    Fact(every_delta_holds_whole_samples, quirks=Quirks(odd_deltas=True)),
    Fact(every_response_holds_one_message_at_most, quirks=Quirks(preamble="One moment.")),
    Fact(truncation_is_acknowledged, quirks=Quirks(ignores_truncate=True)),
    Fact(no_response_begins_unasked, quirks=Quirks(vad_responds=True)),
    Fact(metadata_are_echoed, quirks=Quirks(no_metadata=True)),
    Fact(exact_words_are_read_exactly, quirks=Quirks(misreadings=1)),
    Fact(no_response_fails, quirks=Quirks(fail_responses=(2,))),
]


BY_NAME = {fact.check.__name__: fact for fact in FACTS}


@cache
def as_documented(scenario_name: str) -> Rehearsal:
    return run_virtual(rehearse({one.name: one for one in (VISIT, HANGS_UP)}[scenario_name], shelf))


@cache
def as_changed(fact_name: str) -> Rehearsal:
    fact = BY_NAME[fact_name]
    return run_virtual(rehearse(fact.scenario, shelf, faults=fact.faults, quirks=fact.quirks))


@pytest.mark.parametrize("name", BY_NAME)
def test_documented_twin_keeps_the_fact(name: str) -> None:
    fact = BY_NAME[name]
    fact.check(as_documented(fact.scenario.name))


@pytest.mark.parametrize("name", BY_NAME)
def test_changed_twin_fails_the_fact(name: str) -> None:
    with pytest.raises(AssertionError):
        BY_NAME[name].check(as_changed(name))


@pytest.mark.parametrize("name", BY_NAME)
def test_product_survives_the_changed_fact(name: str) -> None:
    """The call goes on and is reported once, whatever the twin does differently."""
    rehearsal = as_changed(name)
    assert len(rehearsal.received) == 1
    assert rehearsal.report["phases"][0]["name"] == "reception"
    if name != "no_response_begins_unasked":  # there the script's line is spent on the response that nobody asked for
        assert rehearsal.report["observations"]["name"] == "Ada Lovelace"
