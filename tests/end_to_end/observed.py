"""A call on the twin with everything that operators see of it: log lines, spans, metrics."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from voicebot.flow.loader import FlowShelf
from voicebot.observe.tracing import Tracing
from voicebot.server.logs import configure_logging
from voicebot.sim.call_result import CallResult
from voicebot.sim.clock import run_virtual
from voicebot.sim.crm import CrmAnswer, Received
from voicebot.sim.line import LineFaults
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.scenario import Scenario
from voicebot.sim.stage import Stage, stage

API_TOKEN = "canary-api-token-7f3a"
SCRAPE = {"Authorization": f"Bearer {API_TOKEN}"}


@dataclass
class Observed:
    """What came of it. `messages` are the log's own sentences, before anything is blotted out."""

    result: CallResult
    log: list[dict[str, Any]]
    messages: list[str]
    spans: Sequence[ReadableSpan]
    metrics: str
    answers: list[str]
    received: Sequence[Received]
    raw_log: str = field(repr=False, default="")


class _Plain(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.getMessage()} {record.__dict__.get('call_sid', '')}")


@contextmanager
def _logging(secrets: Sequence[str]) -> Iterator[tuple[io.StringIO, _Plain]]:
    """The log as in production, into memory; the tests' own is as before afterwards."""
    root, stream, plain = logging.getLogger(), io.StringIO(), _Plain()
    before, level = root.handlers[:], root.level
    root.handlers = []
    configure_logging("json", secrets=secrets, stream=stream)
    root.addHandler(plain)
    try:
        yield stream, plain
    finally:
        root.handlers, root.level = before, level


def observe(
    scenario: Scenario,
    shelf: FlowShelf,
    *,
    secrets: Sequence[str] = (),
    quirks: Quirks | Sequence[Quirks] = (),
    faults: LineFaults | None = None,
    settings: dict[str, object] | None = None,
    crm_answers: Sequence[CrmAnswer] = (),
    asks: Sequence[tuple[str, str, dict[str, str]]] = (),
    reports: int = 1,
) -> Observed:
    """Play a call in virtual time.

    Args:
        crm_answers: for the first posts of the report.
        asks: requests (method, path, form) whose answers are kept, made when the call is over.
        reports: how many posts to wait for.
    """
    exporter = InMemorySpanExporter()
    tracing = Tracing("observed", "0", SimpleSpanProcessor(exporter))
    brain = scenario.brain()

    async def played(on: Stage) -> tuple[CallResult, str, list[str], Sequence[Received]]:
        result = await on.phone(scenario, faults=faults).call()
        await on.crm.wait_for(reports, 3600)
        async with aiohttp.ClientSession() as http:
            answers = []
            for method, path, form in asks:
                async with http.request(method, on.public_url + path, data=form) as answer:
                    answers.append(f"{answer.status} {dict(answer.headers)} {await answer.text()}")
            async with http.get(f"{on.public_url}/metrics", headers=SCRAPE) as answer:
                assert answer.status == 200
                return result, await answer.text(), answers, list(on.crm.received)

    async def whole() -> tuple[CallResult, str, list[str], Sequence[Received]]:
        given: dict[str, object] = {"VOICEBOT_API_TOKEN": API_TOKEN, **(settings or {})}
        async with stage(
            shelf,
            lambda: brain,
            default_flow=scenario.flow,
            quirks=quirks,
            settings=given,
            tracing=tracing,
            crm_answers=crm_answers,
        ) as on:
            return await played(on)

    with _logging(secrets) as (stream, plain):
        result, metrics, answers, received = run_virtual(whole())
    raw = stream.getvalue()
    lines = [json.loads(line) for line in raw.splitlines()]
    return Observed(result, lines, plain.messages, exporter.get_finished_spans(), metrics, answers, received, raw)
