"""Calls on the twin as operators see them: the numbers are those of the call, and the spans make one tree."""

from __future__ import annotations

from functools import cache

from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.observed import Observed, observe
from tests.end_to_end.reception import VISIT, shelf
from voicebot.observe.families import Families
from voicebot.sim.crm import CrmAnswer
from voicebot.sim.realtime_quirks import Quirks


@cache
def visit() -> Observed:
    """A whole call with an interruption."""
    return observe(VISIT, shelf)


def value(seen: Observed, name: str, **labels: str) -> float:
    """Sum of the series of this name that have these labels."""
    samples = (one for family in text_string_to_metric_families(seen.metrics) for one in family.samples)
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def test_scrape_has_every_metric() -> None:
    found = {line.split()[2] for line in visit().metrics.splitlines() if line.startswith("# TYPE")}
    assert found == {family.name for family in (*Families().own, *Families().shared)}


def test_numbers_are_those_of_the_call() -> None:
    seen = visit()
    assert value(seen, "voicebot_calls_admitted_total", flow="visit") == 1
    assert value(seen, "voicebot_calls_ended_total", flow="visit", reason="completed", outcome="none") == 1
    assert value(seen, "voicebot_calls_active") == 0
    assert value(seen, "voicebot_phases_entered_total", flow="visit") == 2
    assert value(seen, "voicebot_response_seconds_count", flow="visit") == 2
    assert 0 < value(seen, "voicebot_response_seconds_sum") < 5
    assert value(seen, "voicebot_interruptions_total") == value(seen, "voicebot_barge_in_seconds_count") == 1
    assert value(seen, "voicebot_model_sessions_total") == 1
    assert value(seen, "voicebot_delivery_attempts_total", result="delivered") == 1
    assert value(seen, "voicebot_deliveries") == 0
    assert value(seen, "voicebot_http_request_seconds_count", route="/twilio/voice", status="2xx") == 1
    assert value(seen, "voicebot_http_request_seconds_count", route="/twilio/media") == 0
    assert value(seen, "voicebot_store_healthy") == value(seen, "voicebot_accepting") == 1


def test_tokens_have_their_price() -> None:
    seen = visit()
    audio, text = (value(seen, "voicebot_tokens_total", kind=f"output_{kind}") for kind in ("audio", "text"))
    assert audio > 0 and text > 0
    assert value(seen, "voicebot_cost_usd_total", flow="visit") > (audio * 64 + text * 24) / 1e6
    dear = observe(VISIT, shelf, settings={"VOICEBOT_PRICES": "gpt-realtime-2.1=0/0/0/0/0/1000000"})
    assert value(dear, "voicebot_cost_usd_total") == value(dear, "voicebot_tokens_total", kind="output_audio")


def test_line_of_the_caller_is_measured() -> None:
    seen = visit()
    heard_s = value(seen, "voicebot_caller_audio_seconds_total")
    assert 5 < heard_s < value(seen, "voicebot_call_duration_seconds_sum") + 1
    assert value(seen, "voicebot_caller_audio_gaps_total") == 0
    assert value(seen, "voicebot_caller_level_dbov_count") == 1
    (report,) = seen.received
    assert report.payload is not None
    line = report.payload["data"]["line"]  # type: ignore[index]
    assert line["caller_ms"] == round(heard_s * 1000)
    assert line["barge_in_ms"]["times"] == 1


def test_spans_make_one_tree() -> None:
    spans = visit().spans
    (call,) = [one for one in spans if one.name == "call"]
    others = [one for one in spans if one.name != "call"]
    assert {one.context.trace_id for one in spans if one.context} == {call.context.trace_id}  # type: ignore[union-attr]
    assert {one.parent.span_id for one in others if one.parent} == {call.context.span_id}  # type: ignore[union-attr]
    assert sorted(one.name for one in others) == ["delivery", "model_session", "phase", "phase", "turn", "turn"]
    for one in others:
        assert one.start_time is not None and one.end_time is not None and one.start_time <= one.end_time
    assert call.attributes is not None
    assert call.attributes["voicebot.call_sid"] == visit().result.call_sid
    assert call.attributes["voicebot.ended_reason"] == "completed"


def test_every_line_of_the_call_names_it() -> None:
    seen = visit()
    of_call = [line for line in seen.log if line["event"] not in ("library",)]
    assert {line.get("call_sid") for line in of_call} == {seen.result.call_sid}
    assert {"call_ended", "delivery_accepted"} <= {line["event"] for line in of_call}


def test_lost_model_is_counted_and_gone_on_from() -> None:
    seen = observe(VISIT, shelf, quirks=[Quirks(drop_at_s=6.0), Quirks()])
    assert value(seen, "voicebot_model_sessions_ended_total", kind="lost") == 1
    assert value(seen, "voicebot_model_sessions_total") == 2
    sessions = [one for one in seen.spans if one.name == "model_session"]
    assert [one.status.status_code.name for one in sessions] == ["ERROR", "UNSET"]


def test_failing_replies_are_counted_by_code() -> None:
    seen = observe(VISIT, shelf, quirks=Quirks(fail_responses=(1,), fail_code="rate_limit_exceeded"))
    assert value(seen, "voicebot_model_errors_total", code="rate_limit_exceeded") == 1


def test_refusing_receiver_is_counted_until_it_takes_the_report() -> None:
    seen = observe(VISIT, shelf, crm_answers=[CrmAnswer(503), CrmAnswer(500)], reports=3)
    assert value(seen, "voicebot_delivery_attempts_total", result="failed") == 2
    assert value(seen, "voicebot_delivery_seconds_count") >= 2
    assert value(seen, "voicebot_log_lines_total", event="delivery_failed", level="WARNING") == 2
    assert [one.status.status_code.name for one in seen.spans if one.name == "delivery"][:2] == ["ERROR", "ERROR"]
