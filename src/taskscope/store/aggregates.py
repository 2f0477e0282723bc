"""What a reader of metrics gets: all processes of the host, the dead and the living, from 0 on.

The tables hold what writers summed. Added here, at read time: open spans of dead processes that no writer
has closed yet, counted by the same rules; gauges of what is open now in living processes; and zeros for
series whose label values are known beforehand.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics, spans
from taskscope.semconv.metrics import METRICS, Metric

from .balance import add_balance, read_destinations
from .database import find_locks_path, one_moment, read_free_bytes, tells_store_errors
from .interruption import OpenSpan, find_dead, interrupt, read_open
from .processes import is_alive, read_processes
from .roles import Role
from .tally import (
    Histogram,
    LabelLimit,
    Series,
    Tally,
    count_calls,
    make_printable,
    merge,
    read_held,
    read_tables,
)
from .wire import SpanBody

if TYPE_CHECKING:
    from taskscope.config import Settings

    from .rules import Number

_DAY_NS = 86_400 * 10**9


class MetricPoint(NamedTuple):
    """One series of one metric, as it is now."""

    name: str
    labels: tuple[tuple[str, str], ...]
    """Key and value of every declared label; "" where the span had none."""
    value: Number | Histogram
    time_ns: int = 0
    """When it was so; 0: it is."""


@tells_store_errors
def read_aggregates(connection: sqlite3.Connection) -> list[MetricPoint]:
    """All series, in the order of the contract; one read transaction, so they belong together."""
    with one_moment(connection):
        numbers, histograms = read_tables(connection)
        unwritten = _add_interrupted(connection, numbers, histograms)
        return _read_points(connection, numbers, histograms, unwritten)


@tells_store_errors
def read_growth(connection: sqlite3.Connection, after_ns: int) -> list[MetricPoint]:
    """The same for who is sent them again and again: before a series that began to change, what it was.

    Without the open spans of dead processes, which a writer is about to close: a number that is here now and
    that is written down a moment later would read as two.
    """
    with one_moment(connection):
        numbers, histograms = read_tables(connection)
        held = {series: (value, until_ns) for series, value, until_ns in read_held(connection, after_ns)}
        points = _read_points(connection, numbers, histograms, {})
    return [one for point in points for one in _with_past(point, held)]


def _with_past(
    point: MetricPoint, held: Mapping[Series, tuple[Number | Histogram, int]]
) -> Iterator[MetricPoint]:
    past = held.get((point.name, tuple(value for _, value in point.labels)))
    if past is not None:
        value, until_ns = past
        yield point._replace(value=value, time_ns=until_ns)
    yield point


def _read_points(
    connection: sqlite3.Connection,
    numbers: dict[Series, Number],
    histograms: dict[Series, Histogram],
    unwritten: dict[Series, Number],
) -> list[MetricPoint]:
    numbers |= _read_gauges(connection, [*numbers, *histograms])
    add_balance(connection, numbers, unwritten)
    destinations = read_destinations(connection)
    return [point for metric in METRICS for point in _points(metric, numbers, histograms, destinations)]


def points_of(settings: Settings) -> list[MetricPoint]:
    """What the settings say: limits, beside what counts against them."""
    limits: dict[Metric, Number] = {metrics.RECORDER_FILE_LIMIT: settings.store_limit_bytes}
    if settings.cost_cap_daily_usd is not None:
        limits[metrics.BUDGET_LIMIT] = round(settings.cost_cap_daily_usd * 1_000_000)
    return [MetricPoint(metric.name, (), value) for metric, value in limits.items()]


def _add_interrupted(
    connection: sqlite3.Connection, numbers: dict[Series, Number], histograms: dict[Series, Histogram]
) -> dict[Series, Number]:
    """Add what the next writer will add when it closes the open spans of dead processes; the counters."""
    tally = Tally(LabelLimit(connection, read_only=True))
    for process, end_ns in find_dead(connection, find_locks_path(connection)):
        left = read_open(connection, process.id)
        for span in left:
            record = interrupt(span, end_ns)
            tally.add_span(record, span.role)
            if span.role is Role.AGENT:
                tally.add_calls(record, *count_calls(connection, record))
        if left:
            tally.add_stored("traces", len(left))
            tally.add_recovery(len(left))
    for series, value in tally.counters.items():
        numbers[series] = numbers.get(series, 0) + value
    for series, histogram in tally.histograms.items():
        old = histograms.get(series)
        same = old is not None and len(old.bucket_counts) == len(histogram.bucket_counts)
        histograms[series] = merge(old, histogram) if old is not None and same else histogram
    return tally.counters


def _read_gauges(connection: sqlite3.Connection, seen: Iterable[Series]) -> dict[Series, Number]:
    # 0 for whoever ended before: a series that only stops reads as its last value for minutes.
    active: Counter[Series] = Counter(
        {(_ONCE_ACTIVE[name], labels[:1]): 0 for name, labels in seen if name in _ONCE_ACTIVE}
    )
    silence_ns = 0
    folder = find_locks_path(connection)
    living = [process.id for process in read_processes(connection) if is_alive(process, folder)]
    for process_id in living:
        for span in read_open(connection, process_id):
            if (series := _active(span)) is not None:
                active[series] += 1
            if span.role is Role.TASK:
                silence_ns = max(silence_ns, _read_silence_ns(connection, SpanBody(span.body).trace_id))
    gauges: dict[Series, Number] = dict(active)
    gauges[metrics.TASK_SILENCE_MAX.name, ()] = silence_ns / 1e9
    gauges |= _read_failures(connection)
    midnight_ns = time.time_ns() // _DAY_NS * _DAY_NS
    cost = connection.execute(
        "SELECT total(micro_usd) FROM charge WHERE time >= ?", (midnight_ns,)
    ).fetchone()[0]
    gauges[metrics.BUDGET_USAGE.name, ()] = int(cost)
    gauges[metrics.RECORDER_FILE_SIZE.name, ()] = _file_size(connection)
    gauges[metrics.RECORDER_FILE_FREE.name, ()] = read_free_bytes(connection)
    return gauges


_LAST_RECORD = """
SELECT max(coalesce((SELECT stop FROM trace WHERE trace = :trace), 0),
    coalesce((SELECT max(time) FROM log WHERE trace = :trace), 0))
"""


def _read_silence_ns(connection: sqlite3.Connection, trace_id: bytes) -> int:
    last_ns = connection.execute(_LAST_RECORD, {"trace": trace_id}).fetchone()[0]
    return max(time.time_ns() - int(last_ns), 0)


# What a person or a limit stopped says nothing of how well it goes.
_FAILURES_IN_A_ROW = """
WITH good AS (
    SELECT kind, max(ended) AS ended FROM task
    WHERE outcome NOT IN ('failed', 'interrupted', 'stopped') GROUP BY kind
)
SELECT task.kind, total(task.outcome IN ('failed', 'interrupted') AND task.ended > coalesce(good.ended, 0))
FROM task LEFT JOIN good ON good.kind = task.kind
WHERE task.ended IS NOT NULL AND task.kind IS NOT NULL GROUP BY task.kind
"""


def _read_failures(connection: sqlite3.Connection) -> dict[Series, Number]:
    """Failures in a row by kind of task; those whose process died count before a writer says so."""
    failures = Counter({kind: int(number) for kind, number in connection.execute(_FAILURES_IN_A_ROW)})
    for process, _ in find_dead(connection, find_locks_path(connection)):
        for span in read_open(connection, process.id):
            if span.role is Role.TASK:
                failures[str(SpanBody(span.body).attributes.get(attr.TASK_KIND, ""))] += 1
    limit = LabelLimit(connection, read_only=True).limit
    found: dict[Series, Number] = {}
    for kind, number in failures.items():
        series = (metrics.TASK_CONSECUTIVE_FAILURES.name, (limit(attr.TASK_KIND, make_printable(kind)),))
        found[series] = max(number, found.get(series, 0))
    return found


_ACTIVE = {
    Role.TASK: (metrics.TASK_ACTIVE, attr.TASK_KIND),
    Role.AGENT: (metrics.AGENT_ACTIVE, attr.GEN_AI_AGENT_NAME),
}


_ONCE_ACTIVE = {
    metrics.TASK_EXECUTIONS.name: metrics.TASK_ACTIVE.name,
    metrics.AGENT_DURATION.name: metrics.AGENT_ACTIVE.name,
}
"""What counts those that ended, by the same first label."""


def _active(span: OpenSpan) -> Series | None:
    """What an open span is counted in while its process lives."""
    if span.role not in _ACTIVE:
        return None
    metric, label = _ACTIVE[span.role]
    return metric.name, (str(SpanBody(span.body).attributes.get(label, "")),)


def _file_size(connection: sqlite3.Connection) -> int:
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    files = (Path(path), Path(f"{path}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def _points(
    metric: Metric,
    numbers: dict[Series, Number],
    histograms: dict[Series, Histogram],
    destinations: tuple[str, ...],
) -> Iterator[MetricPoint]:
    is_histogram = metric.instrument == "histogram"
    table: dict[Series, Number] | dict[Series, Histogram] = histograms if is_histogram else numbers
    values: dict[tuple[str, ...], Number | Histogram] = {
        labels: value
        for (name, labels), value in table.items()
        if name == metric.name and len(labels) == len(metric.labels)
    }
    for labels in _known_series(metric, destinations):
        values.setdefault(labels, Histogram(0, 0.0, (0,) * (len(metric.buckets) + 1)) if is_histogram else 0)
    for labels, value in sorted(values.items()):
        yield MetricPoint(metric.name, tuple(zip(metric.labels, labels, strict=True)), value)


_STARTS_FROM_ZERO = {"counter", "histogram"}


def _known_series(metric: Metric, destinations: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Label values that are known before any record; an error may also be none."""
    if metric.instrument not in _STARTS_FROM_ZERO:
        return iter(())
    choices: list[tuple[str, ...]] = []
    for label in metric.labels:
        if label == attr.ERROR_TYPE:
            choices.append(("",))
        elif label == attr.DESTINATION:
            # The store makes no requests of its own.
            choices.append(destinations[1:] if metric is metrics.SHIPPER_REQUEST_DURATION else destinations)
        elif label in spans.CLOSED_SETS:
            choices.append(spans.CLOSED_SETS[label])
        else:
            return iter(())
    return itertools.product(*choices)
