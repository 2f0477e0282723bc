"""The metrics of other senders: the last point of each series, shown as long as it is renewed.

They stand apart from the contract's aggregates, which are derived from spans: one number has one source. A
cumulative point replaces the one before, a delta is added to it once, however often it is sent.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .rules import Number

Kind: TypeAlias = Literal["gauge", "counter", "updowncounter", "histogram"]

EXPIRY_NS = 300 * 10**9
"""After which a series that was not renewed goes: what the Collector and Prometheus take for stale."""
SERIES_LIMIT = 2_000
"""Of one metric, as the SDKs limit an instrument."""
TOTAL_LIMIT = 20_000
_GREATEST = (1 << 63) - 1


class Distribution(NamedTuple):
    """Observations of one series since its start or since the point before."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks
    sum: float | None
    """None where the sender gave none: some were negative."""
    bounds: tuple[float, ...]
    buckets: tuple[int, ...]
    """Not cumulative, one more than there are bounds."""


class ForeignPoint(NamedTuple):
    """One series at one time; names and labels as Prometheus spells them."""

    name: str
    service: str
    instance: str
    labels: tuple[tuple[str, str], ...]
    """Sorted by key."""
    kind: Kind
    time_ns: int
    value: Number | Distribution
    is_delta: bool = False


def write_points(
    connection: sqlite3.Connection, points: Sequence[ForeignPoint], now_ns: int
) -> tuple[int, Counter[str]]:
    """Keep the points, within the caller's transaction: how many, and why the others were not kept."""
    connection.execute("DELETE FROM foreign_point WHERE received < ?", (now_ns - EXPIRY_NS,))
    total = connection.execute("SELECT count(*) FROM foreign_point").fetchone()[0]
    kinds: dict[str, tuple[str, int]] = {}
    kept, refused = 0, Counter[str]()
    for point in points:
        if point.name not in kinds:
            row = connection.execute(
                "SELECT min(kind), count(*) FROM foreign_point WHERE name = ?", (point.name,)
            ).fetchone()
            kinds[point.name] = (row[0] or point.kind, row[1])
        kind, series = kinds[point.name]
        old = _find(connection, point)
        if point.kind != kind:
            refused[f"a metric that was a {kind} before"] += 1
        elif old is None and (series >= SERIES_LIMIT or total >= TOTAL_LIMIT):
            refused["too many series"] += 1
        else:
            kept += 1
            if old is None:
                total, kinds[point.name] = total + 1, (kind, series + 1)
            _keep(connection, point, old, now_ns)
    return kept, refused


class _Old(NamedTuple):
    time_ns: int
    value: Number | Distribution


def _find(connection: sqlite3.Connection, point: ForeignPoint) -> _Old | None:
    row = connection.execute(
        "SELECT time, number, count, sum, bounds, buckets FROM foreign_point "
        "WHERE name = ? AND service = ? AND instance = ? AND labels = ?",
        _key(point),
    ).fetchone()
    return None if row is None else _Old(row[0], _to_value(*row[1:]))


def _keep(connection: sqlite3.Connection, point: ForeignPoint, old: _Old | None, now_ns: int) -> None:
    value, time_ns = point.value, point.time_ns
    if old is not None and time_ns <= old.time_ns:  # sent again, or overtaken
        value, time_ns = old.value, old.time_ns
    elif old is not None and point.is_delta:
        value = _add(old.value, value)
    columns: tuple[object, ...] = (value, None, None, None, None)
    if isinstance(value, Distribution):
        columns = (None, value.count, value.sum, json.dumps(value.bounds), json.dumps(value.buckets))
    connection.execute(
        "REPLACE INTO foreign_point(name, service, instance, labels, kind, time, received, "
        "number, count, sum, bounds, buckets) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*_key(point), point.kind, time_ns, now_ns, *columns),
    )


def _add(old: Number | Distribution, new: Number | Distribution) -> Number | Distribution:
    if isinstance(new, Distribution):
        if not isinstance(old, Distribution) or old.bounds != new.bounds:
            return new  # other buckets: a fresh start, which a reader sees as a reset
        buckets = tuple(a + b for a, b in zip(old.buckets, new.buckets, strict=True))
        total = None if old.sum is None or new.sum is None else old.sum + new.sum
        count = old.count + new.count
        return Distribution(count, total, new.bounds, buckets) if count <= _GREATEST else new
    if isinstance(old, Distribution):
        return new
    number = old + new
    return number if abs(number) <= _GREATEST else float(number)


def _key(point: ForeignPoint) -> tuple[str, str, str, str]:
    labels = json.dumps(point.labels, ensure_ascii=False, separators=(",", ":"))
    return point.name, point.service, point.instance, labels


def _to_value(
    number: Number | None, count: int | None, total: float | None, bounds: str | None, buckets: str | None
) -> Number | Distribution:
    if number is not None:
        return number
    return Distribution(
        count or 0, total, tuple(json.loads(bounds or "[]")), tuple(json.loads(buckets or "[0]"))
    )


def read_points(connection: sqlite3.Connection, now_ns: int) -> Iterable[ForeignPoint]:
    """The series that were renewed lately, by name, service, instance and labels."""
    rows = connection.execute(
        "SELECT name, service, instance, labels, kind, time, number, count, sum, bounds, buckets "
        "FROM foreign_point WHERE received >= ? ORDER BY name, service, instance, labels",
        (now_ns - EXPIRY_NS,),
    )
    for name, service, instance, labels, kind, time_ns, *value in rows:
        pairs = tuple((key, text) for key, text in json.loads(labels))
        yield ForeignPoint(name, service, instance, pairs, kind, time_ns, _to_value(*value))
