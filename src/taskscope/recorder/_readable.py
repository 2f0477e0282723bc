"""What foreign span processors are served: upstream's own containers, and a guard around each processor.

Built only where one is registered. Values become what the SDK would have made of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.util import BoundedList

if TYPE_CHECKING:
    from opentelemetry.context import Context


Report = Callable[[str, BaseException], None]
"""Counts an error that was kept from the host: the component, and the error."""
_MILLISECOND = 1_000_000  # nanoseconds


class Carrier(Protocol):
    """A span, event or link with its attributes as they were given."""

    _attributes: dict[str, Any]
    dropped_attributes: int


def bind(carrier: Carrier, limit: int | None, length: int | None) -> BoundedAttributes:
    """What it kept, in upstream's own container."""
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


def bind_list(items: Sequence[Any], limit: int | None, dropped: int) -> Any:
    """Events or links in upstream's own container."""
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
