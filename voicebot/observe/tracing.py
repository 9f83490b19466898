"""Spans on their way to a collector, by OpenTelemetry's SDK (`pip install voicebot[otel]`): a thin shell.

The SDK's own thread sends; a collector that is slow or gone costs spans and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from threading import Thread
from typing import TYPE_CHECKING

from voicebot.errors import SettingsError

from .spans import Span

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor

CLOSE_LIMIT_S = 2.0


class Tracing:
    """Hands finished spans to the SDK. `close` sends what waits."""

    def __init__(self, service: str, version: str, processor: SpanProcessor) -> None:
        """`processor`: takes the spans, as the SDK's `BatchSpanProcessor` over an exporter."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator

        class Given(IdGenerator):
            """The ids of the span that is being written: they were settled before (`spans`)."""

            trace, span = 0, 0

            def generate_span_id(self) -> int:
                return self.span

            def generate_trace_id(self) -> int:
                return self.trace

        self._ids = Given()
        resource = Resource.create({"service.name": service, "service.version": version})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("voicebot", version)

    def write(self, spans: Sequence[Span]) -> None:
        """Give these on; never waits."""
        for span in spans:
            self._write(span)

    def close(self) -> None:
        """Send what waits, and stop; blocks for `CLOSE_LIMIT_S` at most."""
        # The SDK's own bound is far longer (a collector that hangs: 10 s), and nobody waits for spans.
        closing = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(CLOSE_LIMIT_S)

    def _write(self, span: Span) -> None:
        from opentelemetry import trace

        self._ids.trace, self._ids.span = int.from_bytes(span.trace), int.from_bytes(span.id)
        written = self._tracer.start_span(
            span.name,
            context=self._parent(span),
            attributes=dict(span.attributes),
            start_time=_ns(span.began),
        )
        if span.problem:
            written.set_status(trace.StatusCode.ERROR, span.problem)
        written.end(_ns(span.ended))

    def _parent(self, span: Span) -> Context:
        """The context that makes it a child; whether the trace is sampled, its root's id says, which all know."""
        from opentelemetry import context, trace
        from opentelemetry.sdk.trace.sampling import Decision

        if not span.parent:
            return context.Context()
        sampled = self._provider.sampler.should_sample(None, self._ids.trace, "call").decision is not Decision.DROP
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
        parent = trace.SpanContext(self._ids.trace, int.from_bytes(span.parent), is_remote=True, trace_flags=flags)
        return trace.set_span_in_context(trace.NonRecordingSpan(parent), context.Context())


def otlp_tracing(endpoint: str, service: str, version: str) -> Tracing:
    """Spans to a collector by OTLP over HTTP. What else the standard variables `OTEL_…` say, the SDK heeds itself.

    Raises:
        SettingsError: the SDK is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        mend = "Install the extra, pip install 'voicebot[otel]', or leave the variable unset."
        raise SettingsError("OTEL_EXPORTER_OTLP_ENDPOINT", "is set, and OpenTelemetry is not installed", mend) from exc
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    return Tracing(service, version, BatchSpanProcessor(exporter))


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
