"""Spans as OpenTelemetry's SDK has them, kept in memory."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.observe.test_spans import WHOLE, spans
from voicebot.observe.spans import delivery_span, root_of, trace_of
from voicebot.observe.tracing import Tracing, otlp_tracing

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def written(*, broken: bool = False) -> tuple[Tracing, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing = Tracing("bakery", "0.1.0", SimpleSpanProcessor(exporter))
    tracing.write(spans(WHOLE))
    result = "dead" if broken else "delivered"
    tracing.write([delivery_span("CA1", "msg_1", "crm.example", 1, START, START + timedelta(seconds=2), result)])
    return tracing, exporter


def test_call_is_one_trace_with_our_ids() -> None:
    _, exporter = written()
    found = exporter.get_finished_spans()
    assert [one.name for one in found] == [
        *("turn", "tool", "phase", "turn", "phase", "model_session", "call", "delivery"),
    ]
    assert {one.context.trace_id for one in found} == {int.from_bytes(trace_of("CA1"))}
    call = found[-2]
    assert call.context.span_id == int.from_bytes(root_of("CA1"))
    assert call.parent is None
    assert {one.parent.span_id for one in found if one.parent is not None} == {call.context.span_id}
    assert found[0].end_time - found[0].start_time == 900_000_000
    assert call.resource.attributes["service.name"] == "bakery"


def test_what_failed_has_an_error_status() -> None:
    _, exporter = written(broken=True)
    statuses = {one.name: one.status.status_code.name for one in exporter.get_finished_spans()}
    assert statuses["delivery"] == "ERROR"
    assert statuses["call"] == "UNSET"


@pytest.mark.parametrize(("sampler", "kept"), [("always_off", 0), ("always_on", 8), ("parentbased_always_off", 0)])
def test_operator_sampler_decides_for_whole_calls(sampler: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    _, exporter = written()
    assert len(exporter.get_finished_spans()) == kept


def test_half_sampled_calls_are_whole_or_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    exporter = InMemorySpanExporter()
    tracing = Tracing("bakery", "0.1.0", SimpleSpanProcessor(exporter))
    for number in range(40):
        posts = (
            delivery_span(f"CA{number}", f"msg_{n}", "crm.example", 1, START, START, "delivered") for n in range(3)
        )
        tracing.write(list(posts))
    per_trace: dict[int, int] = {}
    for one in exporter.get_finished_spans():
        per_trace[one.context.trace_id] = per_trace.get(one.context.trace_id, 0) + 1
    assert set(per_trace.values()) == {3}
    assert 5 < len(per_trace) < 35


def test_collector_that_is_gone_costs_no_exception() -> None:
    tracing = otlp_tracing("http://127.0.0.1:9", "bakery", "0.1.0")
    tracing.write(spans(WHOLE))


def test_sdk_is_imported_only_where_it_is_used() -> None:
    code = "import sys, voicebot.server.app; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == "[]\n"
