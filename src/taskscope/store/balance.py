"""Where every record is: for each signal and destination, `emitted = delivered + dropped + pending`.

What was counted stands in the counters; what is on its way is seen here, at read time, from the cursors and
the quarantine, so that all of it comes from one read transaction. Records that never reached the store are
dropped at every destination.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics

from .tally import STORE, LabelLimit, Series, Tally

if TYPE_CHECKING:
    from taskscope.semconv.metrics import Metric

    from .rules import Number

TABLES: Final = {"traces": "span", "logs": "log"}
"""Signal to the table of its records."""

_EXPIRED = "expired"
_MADE = {"traces": "stop", "logs": "time"}
_NS = 1_000_000_000


def read_destinations(connection: sqlite3.Connection) -> tuple[str, ...]:
    """All destinations that have a cursor, after the store itself."""
    rows = connection.execute("SELECT DISTINCT destination FROM cursor ORDER BY destination")
    return STORE, *(row[0] for row in rows)


def read_top(connection: sqlite3.Connection, signal: str) -> int:
    """The last number that a record of this signal ever got; numbers have no gaps."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (TABLES[signal],)).fetchone()
    return int(row[0]) if row else 0


def add_balance(
    connection: sqlite3.Connection, numbers: dict[Series, Number], unwritten: Mapping[Series, Number]
) -> None:
    """Add what is pending, quarantined and dropped at each destination to the sums of the store.

    `unwritten` is what those sums hold of records that are in no table yet: spans of dead processes.
    """
    for signal in TABLES:
        lost = _read_lost(numbers, signal)
        extra = unwritten.get((metrics.RECORDS_DELIVERED.name, (signal, STORE)), 0)
        numbers[metrics.RECORDS_PENDING.name, (signal, STORE)] = 0
        for destination, seq, gone in _read_cursors(connection, signal):
            for reason, records in lost.items():
                series = metrics.RECORDS_DROPPED.name, (signal, destination, reason)
                numbers[series] = numbers.get(series, 0) + records
            waiting = read_top(connection, signal) - seq - gone + extra
            numbers |= _read_waiting(connection, signal, destination, seq, waiting)
    for destination, signal, succeeded_ns in connection.execute(
        "SELECT destination, signal, succeeded FROM cursor WHERE succeeded IS NOT NULL"
    ):
        numbers[metrics.SHIPPER_SUCCESS_TIMESTAMP.name, (signal, destination)] = succeeded_ns / _NS


def _read_lost(numbers: Mapping[Series, Number], signal: str) -> dict[str, Number]:
    """What was dropped before it reached the store, by reason."""
    return {
        labels[2]: records
        for (name, labels), records in numbers.items()
        if name == metrics.RECORDS_DROPPED.name and labels[:2] == (signal, STORE) and labels[2] != _EXPIRED
    }


def _read_cursors(connection: sqlite3.Connection, signal: str) -> list[tuple[str, int, int]]:
    rows = connection.execute("SELECT destination, seq, gone FROM cursor WHERE signal = ?", (signal,))
    return rows.fetchall()


def _read_waiting(
    connection: sqlite3.Connection, signal: str, destination: str, seq: int, waiting: Number
) -> Iterator[tuple[Series, Number]]:
    labels = (signal, destination)
    kept, released = connection.execute(
        "SELECT count(*), total(released) FROM quarantine WHERE signal = ? AND destination = ?", labels
    ).fetchone()
    yield (metrics.RECORDS_PENDING.name, labels), waiting + kept
    yield (metrics.RECORDS_QUARANTINED.name, labels), kept - int(released)
    oldest = connection.execute(
        f"SELECT {_MADE[signal]} FROM {TABLES[signal]} WHERE seq > ? ORDER BY seq LIMIT 1",  # noqa: S608  our own words
        (seq,),
    ).fetchone()
    if oldest is not None:
        yield (metrics.RECORDS_OLDEST_PENDING.name, labels), oldest[0] / _NS


# --- changes, within a transaction of the caller's unless it says otherwise


def count_records(
    tally: Tally, metric: Metric, labels: tuple[str, str], records: int, reason: str = ""
) -> None:
    """Count records of a signal at a destination."""
    if records:
        signal, destination = labels
        values = {attr.SIGNAL: signal, attr.DESTINATION: destination, attr.DROP_REASON: reason}
        tally.add(metric, values, records)


def begin_cursors(connection: sqlite3.Connection, signals: Iterable[str], destination: str) -> None:
    """Begin a destination's way through some signals, where it has not begun.

    All that is in the store is yet to be sent; what left the store before counts as expired there, so that
    the sums hold from the first moment on.
    """
    tally = Tally(LabelLimit(connection))
    for signal in sorted(signals):
        begun = connection.execute(
            "INSERT INTO cursor(destination, signal, seq) VALUES(?, ?, 0) ON CONFLICT DO NOTHING",
            (destination, signal),
        ).rowcount
        if begun and signal in TABLES:
            labels = signal, destination
            top = read_top(connection, signal)
            gone = top - _count_stored(connection, signal, 0, top)
            count_records(tally, metrics.RECORDS_DROPPED, labels, gone, _EXPIRED)
            connection.execute(
                "UPDATE cursor SET gone = ? WHERE signal = ? AND destination = ?", (gone, *labels)
            )
    tally.write(connection)


def pass_records(
    connection: sqlite3.Connection, tally: Tally, labels: tuple[str, str], up_to_seq: int
) -> int:
    """Move a cursor; how many of the records that it passes are still in the store.

    The others left by retention, which has mostly said so; the rest of them count as expired here.
    """
    signal, _ = labels
    seq, gone = connection.execute(
        "SELECT seq, gone FROM cursor WHERE signal = ? AND destination = ?", labels
    ).fetchone()
    passed = _count_stored(connection, signal, seq, up_to_seq)
    missing = max(up_to_seq - seq, 0) - passed
    known = min(missing, gone)
    count_records(tally, metrics.RECORDS_DROPPED, labels, missing - known, _EXPIRED)
    connection.execute(
        "UPDATE cursor SET seq = max(seq, ?), gone = gone - ? WHERE signal = ? AND destination = ?",
        (up_to_seq, known, *labels),
    )
    return passed


def _count_stored(connection: sqlite3.Connection, signal: str, after_seq: int, up_to_seq: int) -> int:
    statement = f"SELECT count(*) FROM {TABLES[signal]} WHERE seq > ? AND seq <= ?"  # noqa: S608  our own words
    return int(connection.execute(statement, (after_seq, up_to_seq)).fetchone()[0])


def note_expired(connection: sqlite3.Connection, signal: str, numbers: Sequence[int]) -> None:
    """Account for records of a signal that retention deletes, in its own transaction.

    A destination that has not got them yet never will: they are dropped there as `expired`, those in
    quarantine too. Without a destination this does nothing.
    """
    leaving = set(numbers)
    tally = Tally(LabelLimit(connection))
    for destination, seq, _ in _read_cursors(connection, signal):
        labels = signal, destination
        kept = connection.execute("SELECT seq FROM quarantine WHERE signal = ? AND destination = ?", labels)
        refused = [number for (number,) in kept.fetchall() if number in leaving]
        for number in refused:
            connection.execute(
                "DELETE FROM quarantine WHERE signal = ? AND destination = ? AND seq = ?", (*labels, number)
            )
        missed = sum(number > seq for number in leaving)
        count_records(tally, metrics.RECORDS_DROPPED, labels, missed + len(refused), _EXPIRED)
        connection.execute(
            "UPDATE cursor SET gone = gone + ? WHERE signal = ? AND destination = ?", (missed, *labels)
        )
    tally.write(connection)
