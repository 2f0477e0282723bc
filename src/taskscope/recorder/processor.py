"""Where spans and log records come in: encoded on the application's thread, and copied into the journal.

Nothing in here raises into the application: what cannot be recorded is counted as dropped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode

from taskscope.semconv import attributes as attr
from taskscope.store.roles import RECORDED_AT_START, find_role

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from .encoding import Encoder
    from .intake import Intake
    from .writer import Writer

Stamp: TypeAlias = "Callable[[Context | None], Mapping[str, str]]"
"""Says what every record made in a context carries: the task's id and kind; empty outside of any task."""

YOUNG_NS: Final = 250_000_000
"""A span of another role is put on record as open once it is as old as this."""
_MILLISECONDS: Final = 1000
_SHUTDOWN_S: Final = 2.0


class RecordingSpanProcessor(SpanProcessor):
    """Records the start of spans that must survive a kill, and the end of every sampled span."""

    def __init__(self, encoder: Encoder, intake: Intake, writer: Writer, stamp: Stamp) -> None:
        self.is_active = True
        """Providers cannot let a processor go; one that is not active does nothing."""
        self._encoder = encoder
        self._intake = intake
        self._writer = writer
        self._stamp = stamp
        self._recorded: set[int] = set()
        self._young: dict[int, Span] = {}
        """Open spans that are not on record, oldest first."""
        self._inherited: set[int] = set()
        self._pid = os.getpid()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp a foreign span; record the start of what must survive a kill."""
        try:
            if not self.is_active or not span.context.trace_flags.sampled:
                return
            self._notice_fork()
            attributes: Mapping[str, Any] = span._attributes or {}  # noqa: SLF001  the public property copies
            if attr.TASK_ID not in attributes and (stamps := self._stamp(parent_context)):
                span.set_attributes(stamps)
            span_id = span.context.span_id
            if find_role(attributes, span.kind.value + 1) in RECORDED_AT_START:
                body = self._encoder.span(span, _copy_attributes(span), is_end=False)
                self._recorded.add(span_id)
                self._intake.start(self._encoder.source(span.resource, span.instrumentation_scope), body)
            else:
                self._young[span_id] = span
                self._intake.wake_writer()
        except Exception as error:  # noqa: BLE001  the border to the host
            self._intake.count_error("processor", type(error).__qualname__)

    def on_end(self, span: ReadableSpan) -> None:
        """Record an ended span."""
        context = span.context
        try:
            if not self.is_active or context is None or not context.trace_flags.sampled:
                return
            self._notice_fork()
            span_id = context.span_id
            if span_id in self._inherited:
                return  # the parent process ends it
            # Out of the young ones first: from here on the sweep does not record its start any more.
            was_young = self._young.pop(span_id, None) is not None
            if not was_young:
                self._recorded.discard(span_id)
            is_precious = not was_young or span.parent is None or span.status.status_code is StatusCode.ERROR
            body = self._encoder.span(span, _copy_attributes(span), is_end=True)
            source = self._encoder.source(span.resource, span.instrumentation_scope)
            self._intake.end(source, body, is_precious=is_precious)
        except Exception as error:  # noqa: BLE001  the border to the host
            self._intake.count_error("processor", type(error).__qualname__)
            self._intake.count_drop("traces", "encode_error")

    def sweep(self) -> float | None:
        """Record the starts of spans that are not young any more; seconds until the next one is due.

        Called on the writer's thread.
        """
        while self._young:
            try:
                span_id, span = next(iter(self._young.items()))
            except (StopIteration, RuntimeError):  # the application was faster
                continue
            age_ns = time.time_ns() - (span.start_time or 0)
            if 0 <= age_ns < YOUNG_NS:
                return (YOUNG_NS - age_ns) / 1e9
            self._record_late(span_id, span)
        return None

    def _record_late(self, span_id: int, span: Span) -> None:
        """Record the start of a span unless it ends meanwhile: its end must not come first."""
        try:
            body = self._encoder.span(span, _copy_attributes(span), is_end=False)
            source = self._encoder.source(span.resource, span.instrumentation_scope)
        except Exception as error:  # noqa: BLE001  its end may fare better
            self._young.pop(span_id, None)
            self._intake.count_error("processor", type(error).__qualname__)
            return
        with self._intake.journal.lock:
            self._recorded.add(span_id)
            if self._young.pop(span_id, None) is None:
                self._recorded.discard(span_id)
                return
            self._intake.start(source, body)

    def _notice_fork(self) -> None:
        """In a forked child: what was open belongs to the parent."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._inherited = self._recorded | set(self._young)
            self._recorded, self._young = set(), {}

    def shutdown(self) -> None:
        """Flush for at most two seconds; the recording itself ends with `Recording.shutdown`."""
        if self.is_active:
            self._writer.flush(_SHUTDOWN_S)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether all ended spans are stored."""
        return not self.is_active or self._writer.flush(timeout_millis / _MILLISECONDS)


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


def _copy_attributes(span: ReadableSpan) -> dict[str, Any]:
    """A copy in one atomic step: another thread may still set attributes, and to iterate would fail then."""
    attributes = span._attributes  # noqa: SLF001  the public property copies
    copy = getattr(attributes, "copy", None)
    return copy() if copy is not None else dict(attributes or {})
