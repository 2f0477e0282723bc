"""`/metrics`: the record's aggregates as Prometheus text or OpenMetrics, canonical and short names.

Numbers come from the store, so they count all processes of the host and survive restarts. Only what this
process alone knows (its queue, its settings) is added here. Instruments of others stand in the same registry.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.metrics import METRICS, prometheus_label
from taskscope.semconv.short_names import SHORT_NAMES
from taskscope.store import foreign_points
from taskscope.store.aggregates import MetricPoint, points_of, read_aggregates
from taskscope.store.tally import Histogram, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric as Family

    from taskscope.config import Settings
    from taskscope.recorder.recording import Recording
    from taskscope.semconv.metrics import Metric
    from taskscope.semconv.short_names import ShortName
    from taskscope.store.foreign_points import ForeignPoint

_Labels = tuple[str, ...]


class MetricsPage:
    """Renders the page from a registry, one at a time: the SDK's reader hands its data over by a queue."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], Iterable[MetricPoint]]) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        registry.register(AggregatesCollector(read))

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type, as `Accept` asks; StoreError without a readable store."""
        encode, content_type = choose_encoder(accept)
        with self._lock:
            return encode(self._registry), content_type


class AggregatesCollector:
    """The contract's metrics as families: every one of them, also those without a series yet."""

    def __init__(self, read: Callable[[], Iterable[MetricPoint]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Family]:
        """Return nothing: the registry would read the store to learn names when this is registered."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Yield a family for each canonical metric, then for each short name."""
        series: dict[str, list[MetricPoint]] = {}
        for point in self._read():
            series.setdefault(point.name, []).append(point)
        for metric in METRICS:
            yield _canonical(metric, series.get(metric.name, []))
        for short in SHORT_NAMES:
            yield _short(short, series.get(short.source.name, []))


def read_points(settings: Settings, recording: Recording) -> list[MetricPoint]:
    """Return the store's aggregates, and what this process alone knows; StoreError without a store."""
    with closing(recording.history()) as history:
        points = read_aggregates(history.connection)
    own = MetricPoint(metrics.RECORDER_QUEUE_SIZE.name, (), recording.queue_bytes)
    return [*points, *points_of(settings), own]


def read_foreign_points(recording: Recording) -> list[ForeignPoint]:
    """Return what other senders' metrics are now; StoreError without a store."""
    with closing(recording.history()) as history:
        return list(foreign_points.read_points(history.connection, time.time_ns()))


def _canonical(metric: Metric, points: Sequence[MetricPoint]) -> Family:
    labels = [prometheus_label(key) for key in metric.labels]
    values = {tuple(value for _, value in point.labels): point.value for point in points}
    head = _Head(metric.prometheus_name, metric.instrument, metric.description, labels)
    return _family(head, metric, values)


def _short(short: ShortName, points: Sequence[MetricPoint]) -> Family:
    kept = [point for point in points if _is_kept(short, dict(point.labels))]
    values: dict[_Labels, float | Histogram] = {}
    for point in kept:
        key = _short_labels(short, dict(point.labels))
        values[key] = _join(short, values.get(key), point)
    if not short.labels:
        values.setdefault((), _nothing(short))
    labels = [label.name for label in short.labels]
    return _family(_Head(short.name, short.type, short.description, labels), short.source, values)


def _is_kept(short: ShortName, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) in allowed for key, allowed in short.keep)


def _short_labels(short: ShortName, labels: Mapping[str, str]) -> _Labels:
    values = []
    for label in short.labels:
        value = labels.get(label.source, "")
        values.append(("error" if value else "ok") if label.is_error else value)
    return tuple(values)


def _join(short: ShortName, known: float | Histogram | None, point: MetricPoint) -> float | Histogram:
    """Add one series to the short one, as the short name reads it."""
    value = point.value
    if short.reading == "histogram":
        assert isinstance(value, Histogram)
        return merge(known, value) if isinstance(known, Histogram) else value
    number = value.count if isinstance(value, Histogram) else value
    before = known if isinstance(known, int | float) else None
    if short.reading == "max":
        return max(number, before or 0)
    if short.reading == "none_failing":
        is_failing = dict(point.labels).get(attr.HEALTH_STATUS) == "fail" and number > 0
        return 0 if is_failing else (1 if before is None else before)
    return number + (before or 0)


def _nothing(short: ShortName) -> float | Histogram:
    if short.reading == "histogram":
        return Histogram(0, 0.0, (0,) * (len(short.source.buckets) + 1))
    return 1 if short.reading == "none_failing" else 0


class _Head(NamedTuple):
    """What a family is called."""

    name: str
    kind: str
    description: str
    labels: Sequence[str]


def _family(head: _Head, source: Metric, values: Mapping[_Labels, float | Histogram]) -> Family:
    """Return a family of Prometheus; an up-down counter is a gauge there."""
    name, kind, description, labels = head
    if kind == "histogram":
        family = HistogramMetricFamily(name, description, labels=labels)
        for key, value in values.items():
            assert isinstance(value, Histogram)
            family.add_metric(key, _buckets(source, value), value.sum)
        return family
    make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    flat = make(name, description, labels=labels)
    for key, value in values.items():
        assert isinstance(value, int | float)
        flat.add_metric(key, value)
    return flat


def _buckets(metric: Metric, histogram: Histogram) -> list[tuple[str, float]]:
    """Return cumulative buckets, as Prometheus counts them, `+Inf` last."""
    total = 0
    buckets: list[tuple[str, float]] = []
    bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
    for bound, count in zip(bounds, histogram.bucket_counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
