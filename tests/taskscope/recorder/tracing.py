"""The upstream tracer and ours side by side: one way to make both, and what their spans say as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from taskscope.recorder.provider import RecordingTracerProvider

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext, Tracer

    from taskscope.recorder.span import Span

PROVIDERS: dict[str, type[TracerProvider]] = {"upstream": TracerProvider, "ours": RecordingTracerProvider}
_RESOURCE = Resource({"service.name": "test"})
_EXPLICIT = 10**12
"""Times below were given by a test; the clock's own are later."""


class Rig:
    """A provider of either make, and the spans that it handed to a foreign exporter."""

    def __init__(self, make: str, **settings: Any) -> None:
        self.exporter = InMemorySpanExporter()
        settings = {"resource": _RESOURCE, "shutdown_on_exit": False, **settings}
        self.provider = PROVIDERS[make](**settings)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer: Tracer = self.provider.get_tracer("scope", "1.0", "https://schema", {"a": 1})

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans
        return span


class KeepingSink:
    """Keeps what the tracer hands it."""

    def __init__(self) -> None:
        self.started: list[Span] = []
        self.contexts: list[Context | None] = []
        self.ended: list[Span] = []
        self.calls: list[str] = []

    def on_start(self, span: Span, parent_context: Context | None) -> None:
        self.started.append(span)
        self.contexts.append(parent_context)

    def on_end(self, span: Span) -> None:
        self.ended.append(span)

    def force_flush(self, timeout_millis: int) -> bool:
        self.calls.append(f"force_flush {timeout_millis}")
        return True

    def shutdown(self) -> None:
        self.calls.append("shutdown")


def describe(spans: Iterable[ReadableSpan]) -> list[dict[str, Any]]:
    """Everything that spans say; random ids become numbers in order, and the clock's times a word."""
    numbers: dict[int, str] = {}

    def number(context: SpanContext | None) -> Any:
        if context is None:
            return None
        trace_id, span_id, is_remote, flags, state, is_valid = context
        return (
            numbers.setdefault(trace_id, f"trace {len(numbers)}"),
            numbers.setdefault(span_id, f"span {len(numbers)}"),
            (is_remote, int(flags), type(flags).__name__, dict(state), is_valid),
        )

    return [
        {
            "type": type(span),
            "name": span.name,
            "context": number(span.context),
            "is_same": span.context == span.get_span_context(),
            "parent": number(span.parent),
            "kind": span.kind,
            "times": (_tell(span.start_time), _tell(span.end_time)),
            "status": (span.status.status_code, span.status.description),
            "attributes": _typed(span.attributes),
            "events": [
                (event.name, _tell(event.timestamp), _typed(event.attributes), event.dropped_attributes)
                for event in span.events
            ],
            "links": [
                (number(link.context), _typed(link.attributes), link.dropped_attributes)
                for link in span.links
            ],
            "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
            "resource": span.resource.attributes,
            "scope": span.instrumentation_scope,
        }
        for span in spans
    ]


def _tell(time_ns: int | None) -> Any:
    return time_ns if time_ns is None or time_ns < _EXPLICIT else "now"


def _typed(values: Any) -> dict[str, Any]:
    """Values with their types, since True equals 1; upstream's frames stand in its stack traces only."""
    return {
        key: (type(value), None if key == "exception.stacktrace" else repr(value))
        for key, value in (values or {}).items()
    }
