"""What an installed recorder is to the rest of the program: hand in records, flush, shut down.

Made by `setup.install`; one that is disabled does nothing and says so.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from taskscope.store.history import History
    from taskscope.store.records import Record

    from .intake import Intake
    from .writer import Writer

_LAST_SHARE = 0.1
"""Share of the time for an end that is kept for the writer, after exporters had the rest."""


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
        self._closers: list[Callable[[], object]] = []
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

    def on_shutdown(self, close: Callable[[], object]) -> None:
        """Have `close` called once at `shutdown`, within its time."""
        self._closers.append(close)

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

    def shutdown(self, timeout: float) -> bool:
        """Flush, stop and leave the store, exporters too, within `timeout` seconds; what the flush says."""
        if self._is_closed or self._writer is None:
            self._is_closed = True
            return True
        self._is_closed = True
        deadline = time.monotonic() + timeout
        threads = [threading.Thread(target=_quietly, args=(close,), daemon=True) for close in self._closers]
        with contextlib.suppress(RuntimeError):  # no new threads while the interpreter ends
            for thread in threads:
                thread.start()
        is_flushed = self._writer.flush(timeout)
        # What an exporter says of its end is a log line too, so that the writer ends last.
        last_words = deadline - timeout * _LAST_SHARE
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(last_words - time.monotonic(), 0))
        return self._writer.shutdown(max(deadline - time.monotonic(), 0)) and is_flushed

    def history(self) -> History:
        """The read face of the store, to be closed; StoreError when there is none or it is unusable."""
        from taskscope.store.history import open_history

        return open_history(self.store_path)


def _quietly(close: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        close()
