"""Where spans come in: encoded on the application's thread, and copied into the journal.

Called by our tracer for each sampled span, in the process that started it. Nothing here raises into the
application: what cannot be recorded is counted as dropped.
"""

# ruff: noqa: SLF001  upstream's slots, which our spans have too: their properties cost a call, and some copy

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.trace import StatusCode

from taskscope.semconv import attributes as attr
from taskscope.store.roles import RECORDED_AT_START, find_role

if TYPE_CHECKING:
    from opentelemetry.context import Context
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


class RecordingSink:
    """Records the start of spans that must survive a kill, and the end of every span."""

    def __init__(self, encoder: Encoder, intake: Intake, writer: Writer, stamp: Stamp) -> None:
        self._encoder = encoder
        self._intake = intake
        self._journal = intake.journal
        self._writer = writer
        self._stamp = stamp
        self._young: dict[int, Span] = {}
        """Open spans that are not on record, oldest first."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp a foreign span; record the start of what must survive a kill."""
        try:
            attributes: Mapping[str, Any] = span._attributes or {}
            if attr.TASK_ID not in attributes and (stamps := self._stamp(parent_context)):
                span.set_attributes(stamps)
            if find_role(attributes, span._kind.value + 1) in RECORDED_AT_START:
                body = self._encoder.span(span, _copy_attributes(span), is_end=False)
                self._intake.start(self._encoder.source_of(span), body)
            else:
                self._young[span._context.span_id] = span  # type: ignore[union-attr]  # a span has one
                if self._journal.is_writer_resting:
                    self._intake.wake_writer()
        except Exception as error:  # noqa: BLE001  the border to the host
            self._intake.count_error("processor", type(error).__qualname__)

    def on_end(self, span: ReadableSpan) -> None:
        """Record an ended span."""
        try:
            # Out of the young ones first: from here on the sweep does not record its start any more.
            was_young = self._young.pop(span._context.span_id, None) is not None  # type: ignore[union-attr]
            body = self._encoder.span(span, _copy_attributes(span), is_end=True)
            is_precious = not was_young or span._parent is None
            if not is_precious:
                is_precious = span._status.status_code is StatusCode.ERROR
            self._intake.end(self._encoder.source_of(span), body, is_precious)
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
            age_ns = time.time_ns() - (span._start_time or 0)
            if 0 <= age_ns < YOUNG_NS:
                return (YOUNG_NS - age_ns) / 1e9
            self._record_late(span_id, span)
        return None

    def _record_late(self, span_id: int, span: Span) -> None:
        """Record the start of a span unless it ends meanwhile: its end must not come first."""
        try:
            body = self._encoder.span(span, _copy_attributes(span), is_end=False)
        except Exception as error:  # noqa: BLE001  its end may fare better
            self._young.pop(span_id, None)
            self._intake.count_error("processor", type(error).__qualname__)
            return
        with self._journal.lock:
            if self._young.pop(span_id, None) is not None:
                self._intake.start(self._encoder.source_of(span), body)

    def begin_in_child(self) -> None:
        """In a forked child: what is open belongs to the parent."""
        self._young = {}

    def shutdown(self) -> None:
        """Flush for at most two seconds; the recording itself ends with `Recording.shutdown`."""
        self._writer.flush(_SHUTDOWN_S)

    def force_flush(self, timeout_millis: int) -> bool:
        """Whether all ended spans are stored."""
        return self._writer.flush(timeout_millis / _MILLISECONDS)


def _copy_attributes(span: ReadableSpan) -> dict[str, Any]:
    """A copy in one atomic step: another thread may still set attributes, and to iterate would fail then."""
    attributes = span._attributes
    copy = getattr(attributes, "copy", None)
    return copy() if copy is not None else dict(attributes or {})
