"""Events and links of a span: upstream's classes with plain slots, their attributes as they were given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk import trace as sdk
from opentelemetry.trace import Link

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext


class SpanEvent(sdk.Event):
    """An event with its attributes as they were given."""

    __slots__ = ("_attributes", "_name", "_timestamp", "dropped_attributes")

    _attributes: dict[str, Any]
    dropped_attributes: int

    def __init__(self, name: str, attributes: dict[str, Any], timestamp: int, dropped: int) -> None:
        self._name = name
        self._attributes = attributes
        self._timestamp = timestamp
        self.dropped_attributes = dropped


class SpanLink(Link):
    """A link with its attributes as they were given."""

    __slots__ = ("_attributes", "_context", "dropped_attributes")

    _attributes: dict[str, Any]
    dropped_attributes: int

    def __init__(self, context: SpanContext, attributes: dict[str, Any], dropped: int) -> None:
        self._context = context
        self._attributes = attributes
        self.dropped_attributes = dropped


def is_link(context: SpanContext | None, attributes: Mapping[str, Any] | None) -> bool:
    """Whether a link says anything."""
    return bool(context and (context.is_valid or attributes or context.trace_state))
