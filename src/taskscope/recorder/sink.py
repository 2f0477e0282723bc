"""Where spans come in: encoded on the application's thread, and copied into the journal.

Called by our tracer for each sampled span, in the process that started it. Nothing here raises into the
application: what cannot be recorded is counted as dropped.
"""

# ruff: noqa: SLF001  upstream's slots, which our spans have too: their properties cost a call, and some copy.
# For the same reason a context is read as the tuple that it is: 1 is the span's id.

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
        """Open spans that are not on record as they are, oldest first."""
        self._sketched: set[int] = set()
        """Those of them of which name, times and place are on record, since something below them is."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp a foreign span; record the start of what must survive a kill."""
        try:
            attributes: Mapping[str, Any] = span._attributes or {}
            if attr.TASK_ID not in attributes and (stamps := self._stamp(parent_context)):
                span.set_attributes(stamps)
            if find_role(attributes, span._kind._value_ + 1) in RECORDED_AT_START:
                body = self._encoder.span(span, is_end=False)
                parent = span._parent
                if parent is not None and parent[1] in self._young and parent[1] not in self._sketched:
                    self._record_around(span)
                self._intake.start(self._encoder.source_of(span), body)
            else:
                self._young[span._context[1]] = span  # type: ignore[index]  # a span has one
                if self._journal.is_writer_resting:
                    self._intake.wake_writer()
        except Exception as error:  # noqa: BLE001  the border to the host
            self._intake.count_error("processor", type(error).__qualname__)

    def on_end(self, span: ReadableSpan) -> None:
        """Record an ended span."""
        try:
            # Out of the young ones first: from here on the sweep does not record its start any more.
            span_id = span._context[1]  # type: ignore[index]  # a span has one
            is_recorded = self._young.pop(span_id, None) is None
            if self._sketched and span_id in self._sketched:
                is_recorded = True
                self._sketched.discard(span_id)
            body = self._encoder.span(span, is_end=True)
            parent = span._parent
            is_precious = is_recorded or parent is None or span._status.status_code is StatusCode.ERROR
            if parent is not None and parent[1] in self._young and parent[1] not in self._sketched:
                self._record_around(span)
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

    def before_fork(self) -> None:
        """Record the starts of all open spans: what a child makes may belong below any of them."""
        for span_id, span in list(self._young.items()):
            self._record_late(span_id, span)

    def _record_around(self, span: ReadableSpan) -> None:
        """Record the starts of the young spans around one that goes on record.

        A kill must not leave it behind without its parents. Those above one that is on record are there too.
        Without attributes, which is quick; they come with the sweep, unless the span has ended by then.
        """
        around: list[tuple[int, Span]] = []
        parent = span._parent
        while parent is not None and (young := self._young.get(parent[1])) is not None:
            if parent[1] in self._sketched:
                break
            around.append((parent[1], young))
            parent = young._parent
        for span_id, young in reversed(around):
            body, source = self._encoder.sketch(young), self._encoder.source_of(young)
            with self._journal.lock:
                if span_id in self._young:
                    self._sketched.add(span_id)
                    self._intake.start(source, body)

    def _record_late(self, span_id: int, span: Span) -> None:
        """Record the start of a span unless it ends meanwhile: its end must not come first."""
        try:
            body = self._encoder.span(span, is_end=False)
        except Exception as error:  # noqa: BLE001  its end may fare better
            self._young.pop(span_id, None)
            self._intake.count_error("processor", type(error).__qualname__)
            return
        with self._journal.lock:
            if self._young.pop(span_id, None) is not None:
                self._sketched.discard(span_id)
                self._intake.start(self._encoder.source_of(span), body)

    def begin_in_child(self) -> None:
        """In a forked child: what is open belongs to the parent."""
        self._young, self._sketched = {}, set()
        self._encoder.forget_sources()

    def shutdown(self) -> None:
        """Flush for at most two seconds; the recording itself ends with `Recording.shutdown`."""
        self._writer.flush(_SHUTDOWN_S)

    def force_flush(self, timeout_millis: int) -> bool:
        """Whether all ended spans are stored."""
        return self._writer.flush(timeout_millis / _MILLISECONDS)
