"""The SDK's Prometheus reader, for the instruments of others on the page that `serve` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.exporter.prometheus import PrometheusMetricReader

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def make_prometheus_reader(registry: CollectorRegistry) -> PrometheusMetricReader:
    """Return a reader that shows foreign instruments in a registry, without labels for their scopes.

    Instruments whose numbers the record has too are dropped by the views that `install` sets.
    """
    return PrometheusMetricReader(registry=registry, scope_info_enabled=False, disable_target_info=True)
