"""The stock OTLP exporters behind the same cleaning as the store: no secret leaves that would not be stored.

Cleaned on the exporter's thread. What they lose is upstream's matter until the shipper takes their place.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status

from taskscope.semconv.metrics import METRICS

if TYPE_CHECKING:
    from .cleaning import Cleaner


def make_span_processor(cleaner: Cleaner) -> BatchSpanProcessor:
    """Batches of cleaned spans to OTLP over HTTP."""
    return BatchSpanProcessor(CleanSpanExporter(OTLPSpanExporter(), cleaner))


def make_log_processor(cleaner: Cleaner) -> BatchLogRecordProcessor:
    """Batches of cleaned log records to OTLP over HTTP."""
    return BatchLogRecordProcessor(CleanLogExporter(OTLPLogExporter(), cleaner))


def make_metric_reader() -> PeriodicExportingMetricReader:
    """The host's own instruments to OTLP over HTTP."""
    return PeriodicExportingMetricReader(OTLPMetricExporter())


def make_views() -> list[View]:
    """Drop what instrumentations measure and the record counts too, so that no number has two sources."""
    return [View(instrument_name=metric.name, aggregation=DropAggregation()) for metric in METRICS]


class CleanSpanExporter(SpanExporter):
    """Cleans spans before another exporter gets them."""

    def __init__(self, inner: SpanExporter, cleaner: Cleaner) -> None:
        self._inner = inner
        self._cleaner = cleaner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Clean and hand on."""
        return self._inner.export([self._clean(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the other exporter down."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """What the other exporter says."""
        return self._inner.force_flush(timeout_millis)

    def _clean(self, span: ReadableSpan) -> ReadableSpan:
        cleaner = self._cleaner
        description = span.status.description
        return ReadableSpan(
            name=cleaner.text(span.name),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=_attributes(cleaner, span.attributes),
            events=[
                Event(cleaner.text(event.name), _attributes(cleaner, event.attributes), event.timestamp)
                for event in span.events
            ],
            links=[Link(link.context, _attributes(cleaner, link.attributes)) for link in span.links],
            kind=span.kind,
            status=Status(span.status.status_code, cleaner.text(description) if description else None),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )


class CleanLogExporter(LogRecordExporter):
    """Cleans log records before another exporter gets them."""

    def __init__(self, inner: LogRecordExporter, cleaner: Cleaner) -> None:
        self._inner = inner
        self._cleaner = cleaner

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Clean and hand on."""
        return self._inner.export([self._clean(record) for record in batch])

    def shutdown(self) -> None:
        """Shut the other exporter down."""
        self._inner.shutdown()  # type: ignore[no-untyped-call]  # upstream lacks the annotation

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """What the other exporter says, if it can be asked."""
        flush = getattr(self._inner, "force_flush", None)
        return bool(flush(timeout_millis)) if flush is not None else True

    def _clean(self, record: ReadableLogRecord) -> ReadableLogRecord:
        log = copy.copy(record.log_record)
        log.attributes = _attributes(self._cleaner, log.attributes)
        if log.body is not None:
            log.body = _attributes(self._cleaner, {"body": log.body})["body"]
        return ReadableLogRecord(log, record.resource, record.instrumentation_scope, record.limits)


def _attributes(cleaner: Cleaner, attributes: Any) -> dict[str, Any]:
    return dict(cleaner.attributes(attributes or {}))
