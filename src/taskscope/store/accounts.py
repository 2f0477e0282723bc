"""Where every record is: for each signal and destination, `emitted = delivered + dropped + pending`.

What was counted stands in the counters; what is on its way is seen here, at read time, from the cursors and
the quarantine, so that all of it comes from one read transaction. Records that never reached the store are
dropped at every destination.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
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


def add_accounts(connection: sqlite3.Connection, numbers: dict[Series, Number], interrupted: int) -> None:
    """Add what is pending, quarantined and dropped at each destination to the sums of the store.

    `interrupted` spans of dead processes are in the sums already, and in no table yet.
    """
    for signal in TABLES:
        lost = _read_lost(numbers, signal)
        emitted = numbers.get((metrics.RECORDS_EMITTED.name, (signal,)), 0)
        stored = numbers.get((metrics.RECORDS_DELIVERED.name, (signal, STORE)), 0)
        held = max(emitted - stored - sum(lost.values()), 0)
        numbers[metrics.RECORDS_PENDING.name, (signal, STORE)] = held
        held += interrupted if signal == "traces" else 0
        for destination, seq in _read_cursors(connection, signal):
            for reason, records in lost.items():
                series = metrics.RECORDS_DROPPED.name, (signal, destination, reason)
                numbers[series] = numbers.get(series, 0) + records
            numbers |= _read_waiting(connection, signal, destination, seq, held)
    for destination, signal, succeeded_ns in connection.execute(
        "SELECT destination, signal, succeeded FROM cursor WHERE succeeded IS NOT NULL"
    ):
        numbers[metrics.SHIPPER_SUCCESS_TIMESTAMP.name, (signal, destination)] = succeeded_ns / _NS


def _read_lost(numbers: dict[Series, Number], signal: str) -> dict[str, Number]:
    """What was dropped before it reached the store, by reason."""
    return {
        labels[2]: records
        for (name, labels), records in numbers.items()
        if name == metrics.RECORDS_DROPPED.name and labels[:2] == (signal, STORE) and labels[2] != _EXPIRED
    }


def _read_cursors(connection: sqlite3.Connection, signal: str) -> list[tuple[str, int]]:
    return connection.execute("SELECT destination, seq FROM cursor WHERE signal = ?", (signal,)).fetchall()


def _read_waiting(
    connection: sqlite3.Connection, signal: str, destination: str, seq: int, held: Number
) -> Iterator[tuple[Series, Number]]:
    labels = (signal, destination)
    kept, released = connection.execute(
        "SELECT count(*), total(released) FROM quarantine WHERE signal = ? AND destination = ?", labels
    ).fetchone()
    waiting = read_top(connection, signal) - seq
    yield (metrics.RECORDS_PENDING.name, labels), held + waiting + kept
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
            gone = _read_first(connection, signal) - 1
            count_records(tally, metrics.RECORDS_DROPPED, (signal, destination), gone, _EXPIRED)
            move_cursor(connection, (signal, destination), gone)
    tally.write(connection)


def _read_first(connection: sqlite3.Connection, signal: str) -> int:
    """The number of the oldest record that is still there; of the next one where there is none."""
    (first,) = connection.execute(f"SELECT min(seq) FROM {TABLES[signal]}").fetchone()  # noqa: S608  our own words
    return read_top(connection, signal) + 1 if first is None else int(first)


def move_cursor(connection: sqlite3.Connection, labels: tuple[str, str], seq: int) -> None:
    """Let a cursor stand at `seq`, if it is not beyond."""
    connection.execute(
        "UPDATE cursor SET seq = max(seq, ?) WHERE signal = ? AND destination = ?", (seq, *labels)
    )


def note_expired(connection: sqlite3.Connection, signal: str, up_to_seq: int) -> None:
    """Account for records that retention deletes: all of `signal` up to a number, in its own transaction.

    A destination that has not got them yet never will: they are dropped there as `expired`, those in
    quarantine too. Without a destination this does nothing.
    """
    tally = Tally(LabelLimit(connection))
    for destination, seq in _read_cursors(connection, signal):
        labels = signal, destination
        refused = connection.execute(
            "DELETE FROM quarantine WHERE signal = ? AND destination = ? AND seq <= ?", (*labels, up_to_seq)
        ).rowcount
        missed = max(up_to_seq - seq, 0)
        count_records(tally, metrics.RECORDS_DROPPED, labels, missed + refused, _EXPIRED)
        move_cursor(connection, labels, up_to_seq)
    tally.write(connection)
