"""What an installed recorder is to the rest of the program: hand in records, flush, shut down.

Made by `setup.install`; one that is disabled does nothing and says so.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from taskscope.store.history import History
    from taskscope.store.records import Record

    from .intake import Intake
    from .writer import Writer

_LAST_SHARE = 0.1
"""Share of the time for an end that is kept for the writer, after exporters had the rest."""


class _Closer(NamedTuple):
    close: Callable[[], object]
    is_foreign: bool


class Recording:
    """The recorder of this process; nothing here raises into the host but `history`."""

    def __init__(
        self,
        store_path: Path,
        intake: Intake | None = None,
        writer: Writer | None = None,
        resource: bytes = b"",
    ) -> None:
        self.store_path = store_path
        self._intake = intake
        self._writer = writer
        self.resource = resource
        """Serialized OTLP `Resource` of this process; empty when disabled."""
        self._closers: list[_Closer] = []
        self._is_closed = False

    @property
    def is_disabled(self) -> bool:
        """Whether nothing is recorded at all."""
        return self._writer is None

    @property
    def is_closed(self) -> bool:
        """Whether `shutdown` was called."""
        return self._is_closed

    @property
    def is_in_memory(self) -> bool:
        """Whether the store cannot be written now, so that records wait in the journal or in memory."""
        return self._writer is not None and self._writer.is_failing

    @property
    def queue_bytes(self) -> int:
        """Bytes of records that wait for the writer."""
        return self._intake.journal.size_bytes if self._intake is not None else 0

    def on_shutdown(self, close: Callable[[], object], *, is_foreign: bool = False) -> None:
        """Have `close` called once at `shutdown`, within its time, which a foreign one may not keep."""
        self._closers.append(_Closer(close, is_foreign))

    def submit(self, record: Record) -> None:
        """Hand in a record that is already clean and encoded: a note about a task, say."""
        if self._intake is not None:
            self._intake.submit(record)

    def count_error(self, component: str, error_type: str) -> None:
        """Count an error that was kept from the host, for `taskscope.internal.errors`."""
        if self._writer is not None:
            self._writer.count_error(component, error_type)

    def flush(self, timeout: float) -> bool:
        """Whether all that was recorded before is in the store, within `timeout` seconds and without loss.

        Says nothing about OTLP exporters: upstream's `force_flush` returns True for what it lost (#4568).
        """
        return self._writer is None or self._writer.flush(timeout)

    def shutdown(self, timeout: float, *, foreign_s: float | None = None) -> bool:
        """Flush, stop and leave the store, exporters too, within `timeout` seconds; what the flush says.

        What is foreign is waited for no longer than `foreign_s`, if that is given.
        """
        if self._is_closed or self._writer is None:
            self._is_closed = True
            return True
        self._is_closed = True
        now = time.monotonic()
        deadline, foreign_deadline = now + timeout, now + (timeout if foreign_s is None else foreign_s)
        threads = [(_start(closer), closer.is_foreign) for closer in self._closers]
        is_flushed = self._writer.flush(timeout)
        # What an exporter says of its end is a log line too, so that the writer ends last.
        last_words = deadline - timeout * _LAST_SHARE
        for thread, is_foreign in threads:
            if thread is not None:
                until = min(last_words, foreign_deadline) if is_foreign else last_words
                thread.join(max(until - time.monotonic(), 0))
        return self._writer.shutdown(max(deadline - time.monotonic(), 0)) and is_flushed

    def history(self) -> History:
        """The read face of the store, to be closed; StoreError when there is none or it is unusable."""
        from taskscope.store.history import open_history

        return open_history(self.store_path)


def _start(closer: _Closer) -> threading.Thread | None:
    """The thread on which it closes; None where it is over already.

    Python 3.12 starts no thread while the interpreter ends: then ours close here, since they keep their own
    time, and foreign ones do not at all.
    """
    thread = threading.Thread(target=_quietly, args=(closer.close,), daemon=True)
    try:
        thread.start()
    except RuntimeError:
        if not closer.is_foreign:
            _quietly(closer.close)
        return None
    return thread


def _quietly(close: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        close()
