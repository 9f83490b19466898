"""Events as a fold over the journal: which there are, their bodies, and ids that never change."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.delivery.test_report import CALL, FLOW, WHOLE, stored
from voicebot.call.author_code import run_author_code
from voicebot.delivery import outgoing
from voicebot.delivery.events import Target, Targets, happening_of, happenings_of, webhook_id
from voicebot.delivery.outgoing import LARGEST_SHAPED_BYTES, deliveries_of, fresh_deliveries
from voicebot.delivery.report import MAX_BODY_BYTES, fold_report, posted_body, whole_body
from voicebot.errors import StoreError
from voicebot.flow import Flow, Receiver, Report
from voicebot.flow.receivers import ShapeFunction
from voicebot.sim.clock import run_virtual
from voicebot.store.contract import NewDelivery, StoredEntry
from voicebot.webhook_events import WEBHOOK_EVENTS

JOURNAL = stored(WHOLE)
REPORT = fold_report(CALL, FLOW, JOURNAL)
ANALYZED = {**REPORT, "data": {**REPORT["data"], "analysis": "done"}}
ALL = frozenset(WEBHOOK_EVENTS)
DEFAULT = Targets(Target("", "https://crm.example/in", ALL))


def flow_with(*receivers: Receiver) -> Flow:
    return Flow(goal=FLOW.goal, observations=FLOW.observations, phases=FLOW.phases, report=Report(receivers=receivers))


def shaped(function: ShapeFunction, *events: str) -> Flow:
    return flow_with(
        Receiver("crm", url="https://crm.example/shaped", events=events or ["call.completed"], body=function)
    )


def made(flow: Flow = FLOW, targets: Targets = DEFAULT, report: Mapping[str, Any] = REPORT) -> list[NewDelivery]:
    return asyncio.run(deliveries_of(CALL, flow, JOURNAL, report, targets))


def types(deliveries: list[NewDelivery]) -> list[str]:
    return [json.loads(one.body)["type"] for one in deliveries]


# ---- which there are ----------------------------------------------------------------------------------------------


def test_call_is_told_from_its_start_to_its_report() -> None:
    assert types(made()) == ["call.started", *["call.phase_changed"] * 3, "call.completed"]


def test_analysis_is_told_only_when_it_has_run() -> None:
    skipped = {**REPORT, "data": {**REPORT["data"], "analysis": "skipped"}}
    assert "call.analyzed" not in types(made(report=skipped))
    *_, completed, analyzed = made(report=ANALYZED)
    first, second = json.loads(completed.body), json.loads(analyzed.body)
    assert (first["type"], second["type"]) == ("call.completed", "call.analyzed")
    assert first["data"] == second["data"]
    assert completed.webhook_id != analyzed.webhook_id


def test_start_says_which_call_it_is() -> None:
    happening = happening_of(CALL, JOURNAL[0])
    assert happening is not None
    assert happening.body == {
        "type": "call.started",
        "timestamp": "2026-03-01T12:00:00.123Z",
        "data": {
            "call_sid": "CA1",
            "flow": "order",
            "flow_version": CALL.flow_version,
            "direction": "inbound",
            "caller": "+15550123",
            "called": "+15550100",
            "started_at": "2026-03-01T12:00:00.123Z",
        },
    }


def test_phase_change_says_where_from_and_why() -> None:
    changes = [one.body for one in happenings_of(CALL, JOURNAL, REPORT) if one.event == "call.phase_changed"]
    facts = [(one["data"]["previous_phase"], one["data"]["phase"], one["data"]["cause"]) for one in changes]
    assert facts == [(None, "order", "start"), ("order", "confirm", "criteria"), ("confirm", "bye", "criteria")]
    assert [one["data"]["sequence"] for one in changes] == [4, 15, 24]
    assert changes[1]["timestamp"] == changes[1]["data"]["entered_at"] == "2026-03-01T12:00:05.923Z"
    assert changes[0]["data"]["call_sid"] == "CA1"


def test_each_receiver_is_told_what_it_asks_for() -> None:
    flow = flow_with(
        Receiver("wall", url="https://wall.example", events=["call.started"], secret="wall"),
        Receiver("crm", url="https://crm.example/2", events=["call.analyzed", "call.completed"], bearer="token"),
    )
    targets = Targets(Target("", "https://crm.example/in", frozenset({"call.completed"})))
    found = made(flow, targets, ANALYZED)
    assert [(one.url, json.loads(one.body)["type"], one.secret, one.bearer) for one in found] == [
        ("https://wall.example", "call.started", "wall", ""),
        ("https://crm.example/in", "call.completed", "", ""),
        ("https://crm.example/2", "call.completed", "", "token"),
        ("https://crm.example/2", "call.analyzed", "", "token"),
    ]
    assert len({one.webhook_id for one in found}) == 4


def test_nobody_to_tell_is_no_delivery() -> None:
    assert made(targets=Targets()) == []


def test_damaged_entry_is_refused() -> None:
    with pytest.raises(StoreError):
        happening_of(CALL, StoredEntry(3, "phase_entered", 0, JOURNAL[0].wall, "{}"))


# ---- the same whenever --------------------------------------------------------------------------------------------


def test_fresh_entries_are_told_as_at_the_end() -> None:
    """What is put into the outbox early has the very ids and bodies that the end comes to."""

    async def live() -> list[NewDelivery]:
        return [one for entry in JOURNAL for one in await fresh_deliveries(CALL, FLOW, entry, DEFAULT)]

    fresh = asyncio.run(live())
    assert len(fresh) == 4
    assert fresh == made()[:4]


def test_ids_are_the_same_every_time() -> None:
    flow = flow_with(Receiver("crm", url="https://crm.example/2", events=WEBHOOK_EVENTS))
    assert made(flow) == made(flow)


def test_ids_stay_over_versions() -> None:
    """A delivery that an older version put into the outbox is not made twice."""
    assert webhook_id("CA1", "call.completed") == "msg_e24882abf402260d16d4fe01651cbb6f"
    assert webhook_id("CA1", "call.phase_changed", "15", "crm") == "msg_aba2267a9d2e6bf5f3a739e6047b0d0e"


def test_ids_tell_calls_events_and_receivers_apart() -> None:
    ids = {
        webhook_id(call, event, key, receiver)
        for call in ("CA1", "CA2")
        for event in WEBHOOK_EVENTS
        for key in ("", "1", "11")
        for receiver in ("", "crm", "crm2")
    }
    assert len(ids) == 2 * 4 * 3 * 3
    assert all(one.startswith("msg_") and "." not in one for one in ids)


# ---- bodies -------------------------------------------------------------------------------------------------------


def test_standard_body_is_the_posted_report() -> None:
    (*_, completed) = made(targets=Targets(DEFAULT.default, "https://voice.example.com"))
    assert completed.body == posted_body(REPORT, "https://voice.example.com/calls/CA1/report")


def test_body_of_the_author_is_sent_as_it_is() -> None:
    def short(event: Mapping[str, Any]) -> dict[str, Any]:
        data = event["data"]
        return {"id": data["call_sid"], "day": date(2026, 3, 1), "sum": Decimal("2.50"), "no": float("nan")}

    (delivery,) = made(shaped(short), Targets())
    assert json.loads(delivery.body) == {"id": "CA1", "day": "2026-03-01", "sum": "2.50", "no": None}
    assert delivery.webhook_id == webhook_id("CA1", "call.completed", receiver="crm")


def test_author_sees_the_whole_report_and_its_link() -> None:
    seen: list[Any] = []

    def look(event: Mapping[str, Any]) -> Mapping[str, Any]:
        seen.append(event)
        return event

    made(shaped(look), Targets(public_url="https://voice.example.com"))
    link = "https://voice.example.com/calls/CA1/report"
    assert seen == [{**REPORT, "data": {**REPORT["data"], "transcript_url": link}}]


def test_author_changes_nobody_elses_body() -> None:
    def spoil(event: Mapping[str, Any]) -> dict[str, Any]:
        event["data"]["observations"].clear()
        event["data"]["transcript"].clear()
        return {}

    default, own = made(shaped(spoil), Targets(Target("", "https://crm.example/in", frozenset({"call.completed"}))))
    assert (default.body, own.body) == (whole_body(REPORT), "{}")


def test_every_kind_of_event_can_be_shaped() -> None:
    def kind(event: Mapping[str, Any]) -> dict[str, Any]:
        return {"kind": event["type"]}

    bodies = [json.loads(one.body)["kind"] for one in made(shaped(kind, *WEBHOOK_EVENTS), Targets(), ANALYZED)]
    assert bodies == ["call.started", *["call.phase_changed"] * 3, "call.completed", "call.analyzed"]


def no_such_key(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"canary": event["data"]["nothing"]}


def no_mapping(event: Mapping[str, Any]) -> Any:
    return [event]


def no_json(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"event": object()}


def endless(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": "x" * LARGEST_SHAPED_BYTES}


def leaves(event: Mapping[str, Any]) -> dict[str, Any]:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_such_key, "no_such_key failed: KeyError at "),
        (no_mapping, "no_mapping failed: TypeError"),
        (no_json, "no_json failed: "),
        (endless, "endless failed: ValueError"),
        (leaves, "leaves failed: SystemExit at "),
    ],
)
def test_failure_sends_the_standard_body_and_says_so(
    function: ShapeFunction, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    (delivery,) = made(shaped(function), Targets())
    body = json.loads(delivery.body)
    note = body["data"]["problems"].pop()
    assert (note["kind"], note["at"]) == ("body_not_shaped", body["timestamp"])
    assert note["text"].startswith(f"the body function {words}")
    assert body == json.loads(whole_body(REPORT))
    (line,) = caplog.records
    assert words in line.getMessage() and line.__dict__["call_sid"] == "CA1"
    assert "canary" not in line.getMessage()


def test_failure_of_a_small_event_is_said_too() -> None:
    (delivery,) = made(shaped(no_such_key, "call.started"), Targets())
    body = json.loads(delivery.body)
    assert body["type"] == "call.started"
    assert [note["kind"] for note in body["data"]["problems"]] == ["body_not_shaped"]


def test_functions_that_hang_cost_their_limit_once(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    at_work = 0
    most_at_work = 0

    async def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal at_work, most_at_work
        at_work += 1
        most_at_work = max(at_work, most_at_work)
        outcome = await run_author_code(*arguments, **named)
        at_work -= 1
        return outcome

    def hang(event: Mapping[str, Any]) -> dict[str, Any]:
        release.wait(60)
        return {}

    monkeypatch.setattr(outgoing, "run_author_code", counted)
    try:
        found = made(shaped(hang, *WEBHOOK_EVENTS), Targets(), ANALYZED)
    finally:
        release.set()
    assert most_at_work == len(found)
    assert types(found) == ["call.started", *["call.phase_changed"] * 3, "call.completed", "call.analyzed"]
    assert {json.loads(one.body)["data"]["problems"][-1]["text"] for one in found} == {
        "the body function hang took longer than 2 s"
    }


def test_standard_body_stays_small_with_its_note() -> None:
    long = {**REPORT, "data": {**REPORT["data"], "transcript": [{"speaker": "bot", "text": "x" * 19_000}]}}
    (delivery,) = made(shaped(no_such_key), Targets(), long)
    assert len(delivery.body.encode()) < MAX_BODY_BYTES


def test_bodies_are_made_on_the_virtual_clock_too() -> None:
    def short(event: Mapping[str, Any]) -> dict[str, Any]:
        return {"ok": True}

    (delivery,) = run_virtual(deliveries_of(CALL, shaped(short), JOURNAL, REPORT, Targets()))
    assert delivery.body == '{"ok":true}'
