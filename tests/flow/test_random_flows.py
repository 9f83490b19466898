"""Random flows, for what must hold of all of them; and that the strategies give what they promise."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import HealthCheck, given, settings

from tests.flow.random_flows import clean_random_flows, random_flows, valid_values
from voicebot.errors import FlowError
from voicebot.flow import Flow
from voicebot.flow.check import check
from voicebot.flow.graph import edges, mermaid
from voicebot.flow.json_form import flow_from_json, flow_to_json, functions_of
from voicebot.flow.loader import load_flow
from voicebot.flow.svg import svg

SETTINGS = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@given(random_flows())
@settings(SETTINGS, max_examples=60)
def test_any_flow_can_be_checked_and_drawn(flow: Flow) -> None:
    findings = check(flow)
    assert [str(finding) for finding in findings] == [str(finding) for finding in check(flow)]
    for finding in findings:
        assert "\n" not in str(finding)
        assert finding.where is not None
    assert mermaid(flow).startswith("flowchart TD\n")
    ElementTree.fromstring(svg(flow))
    assert {edge.start for edge in edges(flow)} <= {*flow.by_name, "any phase"}


@given(random_flows())
@settings(SETTINGS, max_examples=40)
def test_flow_from_json_has_the_same_findings(flow: Flow) -> None:
    findings = check(flow)
    if any(finding.rule in ("F009", "F012") for finding in findings):
        return  # its form cannot tell its functions apart
    again = flow_from_json(flow_to_json(flow), functions_of(flow))
    assert [(one.rule, one.problem, one.mend) for one in check(again)] == [
        (one.rule, one.problem, one.mend) for one in findings
    ]
    assert all(one.where is None for one in check(again))


@given(clean_random_flows())
@settings(SETTINGS, max_examples=30)
def test_clean_flow_loads_and_has_values_for_every_field(flow: Flow) -> None:
    try:
        loaded = load_flow("random", flow)
    except FlowError as exc:
        raise AssertionError(str(exc)) from exc
    for spec in loaded.flow.specs.values():
        for value in valid_values(spec):
            spec.adapter.validate_python(value)
