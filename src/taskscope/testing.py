"""For tests of instrumented code: spans and events in memory, with fixed ids, times and task ids.

    pytest_plugins = ["taskscope.testing"]

    def test_answer(span_recorder):
        answer("why?")
        assert span_recorder.tree() == [...]

It records what Taskscope's own spans say, and what foreign instrumentation says that is given
`SpanRecorder.tracer_provider`. The first trace is 1, the first span 1, the first task `t-1`; the clock begins
at one second past 1970 and goes one second further each time that it is asked.
"""

from __future__ import annotations

import itertools
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import StatusCode

from taskscope.semconv import attributes as attr
from taskscope.telemetry.providers import use_providers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

_SECOND = 1_000_000_000  # nanoseconds


@dataclass(frozen=True, slots=True)
class Event:
    """One log record that was emitted through the OTel API."""

    name: str
    severity: str
    span_id: int
    """0 outside of any span."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    body: object = None


class SpanRecorder:
    """Records spans and events while it is entered; what was set up before is used again afterwards."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        """All events, in the order in which they were emitted."""
        self._spans: dict[int, Span] = {}
        self._lock = threading.Lock()
        self._clock = itertools.count(_SECOND, _SECOND)
        self._task_ids = itertools.count(1)
        no_metrics = NoOpMeterProvider()
        self.tracer_provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({}),
            shutdown_on_exit=False,
            id_generator=_CountedIds(),
            meter_provider=no_metrics,
        )
        """For foreign instrumentation, `instrument(tracer_provider=...)`."""
        self.tracer_provider.add_span_processor(_KeepSpans(self._spans))
        self.logger_provider = LoggerProvider(
            resource=Resource({}), shutdown_on_exit=False, meter_provider=no_metrics
        )
        """For foreign instrumentation that emits log records."""
        self.logger_provider.add_log_record_processor(_KeepEvents(self.events))
        self._installed = ExitStack()

    def __enter__(self) -> Self:
        self._installed.enter_context(
            use_providers(
                self.tracer_provider, self.logger_provider, clock=self._tick, task_id=self._next_task_id
            )
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._installed.close()

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans, open ones too, in the order in which they were started."""
        return list(self._spans.values())

    @property
    def open_spans(self) -> list[ReadableSpan]:
        """The spans that did not end yet."""
        return [span for span in self.spans if span.end_time is None]

    def clear(self) -> None:
        """Forget what was recorded; ids and clock go on."""
        self._spans.clear()
        self.events.clear()

    def tree(self, *, ids: bool = False, times: bool = False) -> list[dict[str, Any]]:
        """Return the roots as plain data, children nested in the order of their starts.

        Each: `name`, `kind`, `status` (`ERROR: description`) unless unset, `attributes`, `events` and
        `children`, the last three only where there are any; `open` only if it did not end. An exception's
        stack trace is left out. `ids` adds trace and span id, `times` start and end in seconds of the clock.
        """
        children: dict[int, list[ReadableSpan]] = {}
        known = set(self._spans)
        for span in self.spans:
            parent = span.parent.span_id if span.parent and span.parent.span_id in known else 0
            children.setdefault(parent, []).append(span)
        return [self._node(root, children, ids=ids, times=times) for root in children.get(0, ())]

    def text(self) -> str:
        """Return the tree as indented lines: each span's name and, where it failed, its `error.type`."""
        return "\n".join(_lines(self.tree(), 0))

    def assert_nothing_leaks(self) -> None:
        """Raise AssertionError, naming them, if spans are open or one is still current."""
        still_open = [span.name for span in self.open_spans]
        assert not still_open, f"spans that never ended: {', '.join(still_open)}"
        current = trace.get_current_span()
        own = current.get_span_context().span_id in self._spans
        assert not (own and isinstance(current, Span)), f"a span that ended is still current: {current}"

    def _node(
        self, span: ReadableSpan, children: Mapping[int, list[ReadableSpan]], *, ids: bool, times: bool
    ) -> dict[str, Any]:
        span_id = _id_of(span)
        node: dict[str, Any] = {"name": span.name, "kind": span.kind.name}
        if ids:
            node |= {"trace_id": span.context.trace_id if span.context else 0, "span_id": span_id}
        if times:
            node |= {"start": _seconds(span.start_time), "end": _seconds(span.end_time)}
        if span.end_time is None:
            node["open"] = True
        if span.status.status_code is not StatusCode.UNSET:
            node["status"] = _describe_status(span)
        lists = {
            "attributes": {key: _plain(value) for key, value in (span.attributes or {}).items()},
            "events": [_event_node(event) for event in self.events if event.span_id == span_id],
            "children": [
                self._node(child, children, ids=ids, times=times) for child in children.get(span_id, ())
            ],
        }
        return node | {key: value for key, value in lists.items() if value}

    def _tick(self) -> int:
        with self._lock:
            return next(self._clock)

    def _next_task_id(self) -> str:
        return f"t-{next(self._task_ids)}"


class _CountedIds(IdGenerator):
    """Trace and span ids 1, 2, 3, ..."""

    def __init__(self) -> None:
        self._trace_ids = itertools.count(1)
        self._span_ids = itertools.count(1)

    def generate_span_id(self) -> int:
        return next(self._span_ids)

    def generate_trace_id(self) -> int:
        return next(self._trace_ids)


class _KeepSpans(SpanProcessor):
    """Keeps each span from its start on."""

    def __init__(self, spans: dict[int, Span]) -> None:
        self._spans = spans

    def on_start(
        self,
        span: Span,
        parent_context: otel_context.Context | None = None,  # noqa: ARG002 - the interface's own
    ) -> None:
        self._spans[_id_of(span)] = span


class _KeepEvents(LogRecordProcessor):
    """Keeps each log record as an event."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        record = log_record.log_record
        attributes = {key: _plain(value) for key, value in (record.attributes or {}).items()}
        severity = record.severity_text or ""
        self._events.append(
            Event(record.event_name or "", severity, record.span_id or 0, attributes, record.body)
        )

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the interface's own
        """Nothing waits."""
        return True


def _id_of(span: ReadableSpan) -> int:
    return span.context.span_id if span.context else 0


def _seconds(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / _SECOND


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _describe_status(span: ReadableSpan) -> str:
    return ": ".join(filter(None, [span.status.status_code.name, span.status.description]))


def _event_node(event: Event) -> dict[str, Any]:
    attributes = {key: value for key, value in event.attributes.items() if key != attr.EXCEPTION_STACKTRACE}
    return {"name": event.name, "severity": event.severity, "attributes": attributes}


def _lines(nodes: Iterable[Mapping[str, Any]], depth: int) -> Iterator[str]:
    for node in nodes:
        error = node.get("attributes", {}).get(attr.ERROR_TYPE)
        yield "  " * depth + node["name"] + (f" ! {error}" if error else "")
        yield from _lines(node.get("children", ()), depth + 1)


try:
    import pytest
except ModuleNotFoundError:  # SpanRecorder serves without pytest
    pass
else:

    @pytest.fixture
    def span_recorder() -> Iterator[SpanRecorder]:
        """Record the spans of one test; it fails if one of them leaks."""
        with SpanRecorder() as recorder:
            yield recorder
        recorder.assert_nothing_leaks()
