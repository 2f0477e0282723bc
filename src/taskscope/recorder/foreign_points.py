"""Metrics of other senders: gauges, sums and histograms of a request, as Prometheus will show them.

Each name begins with `foreign_`, so that none stands beside the contract's own or those of this process, and
its place tells whose number it is. What cannot be shown truly is refused, point by point.
"""

# ruff: noqa: PLR2004  the numbers are protobuf's fields

from __future__ import annotations

import hashlib
import itertools
import math
import re
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from taskscope.errors import RequestTooLargeError
from taskscope.store import wire
from taskscope.store.foreign_points import Distribution, ForeignPoint, Kind
from taskscope.store.tally import LABEL_LENGTH, make_printable

from .foreign import FUTURE_NS, IN_THE_FUTURE, RECORDS_LIMIT, Received, RefusedError, gather, read_groups

if TYPE_CHECKING:
    from .cleaning import Cleaner

PREFIX = "foreign_"
LABELS_LIMIT = 32
_NAME_LENGTH = 200
_BOUNDS_LIMIT = 256
_GREATEST = (1 << 62) - 1
_UNITS = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "By": "bytes",
    "KiBy": "kibibytes", "MiBy": "mebibytes", "min": "minutes", "h": "hours", "%": "percent",
}  # fmt: skip
"""The units that the translation of OTLP to Prometheus spells out; all others stand in no name here."""
_DELTA, _CUMULATIVE = 1, 2
_NO_VALUE = 1
"""Bit of a point's flags: it says that there is nothing to say."""
_RESERVED = {"le", "quantile", "service_name", "service_instance_id"}
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]+")

_SUM_NUMBERS: Mapping[int, int] = {2: 0, 3: 0}
_POINT_NUMBERS: Mapping[int, int] = {2: 1, 3: 1, 4: 1, 6: 1, 8: 0}
_DISTRIBUTION_NUMBERS: Mapping[int, int] = {2: 1, 3: 1, 4: 1, 5: 1, 10: 0}
_GAUGE, _SUM, _HISTOGRAM = 5, 7, 9
_NOT_SHOWN = {10: "an exponential histogram", 11: "a summary"}


class _Head(NamedTuple):
    """What the points of one metric share."""

    name: str
    service: str
    instance: str
    kind: Kind
    is_delta: bool
    latest_ns: int


class PointReader:
    """Makes points out of requests; safe to share between threads as far as its cleaner is."""

    def __init__(self, cleaner: Cleaner, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._cleaner = cleaner
        self._now_ns = now_ns

    def points(self, request: bytes) -> Received:
        """The points of a serialized `ExportMetricsServiceRequest`; ValueError when it is none."""
        points: list[ForeignPoint] = []
        refused: Counter[str] = Counter()
        number = 0
        for resource, scope, metrics in read_groups(request):
            service, instance = self._read_owner(resource)
            wire.read_attributes(scope, 3)  # not shown, but torn it is no OTLP
            for metric in metrics:
                name, unit, field, data = _read_metric(metric)
                single, many = gather(data, _SUM_NUMBERS, {1})
                number += len(many[1])
                if number > RECORDS_LIMIT:
                    msg = f"the request has more than {RECORDS_LIMIT} points: send smaller ones"
                    raise RequestTooLargeError(msg)
                try:
                    head = self._head((name, unit, field), (service, instance), single)
                except RefusedError as error:
                    refused[str(error)] += len(many[1])
                    continue
                for body in many[1]:
                    try:
                        points.append(self._point(body, head))
                    except RefusedError as error:
                        refused[str(error)] += 1
        return Received(points, refused)

    def _read_owner(self, resource: bytes) -> tuple[str, str]:
        """Service and instance; where no instance is given, the digest of the resource tells it apart."""
        values = wire.read_attributes(resource, 1)
        service, instance = (
            make_printable(self._label(key, values.get(key)))
            for key in ("service.name", "service.instance.id")
        )
        return service or "unknown", instance or hashlib.sha256(resource).hexdigest()[:16]

    def _head(self, metric: tuple[str, str, int], owner: tuple[str, str], single: Mapping[int, Any]) -> _Head:
        name, unit, field = metric
        if field in _NOT_SHOWN:
            msg = f"{_NOT_SHOWN[field]}, which is not kept here"
            raise RefusedError(msg)
        temporality = single.get(2, 0)
        if field != _GAUGE and temporality not in {_DELTA, _CUMULATIVE}:
            msg = "a sum or histogram without its temporality"
            raise RefusedError(msg)
        kind: Kind = "gauge" if field == _GAUGE else "histogram"
        if field == _SUM:
            kind = "counter" if single.get(3) else "updowncounter"
        shown = _prometheus_name(self._cleaner.text(name), unit, kind)
        is_delta = field != _GAUGE and temporality == _DELTA
        return _Head(shown, *owner, kind, is_delta, self._now_ns() + FUTURE_NS)

    def _point(self, data: bytes, head: _Head) -> ForeignPoint:
        if head.kind == "histogram":
            single, many = gather(data, _DISTRIBUTION_NUMBERS, {6, 7, 9})
            pairs, flags = many[9], single.get(10, 0)
        else:
            single, many = gather(data, _POINT_NUMBERS, {7})
            pairs, flags = many[7], single.get(8, 0)
        labels = self._labels(pairs)
        time_ns = single.get(3, 0)
        if not time_ns or flags & _NO_VALUE:
            raise RefusedError("a point without a time or a value")
        if time_ns > head.latest_ns:
            raise RefusedError(IN_THE_FUTURE)
        value = _read_distribution(data, single) if head.kind == "histogram" else _read_number(data)
        if head.kind == "counter" and isinstance(value, int | float) and value < 0:
            raise RefusedError("a monotonic sum below zero")
        return ForeignPoint(
            head.name, head.service, head.instance, labels, head.kind, time_ns, value, head.is_delta
        )

    def _labels(self, pairs: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
        if len(pairs) > LABELS_LIMIT:
            msg = f"a point with more than {LABELS_LIMIT} attributes"
            raise RefusedError(msg)
        labels: dict[str, str] = {}
        for pair in pairs:
            key, value = wire.read_attribute(pair)
            name = _NOT_IN_NAMES.sub("_", self._cleaner.text(key))[:_NAME_LENGTH] or "_"
            if name[0].isdigit() or name.startswith("__"):
                name = f"key_{name.lstrip('_')}"
            name = f"exported_{name}" if name in _RESERVED else name
            text = self._label(key, value)
            if len(text) > LABEL_LENGTH:
                msg = f"an attribute longer than {LABEL_LENGTH} characters"
                raise RefusedError(msg)
            text = make_printable(text)
            labels[name] = f"{labels[name]};{text}" if name in labels else text
        return tuple(sorted(labels.items()))

    def _label(self, key: str, value: Any) -> str:
        """A value as the text of a label, redacted by its key too."""
        cleaned = self._cleaner.attributes({key: value}).get(key, "")
        if isinstance(cleaned, bool):
            return str(cleaned).lower()
        return "" if cleaned is None else str(cleaned)


def _read_metric(data: bytes) -> tuple[str, str, int, bytes]:
    """Name, unit, and the field and content of the data; of a message in parts, all of the last kind."""
    texts = {1: "", 3: ""}
    field, content = 0, b""
    for number, raw in wire.fields(data):
        if number in texts:
            texts[number] = raw.decode(errors="replace")
        elif number in {_GAUGE, _SUM, _HISTOGRAM, *_NOT_SHOWN}:
            content = content + raw if number == field else raw
            field = number
    return texts[1], texts[3], field, content


def _prometheus_name(name: str, unit: str, kind: Kind) -> str:
    plain = _NOT_IN_NAMES.sub("_", name).strip("_")
    if not plain or len(plain) > _NAME_LENGTH:
        raise RefusedError("a metric without a name, or with one longer than 200 characters")
    plain = plain.removesuffix("_total") if kind == "counter" else plain
    suffix = _UNITS.get(unit)
    return f"{PREFIX}{plain}_{suffix}" if suffix and not plain.endswith(f"_{suffix}") else f"{PREFIX}{plain}"


def _read_number(data: bytes) -> int | float:
    """The value of a point: the last of its two kinds that it says."""
    number: int | float | None = None
    for field, raw in wire.fields(data, _POINT_NUMBERS):
        if field == 4:
            number = _to_double(raw)
        elif field == 6:
            number = raw - (1 << 64) if raw >> 63 else raw
    if number is None or not math.isfinite(number):
        raise RefusedError("a point without a time or a value")
    return number


def _read_distribution(data: bytes, single: Mapping[int, Any]) -> Distribution:
    buckets = tuple(_numbers(data, 6))
    bounds = tuple(map(_to_double, _numbers(data, 7)))
    count = single.get(4, 0)
    total = _to_double(single[5]) if 5 in single else None
    if not bounds and not buckets:
        buckets = (count,)
    is_ordered = all(math.isfinite(bound) for bound in bounds) and all(
        low < high for low, high in itertools.pairwise(bounds)
    )
    is_whole = len(buckets) == len(bounds) + 1 and sum(buckets) == count <= _GREATEST
    if not is_ordered or not is_whole or len(bounds) > _BOUNDS_LIMIT:
        raise RefusedError("a histogram whose buckets, bounds and count do not belong together")
    return Distribution(count, total if total is not None and math.isfinite(total) else None, bounds, buckets)


def _numbers(data: bytes, wanted: int) -> Iterator[int]:
    """A repeated field of 64 fixed bits, packed or not."""
    for number, raw in wire.fields(data, {}):
        if number == wanted:
            if len(raw) % 8:
                msg = f"torn message: {len(raw)} bytes are no 64-bit numbers"
                raise ValueError(msg)
            yield from struct.unpack(f"<{len(raw) // 8}Q", raw)
    for number, raw in wire.fields(data, {wanted: 1}):
        if number == wanted:
            yield raw


def _to_double(raw: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", raw))[0])
