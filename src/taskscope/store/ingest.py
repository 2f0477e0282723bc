"""Writes records: one transaction for spans, open spans, trace summaries, the ledger, logs and aggregates.

What is committed is all there, what failed is not there at all, and the same batch may be tried again.
Who calls it, when, and what happens to a batch that cannot be written is the recorder's matter.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics

from . import ledger
from .accounts import Accounts
from .database import cut, find_locks_path, insert_many, transaction
from .decoding import NO_SOURCE
from .interruption import find_dead, interrupt, read_open
from .records import STATUS_ERROR, HealthReading, LogRecord, Record, Source, SpanRecord, TaskNote
from .remains import LeftJournal, find_left, tidy_up
from .reports import dropped_event, recovered_event
from .roles import Role, find_role
from .tally import STORE, LabelLimit, Tally, count_calls

if TYPE_CHECKING:
    from .journals import JournalRecord
    from .processes import Process


class Stored(NamedTuple):
    """A span, ready for its table."""

    record: SpanRecord
    role: Role
    source_id: int


class Ingest:
    """The writing side of a store, for one process of its table; not for two threads at once."""

    def __init__(
        self, connection: sqlite3.Connection, process_id: int | None, source: Source | None = None
    ) -> None:
        """`source`: who tells of this process's losses; without it they are counted alone."""
        self._connection = connection
        self._process_id = process_id
        self._source = source
        self._labels = LabelLimit(connection)
        self._sources: dict[Source, int] = {}
        """Numbers in the table, known for one transaction."""
        self._open: set[bytes] = set()
        self._untold: Counter[tuple[str, str]] = Counter()
        """Losses that are counted, and of which no event tells yet."""
        self._tell_at = 0.0

    def connect(self, connection: sqlite3.Connection) -> None:
        """Go on with another connection to the same store."""
        self._connection = connection
        self._labels = LabelLimit(connection)

    @property
    def has_open_spans(self) -> bool:
        """Whether this process has spans on record that have not ended."""
        return bool(self._open)

    def write(
        self, batch: Sequence[Record], accounts: Accounts | None = None, *, journal_seq: int = 0
    ) -> None:
        """Store a batch, whole or not at all; records of a span's start and end come in their order.

        `journal_seq`, the number of the batch's last record in the journal, is stored with it: what is
        replayed after a kill begins behind it.
        """
        # `or` would take one for none that has nothing but durations to tell.
        told = Accounts() if accounts is None else accounts
        untold = self._untold + told.dropped
        is_telling = bool(untold) and time.monotonic() >= self._tell_at
        with self._transaction():
            tally = Tally(self._labels)
            opened, closed = self._store(batch, tally, told, self._process_id, self._open)
            self._note_life(batch, told, journal_seq)
            if is_telling:
                self._tell_losses(self._source, untold, tally)
            tally.write(self._connection)
        self._open.update(opened)
        self._open.difference_update(closed)
        if is_telling:
            self._untold, self._tell_at = Counter(), time.monotonic() + _TELL_S
        else:
            self._untold = untold

    def recover(self) -> int:
        """Bring home what dead processes left, one transaction for each; the number of spans.

        Their journals are replayed from where they stopped storing, and what is then open is closed as
        interrupted. A kill in the middle changes nothing: the next one begins again.
        """
        folder = find_locks_path(self._connection)
        spans = 0
        for left in find_left(folder):
            try:
                spans += self._bring_home(left)
            except _UNSTORABLE:
                left.set_aside()  # one that cannot be stored must not keep the others, nor this process, out
        for process, end_ns in find_dead(self._connection, folder):
            spans += self._bury(process, end_ns)
            with contextlib.suppress(OSError):  # its row says now that it ended, so nobody asks for the file
                (folder / process.lock).unlink(missing_ok=True)
        tidy_up(self._connection, folder)
        return spans

    def end_process(self, ended_ns: int) -> None:
        """Note that this process ended well; spans that it left open read as interrupted."""
        with self._transaction():
            tally = Tally(self._labels)
            self._tell_losses(self._source, self._untold, tally)
            tally.write(self._connection)
            self._mark_ended(self._process_id, ended_ns)
        self._untold.clear()

    def _store(
        self,
        batch: Sequence[Record],
        tally: Tally,
        accounts: Accounts,
        process_id: int | None,
        known_open: Collection[bytes] | None,
    ) -> tuple[Collection[bytes], Collection[bytes]]:
        """Write a batch within a transaction; the ids of spans that are open now and of those that ended.

        `known_open`: the ids that may stand in the table of open spans; None where nobody knows.
        """
        starts, ends = _split(batch)
        opened = [self._prepare(span) for span in starts.values()]
        ended = [self._prepare(span) for span in ends]
        closed = [span.span_id for span in ends]
        self._insert_open(opened, process_id)
        self._delete_open(
            closed if known_open is None else [one for one in closed if one in known_open], process_id
        )
        self._insert_spans(ended, tally)
        logs = [record for record in batch if isinstance(record, LogRecord)]
        self._insert_logs(logs)
        self._summarize(ended, opened)
        self._enter(batch, process_id)
        for record in batch:
            if isinstance(record, HealthReading):
                tally.add_health(record)
        self._account(tally, accounts, {"traces": len(ended), "logs": len(logs)})
        return starts, closed

    def _bring_home(self, left: LeftJournal) -> int:
        """Replay a journal and delete it; one is kept, as damaged, that has a record which no table takes."""
        try:
            spans = self._replay(left, left.remains.records)
        except _UNSTORABLE:
            spans = self._replay_apart(left, left.remains.records)
            spans = self._replay(left, (), spans)
            left.set_aside()
        else:
            left.remove()
        return spans

    def _replay(self, left: LeftJournal, records: Sequence[JournalRecord], before: int = 0) -> int:
        """Store the last records of a dead process and close what it has open, `before` spans being home."""
        with self._transaction():
            process_id, seq = left.enter(self._connection)
            if process_id is None:  # somebody else was faster
                return before
            batch, accounts = left.read_after(seq, records)
            left.add_losses(accounts, self._connection)
            tally = Tally(self._labels)
            self._store(batch, tally, accounts, process_id, None)
            end_ns = max([left.last_sign_ns, *map(_time_of, batch or left.read_after(0)[0])])
            spans = before + self._close_open(process_id, end_ns, tally) + _count_ended(batch)
            self._tell_recovery(left.source, spans, tally)
            self._tell_losses(left.source, accounts.dropped, tally)
            tally.write(self._connection)
        return spans

    def _replay_apart(self, left: LeftJournal, records: Sequence[JournalRecord]) -> int:
        """Store what can be stored, in halves down to the single record that cannot, which is counted."""
        with contextlib.suppress(*_UNSTORABLE):
            return self._replay_some(left, records)
        if len(records) == 1:
            return self._replay_some(left, records, is_dropped=True)
        middle = len(records) // 2
        return self._replay_apart(left, records[:middle]) + self._replay_apart(left, records[middle:])

    def _replay_some(
        self, left: LeftJournal, records: Sequence[JournalRecord], *, is_dropped: bool = False
    ) -> int:
        with self._transaction():
            process_id, seq = left.enter(self._connection)
            if process_id is None:
                return 0
            batch, accounts = left.read_after(seq, records)
            if is_dropped:
                accounts.dropped += left.count_lost(batch)
                batch = []
            tally = Tally(self._labels)
            self._store(batch, tally, accounts, process_id, None)
            self._connection.execute(
                "UPDATE process SET journal_seq = max(journal_seq, ?) WHERE id = ?",
                (records[-1].seq, process_id),
            )
            self._tell_losses(left.source, accounts.dropped, tally)
            tally.write(self._connection)
        return _count_ended(batch)

    def _bury(self, process: Process, end_ns: int) -> int:
        with self._transaction():
            tally = Tally(self._labels)
            closed = self._close_open(process.id, end_ns, tally)
            self._tell_recovery(NO_SOURCE, closed, tally)
            tally.write(self._connection)
        return closed

    def _close_open(self, process_id: int, end_ns: int, tally: Tally) -> int:
        """Close what a dead process has open, and note that it ended; the number of spans."""
        # Read within the transaction: another process may have been here since.
        left = read_open(self._connection, process_id)
        ended = [Stored(interrupt(span, end_ns), span.role, span.source_id) for span in left]
        self._connection.execute("DELETE FROM open WHERE process = ?", (process_id,))
        self._mark_ended(process_id, end_ns)
        self._insert_spans(ended, tally)
        self._summarize(ended, ())
        for span in ended:
            ledger.enter_span(self._connection, span.record, span.role, process_id)
        tally.add_stored("traces", len(ended))
        return len(ended)

    def _tell_recovery(self, source: Source, spans: int, tally: Tally) -> None:
        """Count what was brought home, and say so in the log."""
        if spans:
            tally.add_recovery(spans)
            self._insert_logs([recovered_event(source, spans)])

    def _tell_losses(
        self, source: Source | None, dropped: Mapping[tuple[str, str], int], tally: Tally
    ) -> None:
        """Say in the log what was lost, and count that; the losses themselves are counted elsewhere."""
        if source is None:
            return
        told = [dropped_event(source, *what, records) for what, records in sorted(dropped.items())]
        self._insert_logs(told)
        tally.add_stored("logs", len(told))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with transaction(self._connection):
                yield
        except BaseException:
            self._labels.forget()  # learned within the transaction, so perhaps untrue now
            raise
        finally:
            self._sources.clear()  # another process may let go those that nothing stands behind

    def _mark_ended(self, process_id: int | None, ended_ns: int) -> None:
        self._connection.execute(
            "UPDATE process SET ended = max(started, ?) WHERE id = ? AND ended IS NULL",
            (ended_ns, process_id),
        )

    def _prepare(self, span: SpanRecord) -> Stored:
        return Stored(span, find_role(span.attributes, span.kind), self._find_source(span.source))

    def _find_source(self, source: Source) -> int:
        number = self._sources.get(source)
        if number is None:
            find = "SELECT id FROM source WHERE resource = ? AND scope = ?"
            row = self._connection.execute(find, source).fetchone()
            if row is None:
                self._connection.execute("INSERT INTO source(resource, scope) VALUES(?, ?)", source)
                row = self._connection.execute(find, source).fetchone()
            number = self._sources[source] = int(row[0])
        return number

    def _insert_open(self, spans: Sequence[Stored], process_id: int | None) -> None:
        rows = [
            (
                process_id,
                span.record.span_id,
                span.source_id,
                span.record.trace_id,
                span.record.parent_id,
                int(span.role),
                span.record.start_ns,
                span.record.body,
            )
            for span in spans
        ]
        columns = ("process", "span", "source", "trace", "parent", "role", "start", "body")
        insert_many(self._connection, "open", columns, rows, on_conflict=_MERGE_OPEN)

    def _delete_open(self, span_ids: Sequence[bytes], process_id: int | None) -> None:
        for some in cut(span_ids):
            marks = ", ".join("?" * len(some))
            self._connection.execute(
                f"DELETE FROM open WHERE process = ? AND span IN ({marks})",  # noqa: S608  our own words
                (process_id, *some),
            )

    def _insert_spans(self, spans: Sequence[Stored], tally: Tally) -> None:
        rows = [
            (
                source_id,
                record.trace_id,
                record.span_id,
                record.parent_id,
                int(role),
                record.start_ns,
                record.end_ns,
                len(record.body),
                record.body,
            )
            for record, role, source_id in spans
        ]
        columns = ("source", "trace", "span", "parent", "role", "start", "stop", "bytes", "body")
        insert_many(self._connection, "span", columns, rows)
        self._note_last("last_span", rows)
        for record, role, _ in spans:
            tally.add_span(record, role)
            if role is Role.AGENT:
                tally.add_calls(record, *count_calls(self._connection, record))

    def _insert_logs(self, logs: Sequence[LogRecord]) -> None:
        rows = [
            (
                self._find_source(log.source),
                log.time_ns,
                log.severity_number,
                log.event_name,
                log.attributes.get(attr.TASK_ID),
                log.trace_id,
                log.span_id,
                len(log.encoded),
                log.encoded,
            )
            for log in logs
        ]
        columns = ("source", "time", "severity", "event", "task", "trace", "span", "bytes", "body")
        insert_many(self._connection, "log", columns, rows)
        self._note_last("last_log", rows)

    def _note_last(self, column: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Keep with the sources of rows, each one's first column, that they are needed until these leave."""
        if rows:
            last = self._connection.execute("SELECT last_insert_rowid()").fetchone()[0]
            statement = f"UPDATE source SET {column} = ? WHERE id = ?"  # noqa: S608  our own words
            for source_id in {row[0] for row in rows}:
                self._connection.execute(statement, (last, source_id))

    def _summarize(self, ended: Sequence[Stored], opened: Sequence[Stored]) -> None:
        """Keep one row for each trace: listing them by GROUP BY takes a second on a million spans."""
        summaries: dict[bytes, _Summary] = {}
        for record, _, _ in (*opened, *ended):
            summary = summaries.get(record.trace_id)
            if summary is None:
                summary = summaries[record.trace_id] = _Summary()
            summary.add(record)
        rows = [summary.row(trace) for trace, summary in summaries.items()]
        columns = ("trace", "start", "stop", "spans", "errors", "root_name")
        insert_many(self._connection, "trace", columns, rows, on_conflict=_MERGE_SUMMARY)

    def _enter(self, batch: Sequence[Record], process_id: int | None) -> None:
        for record in batch:
            if isinstance(record, SpanRecord):
                if attr.GEN_AI_OPERATION_NAME in record.attributes:  # tasks and calls have one
                    role = find_role(record.attributes, record.kind)
                    ledger.enter_span(self._connection, record, role, process_id)
            elif isinstance(record, TaskNote):
                ledger.enter_note(self._connection, record)

    def _note_life(self, batch: Sequence[Record], accounts: Accounts, journal_seq: int) -> None:
        seen = max((_time_of(record) for record in batch), default=0)
        lost = [accounts.dropped[signal, "queue_full"] for signal in ("traces", "logs")]
        if seen or journal_seq or any(lost):
            self._connection.execute(
                "UPDATE process SET seen = max(seen, ?), journal_seq = max(journal_seq, ?), "
                "lost_spans = lost_spans + ?, lost_logs = lost_logs + ? WHERE id = ?",
                (seen, journal_seq, *lost, self._process_id),
            )

    def _account(self, tally: Tally, accounts: Accounts, stored: Mapping[str, int]) -> None:
        """Count: what was made is what was stored and what was dropped."""
        for signal, records in stored.items():
            tally.add_stored(signal, records)
        for (component, error), errors in accounts.errors.items():
            tally.add(metrics.INTERNAL_ERRORS, {attr.COMPONENT: component, attr.ERROR_TYPE: error}, errors)
        for seconds in accounts.write_durations_s:
            tally.add(metrics.RECORDER_WRITE_DURATION, {}, seconds)
        for (signal, reason), records in accounts.dropped.items():
            labels = {attr.SIGNAL: signal, attr.DESTINATION: STORE, attr.DROP_REASON: reason}
            tally.add(metrics.RECORDS_DROPPED, labels, records)
            tally.add(metrics.RECORDS_EMITTED, {attr.SIGNAL: signal}, records)
        rows = [(signal, reason, records) for (signal, reason), records in accounts.dropped.items()]
        insert_many(
            self._connection,
            "dropped",
            ("signal", "reason", "records"),
            rows,
            on_conflict="(signal, reason) DO UPDATE SET records = records + excluded.records",
        )


_TELL_S: Final = 60.0
"""Between two events of losses: they come in each transaction when they come, and their number is counted."""
_UNSTORABLE: Final = (ValueError, OverflowError, sqlite3.IntegrityError, sqlite3.DataError)
"""Errors that speak of a record and not of the store."""

# A start may be recorded twice, the second time with what the span says of itself.
_MERGE_OPEN = "(process, span) DO UPDATE SET role = excluded.role, body = excluded.body"
_MERGE_SUMMARY = """(trace) DO UPDATE SET
    start = min(start, excluded.start), stop = max(stop, excluded.stop), spans = spans + excluded.spans,
    errors = errors + excluded.errors, root_name = coalesce(excluded.root_name, root_name)"""


@dataclass(slots=True)
class _Summary:
    """What a batch adds to the summary of one trace."""

    start_ns: int = 1 << 62
    stop_ns: int = 0
    spans: int = 0
    errors: int = 0
    root_name: str | None = None

    def add(self, span: SpanRecord) -> None:
        start_ns, end_ns = span.start_ns, span.end_ns
        self.start_ns = min(self.start_ns, start_ns)
        if end_ns is not None:
            self.spans += 1
            self.errors += span.status_code == STATUS_ERROR
        self.stop_ns = max(self.stop_ns, end_ns or start_ns)
        if span.parent_id is None:
            self.root_name = span.name

    def row(self, trace: bytes) -> tuple[object, ...]:
        return trace, self.start_ns, self.stop_ns, self.spans, self.errors, self.root_name


def _split(batch: Iterable[Record]) -> tuple[dict[bytes, SpanRecord], list[SpanRecord]]:
    """Spans that stay open and spans that ended; what does both within a batch never touches `open`."""
    starts: dict[bytes, SpanRecord] = {}
    ends: list[SpanRecord] = []
    for record in batch:
        if not isinstance(record, SpanRecord):
            continue
        if record.is_open:
            starts[record.span_id] = record
        else:
            starts.pop(record.span_id, None)
            ends.append(record)
    return starts, ends


def _count_ended(batch: Iterable[Record]) -> int:
    return sum(isinstance(one, SpanRecord) and not one.is_open for one in batch)


def _time_of(record: Record) -> int:
    if isinstance(record, SpanRecord):
        return record.end_ns or record.start_ns
    return record.time_ns if isinstance(record, LogRecord) else 0
