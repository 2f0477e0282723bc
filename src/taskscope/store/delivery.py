"""For people: what arrived where, what is kept back, and what can be done about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics

from .aggregates import MetricPoint, read_aggregates
from .balance import TABLES, read_destinations
from .database import tells_store_errors, transaction
from .tally import Histogram

_NS = 1_000_000_000


class Account(NamedTuple):
    """One signal at one destination; `store` is this host."""

    signal: str
    destination: str
    emitted: int
    delivered: int
    dropped: dict[str, int]
    """By reason; none of them 0."""
    pending: int
    """Those in quarantine included."""
    quarantined: int
    oldest_pending_ns: int | None
    succeeded_ns: int | None
    problem: str | None
    """What last went wrong there, in words."""
    problem_ns: int | None


class Quarantined(NamedTuple):
    """A record that a destination refused."""

    signal: str
    destination: str
    seq: int
    reason: str
    message: str
    """What the destination said."""
    time_ns: int
    is_released: bool
    """Whether it is to be sent again."""
    body: bytes


@tells_store_errors
def read_accounts(connection: sqlite3.Connection) -> list[Account]:
    """The account of every signal at every destination, the store first."""
    values: dict[str, dict[tuple[str, ...], float]] = {}
    for point in read_aggregates(connection):
        if not isinstance(point.value, Histogram):
            values.setdefault(point.name, {})[_labels(point)] = point.value
    rows = connection.execute("SELECT signal, destination, succeeded, problem, problem_at FROM cursor")
    notes = {(signal, destination): tuple(rest) for signal, destination, *rest in rows}
    return [
        _account(values, notes, signal, destination)
        for destination in read_destinations(connection)
        for signal in TABLES
        if destination == "store" or (signal, destination) in notes
    ]


def _account(
    values: dict[str, dict[tuple[str, ...], float]],
    notes: dict[tuple[str, str], tuple[int | None, str | None, int | None]],
    signal: str,
    destination: str,
) -> Account:
    def number(metric: metrics.Metric, *labels: str) -> int:
        return int(values.get(metric.name, {}).get(labels, 0))

    place = signal, destination
    dropped = {
        labels[2]: int(records)
        for labels, records in values.get(metrics.RECORDS_DROPPED.name, {}).items()
        if labels[:2] == place and records
    }
    oldest = values.get(metrics.RECORDS_OLDEST_PENDING.name, {}).get(place)
    return Account(
        signal,
        destination,
        number(metrics.RECORDS_EMITTED, signal),
        number(metrics.RECORDS_DELIVERED, *place),
        dropped,
        number(metrics.RECORDS_PENDING, *place),
        number(metrics.RECORDS_QUARANTINED, *place),
        None if oldest is None else round(oldest * _NS),
        *notes.get(place, (None, None, None)),
    )


def _labels(point: MetricPoint) -> tuple[str, ...]:
    return tuple(value for _, value in point.labels)


@tells_store_errors
def read_quarantine(connection: sqlite3.Connection) -> list[Quarantined]:
    """All records in quarantine, oldest first."""
    return [record for signal in TABLES for record in _read_quarantine(connection, signal)]


def _read_quarantine(connection: sqlite3.Connection, signal: str) -> Iterator[Quarantined]:
    rows = connection.execute(
        f"SELECT destination, seq, reason, message, q.time, released, body FROM quarantine q"  # noqa: S608  our own words
        f" LEFT JOIN {TABLES[signal]} USING (seq) WHERE signal = ? ORDER BY seq, destination",
        (signal,),
    )
    for destination, seq, reason, message, time_ns, released, body in rows:
        yield Quarantined(signal, destination, seq, reason, message, time_ns, bool(released), body or b"")


def release_quarantine(connection: sqlite3.Connection) -> int:
    """Let everything in quarantine be sent again, and at once; how many records."""
    with transaction(connection):
        released = connection.execute("UPDATE quarantine SET released = 1").rowcount
        connection.execute("UPDATE cursor SET failures = 0, held_until = 0")
    return released


def forget_destination(connection: sqlite3.Connection, destination: str) -> bool:
    """Take a destination that is no longer used out of the accounts; whether there was one."""
    counted = (metrics.RECORDS_DELIVERED, metrics.RECORDS_DROPPED, metrics.SHIPPER_REQUEST_DURATION)
    assert all(metric.labels[1] == attr.DESTINATION for metric in counted)
    with transaction(connection):
        connection.execute("DELETE FROM quarantine WHERE destination = ?", (destination,))
        connection.execute("DELETE FROM meta WHERE name = ?", (f"end:{destination}",))
        found = connection.execute("DELETE FROM cursor WHERE destination = ?", (destination,)).rowcount
        for table in ("counter", "histogram"):
            connection.execute(
                f"DELETE FROM {table} WHERE json_extract(labels, '$[1]') = ? AND metric IN (?, ?, ?)",  # noqa: S608  our own words
                (destination, *(metric.name for metric in counted)),
            )
    return found > 0
