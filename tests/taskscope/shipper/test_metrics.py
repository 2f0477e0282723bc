"""The aggregates as OTLP metrics: what upstream's encoder makes of the same numbers."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as encode_upstream
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from taskscope.semconv.metrics import METRICS, Metric
from taskscope.shipper.courier import Step
from taskscope.shipper.metrics import (
    build_requests,
    load_interval_s,
    load_resource,
    make_resource,
)
from taskscope.store.aggregates import MetricPoint
from taskscope.store.tally import Histogram
from taskscope.version import VERSION
from tests.taskscope.otlp_sink import Fault, OtlpSink, records_of
from tests.taskscope.store.builders import make_task

from .deliveries import Host, courier, destination

TIMES = (1_700_000_000_000_000_000, 1_700_000_060_000_000_001)
RESOURCE = {"service.name": "s", "service.instance.id": "i"}


def numbers() -> st.SearchStrategy[int | float]:
    whole = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
    return st.one_of(whole, st.floats(allow_nan=False))


@st.composite
def points(draw: st.DrawFn) -> list[MetricPoint]:
    """Series of some metrics, each metric's together, in the order of the contract."""
    found = []
    for metric in sorted(draw(st.sets(st.sampled_from(METRICS), max_size=5)), key=METRICS.index):
        for _ in range(draw(st.integers(1, 3))):
            labels = tuple((key, draw(st.text(max_size=5))) for key in metric.labels)
            value: Any = draw(numbers())
            if metric.instrument == "histogram":
                counts = [draw(st.integers(0, 1 << 40)) for _ in range(len(metric.buckets) + 1)]
                value = Histogram(sum(counts), draw(st.floats(allow_nan=False)), tuple(counts))
            found.append(MetricPoint(metric.name, labels, value))
    return found


def upstream(found: list[MetricPoint]) -> ExportMetricsServiceRequest:
    """The same numbers, as the SDK hands them to its exporter."""
    by_name: dict[str, list[MetricPoint]] = {}
    for point in found:
        by_name.setdefault(point.name, []).append(point)
    scope = InstrumentationScope("taskscope", VERSION)
    own = [
        export.Metric(metric.name, metric.description, metric.unit, _data(metric, by_name[metric.name]))
        for metric in METRICS
        if metric.name in by_name
    ]
    scoped = export.ScopeMetrics(scope, own, schema_url="")
    whole = export.ResourceMetrics(Resource(RESOURCE), [scoped], schema_url="")
    message: ExportMetricsServiceRequest = encode_upstream(export.MetricsData([whole]))
    return message


def _data(metric: Metric, found: list[MetricPoint]) -> Any:
    start, now = TIMES
    cumulative = export.AggregationTemporality.CUMULATIVE
    made: list[Any] = []
    for point in found:
        labels = {key: value for key, value in point.labels if value}
        if isinstance(point.value, Histogram):
            absent: Any = None  # least and greatest are not kept
            counts, bounds = list(point.value.bucket_counts), list(metric.buckets)
            whole = point.value.count, point.value.sum
            made.append(export.HistogramDataPoint(labels, start, now, *whole, counts, bounds, absent, absent))
        else:
            made.append(export.NumberDataPoint(labels, start, now, point.value))
    if metric.instrument == "histogram":
        return export.Histogram(made, cumulative)
    if metric.instrument == "gauge":
        return export.Gauge(made)
    return export.Sum(made, cumulative, is_monotonic=metric.instrument == "counter")


@given(points())
def test_a_request_is_what_upstream_makes(found: list[MetricPoint]) -> None:
    """Decoded, it equals upstream's own for the same numbers, whatever they are."""
    (body,) = build_requests(found, RESOURCE, TIMES, size_bytes=1 << 30) if found else (b"",)
    message = ExportMetricsServiceRequest.FromString(body)
    if found:
        assert message == upstream(found)


def test_requests_keep_to_a_size() -> None:
    """Many metrics make several requests, each with the resource and scope, none without a metric."""
    found = [
        MetricPoint(metric.name, tuple((key, "x" * 50) for key in metric.labels), 1)
        for metric in METRICS
        if metric.instrument != "histogram"
    ]
    bodies = list(build_requests(found, RESOURCE, TIMES, size_bytes=1000))
    messages = [ExportMetricsServiceRequest.FromString(body) for body in bodies]
    assert len(messages) > 3
    assert max(map(len, bodies)) < 1500
    names = [metric.name for message in messages for metric in records_of(message)]
    assert names == [point.name for point in found]
    assert all(one.resource_metrics[0].resource.attributes for one in messages)


@pytest.mark.parametrize(
    "text, seconds",
    [("", 60.0), ("5000", 5.0), ("soon", 60.0), ("0", 60.0), ("-1", 60.0), ("nan", 60.0), ("inf", 60.0)],
)
def test_the_interval_is_the_specifications(text: str, seconds: float) -> None:
    """Milliseconds; what makes no sense is a minute."""
    assert load_interval_s({"OTEL_METRIC_EXPORT_INTERVAL": text}) == seconds


def test_the_resource_is_the_stores_own() -> None:
    """Attributes of the environment are decoded and join it; none can take the place of the store's name."""
    more = load_resource(
        {"OTEL_RESOURCE_ATTRIBUTES": "host.name=a%2Cb, service.name=x,service.instance.id=1,y"}
    )
    assert more == {"host.name": "a,b"}
    made = make_resource("id", "shop", more)
    assert made["service.instance.id"] == "id"
    assert made["telemetry.distro.name"] == "taskscope"


def test_metrics_are_sent_at_their_interval(host: Host, sink: OtlpSink) -> None:
    """Changed or not; between two of them nobody else of the host sends any."""
    host.write(make_task(end_ns=None), make_task())
    made = courier(host, destination(sink), service_name="shop")
    assert made.step("metrics") is Step.IDLE
    assert sink.attempts == 1
    assert made.step("metrics") is Step.IDLE
    other = courier(host, destination(sink))
    assert other.step("metrics") is Step.IDLE
    assert sink.attempts == 1
    with host.open(read_only=False) as connection:
        connection.execute("UPDATE cursor SET succeeded = succeeded - 61000000000 WHERE signal = 'metrics'")
    assert other.step("metrics") is Step.IDLE
    assert sink.attempts == 2
    resources = [one.message.resource_metrics[0].resource for one in sink.arrived]
    assert resources[0] == resources[1]  # one series, whoever sends it
    found = {attribute.key: attribute.value.string_value for attribute in resources[0].attributes}
    assert found["service.name"] == "shop"
    with host.open() as connection:
        (instance,) = connection.execute("SELECT value FROM meta WHERE name = 'instance'").fetchone()
    assert found["service.instance.id"] == instance
    made.close()
    other.close()


def test_the_numbers_are_those_of_the_store(host: Host, sink: OtlpSink) -> None:
    """Counters count since the store was made, and their accounts of records are among them."""
    host.spans(3)
    made = courier(host, destination(sink))
    assert made.step("traces") is Step.SENT
    made.step("metrics")
    made.close()
    (delivered,) = [one for one in sink.metrics if one.name == "taskscope.records.delivered"]
    values = {
        tuple(attribute.value.string_value for attribute in point.attributes): point.as_int
        for point in delivered.sum.data_points
    }
    assert values["traces", "store"] == values["traces", "otlp"] == 3
    (start,) = {point.start_time_unix_nano for point in delivered.sum.data_points}
    assert 0 < start < time.time_ns()
    assert delivered.sum.is_monotonic
    assert not [one for one in sink.metrics if one.name == "taskscope.recorder.queue.size"]


@pytest.mark.parametrize("status", [400, 413, 503])
def test_metrics_that_are_refused_come_again(host: Host, sink: OtlpSink, status: int) -> None:
    """They are no records: nothing goes into quarantine, and the next try has the numbers of then."""
    host.spans(1)
    made = courier(host, destination(sink))
    sink.fail(Fault(status=status))
    assert made.step("metrics") in {Step.HELD, Step.STUCK}
    assert made.step("metrics") is Step.HELD
    assert made.step("metrics", is_urgent=True) is Step.IDLE
    assert sink.metrics
    assert host.account().quarantined == 0
    made.close()


def executions(sink: OtlpSink) -> list[tuple[int, bool]]:
    """The numbers of ended tasks that the last request told, and whether each is of an earlier time."""
    (metric,) = [
        one
        for one in sink.arrived[-1].message.resource_metrics[0].scope_metrics[0].metrics
        if one.name == "taskscope.task.executions"
    ]
    points = metric.sum.data_points
    latest = max(point.time_unix_nano for point in points)
    return [(point.as_int, point.time_unix_nano < latest) for point in points]


def test_a_series_says_what_it_was_before_it_grew(host: Host, sink: OtlpSink) -> None:
    """Who gets the sums now and then sees by it when they grew; what is known is not said again."""
    made = courier(host, destination(sink))
    host.write(make_task())
    made.step("metrics", is_urgent=True)
    assert executions(sink) == [(0, True), (1, False)]
    made.step("metrics", is_urgent=True)
    assert executions(sink) == [(1, False)]
    host.write(make_task())  # of the same minute: the point before is near enough
    made.step("metrics", is_urgent=True)
    assert executions(sink) == [(2, False)]
    with host.open(read_only=False) as connection:
        for table in ("counter", "histogram"):
            connection.execute(f"UPDATE {table} SET held_until = held_until - 61000000000")  # noqa: S608  our words
    host.write(make_task())
    host.write(make_task())
    made.step("metrics", is_urgent=True)
    assert executions(sink) == [(2, True), (4, False)]
    durations = [one for one in sink.metrics if one.name == "gen_ai.invoke_workflow.duration"]
    assert [point.count for point in durations[-1].histogram.data_points] == [2, 4]
    made.close()
