"""The host's own SDK instruments, by OpenTelemetry's stock exporter; all else leaves by the shipper.

What it loses is upstream's matter: numbers of the contract come from the record and are not among them.
"""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View

from taskscope.semconv.metrics import METRICS


def make_metric_reader() -> PeriodicExportingMetricReader:
    """The host's own instruments to OTLP over HTTP."""
    return PeriodicExportingMetricReader(OTLPMetricExporter())


def make_views() -> list[View]:
    """Drop what instrumentations measure and the record counts too, so that no number has two sources."""
    return [View(instrument_name=metric.name, aggregation=DropAggregation()) for metric in METRICS]
