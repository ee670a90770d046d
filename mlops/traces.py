"""Traces of inferences, by OpenTelemetry to a collector. Without one nothing is loaded, and nothing costs.

Names of attributes are those of OpenTelemetry's semantic conventions where there are such.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

Attribute = str | int | float


class Traces:
    """The spans of one process, called `service`; sent in the background to `<endpoint>/v1/traces` (OTLP over
    HTTP). While the collector does not answer, some 2,000 wait and further ones are dropped."""

    def __init__(self, endpoint: str | None = None, service: str = "mlops") -> None:
        self._provider = None if endpoint is None else _provider(endpoint, service)

    def span(
        self,
        name: str,
        kind: Literal["SERVER", "CLIENT"],
        attributes: Mapping[str, Attribute],
        parent: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[Span | None]:
        """A span for the length of a block, below the one around it, or the one that the `parent` headers
        name (W3C `traceparent`). What the block raises is recorded. None where nothing is traced."""
        if self._provider is None:
            return nullcontext()
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = None if parent is None else TraceContextTextMapPropagator().extract(parent)
        return self._provider.get_tracer("mlops").start_as_current_span(
            name, context, SpanKind[kind], dict(attributes)
        )

    def headers(self) -> dict[str, str]:
        """What tells another process of the span around; empty without one."""
        found: dict[str, str] = {}
        if self._provider is not None:
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            TraceContextTextMapPropagator().inject(found)
        return found

    def close(self) -> None:
        """Send what waits, for a moment."""
        if self._provider is not None:
            self._provider.force_flush(2000)
            self._provider.shutdown()


def _provider(endpoint: str, service: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    return provider
