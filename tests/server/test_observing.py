"""What the server shows of itself, put together: spans reach a collector, requests are timed, lines counted."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from twilio.request_validator import RequestValidator

from tests.server.test_app import CALL, ORIGIN, SHELF, dial, serving, settings
from voicebot.errors import SettingsError
from voicebot.log_events import named
from voicebot.observe.spans import root_of, trace_of
from voicebot.server.app import create_app


async def test_spans_reach_the_collector(tmp_path: Path) -> None:
    took: list[ExportTraceServiceRequest] = []

    async def collect(request: web.Request) -> web.Response:
        took.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response()

    collector = web.Application()
    collector.router.add_post("/v1/traces", collect)
    async with TestServer(collector) as sink:
        chosen = settings(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=str(sink.make_url("")), OTEL_SERVICE_NAME="bakery")
        async with serving(await create_app(chosen, shelf=SHELF)) as client:
            await dial(client)
    spans = [span for one in took for some in one.resource_spans for scope in some.scope_spans for span in scope.spans]
    (call,) = [span for span in spans if span.name == "call"]
    assert (call.trace_id, call.span_id) == (trace_of(CALL["CallSid"]), root_of(CALL["CallSid"]))
    attributes = {one.key: one.value.string_value for one in took[0].resource_spans[0].resource.attributes}
    assert attributes["service.name"] == "bakery"
    assert b"15550123456" not in b"".join(one.SerializeToString() for one in took)


async def test_traces_without_the_extra_stop_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    chosen = settings(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: .*voicebot\[otel\]"):
        await create_app(chosen, shelf=SHELF)
    assert not (tmp_path / "data").exists()


async def test_requests_lines_and_callers_are_counted(tmp_path: Path) -> None:
    chosen = settings(tmp_path, VOICEBOT_MAX_CALLS=1)
    async with serving(await create_app(chosen, shelf=SHELF)) as client:
        assert "<Connect" in await dial(client)
        async with client.get("/nowhere/at/all") as answer:
            assert answer.status == 404
        async with client.post("/twilio/voice", data=CALL) as answer:
            assert answer.status == 403
        logging.getLogger("voicebot.x").error("a test", extra=named("store_defect"))
        logging.getLogger("library").warning("of others")
        async with client.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
    assert 'voicebot_http_request_seconds_count{route="/twilio/voice",status="2xx"} 1' in lines
    assert 'voicebot_http_request_seconds_count{route="/twilio/voice",status="4xx"} 1' in lines
    assert 'voicebot_http_request_seconds_count{route="none",status="4xx"} 1' in lines
    assert 'voicebot_log_lines_total{level="ERROR",event="store_defect"} 1' in lines
    assert 'voicebot_log_lines_total{level="WARNING",event="library"} 1' in lines
    assert 'voicebot_log_lines_total{level="WARNING",event="request_refused"} 1' in lines
    assert "voicebot_store_errors_total 1" in lines
    assert "voicebot_calls_active 1" in lines


async def test_callers_without_a_place_are_counted(tmp_path: Path) -> None:
    app = await create_app(settings(tmp_path, VOICEBOT_MAX_CALLS=1), shelf=SHELF)
    async with serving(app) as client:
        await dial(client)
        other = {**CALL, "CallSid": "CA" + "2" * 32}
        signature = RequestValidator("auth-token").compute_signature(f"{ORIGIN}/twilio/voice", other)
        async with client.post("/twilio/voice", data=other, headers={"X-Twilio-Signature": signature}) as answer:
            assert "<Say" in await answer.text()
        async with client.get("/metrics") as answer:
            assert 'voicebot_calls_refused_total{reason="full"} 1' in (await answer.text()).splitlines()
