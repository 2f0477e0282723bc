"""Stores what other senders hand in, by the same rules as our own records, and once however often it comes.

Senders of OTLP send again when an answer is lost. A span is known by trace, parent and id; a log record has
no id, so that it is known by its bytes, as often as one request says it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from . import ledger
from .accounts import Accounts
from .foreign_points import write_points
from .ingest import Ingest, Stored
from .roles import find_foreign_role
from .tally import LABEL_VALUES_LIMIT, LabelLimit, Tally, make_printable

if TYPE_CHECKING:
    from .foreign_points import ForeignPoint
    from .records import LogRecord, SpanRecord

_LABEL_VALUES_LIMIT = LABEL_VALUES_LIMIT // 2

_KNOWN_SPAN = "SELECT 1 FROM span WHERE trace = ? AND parent IS ? AND span = ?"
_KNOWN_LOGS = "SELECT count(*) FROM log WHERE time = ? AND body = ?"


class _ForeignLabels(LabelLimit):
    """Labels by the words of others: printable, not long, no more than half of the values that may be."""

    def limit(self, label: str, value: str) -> str:
        """The value as a label may say it, or `other`."""
        return super().limit(label, make_printable(value))

    def _take(self, label: str, value: str, taken: set[str]) -> bool:
        return len(taken) < _LABEL_VALUES_LIMIT and super()._take(label, value, taken)


class ForeignIngest(Ingest):
    """The writing side for records of no process of this store; not for two threads at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection, None)
        self._labels = _ForeignLabels(connection)
        self._is_within = False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """One transaction for the look at what is there and all that is written."""
        if self._is_within:
            yield
            return
        with super()._transaction():
            self._is_within = True
            try:
                yield
            finally:
                self._is_within = False

    def write_spans(self, spans: Sequence[SpanRecord], refused: int = 0) -> Counter[str]:
        """Store the spans that are not there yet, whole or not at all; why some were refused, if any.

        `refused` ones, which did not even become records, are counted in the same transaction.
        """
        with self._transaction():
            new = self._new_spans(spans)
            self.write(new, _refusals("traces", refused))
            for span in new:
                role = find_foreign_role(span.attributes, span.kind)
                ledger.enter_foreign(self._connection, span, role)
        return Counter()

    def write_logs(self, logs: Sequence[LogRecord], refused: int = 0) -> Counter[str]:
        """Store the log records that are not there yet, whole or not at all; as `write_spans`."""
        with self._transaction():
            new = self._new_logs(logs)
            self.write(new, _refusals("logs", refused))
        return Counter()

    def write_points(self, points: Sequence[ForeignPoint], refused: int = 0) -> Counter[str]:
        """Keep the points of metrics, whole or not at all; why some were refused, if any."""
        with self._transaction():
            kept, reasons = write_points(self._connection, points, time.time_ns())
            tally = Tally(self._labels)
            self._account(tally, _refusals("metrics", refused + reasons.total()), {"metrics": kept})
            tally.write(self._connection)
        return reasons

    def _prepare(self, span: SpanRecord) -> Stored:
        """As for our own, but for what only this host's own spans may say."""
        return super()._prepare(span)._replace(role=find_foreign_role(span.attributes, span.kind))

    def _new_spans(self, spans: Sequence[SpanRecord]) -> list[SpanRecord]:
        found: dict[tuple[bytes, bytes | None, bytes], SpanRecord] = {}
        for span in spans:
            key = (span.trace_id, span.parent_id, span.span_id)
            if key not in found and self._connection.execute(_KNOWN_SPAN, key).fetchone() is None:
                found[key] = span
        return list(found.values())

    def _new_logs(self, logs: Sequence[LogRecord]) -> list[LogRecord]:
        known: dict[tuple[int, bytes], int] = {}
        said: Counter[tuple[int, bytes]] = Counter()
        new = []
        for log in logs:
            key = (log.time_ns, log.encoded)
            if key not in known:
                known[key] = self._connection.execute(_KNOWN_LOGS, key).fetchone()[0]
            said[key] += 1
            if said[key] > known[key]:
                new.append(log)
        return new


def _refusals(signal: str, refused: int) -> Accounts:
    accounts = Accounts()
    if refused:
        accounts.dropped[signal, "refused"] = refused
    return accounts
