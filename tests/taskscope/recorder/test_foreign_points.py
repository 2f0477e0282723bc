"""Metrics of other senders become points under names of their own; what cannot be shown truly is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from taskscope.recorder.cleaning import Cleaner
from taskscope.recorder.foreign_points import LABELS_LIMIT, PREFIX, PointReader
from taskscope.redaction import Redactor
from taskscope.semconv.metrics import METRICS
from taskscope.semconv.short_names import SHORT_NAMES
from taskscope.store.foreign_points import Distribution, ForeignPoint
from tests.taskscope.service.otlp.requests import START, make_metric, metrics, pairs

if TYPE_CHECKING:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

    from taskscope.recorder.foreign import Received

READER = PointReader(Cleaner(Redactor()))
SECRET = "sk-proj-" + "a1B2c3D4" * 6


def gauge(name: str = "depth", unit: str = "", **point: Any) -> Metric:
    return make_metric(name, "gauge", {"as_int": 5, "time_unix_nano": START, **point}, unit=unit)


def total(name: str = "jobs", *, temporality: int = 2, is_monotonic: bool = True, **point: Any) -> Metric:
    whole = {"as_int": 5, "time_unix_nano": START, **point}
    return make_metric(name, "sum", whole, aggregation_temporality=temporality, is_monotonic=is_monotonic)


def histogram(temporality: int = 2, **point: Any) -> Metric:
    whole = {
        "count": 3, "sum": 1.5, "bucket_counts": [1, 2], "explicit_bounds": [0.5], "time_unix_nano": START,
    }  # fmt: skip
    return make_metric("took", "histogram", whole | point, aggregation_temporality=temporality)


def read(*given: Metric, **more: Any) -> Received:
    return READER.points(metrics(*given, **more).SerializeToString())


def read_one(metric: Metric, **more: Any) -> ForeignPoint:
    (point,) = read(metric, **more).records
    assert isinstance(point, ForeignPoint)
    return point


def test_gauges_sums_and_histograms_are_read() -> None:
    """Kind, value and labels; a sum that is not monotonic is an up-down counter, a delta says so."""
    point = read_one(gauge(attributes=pairs({"b.c": True, "a": 1})))
    assert point == ForeignPoint(
        f"{PREFIX}depth", "other", "one", (("a", "1"), ("b_c", "true")), "gauge", START, 5
    )
    assert read_one(total()).kind == "counter"
    assert read_one(total(is_monotonic=False, as_int=-5)).value == -5
    assert read_one(total(temporality=1)).is_delta
    assert read_one(histogram()).value == Distribution(3, 1.5, (0.5,), (1, 2))
    assert read_one(gauge(as_double=0.5)).value == 0.5


def test_names_never_meet_ours() -> None:
    """Every name that a sender could send is under a prefix that no name of ours has, with its unit."""
    taken = {metric.prometheus_name for metric in METRICS} | {short.name for short in SHORT_NAMES}
    assert not [name for name in taken if name.startswith(PREFIX)]
    for metric in METRICS:
        assert read_one(gauge(metric.name)).name.startswith(PREFIX)
    assert read_one(gauge("http.client-time", "s")).name == "foreign_http_client_time_seconds"
    assert read_one(gauge("a.seconds", "s")).name == "foreign_a_seconds"
    assert read_one(total("jobs.total")).name == "foreign_jobs"


def test_labels_are_those_of_prometheus() -> None:
    """Spelt as it spells them; two that become one are joined, and none takes the place of the owner's."""
    point = read_one(
        gauge(attributes=pairs({"a.b": "1", "a-b": "2", "1x": "3", "__y": "4", "service_name": "me"}))
    )
    assert dict(point.labels) == {
        "a_b": "1;2", "key_1x": "3", "key_y": "4", "exported_service_name": "me",
    }  # fmt: skip


def test_labels_carry_no_secret_and_nothing_that_a_terminal_obeys() -> None:
    """Values, keys, service and instance."""
    point = read_one(
        gauge(attributes=pairs({"a": f"k {SECRET}", "password": "hunter2hunter2", "b": "\x1b[31m\u202e"})),
        resource={"service.name": "\x1b]8;;http://x\x07evil", "service.instance.id": SECRET},
    )
    shown = repr(point)
    assert SECRET not in shown
    assert "hunter2" not in shown
    assert "\\x1b" not in shown
    assert "\\u202e" not in shown


def test_a_sender_without_an_instance_is_told_by_its_resource() -> None:
    """Two processes of one service are not taken for one."""
    one, two = (
        read_one(gauge(), resource={"service.instance.id": "", "process.pid": pid}).instance for pid in (1, 2)
    )
    assert len(one) == len(two) == 16
    assert one != two


REFUSED: list[tuple[Metric, str]] = [
    (make_metric("e", "exponential_histogram", {"count": 1}), "an exponential histogram"),
    (make_metric("s", "summary", {"count": 1}), "a summary"),
    (gauge(""), "without a name"),
    (gauge("x" * 300), "without a name, or with one longer"),
    (gauge(time_unix_nano=0), "without a time or a value"),
    (gauge(flags=1), "without a time or a value"),
    (gauge(as_double=math.nan), "without a time or a value"),
    (gauge(as_double=math.inf), "without a time or a value"),
    (gauge(time_unix_nano=(1 << 63) - 1), "a time more than a day ahead"),
    (gauge(attributes=pairs({f"k{number}": 1 for number in range(LABELS_LIMIT + 1)})), "more than 32"),
    (gauge(attributes=pairs({"k": "x" * 300})), "longer than 256"),
    (total(temporality=0), "without its temporality"),
    (total(as_int=-1), "below zero"),
    (histogram(0), "without its temporality"),
    (histogram(count=4), "do not belong together"),
    (histogram(bucket_counts=[3]), "do not belong together"),
    (histogram(explicit_bounds=[1.0, 0.5], bucket_counts=[1, 1, 1]), "do not belong together"),
    (histogram(explicit_bounds=[math.inf]), "do not belong together"),
    (histogram(count=1 << 63, bucket_counts=[1 << 62, 1 << 62]), "do not belong together"),
]


@pytest.mark.parametrize("metric, reason", REFUSED)
def test_what_cannot_be_shown_truly_is_refused_alone(metric: Metric, reason: str) -> None:
    """The other points of its request are kept."""
    received = read(metric, gauge())
    assert [point.name for point in received.records] == [f"{PREFIX}depth"]
    ((why, number),) = received.refused.items()
    assert (number, reason in why) == (1, True), why


def test_a_histogram_of_one_bucket_and_without_a_sum_is_one() -> None:
    """Counts alone, and observations below zero, whose sum is no counter."""
    point = {"count": 3, "time_unix_nano": START}
    bare = make_metric("h", "histogram", point, aggregation_temporality=2)
    assert read_one(bare).value == Distribution(3, None, (), (3,))
