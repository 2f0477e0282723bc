"""The metrics of other senders on the page: beside ours, never among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from taskscope.service.foreign_metrics import ForeignCollector
from taskscope.store.foreign_points import Distribution, ForeignPoint

from .otlp.requests import START, make_metric, metrics, pack

if TYPE_CHECKING:
    from .services import Service


def point(name: str, kind: Any, value: Any) -> ForeignPoint:
    return ForeignPoint(name, "s", "i", (), kind, START, value)


def samples_of(*points: ForeignPoint) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(ForeignCollector(lambda: points))
    text = generate_latest(registry).decode()
    return {sample.name: sample.value for family in parse_text(text) for sample in family.samples}


def test_each_kind_has_its_samples() -> None:
    """Buckets are cumulative; a histogram without a sum has none."""
    shown = samples_of(
        point("foreign_a", "counter", 7),
        point("foreign_b", "updowncounter", -2),
        point("foreign_c", "histogram", Distribution(3, None, (0.5,), (1, 2))),
    )
    assert shown == {"foreign_a_total": 7, "foreign_b": -2, "foreign_c_bucket": 3, "foreign_c_count": 3}


def test_no_sample_stands_there_twice() -> None:
    """Two names that would be sampled alike: the second is left out."""
    shown = samples_of(
        point("foreign_a", "counter", 7),
        point("foreign_a_total", "gauge", 5),
        point("foreign_b_count", "gauge", 5),
        point("foreign_c", "gauge", 1),
    )
    assert shown == {"foreign_a_total": 7, "foreign_b_count": 5, "foreign_c": 1}


def test_they_are_on_the_page_in_both_formats(service: Service) -> None:
    """By service and instance, also under a name that the contract has; ours stays what our spans say."""
    name = "gen_ai.client.inference.duration"
    whole = {
        "count": 3, "sum": 1.5, "bucket_counts": [1, 2], "explicit_bounds": [0.5], "time_unix_nano": START,
    }  # fmt: skip
    jobs = {"as_int": 5, "time_unix_nano": START}
    request = metrics(
        make_metric("jobs", "sum", jobs, aggregation_temporality=2, is_monotonic=True),
        make_metric(name, "histogram", whole, unit="s", aggregation_temporality=2),
    )
    assert service.client.post("/v1/metrics", **pack(request)).content == b""
    for accept, parse in (
        ("", parse_text),
        ("application/openmetrics-text; version=1.0.0", parse_openmetrics),
    ):
        text = service.client.get("/metrics", headers={"Accept": accept}).text
        found = {
            (sample.name, sample.labels.get("service_name")): sample.value
            for family in parse(text)
            for sample in family.samples
        }
        assert found["foreign_jobs_total", "other"] == 5
        assert found["foreign_gen_ai_client_inference_duration_seconds_count", "other"] == 3
        assert ("gen_ai_client_inference_duration_seconds_count", "other") not in found
