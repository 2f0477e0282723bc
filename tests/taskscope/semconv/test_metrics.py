"""The metrics: sound declarations, and Prometheus names that agree with the real exporter."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from taskscope.semconv import attributes, metrics, short_names, spans

LABELS = {value for name, value in vars(attributes).items() if name.isupper()}


def exported_names(metric: metrics.Metric) -> set[str]:
    """Return the sample names that the SDK's Prometheus exporter gives an instrument of this declaration."""
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry, scope_info_enabled=False)])
    meter = provider.get_meter("test")
    match metric.instrument:
        case "counter":
            meter.create_counter(metric.name, metric.unit).add(1)
        case "updowncounter":
            meter.create_up_down_counter(metric.name, metric.unit).add(1)
        case "gauge":
            meter.create_gauge(metric.name, metric.unit).set(1)
        case "histogram":
            meter.create_histogram(
                metric.name, metric.unit, explicit_bucket_boundaries_advisory=list(metric.buckets)
            ).record(1)
    names = {sample.name for family in registry.collect() for sample in family.samples}
    provider.shutdown()
    return names


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda metric: metric.name)
def test_prometheus_name_is_the_exporters(metric: metrics.Metric) -> None:
    """A metric's Prometheus name is the one that the SDK's exporter derives."""
    name = metric.prometheus_name
    expected = {f"{name}_bucket", f"{name}_count", f"{name}_sum"} if metric.buckets else {name}
    assert expected <= exported_names(metric)


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda metric: metric.name)
def test_declaration_is_sound(metric: metrics.Metric) -> None:
    """Histograms alone have buckets, rising floats; labels are attributes; no gauge has unit 1."""
    assert (metric.instrument == "histogram") == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert all(isinstance(bound, float) for bound in metric.buckets)
    assert set(metric.labels) <= LABELS
    assert len(metric.labels) == len(set(metric.labels))
    assert metric.unit != "1"
    assert metric.description.endswith(".")


def test_prometheus_label_is_the_exporters() -> None:
    """A label's Prometheus name is the one that the SDK's exporter derives."""
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry, scope_info_enabled=False)])
    counter = provider.get_meter("test").create_counter("test.counter")
    counter.add(1, dict.fromkeys(sorted(LABELS), "x"))
    (sample,) = [
        sample
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "test_counter_total"
    ]
    assert set(sample.labels) == {metrics.prometheus_label(key) for key in LABELS}
    provider.shutdown()


def test_buckets_are_those_of_the_contract() -> None:
    """The bucket series begin and end where the conventions say."""
    assert (metrics.BUCKETS_CALL[0], metrics.BUCKETS_CALL[-1]) == pytest.approx((0.01, 81.92))
    assert (metrics.BUCKETS_TOKENS[0], metrics.BUCKETS_TOKENS[-1]) == (1.0, 67108864.0)
    assert (metrics.BUCKETS_AGENT[0], metrics.BUCKETS_AGENT[-1]) == pytest.approx((0.1, 409.6))
    assert (metrics.BUCKETS_NUMBER[0], metrics.BUCKETS_NUMBER[-1]) == (1.0, 128.0)


def test_cost_counter_is_spelled_as_documented() -> None:
    """Money counts in micro-dollars, and its Prometheus name says so."""
    assert metrics.LLM_COST.prometheus_name == "taskscope_llm_cost_micro_usd_total"


@pytest.mark.parametrize("short", short_names.SHORT_NAMES, ids=lambda short: short.name)
def test_short_name_reads_what_its_source_has(short: short_names.ShortName) -> None:
    """A short name's labels and kept values exist on its source, and its reading fits the instrument."""
    used = {label.source for label in short.labels} | {key for key, _ in short.keep}
    assert used <= set(short.source.labels)
    for key, values in short.keep:
        assert set(values) <= set(spans.CLOSED_SETS[key])
    assert (short.reading in {"count", "histogram"}) == (short.source.instrument == "histogram")
    assert (short.type == "histogram") == (short.reading == "histogram")
    assert (short.type == "counter") == short.name.endswith("_total")
