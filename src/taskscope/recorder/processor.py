"""Where the SDK hands over spans and log records: encoded on the application's thread, given to the writer.

Nothing in here raises into the application: what cannot be recorded is counted as dropped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor

from taskscope.semconv import attributes as attr
from taskscope.store.roles import RECORDED_AT_START, find_role

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from .encoding import Encoder
    from .writer import Writer

Stamp: TypeAlias = "Callable[[Context | None], Mapping[str, str]]"
"""Says what every record made in a context carries: the task's id and kind; empty outside of any task."""

_MILLISECONDS = 1000
_SHUTDOWN_S = 2.0


class RecordingSpanProcessor(SpanProcessor):
    """Records the start of spans that must survive a kill, and the end of every sampled span."""

    def __init__(self, encoder: Encoder, writer: Writer, stamp: Stamp) -> None:
        self.is_active = True
        """Providers cannot let a processor go; one that is not active does nothing."""
        self._encoder = encoder
        self._writer = writer
        self._stamp = stamp
        self._open: set[int] = set()
        self._inherited: set[int] = set()
        self._pid = os.getpid()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp a foreign span; record the start of what must survive a kill."""
        try:
            if not self.is_active or not span.context.trace_flags.sampled:
                return
            self._notice_fork()
            attributes = _copy_attributes(span)
            if attr.TASK_ID not in attributes and (stamps := self._stamp(parent_context)):
                span.set_attributes(stamps)
                attributes.update(stamps)
            if find_role(attributes, span.kind.value + 1) in RECORDED_AT_START:
                record = self._encoder.span(span, attributes, is_end=False)
                self._open.add(span.context.span_id)
                self._writer.submit(record, is_urgent=True)
        except Exception as error:  # noqa: BLE001  the border to the host
            self._writer.count_error("processor", type(error).__qualname__)

    def on_end(self, span: ReadableSpan) -> None:
        """Record an ended span."""
        context = span.context
        try:
            if not self.is_active or context is None or not context.trace_flags.sampled:
                return
            self._notice_fork()
            if context.span_id in self._inherited:
                return  # the parent process ends it
            was_open = context.span_id in self._open
            if was_open:
                self._open.discard(context.span_id)
            record = self._encoder.span(span, _copy_attributes(span), is_end=True, was_open=was_open)
            self._writer.submit(record)
        except Exception as error:  # noqa: BLE001  the border to the host
            self._writer.count_error("processor", type(error).__qualname__)
            self._writer.count_drop("traces", "encode_error")

    def _notice_fork(self) -> None:
        """In a forked child: what was open belongs to the parent."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._inherited, self._open = self._open, set()

    def shutdown(self) -> None:
        """Flush for at most two seconds; the recording itself ends with `Recording.shutdown`."""
        if self.is_active:
            self._writer.flush(_SHUTDOWN_S)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether all ended spans are stored."""
        return not self.is_active or self._writer.flush(timeout_millis / _MILLISECONDS)


class RecordingLogProcessor(LogRecordProcessor):
    """Records every log record and event of the OTel logs API."""

    def __init__(self, encoder: Encoder, writer: Writer, stamp: Stamp) -> None:
        self.is_active = True
        """Providers cannot let a processor go; one that is not active does nothing."""
        self._encoder = encoder
        self._writer = writer
        self._stamp = stamp

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Stamp a foreign record, and record it."""
        if not self.is_active:
            return
        try:
            said = log_record.log_record
            if attr.TASK_ID not in (said.attributes or {}) and (stamps := self._stamp(said.context)):
                said.attributes = {**(said.attributes or {}), **stamps}
            self._writer.submit(self._encoder.log(log_record))
        except Exception as error:  # noqa: BLE001  the border to the host
            self._writer.count_error("processor", type(error).__qualname__)
            self._writer.count_drop("logs", "encode_error")

    def shutdown(self) -> None:
        """Flush for at most two seconds."""
        if self.is_active:
            self._writer.flush(_SHUTDOWN_S)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether all records are stored."""
        return not self.is_active or self._writer.flush(timeout_millis / _MILLISECONDS)


def _copy_attributes(span: ReadableSpan) -> dict[str, Any]:
    """A copy in one atomic step: another thread may still set attributes, and to iterate would fail then."""
    attributes = span._attributes  # noqa: SLF001  the public property copies
    copy = getattr(attributes, "copy", None)
    return copy() if copy is not None else dict(attributes or {})
