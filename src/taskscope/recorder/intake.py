"""Where records are handed in: into the journal, and what it cannot keep into the counts.

Nothing here blocks and nothing raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskscope.store import journals
from taskscope.store.decoding import encode
from taskscope.store.records import STATUS_ERROR, LogRecord, SpanRecord

if TYPE_CHECKING:
    from taskscope.store.records import Record, Source

    from .journal import Journal
    from .writer import Writer

_SEVERITY_ERROR: Final = 17


class Intake:
    """The entrance to a journal and its writer."""

    def __init__(self, journal: Journal, writer: Writer) -> None:
        self.journal = journal
        self._writer = writer
        self._append = journal.append
        self.count_error = writer.count_error
        self.count_drop = writer.count_drop

    def start(self, source: Source, body: bytes) -> None:
        """Take the start of a span: a preview, which counts as nothing when it is lost."""
        self._append(journals.SPAN, source, body, None, True)  # noqa: FBT003  the hot path: names cost

    def end(self, source: Source, body: bytes, is_precious: bool) -> None:  # noqa: FBT001  the same
        """Take an ended span; precious are roots, errors, and ends of what is on record as open."""
        reason = self._append(journals.SPAN, source, body, "traces", is_precious)
        if reason is not None:
            self.count_drop("traces", reason)

    def log(self, record: LogRecord) -> None:
        """Take a log record; precious are errors."""
        is_precious = record.severity_number >= _SEVERITY_ERROR
        reason = self._append(journals.LOG, record.source, record.encoded, "logs", is_precious)
        if reason is not None:
            self.count_drop("logs", reason)

    def submit(self, record: Record) -> None:
        """Take a record that is clean and encoded already."""
        if isinstance(record, LogRecord):
            self.log(record)
        elif isinstance(record, SpanRecord):
            if record.is_open:
                self.start(record.source, record.body)
            else:
                is_precious = record.parent_id is None or record.status_code == STATUS_ERROR
                self.end(record.source, record.body, is_precious)
        else:
            self._append(*encode(record), None, True)  # noqa: FBT003

    def wake_writer(self) -> None:
        """Have the writer look, where it rests: something else than a record wants it."""
        if self.journal.is_writer_resting:
            self.journal.is_writer_resting = False
            self._writer.wake()
