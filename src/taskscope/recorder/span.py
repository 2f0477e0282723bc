"""A span that costs little: plain slots, no lock, no copy; what it keeps is cleaned when it is recorded.

It is an SDK span for whoever asks, and keeps upstream's contract but for three laws: the times of a local
trace come from one monotonic clock, no call raises into the host, and beyond the limit the contract's
attributes outlive others.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.sdk import trace as sdk
from opentelemetry.semconv.attributes import exception_attributes as exceptions
from opentelemetry.trace import Link, Status, StatusCode

from ._parts import SpanEvent, SpanLink, is_link
from ._readable import bind, bind_list

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationInfo, InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind

    from ._attributes import Bounds

_logger = logging.getLogger("opentelemetry.sdk.trace")  # hosts know, and silence, warnings by upstream's name

UNSET = Status(StatusCode.UNSET)

generation = 0
"""How many forks lie between the first process and this one; a span is recorded in that of its start."""


def _count_fork() -> None:
    global generation  # noqa: PLW0603  one number of the process
    generation += 1


os.register_at_fork(after_in_child=_count_fork)


class Sink(Protocol):
    """Who records sampled spans, called before any foreign processor."""

    def on_start(self, span: Span, parent_context: Context | None) -> None:
        """Take a span that started; attributes may be set on it."""

    def on_end(self, span: Span) -> None:
        """Take a span that ended in the process that started it.

        Another thread may still be inside of a setter: attributes are copied before they are walked through.
        """

    def force_flush(self, timeout_millis: int) -> bool:
        """Whether all that was taken is safe."""

    def shutdown(self) -> None:
        """Take no more."""


class Origin(Protocol):
    """What a span asks of its tracer."""

    bounds: Bounds
    event_bounds: Bounds
    events_limit: int
    instrumentation_info: InstrumentationInfo
    is_metered: bool
    limits: sdk.SpanLimits
    link_bounds: Bounds
    links_limit: int
    report: Callable[[str, BaseException], None]
    resource: Resource
    scope: InstrumentationScope
    sink: Sink | None
    span_processor: Any
    ticks: Callable[[], int]

    def select(self, bounds: Bounds, attributes: Mapping[str, Any] | None) -> tuple[dict[str, Any], int]:
        """What an event or link keeps of its attributes, and how many it drops."""

    def serve_end(self, span: Span) -> None:
        """Tell foreign processors."""

    def count_end(self, span: Span) -> None:
        """Tell the SDK's own metrics."""


class Span(sdk.Span):
    """Made by `Tracer.start_span` alone, which fills the slots; there is no constructor to pay for.

    The slots have upstream's names, so that its properties and its readers work on them.
    """

    __slots__ = (
        "_attributes",  # dict: as given; `.copy()` is one atomic step while other threads set attributes
        "_context",  # SpanContext, a tuple: trace id, span id, is remote, flags, trace state, is valid
        "_end_time",  # int, None while it is open
        "_events",  # list of SpanEvent; the empty tuple while there are none
        "_generation",  # int: see `generation`; -1 when it is not sampled: no process records it
        "_is_open",  # deleted by the one thread that ends the span
        "_kind",
        "_links",  # list of SpanLink; the empty tuple while there are none
        "_name",
        "_offset",  # int: nanoseconds from the monotonic clock to 1970, one number for a local trace
        "_parent",  # SpanContext, None at a root
        "_record_exception",
        "_set_status_on_exception",
        "_start_time",
        "_status",
        "_tracer",  # Origin, its tracer: resource, scope, limits
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
    )  # fmt: skip

    _attributes: dict[str, Any]
    _context: SpanContext
    _end_time: int | None
    _events: Sequence[SpanEvent]
    _generation: int
    _is_open: bool
    _kind: SpanKind
    _links: Sequence[SpanLink]
    _name: str
    _offset: int
    _parent: SpanContext | None
    _record_exception: bool
    _set_status_on_exception: bool
    _start_time: int
    _status: Status
    _tracer: Origin
    dropped_attributes: int
    dropped_events: int
    dropped_links: int

    # What the tracer knows for all its spans.

    @property
    def _resource(self) -> Resource:  # type: ignore[override]  # an attribute upstream, which nobody sets here
        return self._tracer.resource

    @property
    def _instrumentation_scope(self) -> InstrumentationScope:  # type: ignore[override]  # the same
        return self._tracer.scope

    @property
    def _instrumentation_info(self) -> InstrumentationInfo:  # type: ignore[override]  # the same
        return self._tracer.instrumentation_info

    # What the host says of it while it is open.

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self._end_time is None

    def set_attribute(self, key: Any, value: Any) -> None:
        """Set one attribute; a key that is no text or empty is dropped, and counted."""
        if self._end_time is not None:
            _logger.warning("Setting attribute on ended span.")
            return
        attributes, bounds = self._attributes, self._tracer.bounds
        if (
            type(value) in bounds.plain
            and type(key) is str
            and key
            and (len(attributes) < bounds.count or key in attributes)
        ):
            attributes[key] = value
        elif isinstance(key, str):
            self._add_attributes([(key, value)])
        else:
            self.dropped_attributes += 1

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        if self._end_time is not None:
            _logger.warning("Setting attribute on ended span.")
            return
        own, bounds = self._attributes, self._tracer.bounds
        try:
            given = dict(attributes)
        except Exception as error:  # noqa: BLE001  the border to the host
            self._tracer.report("recorder", error)
            return
        try:
            if bounds.are_plain(given, own):
                own.update(given)
            else:
                self._add_attributes(given)
        except Exception as error:  # noqa: BLE001  as above
            self._tracer.report("recorder", error)

    def _add_attributes(self, given: Mapping[Any, Any] | Sequence[tuple[Any, Any]]) -> None:
        try:
            self.dropped_attributes += self._tracer.bounds.add(self._attributes, given)
        except Exception as error:  # noqa: BLE001  the border to the host
            self.dropped_attributes += len(given)
            self._tracer.report("recorder", error)

    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None:
        """Add an event; beyond the limit the oldest goes."""
        if self._end_time is not None:
            _logger.warning("Tried calling %s on an ended span.", "_add_event")
            return
        tracer = self._tracer
        try:
            kept, dropped = tracer.select(tracer.event_bounds, attributes)
            if timestamp is None:
                timestamp = self._offset + tracer.ticks()
            self._append_event(SpanEvent(name, kept, timestamp, dropped))
        except Exception as error:  # noqa: BLE001  the border to the host
            self.dropped_events += 1
            tracer.report("recorder", error)

    def _append_event(self, event: SpanEvent) -> None:
        events, limit = self._events, self._tracer.events_limit
        if not isinstance(events, list):
            events = self._events = []
        events.append(event)
        if len(events) > limit:
            del events[0]
            self.dropped_events += 1

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Add a link; one that leads nowhere and says nothing is no link."""
        if not is_link(context, attributes):
            return
        if self._end_time is not None:
            _logger.warning("Tried calling %s on an ended span.", "_add_link")
            return
        self._append_link(context, attributes)

    def _add_first_links(self, links: Sequence[Any]) -> None:
        try:
            for link in links:
                if link and is_link(link.context, link.attributes):
                    self._append_link(link.context, link.attributes)
        except Exception as error:  # noqa: BLE001  the border to the host
            self._tracer.report("recorder", error)

    def _append_link(self, context: SpanContext, attributes: Mapping[str, Any] | None) -> None:
        tracer, links = self._tracer, self._links
        if not isinstance(links, list):
            links = self._links = []
        links.append(SpanLink(context, *tracer.select(tracer.link_bounds, attributes)))
        if len(links) > tracer.links_limit:
            del links[0]
            self.dropped_links += 1

    def update_name(self, name: str) -> None:
        """Give it another name."""
        if self._end_time is not None:
            _logger.warning("Tried calling %s on an ended span.", "update_name")
            return
        self._name = name

    def set_status(self, status: Any, description: str | None = None) -> None:
        """Set the status: OK is final, UNSET says nothing, and only ERROR has a description."""
        if self._end_time is not None:
            _logger.warning("Tried calling %s on an ended span.", "set_status")
            return
        if self._status.status_code is StatusCode.OK:
            return
        if isinstance(status, Status):
            if status.status_code is StatusCode.UNSET:
                return
            if description is not None:
                _logger.warning(
                    "Description %s ignored. Use either `Status` or `(StatusCode, Description)`", description
                )
            self._status = status
        elif isinstance(status, StatusCode) and status is not StatusCode.UNSET:
            self._status = Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an event `exception` with type, message and stack trace."""
        try:
            kind = type(exception)
            in_module = kind.__module__ and kind.__module__ != "builtins"
            said: dict[str, Any] = {
                exceptions.EXCEPTION_TYPE: f"{kind.__module__}.{kind.__qualname__}"
                if in_module
                else kind.__qualname__,
                exceptions.EXCEPTION_MESSAGE: _message_of(exception),
                exceptions.EXCEPTION_STACKTRACE: "".join(traceback.format_exception(exception)),
                exceptions.EXCEPTION_ESCAPED: str(escaped),
            }
            if attributes:
                said.update(attributes)
            self.add_event("exception", said, timestamp)
        except Exception as error:  # noqa: BLE001  the border to the host
            self._tracer.report("recorder", error)

    # Its end.

    def fail(self, error: BaseException, *, is_event: bool, is_status: bool, escaped: bool = False) -> None:
        """Tell of an exception that left it; nothing after its end."""
        if self._end_time is not None:
            return
        try:
            if is_event:
                self.record_exception(error, escaped=escaped)
            if is_status:
                self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {_message_of(error)}"))
        except Exception as failure:  # noqa: BLE001  the border to the host
            self._tracer.report("recorder", failure)

    def end(self, end_time: int | None = None) -> None:
        """End it, once; without a time given it lasted as long as the monotonic clock says.

        The sink gets it in the process that started it; foreign processors get it wherever it ends.
        """
        try:
            del self._is_open  # one step: of several threads exactly one ends the span
        except AttributeError:
            _logger.warning("Calling end() on an ended span.")
            return
        tracer = self._tracer
        if end_time is None:
            end_time = self._offset + tracer.ticks()
            # A start that was given may lie in the future.
            if end_time < self._start_time:  # noqa: PLR1730  a call costs more than a branch
                end_time = self._start_time
        self._end_time = end_time
        sink = tracer.sink
        if sink is not None and self._generation == generation:
            try:
                sink.on_end(self)
            except Exception as error:  # noqa: BLE001  the border to the host
                tracer.report("processor", error)
        if tracer.is_metered:
            tracer.count_end(self)
        if tracer.span_processor._span_processors:
            tracer.serve_end(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, with the exception that leaves the block if there is one."""
        if error is not None:
            self.fail(
                error, is_event=self._record_exception, is_status=self._set_status_on_exception, escaped=True
            )
        self.end()

    def _readable_span(self) -> sdk.ReadableSpan:
        """What the SDK hands to processors and exporters."""
        limits = self._tracer.limits
        length = limits.max_attribute_length
        events = [
            sdk.Event(event.name, bind(event, limits.max_event_attributes, length), event.timestamp)
            for event in tuple(self._events)
        ]
        links = [
            Link(link.context, bind(link, limits.max_link_attributes, length)) for link in tuple(self._links)
        ]
        return sdk.ReadableSpan(
            name=self._name,
            context=self._context,
            parent=self._parent,
            resource=self._resource,
            attributes=bind(self, limits.max_span_attributes, limits.max_span_attribute_length),
            events=bind_list(events, limits.max_events, self.dropped_events),
            links=bind_list(links, limits.max_links, self.dropped_links),
            kind=self._kind,
            instrumentation_info=self._instrumentation_info,
            status=self._status,
            start_time=self._start_time,
            end_time=self._end_time,
            instrumentation_scope=self._instrumentation_scope,
        )


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a foreign exception may do anything
        return f"[unreadable {type(error).__qualname__}]"
