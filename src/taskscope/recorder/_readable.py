"""What foreign span processors are served: the SDK's own read-only span, and a guard around each of them.

Built only where such a processor is registered. Values become what the SDK would have made of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from .span import Span, SpanEvent, SpanLink

Report = Callable[[str, BaseException], None]
"""Counts an error that was kept from the host: the component, and the error."""
_MILLISECOND = 1_000_000  # nanoseconds


def make_readable(span: Span) -> sdk.ReadableSpan:
    """The span as the SDK hands it to processors and exporters."""
    limits = span._tracer.limits
    length = limits.max_attribute_length
    events = [
        sdk.Event(event.name, _bind(event, limits.max_event_attributes, length), event.timestamp)
        for event in tuple(span._events)
    ]
    links = [
        Link(link.context, _bind(link, limits.max_link_attributes, length)) for link in tuple(span._links)
    ]
    return sdk.ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_bind(span, limits.max_span_attributes, limits.max_span_attribute_length),
        events=_bind_list(events, limits.max_events, span.dropped_events),
        links=_bind_list(links, limits.max_links, span.dropped_links),
        kind=span.kind,
        instrumentation_info=span._instrumentation_info,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _bind(carrier: Span | SpanEvent | SpanLink, limit: int | None, length: int | None) -> BoundedAttributes:
    """What a span, event or link kept, in upstream's own container."""
    values, dropped = carrier._attributes.copy(), carrier.dropped_attributes
    try:
        bound = BoundedAttributes(limit, values, max_value_len=length)
    except Exception:  # noqa: BLE001  the __str__ of one value raised; the others are innocent
        bound = BoundedAttributes(limit, immutable=False, max_value_len=length)
        for key, value in values.items():
            try:
                bound[key] = value
            except Exception:  # noqa: BLE001  the same
                dropped += 1
        bound._immutable = True
    bound.dropped += dropped
    return bound


def _bind_list(items: Sequence[Any], limit: int | None, dropped: int) -> Any:
    bound = BoundedList.from_seq(limit, items)
    bound.dropped += dropped
    return bound


class GuardedProcessors(sdk.SynchronousMultiSpanProcessor):
    """Foreign span processors, one by one; what one of them raises reaches neither host nor neighbour."""

    def __init__(self, report: Report) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # upstream lacks the annotation
        self._report = report

    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
        """Tell each that a span started."""
        for processor in self._span_processors:
            try:
                processor.on_start(span, parent_context=parent_context)
            except Exception as error:  # noqa: BLE001  the border to the host
                self._report("processor", error)

    def _on_ending(self, span: sdk.Span) -> None:
        for processor in self._span_processors:
            try:
                processor._on_ending(span)  # upstream's experimental hook
            except Exception as error:  # noqa: BLE001  the border to the host
                self._report("processor", error)

    def on_end(self, span: sdk.ReadableSpan) -> None:
        """Tell each that a span ended."""
        for processor in self._span_processors:
            try:
                processor.on_end(span)
            except Exception as error:  # noqa: BLE001  the border to the host
                self._report("processor", error)

    def shutdown(self) -> None:
        """Shut each down."""
        for processor in self._span_processors:
            try:
                processor.shutdown()
            except Exception as error:  # noqa: BLE001  the border to the host
                self._report("processor", error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether each says that it flushed, all within the time of a monotonic clock."""
        deadline = time.monotonic_ns() + timeout_millis * _MILLISECOND
        all_flushed = True
        for processor in self._span_processors:
            left = deadline - time.monotonic_ns()
            if left <= 0:
                return False
            try:
                all_flushed = processor.force_flush(left // _MILLISECOND) is not False and all_flushed
            except Exception as error:  # noqa: BLE001  the border to the host
                self._report("processor", error)
                all_flushed = False
        return all_flushed
