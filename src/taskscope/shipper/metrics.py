"""The store's aggregates as OTLP metrics, by hand: the same numbers as on `/metrics`.

Sums and histograms are cumulative since the store was made; a label without a value is left out. Their
resource is the store's own, so that the numbers are one series whichever process sends them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from taskscope.semconv.metrics import BY_NAME
from taskscope.store import wire
from taskscope.store.tally import Histogram
from taskscope.version import VERSION

if TYPE_CHECKING:
    from taskscope.semconv.metrics import Metric
    from taskscope.store.aggregates import MetricPoint

_DOUBLE = struct.Struct("<d")
_INTEGER = struct.Struct("<q")
_INTERVAL_MS = 60_000.0
_SHORTEST_INTERVAL_MS = 100.0
_CUMULATIVE = b"\x10\x02"
_MONOTONIC = b"\x18\x01"


def build_requests(
    points: Iterable[MetricPoint],
    resource: Mapping[str, str],
    times_ns: tuple[int, int],
    *,
    size_bytes: int,
) -> Iterator[bytes]:
    """Requests of about a size, at least one metric in each; `times_ns` are the start of counting and now."""
    head = wire.sized(b"\x0a", wire.attributes(b"\x0a", resource))
    scope = wire.sized(b"\x0a", wire.text(b"\x0a", "taskscope") + wire.text(b"\x12", VERSION))
    waiting: list[bytes] = []
    for metric in encode_metrics(points, times_ns):
        if waiting and sum(map(len, waiting)) + len(metric) > size_bytes:
            yield _frame(head, scope, waiting)
            waiting = []
        waiting.append(metric)
    if waiting:
        yield _frame(head, scope, waiting)


def make_resource(instance: str, service_name: str, more: Mapping[str, str]) -> dict[str, str]:
    """The resource of a host's metrics: which store, by whose name, and what else the sender knows of it."""
    own = {
        "service.name": service_name,
        "service.instance.id": instance,
        "telemetry.distro.name": "taskscope",
        "telemetry.distro.version": VERSION,
    }
    return {**more, **own}


def load_interval_s(environ: Mapping[str, str]) -> float:
    """Seconds between two sendings, from OTEL_METRIC_EXPORT_INTERVAL (milliseconds)."""
    try:
        milliseconds = float(environ.get("OTEL_METRIC_EXPORT_INTERVAL") or _INTERVAL_MS)
    except ValueError:
        milliseconds = _INTERVAL_MS
    if not _SHORTEST_INTERVAL_MS <= milliseconds < math.inf:  # refuses nan, too
        milliseconds = _INTERVAL_MS
    return milliseconds / 1000


def load_resource(environ: Mapping[str, str]) -> dict[str, str]:
    """What OTEL_RESOURCE_ATTRIBUTES says, but for the service, which is the store's own."""
    pairs = (pair.partition("=") for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    named = ((unquote(key.strip()), unquote(value.strip())) for key, equals, value in pairs if equals)
    return {key: value for key, value in named if key and not key.startswith("service.")}


def _frame(resource: bytes, scope: bytes, encoded: Iterable[bytes]) -> bytes:
    """Fields 1 of the request, 1 and 2 of `ResourceMetrics`, 1 and 2 of `ScopeMetrics`."""
    group = scope + b"".join(wire.sized(b"\x12", metric) for metric in encoded)
    return wire.sized(b"\x0a", resource + wire.sized(b"\x12", group))


def encode_metrics(points: Iterable[MetricPoint], times_ns: tuple[int, int]) -> Iterator[bytes]:
    """Serialized `Metric` messages, in the order of the contract."""
    series: dict[str, list[MetricPoint]] = {}
    for point in points:
        series.setdefault(point.name, []).append(point)
    for name, own in series.items():
        yield _encode(BY_NAME[name], own, times_ns)


def _encode(metric: Metric, points: Iterable[MetricPoint], times_ns: tuple[int, int]) -> bytes:
    head = (
        wire.text(b"\x0a", metric.name)
        + wire.text(b"\x12", metric.description)
        + wire.text(b"\x1a", metric.unit)
    )
    start_ns, now_ns = times_ns
    start = b"" if metric.instrument == "gauge" else wire.fixed64(b"\x11", start_ns)
    encode = _histogram_point if metric.instrument == "histogram" else _number_point
    data = b"".join(
        wire.sized(b"\x0a", encode(metric, point, start + wire.fixed64(b"\x19", point.time_ns or now_ns)))
        for point in points
    )
    if metric.instrument == "gauge":
        return head + wire.sized(b"\x2a", data)
    if metric.instrument == "histogram":
        return head + wire.sized(b"\x4a", data + _CUMULATIVE)
    tail = _CUMULATIVE + (_MONOTONIC if metric.instrument == "counter" else b"")
    return head + wire.sized(b"\x3a", data + tail)


def _number_point(_metric: Metric, point: MetricPoint, moment: bytes) -> bytes:
    value = point.value
    assert not isinstance(value, Histogram)
    is_whole = isinstance(value, int)
    number = b"\x31" + _INTEGER.pack(int(value)) if is_whole else b"\x21" + _DOUBLE.pack(value)
    return moment + number + _labels(b"\x3a", point)


def _histogram_point(metric: Metric, point: MetricPoint, moment: bytes) -> bytes:
    value = point.value
    assert isinstance(value, Histogram)
    counts = struct.pack(f"<{len(value.bucket_counts)}Q", *value.bucket_counts)
    bounds = struct.pack(f"<{len(metric.buckets)}d", *metric.buckets)
    return b"".join(
        (
            moment,
            wire.fixed64(b"\x21", value.count),
            b"\x29" + _DOUBLE.pack(value.sum),
            wire.sized(b"\x32", counts),
            wire.sized(b"\x3a", bounds),
            _labels(b"\x4a", point),
        )
    )


def _labels(tag: bytes, point: MetricPoint) -> bytes:
    return wire.attributes(tag, {key: value for key, value in point.labels if value})
