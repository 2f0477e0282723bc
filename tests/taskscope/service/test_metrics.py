"""The page of metrics: what stands there before anything was done, in both formats, without doubles."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.metrics import METRICS, Metric
from taskscope.semconv.short_names import SHORT_NAMES
from taskscope.service.metrics import MetricsPage
from taskscope.store.aggregates import MetricPoint
from taskscope.store.tally import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric as Family

    from .services import Service

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TYPES = {"counter": "counter", "updowncounter": "gauge", "gauge": "gauge", "histogram": "histogram"}


def fetch(service: Service, accept: str = "") -> tuple[str, list[Family]]:
    service.ask("GET", "/tasks")  # so that the instruments of others have something to show
    answer = service.client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    parse = parse_openmetrics if "openmetrics" in answer.headers["content-type"] else parse_text
    return answer.headers["content-type"], list(parse(answer.text))


@pytest.mark.parametrize("accept, kind", [("", "text/plain"), (OPENMETRICS, "application/openmetrics-text")])
def test_all_names_stand_there_from_the_start(service: Service, accept: str, kind: str) -> None:
    """Every canonical and every short name has its family, of the right type, in the format asked for."""
    content_type, families = fetch(service, accept)
    assert content_type.startswith(kind)
    types = {family.name: family.type for family in families}
    expected = {metric.prometheus_name: TYPES[metric.instrument] for metric in METRICS}
    expected |= {short.name: short.type for short in SHORT_NAMES}
    for name, kind_of in expected.items():
        assert types[name.removesuffix("_total")] == kind_of, name


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_no_family_and_no_series_stands_there_twice(service: Service, accept: str) -> None:
    """The record's numbers and those of the SDK's instruments do not meet under one name."""
    _, families = fetch(service, accept)
    names = Counter(family.name for family in families)
    series = Counter(
        (sample.name, *sorted(sample.labels.items())) for family in families for sample in family.samples
    )
    assert [name for name, times in (names + series).items() if times > 1] == []


def test_instruments_of_others_are_there_without_scope_labels(service: Service) -> None:
    """The HTTP instrumentation's gauge of open requests is on the page; its twin of our duration is not."""
    _, families = fetch(service)
    active = next(family for family in families if family.name == "http_server_active_requests")
    assert {"http_request_method", "url_scheme"} == set(active.samples[0].labels)
    durations = next(family for family in families if family.name == "http_server_request_duration_seconds")
    assert set(durations.samples[0].labels) - {"le"} == {
        metrics.prometheus_label(key) for key in metrics.HTTP_SERVER_DURATION.labels
    }


def page(points: Iterable[MetricPoint]) -> dict[tuple[str, ...], float]:
    """Render points; every sample by its name and label values."""
    body, _ = MetricsPage(CollectorRegistry(), lambda: points).render("")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse_text(body.decode())
        for sample in family.samples
    }


def point(metric: Metric, value: float | Histogram, **labels: str) -> MetricPoint:
    known = {getattr(attr, name): text for name, text in labels.items()}
    return MetricPoint(metric.name, tuple((key, known.get(key, "")) for key in metric.labels), value)


def test_short_counters_count_the_outcomes_that_they_name() -> None:
    """Executed are those that succeeded, failed those that failed or were interrupted, of all kinds."""
    outcomes = {"succeeded": 5, "failed": 3, "interrupted": 2, "stopped": 7, "needs_llm": 11}
    points = [
        point(metrics.TASK_EXECUTIONS, number, TASK_KIND=kind, TASK_OUTCOME=outcome)
        for outcome, number in outcomes.items()
        for kind in ("repair", "upgrade")
    ]
    shown = page(points)
    assert (shown["tasks_executed_total",], shown["tasks_failed_total",]) == (10, 10)


def test_a_short_histogram_is_the_sum_of_its_series() -> None:
    """Buckets are cumulative and add up over kinds and errors; only embeddings are embeddings."""
    buckets = len(metrics.BUCKETS_CALL)
    one = Histogram(3, 1.5, (1, 2, *(0,) * (buckets - 1)))
    two = Histogram(1, 99.0, (*(0,) * buckets, 1))
    shown = page(
        [
            point(metrics.OPERATION_DURATION, one, GEN_AI_OPERATION_NAME="embeddings"),
            point(metrics.OPERATION_DURATION, two, GEN_AI_OPERATION_NAME="embeddings", ERROR_TYPE="timeout"),
            point(metrics.OPERATION_DURATION, two, GEN_AI_OPERATION_NAME="retrieval"),
        ]
    )
    name = "embedding_request_latency_seconds"
    assert (shown[f"{name}_count",], shown[f"{name}_sum",]) == (4, 100.5)
    assert (shown[f"{name}_bucket", "0.01"], shown[f"{name}_bucket", "0.02"]) == (1, 3)
    assert (shown[f"{name}_bucket", "81.92"], shown[f"{name}_bucket", "+Inf"]) == (3, 4)
    assert shown["embed_requests_total",] == 4


def test_short_labels_say_who_and_how() -> None:
    """An agent's status is ok or error; requests are by method, route and status."""
    once = Histogram(1, 1.0, (1, *(0,) * len(metrics.BUCKETS_AGENT)))
    http = Histogram(2, 1.0, (2, *(0,) * len(metrics.BUCKETS_FAST)))
    shown = page(
        [
            point(metrics.AGENT_DURATION, once, GEN_AI_AGENT_NAME="coder"),
            point(metrics.AGENT_DURATION, once, GEN_AI_AGENT_NAME="coder", ERROR_TYPE="timeout"),
            point(metrics.AGENT_DURATION, once, GEN_AI_AGENT_NAME="coder", ERROR_TYPE="ValueError"),
            point(
                metrics.HTTP_SERVER_DURATION,
                http,
                HTTP_REQUEST_METHOD="GET",
                HTTP_ROUTE="/tasks",
                HTTP_RESPONSE_STATUS_CODE="200",
            ),
        ]
    )
    assert shown["agent_executions_total", "coder", "ok"] == 1
    assert shown["agent_executions_total", "coder", "error"] == 2
    assert shown["http_requests_total", "/tasks", "GET", "200"] == 2


@pytest.mark.parametrize("failing, status", [(0, 1), (1, 0)])
def test_one_failing_check_is_the_status_of_all(failing: int, status: int) -> None:
    """0 as soon as a check fails, 1 else; the time is that of the latest."""
    shown = page(
        [
            point(metrics.HEALTH_STATUS, failing, HEALTH_CHECK="a", HEALTH_STATUS="fail"),
            point(metrics.HEALTH_STATUS, 1 - failing, HEALTH_CHECK="a", HEALTH_STATUS="pass"),
            point(metrics.HEALTH_STATUS, 1, HEALTH_CHECK="b", HEALTH_STATUS="warn"),
            point(metrics.HEALTH_CHECK_TIMESTAMP, 5.0, HEALTH_CHECK="a"),
            point(metrics.HEALTH_CHECK_TIMESTAMP, 7.0, HEALTH_CHECK="b"),
        ]
    )
    assert (shown["last_healthcheck_status",], shown["last_healthcheck_timestamp",]) == (status, 7)
