"""What an installed recorder is to the rest of the program: hand in records, flush, shut down.

Made by `setup.install`; one that is disabled does nothing and says so.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from taskscope.store.history import History, open_history

if TYPE_CHECKING:
    from pathlib import Path

    from taskscope.store.records import Record

    from .encoding import Encoder
    from .writer import Writer


class Recording:
    """The recorder of this process; nothing here raises into the host but `history`."""

    def __init__(
        self,
        store_path: Path,
        writer: Writer | None = None,
        encoder: Encoder | None = None,
        resource: Mapping[str, Any] | None = None,
    ) -> None:
        self.store_path = store_path
        self._writer = writer
        self._encoder = encoder
        self._resource = resource or {}
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
        """Whether the store cannot be written now, so that records wait in bounded memory."""
        return self._writer is not None and self._writer.is_failing

    @property
    def queue_bytes(self) -> int:
        """About how much memory the waiting records take."""
        return self._writer.queue_bytes if self._writer is not None else 0

    def on_shutdown(self, close: Callable[[], object]) -> None:
        """Have `close` called once at `shutdown`, within its time."""
        self._closers.append(close)

    def submit(self, record: Record) -> None:
        """Hand in a record that is already clean and encoded: a note about a task, say."""
        if self._writer is not None:
            self._writer.submit(record)

    def submit_line(
        self,
        *,
        time_ns: int,
        severity_number: int,
        severity_text: str,
        body: str,
        attributes: Mapping[str, Any],
        trace_id: bytes | None = None,
        span_id: bytes | None = None,
    ) -> None:
        """Record a log line of this program, cleaned and encoded on the way."""
        if self._writer is None or self._encoder is None:
            return
        try:
            record = self._encoder.line(
                time_ns=time_ns,
                observed_ns=time_ns,
                severity_number=severity_number,
                severity_text=severity_text,
                body=body,
                attributes=attributes,
                trace_id=trace_id,
                span_id=span_id,
                source=self._encoder.plain_source(self._resource, "taskscope.logs"),
            )
            self._writer.submit(record)
        except Exception as error:
            self._writer.count_error("recorder", type(error).__qualname__)
            self._writer.count_drop("logs", "encode_error")

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
        """Flush, stop and leave the store, exporters included, within `timeout` seconds; the truth of the flush."""
        if self._is_closed or self._writer is None:
            self._is_closed = True
            return True
        self._is_closed = True
        deadline = time.monotonic() + timeout
        threads = [threading.Thread(target=_quietly, args=(close,), daemon=True) for close in self._closers]
        with contextlib.suppress(RuntimeError):  # no new threads while the interpreter ends
            for thread in threads:
                thread.start()
        is_flushed = self._writer.shutdown(timeout)
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(deadline - time.monotonic(), 0))
        return is_flushed

    def history(self) -> History:
        """The read face of the store, to be closed; raises StoreError when there is none or it is unusable."""
        return open_history(self.store_path)


def _quietly(close: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        close()
