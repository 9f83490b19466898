"""Receivers of a flow: what an author may write, and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from voicebot.errors import FlowError
from voicebot.flow import Flow, Phase, Receiver, Report
from voicebot.flow.json_form import flow_from_json, flow_to_json, functions_of
from voicebot.flow.receivers import shape_of


def short(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": event["data"]["call_sid"]}


FLOW = Flow(
    goal="g",
    phases=[Phase("a")],
    report=Report(
        receivers=[
            Receiver("crm", url="https://crm.example/in", body=short, secret="crm", bearer="token"),
            Receiver("wall", url="http://wall.example", events=["call.started", "call.phase_changed"]),
        ]
    ),
)


def test_report_is_what_a_receiver_gets_unless_it_asks() -> None:
    crm, wall = FLOW.report.receivers
    assert crm.events == ("call.completed",)
    assert (wall.events, wall.body, wall.secret, wall.bearer) == (("call.started", "call.phase_changed"), None, "", "")


def test_flow_has_no_receivers_unless_it_lists_some() -> None:
    assert Flow(goal="g", phases=[Phase("a")]).report.receivers == ()


def test_json_form_names_the_function() -> None:
    text = flow_to_json(FLOW)
    first, second = json.loads(text)["report"]["receivers"]
    assert first == {
        "name": "crm",
        "url": "https://crm.example/in",
        "events": ["call.completed"],
        "body": "short",
        "secret": "crm",
        "bearer": "token",
        "secrets": [],
    }
    assert "body" not in second
    again = flow_from_json(text, functions_of(FLOW))
    assert again.report.receivers == FLOW.report.receivers
    assert flow_to_json(again) == text


def test_unregistered_function_is_refused() -> None:
    with pytest.raises(FlowError, match="no body function is registered as 'short'"):
        flow_from_json(flow_to_json(FLOW), {})


def test_shape_is_called_as_its_function() -> None:
    body = FLOW.report.receivers[0].body
    assert body is not None
    assert body({"data": {"call_sid": "CA1"}}) == {"id": "CA1"}


async def waits(event: Mapping[str, Any]) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ("function", "words"),
    [(waits, "waits is async"), (lambda event: {}, "no named function"), (3, "no named function")],
)
def test_what_is_no_plain_function_is_refused_with_its_place(function: object, words: str) -> None:
    with pytest.raises(FlowError, match=words) as refused:
        shape_of(function)
    assert refused.value.where is not None and refused.value.where.startswith(__file__)
