"""The metrics that other senders handed in, on the page beside ours, by service and instance."""

from __future__ import annotations

import itertools
from operator import attrgetter
from typing import TYPE_CHECKING

from prometheus_client.core import Metric as Family

from taskscope.store.foreign_points import Distribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from taskscope.store.foreign_points import ForeignPoint

_HELP = "Of another sender, by OTLP."
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


class ForeignCollector:
    """Families of foreign metrics; a name that would be sampled twice is shown once."""

    def __init__(self, read: Callable[[], Iterable[ForeignPoint]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Family]:
        """Return nothing: the registry would read the store to learn names when this is registered."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Yield a family for each name."""
        taken: set[str] = set()
        for name, points in itertools.groupby(self._read(), key=attrgetter("name")):
            family = _family(name, list(points))
            samples = {f"{name}{suffix}" for suffix in ("", *_SUFFIXES[family.type])}
            if samples.isdisjoint(taken):
                taken |= samples
                yield family


def _family(name: str, points: list[ForeignPoint]) -> Family:
    """An up-down counter is a gauge in Prometheus."""
    kind = points[0].kind
    family = Family(name, _HELP, "gauge" if kind == "updowncounter" else kind)
    for point in points:
        labels = {
            "service_name": point.service,
            "service_instance_id": point.instance,
            **dict(point.labels),
        }
        if isinstance(point.value, Distribution):
            _add_distribution(family, labels, point.value)
        else:
            family.add_sample(f"{name}{_SUFFIXES[family.type][0]}", labels, point.value)
    return family


def _add_distribution(family: Family, labels: dict[str, str], value: Distribution) -> None:
    bounds = [*(str(bound) for bound in value.bounds), "+Inf"]
    for bound, total in zip(bounds, itertools.accumulate(value.buckets), strict=True):
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, total)
    family.add_sample(f"{family.name}_count", labels, value.count)
    if value.sum is not None:
        family.add_sample(f"{family.name}_sum", labels, value.sum)
