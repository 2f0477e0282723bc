"""What a store holds, held against what was told by those who are dead."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans
from taskscope.store.records import STATUS_ERROR
from taskscope.store.wire import SpanBody


class Kept(NamedTuple):
    """One ended span of a store."""

    trace: bytes
    parent: bytes | None
    is_interrupted: bool


def judge_store(store: Path, started: set[bytes], ended: set[bytes]) -> dict[str, int]:
    """Counts of what was lost, came twice, or is told wrongly; and of how much there was."""
    kept, twice, left_open = _read(store)
    counts = {
        "spans": len(kept),
        "starts_told": len(started),
        "ends_told": len(ended),
        "starts_lost": len(started - kept.keys()),
        "ends_lost": len(ended - kept.keys()),
        "twice": twice,
        "left_open": left_open,
        "ends_called_interrupted": sum(one in kept and kept[one].is_interrupted for one in ended),
    }
    return counts | _judge_trees(kept) | _judge_counts(store, len(kept))


def _read(store: Path) -> tuple[dict[bytes, Kept], int, int]:
    kept: dict[bytes, Kept] = {}
    twice = 0
    with closing(sqlite3.connect(store)) as connection:
        for span_id, trace, parent, body in connection.execute("SELECT span, trace, parent, body FROM span"):
            twice += span_id in kept
            kept[span_id] = Kept(trace, parent, _is_interrupted(body))
        (left_open,) = connection.execute("SELECT count(*) FROM open").fetchone()
    return kept, twice, left_open


def _is_interrupted(body: bytes) -> bool:
    if spans.ERROR_INTERRUPTED.encode() not in body:
        return False
    span = SpanBody(body)
    return (
        span.status_code == STATUS_ERROR and span.attributes.get(attr.ERROR_TYPE) == spans.ERROR_INTERRUPTED
    )


def _judge_trees(kept: dict[bytes, Kept]) -> dict[str, int]:
    roots: Counter[bytes] = Counter()
    broken = set()
    orphans = 0
    for one in kept.values():
        if one.parent is None:
            roots[one.trace] += 1
        elif one.parent not in kept or kept[one.parent].trace != one.trace:
            orphans += 1
            broken.add(one.trace)
    traces = {one.trace for one in kept.values()}
    broken |= {trace for trace in traces if roots[trace] != 1}
    return {"trees": len(traces), "trees_broken": len(broken), "orphans": orphans}


def _judge_counts(store: Path, spans_kept: int) -> dict[str, int]:
    """Whether the metrics made from the records tell of as many as there are."""
    emitted, dropped = read_accounts(store)
    return {"dropped": dropped, "miscounted": abs(emitted - dropped - spans_kept)}


def read_accounts(store: Path, signal: str = "traces") -> tuple[int, int]:
    """Records of a signal that were emitted and dropped, by the store's own metrics."""
    from taskscope.semconv import metrics
    from taskscope.store.aggregates import read_aggregates

    names = (metrics.RECORDS_EMITTED.name, metrics.RECORDS_DROPPED.name)
    sums = dict.fromkeys(names, 0)
    with closing(sqlite3.connect(store)) as connection:
        for point in read_aggregates(connection):
            if point.name in sums and (attr.SIGNAL, signal) in point.labels:
                assert isinstance(point.value, int | float)
                sums[point.name] += int(point.value)
    return sums[names[0]], sums[names[1]]
