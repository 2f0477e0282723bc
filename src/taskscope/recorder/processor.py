"""Where the providers of others hand over what they have: spans to the sink, log records to the intake.

Nothing in here raises into the application: what cannot be recorded is counted as dropped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor

from taskscope.semconv import attributes as attr

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from .encoding import Encoder
    from .intake import Intake
    from .sink import RecordingSink, Stamp
    from .writer import Writer

_MILLISECONDS: Final = 1000
_SHUTDOWN_S: Final = 2.0


class RecordingSpanProcessor(SpanProcessor):
    """Hands the spans of a provider that is not ours to the sink."""

    def __init__(self, sink: RecordingSink) -> None:
        self.is_active = True
        """Providers cannot let a processor go; one that is not active does nothing."""
        self._sink = sink
        self._open: set[int] = set()
        self._inherited: set[int] = set()
        self._pid = os.getpid()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand on a sampled span."""
        if self.is_active and span.context.trace_flags.sampled:
            self._notice_fork()
            self._open.add(span.context.span_id)
            self._sink.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand on a sampled span; not in a forked child, where its parent process ends it."""
        context = span.context
        if self.is_active and context is not None and context.trace_flags.sampled:
            self._notice_fork()
            self._open.discard(context.span_id)
            if context.span_id not in self._inherited:
                self._sink.on_end(span)

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._inherited, self._open = self._inherited | self._open, set()

    def shutdown(self) -> None:
        """Flush for at most two seconds; the recording itself ends with `Recording.shutdown`."""
        if self.is_active:
            self._sink.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether all ended spans are stored."""
        return not self.is_active or self._sink.force_flush(timeout_millis)


class RecordingLogProcessor(LogRecordProcessor):
    """Records every log record and event of the OTel logs API."""

    def __init__(self, encoder: Encoder, intake: Intake, writer: Writer, stamp: Stamp) -> None:
        self.is_active = True
        """Providers cannot let a processor go; one that is not active does nothing."""
        self._encoder = encoder
        self._intake = intake
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
            self._intake.log(self._encoder.log(log_record))
        except Exception as error:  # noqa: BLE001  the border to the host
            self._intake.count_error("processor", type(error).__qualname__)
            self._intake.count_drop("logs", "encode_error")

    def shutdown(self) -> None:
        """Flush for at most two seconds."""
        if self.is_active:
            self._writer.flush(_SHUTDOWN_S)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether all records are stored."""
        return not self.is_active or self._writer.flush(timeout_millis / _MILLISECONDS)
