"""What a destination still has to get: batches after its cursor, and what became of them.

A cursor moves in the transaction that counts the records which it passes, so that for each signal and
destination `emitted = delivered + dropped + pending` at every moment. It stands on `seq`, which the store
gives without gaps: a number that is missing is a record that left by retention. Transactions are short, and
none is open while a request is on its way. How requests are made and judged is the shipper's matter.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from taskscope.errors import StoreError
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics

from . import wire
from .aggregates import MetricPoint, read_growth
from .balance import TABLES, begin_cursors, count_records, pass_records, read_top
from .database import find_inode, one_moment, open_at, transaction
from .records import Source
from .tally import LabelLimit, Tally

METRICS: Final = "metrics"
"""The signal that has no records of its own: the aggregates are sent as they stand."""

_ATTRIBUTES_TAGS = {"traces": b"\x4a", "logs": b"\x32"}
"""Tag of the attributes in a span and in a log record."""
_SERVICE_NAME = "taskscope"
_OUR_DISTRO = wire.attributes(b"\x0a", {"telemetry.distro.name": "taskscope"})
_NS = 1_000_000_000
_END_PAUSE_NS = 60 * _NS
_T = TypeVar("_T")


class Entry(NamedTuple):
    """One stored record."""

    seq: int
    source_id: int
    body: bytes


class Batch(NamedTuple):
    """Records in the order of the store, to be settled as a whole."""

    signal: str
    after: int
    """Where the cursor stood."""
    last: int
    """Where it will stand; beyond the last record when newer ones are gone."""
    entries: tuple[Entry, ...]
    is_released: bool = False
    """Whether these were in quarantine: behind the cursor, which does not move."""


class Cursor(NamedTuple):
    """How far a destination has come with a signal."""

    seq: int
    gone: int
    """Records beyond it that left the store."""
    failures: int
    """Attempts in a row that failed."""
    held_until_ns: int
    """Before that no process of the host tries again."""
    succeeded_ns: int | None


class Request(NamedTuple):
    """What is measured of a request to a backend."""

    seconds: float
    error_type: str = ""


class Outbox:
    """The store, as the shipper of one destination sees it; usable from several threads.

    Nothing is logged while its lock is held: a fork takes that lock too, and logging takes the recorder's.
    """

    def __init__(self, path: Path, destination: str) -> None:
        self.path = path
        self.destination = destination
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._sources: dict[int, Source] = {}

    # --- what there is

    def register(self, signals: Iterable[str], service_name: str = "") -> None:
        """Begin the way of each signal to this destination, where it has not begun.

        `service_name` is what somebody called this host's agents on purpose, for its metrics.
        """
        wanted = set(signals)

        def read(connection: sqlite3.Connection) -> tuple[set[str], bool]:
            rows = connection.execute("SELECT signal FROM cursor WHERE destination = ?", (self.destination,))
            named = connection.execute("SELECT 1 FROM meta WHERE name = 'service_name'").fetchone()
            return wanted - {row[0] for row in rows}, named is None and bool(service_name)

        def write(connection: sqlite3.Connection) -> None:
            begin_cursors(connection, missing, self.destination)
            if is_nameless:
                connection.execute("INSERT OR IGNORE INTO meta VALUES('service_name', ?)", (service_name,))

        missing, is_nameless = self._read(read)
        if missing or is_nameless:
            self._write(write)

    def cursor(self, signal: str) -> Cursor:
        """The cursor of a registered signal."""
        return self._read(lambda connection: _read_cursor(connection, signal, self.destination))

    def pending(self, signal: str) -> int:
        """How many records are still to be sent; those in quarantine are not."""

        def read(connection: sqlite3.Connection) -> int:
            (released,) = connection.execute(
                "SELECT count(*) FROM quarantine WHERE signal = ? AND destination = ? AND released = 1",
                (signal, self.destination),
            ).fetchone()
            cursor = _read_cursor(connection, signal, self.destination)
            return int(released) + read_top(connection, signal) - cursor.seq - cursor.gone

        return self._read(read)

    def read(self, signal: str, *, records: int, size_bytes: int) -> Batch:
        """The next records within both bounds, but at least one; without any, nothing is left."""

        def read(connection: sqlite3.Connection) -> Batch:
            table = TABLES[signal]
            cursor = _read_cursor(connection, signal, self.destination)
            released = connection.execute(
                f"SELECT seq, source, body FROM quarantine JOIN {table} USING (seq) WHERE released = 1"  # noqa: S608  our own words
                " AND destination = ? AND signal = ? ORDER BY seq LIMIT ?",
                (self.destination, signal, records),
            )
            if entries := _within(released, size_bytes):
                return Batch(signal, cursor.seq, cursor.seq, entries, True)  # noqa: FBT003  named above
            fresh = connection.execute(
                f"SELECT seq, source, body FROM {table} WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608  our own words
                (cursor.seq, records),
            )
            entries = _within(fresh, size_bytes)
            last = entries[-1].seq if entries else read_top(connection, signal)
            return Batch(signal, cursor.seq, last, entries)

        return self._read(read)

    def source(self, source_id: int) -> Source:
        """Who says it: the resource and scope of records.

        Another sender's resource says in whose numbers its records are: ours hold them, and who derives the
        same metrics from spans must not count them again.
        """
        if source_id not in self._sources:
            self._sources[source_id] = self._read(lambda connection: _read_source(connection, source_id))
        return self._sources[source_id]

    def aggregates(self) -> tuple[list[MetricPoint], StoreIdentity]:
        """All metrics of the host as they stand, and whose they are.

        Before each series that began to change since the destination last took them stands what it was.
        """
        succeeded_ns = self.cursor(METRICS).succeeded_ns or 0
        with self._connected() as connection:
            return read_growth(connection, succeeded_ns), _read_identity(connection)

    # --- what became of it

    def settle(self, batch: Batch, request: Request | None, *, rejected: int = 0, problem: str = "") -> None:
        """The backend took a batch, but for `rejected` records of it, which it did not name."""

        def change(connection: sqlite3.Connection, tally: Tally) -> None:
            passed = self._pass(connection, batch, tally)
            lost = min(rejected, passed)
            labels = batch.signal, self.destination
            count_records(tally, metrics.RECORDS_DELIVERED, labels, passed - lost)
            count_records(tally, metrics.RECORDS_DROPPED, labels, lost, "refused")
            if request is not None:
                self._note_success(connection, batch.signal, problem)

        self._settle(batch.signal, request, change)

    def quarantine(self, batch: Batch, request: Request, *, reason: str, problem: str) -> None:
        """The backend refused a batch of one record: it is kept, named and marked."""

        def change(connection: sqlite3.Connection, tally: Tally) -> None:
            (entry,) = batch.entries
            if not self._pass(connection, batch, tally):
                return
            connection.execute(
                "REPLACE INTO quarantine(destination, signal, seq, reason, time, message)"
                " VALUES(?, ?, ?, ?, ?, ?)",
                (self.destination, batch.signal, entry.seq, reason, time.time_ns(), problem),
            )
            _mark(connection, batch.signal, entry, reason)

        self._settle(batch.signal, request, change)

    def hold(self, signal: str, request: Request | None, *, seconds: float, problem: str) -> None:
        """The backend took nothing: nobody tries again for so long."""

        def change(connection: sqlite3.Connection, _tally: Tally) -> None:
            now = time.time_ns()
            connection.execute(
                "UPDATE cursor SET failures = failures + 1, held_until = ?, problem = ?, problem_at = ?"
                " WHERE destination = ? AND signal = ?",
                (now + int(seconds * _NS), problem, now, self.destination, signal),
            )

        self._settle(signal, request, change)

    def release_hold(self) -> None:
        """Let the destination be tried at once: a person asks for it."""
        self._write(
            lambda connection: connection.execute(
                "UPDATE cursor SET failures = 0, held_until = 0 WHERE destination = ? AND held_until > 0",
                (self.destination,),
            )
        )

    def note(self, signal: str, request: Request) -> None:
        """A request that decides nothing alone: its batch is too large, or holds a record to be found."""
        self._settle(signal, request, lambda _connection, _tally: None)

    def note_metrics(self, request: Request, problem: str) -> None:
        """The backend took the aggregates."""
        self._settle(
            METRICS,
            request,
            lambda connection, _tally: self._note_success(connection, METRICS, problem),
        )

    # --- ends of programs

    def begin_end(self) -> bool:
        """Whether a program that ends may begin to send; noted until `finish_end`, for a minute.

        It waits a moment only. A destination that takes longer would get the same records from each of the
        programs that end one after the other.
        """
        now = time.time_ns()
        begun: list[int] = []

        def write(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT value FROM meta WHERE name = ?", (self._end_name,)).fetchone()
            if row is None or not 0 <= now - int(row[0]) < _END_PAUSE_NS:
                connection.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (self._end_name, str(now)))
                begun.append(now)

        self._write(write)
        return bool(begun)

    def finish_end(self) -> None:
        """The destination answered in time, whatever it said."""
        self._write(
            lambda connection: connection.execute("DELETE FROM meta WHERE name = ?", (self._end_name,))
        )

    @property
    def _end_name(self) -> str:
        return f"end:{self.destination}"

    # --- the connection

    def freeze(self, timeout: float) -> bool:
        """Close the connection and keep everybody out until `thaw`: around a fork; whether that was done."""
        is_ours = self._lock.acquire(timeout=timeout)
        if is_ours:
            self._disconnect()
        return is_ours

    def thaw(self) -> None:
        """Let all in again."""
        self._lock.release()

    def close(self) -> None:
        """Let the connection go; the next call opens another."""
        with self._lock:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._inode != find_inode(self.path):
                self._disconnect()  # another file: a damaged store was set aside, or a person deleted it
            if self._connection is None:
                self._connection, self._inode = open_at(self.path)
                self._sources.clear()  # of another file, perhaps
            try:
                yield self._connection
            except BaseException:
                self._disconnect()  # whatever state it is in
                raise

    def _read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._connected() as connection, one_moment(connection):
            return read(connection)

    def _write(self, change: Callable[[sqlite3.Connection], object]) -> None:
        with self._connected() as connection, transaction(connection):
            change(connection)

    def _settle(
        self, signal: str, request: Request | None, change: Callable[[sqlite3.Connection, Tally], None]
    ) -> None:
        """One transaction: the change, and what it adds to the metrics."""

        def write(connection: sqlite3.Connection) -> None:
            tally = Tally(LabelLimit(connection))
            change(connection, tally)
            if request is not None:
                labels = {attr.SIGNAL: signal, attr.DESTINATION: self.destination}
                labels[attr.ERROR_TYPE] = request.error_type
                tally.add(metrics.SHIPPER_REQUEST_DURATION, labels, request.seconds)
            tally.write(connection)

        self._write(write)

    def _pass(self, connection: sqlite3.Connection, batch: Batch, tally: Tally) -> int:
        """Move past a batch; how many of its records nobody has accounted for meanwhile."""
        labels = batch.signal, self.destination
        if batch.is_released:
            statement = "DELETE FROM quarantine WHERE signal = ? AND destination = ? AND seq = ?"
            return sum(
                connection.execute(statement, (*labels, entry.seq)).rowcount for entry in batch.entries
            )
        return pass_records(connection, tally, labels, batch.last)

    def _note_success(self, connection: sqlite3.Connection, signal: str, problem: str) -> None:
        now = time.time_ns()
        connection.execute(
            "UPDATE cursor SET failures = 0, held_until = 0, succeeded = ?,"
            " problem = coalesce(?, problem), problem_at = iif(? IS NULL, problem_at, ?)"
            " WHERE destination = ? AND signal = ?",
            (now, problem or None, problem or None, now, self.destination, signal),
        )


# --- reading and marking


class StoreIdentity(NamedTuple):
    """Whose metrics they are."""

    instance: str
    """`service.instance.id`: made with the store."""
    created_ns: int
    """When counting began."""
    service_name: str
    """The first name that a sender was given on purpose, so that all senders say the same."""


def _read_source(connection: sqlite3.Connection, source_id: int) -> Source:
    resource, scope = connection.execute(
        "SELECT resource, scope FROM source WHERE id = ?", (source_id,)
    ).fetchone()
    if all(wire.sized(b"\x0a", pair) != _OUR_DISTRO for _, pair in wire.fields(resource)):
        instance = _read_identity(connection).instance
        resource += wire.attributes(b"\x0a", {attr.STORE_ID: instance})
    return Source(resource, scope)


def _read_identity(connection: sqlite3.Connection) -> StoreIdentity:
    (instance,) = connection.execute("SELECT value FROM meta WHERE name = 'instance'").fetchone()
    (created,) = connection.execute("SELECT applied FROM migration WHERE number = 1").fetchone()
    named = connection.execute("SELECT value FROM meta WHERE name = 'service_name'").fetchone()
    return StoreIdentity(instance, created, named[0] if named else _SERVICE_NAME)


def _read_cursor(connection: sqlite3.Connection, signal: str, destination: str) -> Cursor:
    row = connection.execute(
        "SELECT seq, gone, failures, held_until, succeeded FROM cursor WHERE signal = ? AND destination = ?",
        (signal, destination),
    ).fetchone()
    if row is None:
        msg = f"no cursor for {signal} at {destination!r}: it was forgotten, or the store is a new one"
        raise StoreError(msg)
    return Cursor(*row)


def _within(rows: Iterable[tuple[int, int, bytes]], size_bytes: int) -> tuple[Entry, ...]:
    """The first records that together are within the bound, but at least one; no more rows are read."""
    entries: list[Entry] = []
    total = 0
    for row in rows:
        total += len(row[2])
        if entries and total > size_bytes:
            break
        entries.append(Entry._make(row))
    return tuple(entries)


def _mark(connection: sqlite3.Connection, signal: str, entry: Entry, reason: str) -> None:
    """Append the reason to the record itself: protobuf merges a message that is read in two parts."""
    mark = wire.attributes(_ATTRIBUTES_TAGS[signal], {attr.QUARANTINE_REASON: reason})
    if mark not in entry.body:
        connection.execute(
            f"UPDATE {TABLES[signal]} SET body = ?, bytes = ? WHERE seq = ?",  # noqa: S608  our own words
            (entry.body + mark, len(entry.body) + len(mark), entry.seq),
        )
