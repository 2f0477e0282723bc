"""Sums spans by the rules and keeps the sums in three tables.

A `Tally` is what one batch adds. It is written in the transaction that stores the batch, so that a number
and the spans behind it cannot disagree. What a reader of metrics gets beyond the tables stands in
`aggregates.py`.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics, spans

from .database import insert_many
from .roles import Role
from .rules import RULES, Number, health_gauges, library_size

if TYPE_CHECKING:
    from taskscope.semconv.metrics import Metric

    from .records import HealthReading, SpanRecord

Series = tuple[str, tuple[str, ...]]
"""Metric name and label values in the order of its declaration."""

STORE = "store"
"""The destination that a record reaches when its transaction is committed."""

LABEL_VALUES_LIMIT = 100
"""Values of one label that are told apart; the next ones say `other`."""

LABEL_LENGTH = 256
"""Characters of a label's value, where others chose it."""
# What would end a line, command a terminal, turn the direction of writing or hide text on a page.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


BURST_NS = 60 * 10**9
"""Changes of one series so close to each other are one: what it was before is kept for the first of them."""


def make_printable(label: str) -> str:
    """What a label may say of a text by others: not long, with U+FFFD in place of what is no print."""
    return _UNPRINTABLE.sub("\ufffd", label[:LABEL_LENGTH])


class Histogram(NamedTuple):
    """Observations of one series; `bucket_counts` are not cumulative, the last is the open bucket."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks
    sum: float
    bucket_counts: tuple[int, ...]


class LabelLimit:
    """Keeps the values of a label few: 100 for the words of users, the declared ones for closed sets.

    The values taken are in the store, so that all processes agree; call `forget` when a transaction failed.
    """

    def __init__(self, connection: sqlite3.Connection, *, read_only: bool = False) -> None:
        self._connection = connection
        self._read_only = read_only
        self._taken: dict[str, set[str]] = {}

    def forget(self) -> None:
        """Drop what was learned from the store."""
        self._taken.clear()

    def limit(self, label: str, value: str) -> str:
        """The value, or `other`."""
        if not value or value == spans.OTHER:
            return value
        closed = spans.CLOSED_SETS.get(label)
        if closed is not None and label.startswith("taskscope."):
            return value if value in closed else spans.OTHER
        taken = self._taken.get(label)
        if taken is None or (value not in taken and len(taken) < LABEL_VALUES_LIMIT):
            taken = self._read(label)
        if value in taken:
            return value
        return value if self._take(label, value, taken) else spans.OTHER

    def _read(self, label: str) -> set[str]:
        rows = self._connection.execute("SELECT value FROM label_value WHERE label = ?", (label,))
        taken = self._taken[label] = {row[0] for row in rows}
        return taken

    def _take(self, label: str, value: str, taken: set[str]) -> bool:
        if len(taken) >= LABEL_VALUES_LIMIT:
            return False
        if not self._read_only:
            self._connection.execute("INSERT OR IGNORE INTO label_value VALUES(?, ?)", (label, value))
        taken.add(value)
        return True


class Tally:
    """What a batch adds to the aggregates."""

    def __init__(self, labels: LabelLimit) -> None:
        self._labels = labels
        self.counters: dict[Series, Number] = {}
        self.gauges: dict[Series, Number] = {}
        self._observations: dict[Series, _Observations] = {}
        self._health_times_ns: dict[str, int] = {}

    def add_span(self, span: SpanRecord, role: Role) -> None:
        """Count an ended span by the rules of its role."""
        for rule in RULES.get(role, ()):
            value = rule.value(span)
            if value is None:
                continue
            for overrides in rule.expand(span) if rule.expand else ({},):
                series = self._series(rule.metric, span.attributes, overrides, rule.defaults)
                self._feed(rule.metric, series, value)
        if role is Role.HEALTH:
            status = str(span.attributes.get(attr.HEALTH_STATUS))
            self._set_health(span.attributes, status, span.end_ns or span.start_ns)
        elif role is Role.OTHER and (size := library_size(span)) is not None:
            self.gauges[metrics.SKILL_LIBRARY_SIZE.name, ()] = size

    def add_health(self, reading: HealthReading) -> None:
        """Count the run of a health check that has no span."""
        labels = {
            attr.HEALTH_CHECK: reading.check,
            attr.HEALTH_GROUP: reading.group,
            attr.HEALTH_STATUS: reading.status,
        }
        self.add(metrics.HEALTH_CHECK_DURATION, labels, reading.duration_s)
        self._set_health(labels, reading.status, reading.time_ns)

    def _set_health(self, labels: Mapping[str, object], status: str, time_ns: int) -> None:
        """Set a check's gauges, unless this batch had a later run of it."""
        check = str(labels.get(attr.HEALTH_CHECK))
        if time_ns < self._health_times_ns.get(check, 0):
            return
        self._health_times_ns[check] = time_ns
        for metric, overrides, value in health_gauges(status, time_ns):
            self.gauges[self._series(metric, labels, overrides, {})] = value

    def add_calls(self, span: SpanRecord, inference_calls: int, tool_calls: int) -> None:
        """Count the calls that an agent made itself."""
        for metric, calls in (
            (metrics.AGENT_INFERENCE_CALLS, inference_calls),
            (metrics.AGENT_TOOL_CALLS, tool_calls),
        ):
            self._feed(metric, self._series(metric, span.attributes, {}, {}), calls)

    def add_stored(self, signal: str, records: int) -> None:
        """Count records that were made and stored at once."""
        if records:
            self.add(metrics.RECORDS_EMITTED, {attr.SIGNAL: signal}, records)
            self.add(metrics.RECORDS_DELIVERED, {attr.SIGNAL: signal, attr.DESTINATION: STORE}, records)

    def add_recovery(self, spans: int) -> None:
        """Count spans that were brought home from a dead process, and the event that tells of it."""
        self.add(metrics.RECORDS_RECOVERED, {}, spans)
        self.add_stored("logs", 1)

    def add(self, metric: Metric, labels: Mapping[str, str], value: Number) -> None:
        """Add to a counter, or observe in a histogram, by labels alone."""
        self._feed(metric, self._series(metric, {}, labels, {}), value)

    def _feed(self, metric: Metric, series: Series, value: Number) -> None:
        if metric.instrument == "histogram":
            observations = self._observations.get(series)
            if observations is None:
                observations = self._observations[series] = _Observations(metric.buckets)
            observations.add(value)
        else:
            self.counters[series] = self.counters.get(series, 0) + value

    def _series(
        self,
        metric: Metric,
        attributes: Mapping[str, object],
        overrides: Mapping[str, str],
        defaults: Mapping[str, str],
    ) -> Series:
        values = []
        for label in metric.labels:
            value = overrides.get(label) or attributes.get(label) or defaults.get(label, "")
            values.append(self._labels.limit(label, value if isinstance(value, str) else str(value)))
        return metric.name, tuple(values)

    @property
    def histograms(self) -> dict[Series, Histogram]:
        """What was observed, by series."""
        return {series: observations.sum_up() for series, observations in self._observations.items()}

    def write(self, connection: sqlite3.Connection) -> None:
        """Add all of it to the tables; the caller holds the transaction."""
        now_ns = time.time_ns()
        _write_counters(connection, self.counters, now_ns)
        _write_gauges(connection, self.gauges)
        for series, histogram in self.histograms.items():
            _write_histogram(connection, series, histogram, now_ns)


class _Observations:
    """A histogram that is being made."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: Number) -> None:
        """A bound belongs to the bucket below it, as in OTel and Prometheus."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def sum_up(self) -> Histogram:
        return Histogram(sum(self._counts), self._sum, tuple(self._counts))


def merge(one: Histogram, other: Histogram) -> Histogram:
    """The sum of two histograms with the same buckets."""
    counts = tuple([a + b for a, b in zip(one.bucket_counts, other.bucket_counts, strict=True)])
    return Histogram(one.count + other.count, one.sum + other.sum, counts)


# The old row's values, all of them, stand on the right sides. A clock that was set back begins anew as well.
_ADD = f"""(metric, labels) DO UPDATE SET value = value + excluded.value,
    held = iif(abs(excluded.held_until - held_until) > {BURST_NS}, value, held),
    held_until = iif(abs(excluded.held_until - held_until) > {BURST_NS}, excluded.held_until, held_until)"""


def _write_counters(connection: sqlite3.Connection, values: Mapping[Series, Number], now_ns: int) -> None:
    rows = [(name, _to_json(labels), value, 0, now_ns) for (name, labels), value in values.items()]
    columns = ("metric", "labels", "value", "held", "held_until")
    insert_many(connection, "counter", columns, rows, on_conflict=_ADD)


def _write_gauges(connection: sqlite3.Connection, values: Mapping[Series, Number]) -> None:
    rows = [(name, _to_json(labels), value) for (name, labels), value in values.items()]
    change = "(metric, labels) DO UPDATE SET value = excluded.value"
    insert_many(connection, "gauge", ("metric", "labels", "value"), rows, on_conflict=change)


def _write_histogram(
    connection: sqlite3.Connection, series: Series, histogram: Histogram, now_ns: int
) -> None:
    name, labels = series[0], _to_json(series[1])
    row = connection.execute(
        "SELECT count, sum, buckets, held, held_until FROM histogram WHERE metric = ? AND labels = ?",
        (name, labels),
    ).fetchone()
    held, held_until_ns = "", now_ns
    if row is not None:
        old = _to_histogram(*row[:3])
        # Other bounds in an older version: a fresh start, which a reader sees as the reset of a counter.
        if len(old.bucket_counts) == len(histogram.bucket_counts):
            histogram = merge(old, histogram)
            held, held_until_ns = _to_json(old), now_ns
            if abs(now_ns - row[4]) <= BURST_NS:
                held, held_until_ns = row[3:]
    connection.execute(
        "REPLACE INTO histogram(metric, labels, count, sum, buckets, held, held_until)"
        " VALUES(?, ?, ?, ?, ?, ?, ?)",
        (
            name, labels, histogram.count, histogram.sum, _to_json(histogram.bucket_counts),
            held, held_until_ns,
        ),
    )  # fmt: skip


def read_tables(connection: sqlite3.Connection) -> tuple[dict[Series, Number], dict[Series, Histogram]]:
    """All counters and gauges, and all histograms, as they are stored."""
    numbers: dict[Series, Number] = {}
    for table in ("counter", "gauge"):
        for name, labels, value in connection.execute(f"SELECT metric, labels, value FROM {table}"):  # noqa: S608  our own words
            numbers[name, tuple(json.loads(labels))] = value
    histograms = {
        (name, tuple(json.loads(labels))): _to_histogram(*rest)
        for name, labels, *rest in connection.execute(
            "SELECT metric, labels, count, sum, buckets FROM histogram"
        )
    }
    return numbers, histograms


def read_held(
    connection: sqlite3.Connection, after_ns: int
) -> Iterator[tuple[Series, Number | Histogram, int]]:
    """Series that began to change after a time: what they were before, and until when."""
    for table in ("counter", "histogram"):
        for name, labels, held, until_ns in connection.execute(
            f"SELECT metric, labels, held, held_until FROM {table} WHERE held_until > ?",  # noqa: S608  our own words
            (after_ns,),
        ):
            series = name, tuple(json.loads(labels))
            if table == "counter":
                yield series, held, until_ns
            else:
                yield series, _read_held(name, held), until_ns


def _read_held(name: str, held: str) -> Histogram:
    if not held:
        return Histogram(0, 0.0, (0,) * (len(metrics.BY_NAME[name].buckets) + 1))
    count, total, buckets = json.loads(held)
    return Histogram(count, total, tuple(buckets))


def _to_histogram(count: int, total: float, buckets: str) -> Histogram:
    return Histogram(count, total, tuple(json.loads(buckets)))


def _to_json(values: Iterable[object]) -> str:
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


_CALLS = """
WITH RECURSIVE own(id, role) AS (
    SELECT span, role FROM span WHERE trace = :trace AND parent = :agent
    UNION SELECT span, role FROM open WHERE trace = :trace AND parent = :agent
    UNION SELECT span.span, span.role FROM own JOIN span ON span.trace = :trace AND span.parent = own.id
        WHERE own.role <> :boundary
    UNION SELECT open.span, open.role FROM own JOIN open ON open.trace = :trace AND open.parent = own.id
        WHERE own.role <> :boundary
)
SELECT total(role = :inference), total(role = :tool) FROM own
"""


def count_calls(connection: sqlite3.Connection, agent: SpanRecord) -> tuple[int, int]:
    """Calls of models and tools that an agent made itself, failed and unfinished ones too.

    Counted below the agent's span down to the agents that it called, from what is stored when it ends.
    """
    row = connection.execute(
        _CALLS,
        {
            "trace": agent.trace_id,
            "agent": agent.span_id,
            "boundary": int(Role.AGENT),
            "inference": int(Role.INFERENCE),
            "tool": int(Role.TOOL),
        },
    ).fetchone()
    return int(row[0]), int(row[1])
