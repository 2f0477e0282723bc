"""SDK spans and log records as serialized OTLP, cleaned on the way; byte-identical to upstream's encoder.

Which bytes a field takes stands in `store/wire.py`. A resource and a scope are encoded once.
"""

# ruff: noqa: SLF001  upstream's slots, read as they are

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.span import DEFAULT_TRACE_STATE

from taskscope.store import wire
from taskscope.store.records import AttributeValue, LogRecord, Source

from ._pairs import KnownPairs

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, Status

    from .cleaning import Cleaner

_FLAG_HAS_IS_REMOTE = 0x100
_FLAG_IS_REMOTE = 0x200
_KIND_FIELDS = {kind.value: b"\x30" + wire.varint(kind.value + 1) for kind in SpanKind}
"""OTLP's span kind is one more than the API's: INTERNAL is 0 there."""
_UNSET = StatusCode.UNSET
_UNSET_FIELD = wire.status(0, "")
_LOCAL = wire.fixed32(b"\x85\x01", _FLAG_HAS_IS_REMOTE)
_REMOTE = wire.fixed32(b"\x85\x01", _FLAG_HAS_IS_REMOTE | _FLAG_IS_REMOTE)
_pack = struct.Struct("<Q").pack
_SOURCES_LIMIT = 1024
_NAMES_LIMIT = 1024
_NAME_LENGTH = 128


class Encoder:
    """Turns what the SDK hands over into records of the store."""

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner
        self._pairs = KnownPairs(cleaner)
        self._names: dict[str, bytes] = {}
        self._by_tracer: dict[object, Source] = {}
        # By identity: to hash a resource is to serialize it. The objects are kept, so no id is used again.
        self._sources: dict[tuple[int, int], tuple[Source, object, object]] = {}

    def span(self, span: ReadableSpan, *, is_end: bool) -> bytes:
        """The body of a span's start or end.

        Reads the slots of upstream's spans and ours, and contexts as the tuples that they are: properties
        cost a call each, and some copy.
        """
        # In one atomic step: another thread may still set attributes, and to iterate would fail then.
        attributes = _copy(span._attributes)
        encoded = self._pairs.encode(attributes)
        if encoded is None:
            encoded = wire.attributes(b"\x4a", self._cleaner.attributes(attributes))
        end = b"\x41" + _time(span._end_time) if is_end else b""
        rest = self._rest(span) if span._events or span._links or span.dropped_attributes else b""
        status = b""
        if is_end:
            said = span._status
            is_unset = said._status_code is _UNSET and not said._description
            status = _UNSET_FIELD if is_unset else self._status(said)
        flags = _REMOTE if (parent := span._parent) is not None and parent[2] else _LOCAL
        return b"".join((*self._head(span), end, encoded, rest, status, flags))

    def _head(self, span: ReadableSpan) -> tuple[bytes, ...]:
        """What a span is known by from its start on: its place, its name, its time."""
        context, parent = span._context, span._parent
        assert context is not None
        state = context[4]
        return (
            b"\x0a\x10", context[0].to_bytes(16), b"\x12\x08", context[1].to_bytes(8),
            b"" if state is DEFAULT_TRACE_STATE or not state else wire.text(b"\x1a", state.to_header()),
            b"" if parent is None else b"\x22\x08" + parent[1].to_bytes(8),
            self._names.get(span._name) or self._name(span._name),
            _KIND_FIELDS[span._kind._value_],  # `value` is a call, and so is the hash of an enum
            b"\x39", _time(span._start_time),
        )  # fmt: skip

    def sketch(self, span: ReadableSpan) -> bytes:
        """The body of a span's start without what it says of itself: its place, its name, its time."""
        flags = _REMOTE if (parent := span._parent) is not None and parent[2] else _LOCAL
        return b"".join((*self._head(span), flags))

    def _name(self, name: str) -> bytes:
        """The field of a name; kept, because programs use few."""
        field = wire.text(b"\x2a", self._cleaner.text(name))
        if len(self._names) >= _NAMES_LIMIT:
            self._names = {}
        if type(name) is str and len(name) <= _NAME_LENGTH:
            self._names[name] = field
        return field

    def _status(self, status: Status) -> bytes:
        code, description = status._status_code.value, status._description
        return wire.status(code, self._cleaner.text(description) if description else "")

    def _rest(self, span: ReadableSpan) -> bytes:
        """Dropped attributes, events and links, in the order of their fields."""
        return b"".join(
            (
                wire.counted(b"\x50", span.dropped_attributes),
                *(self._event(event) for event in span.events),
                wire.counted(b"\x60", span.dropped_events),
                *(self._link(link) for link in span.links),
                wire.counted(b"\x70", span.dropped_links),
            )
        )

    def _event(self, event: Any) -> bytes:
        return wire.sized(
            b"\x5a",
            wire.fixed64(b"\x09", event.timestamp)
            + wire.text(b"\x12", self._cleaner.text(event.name))
            + wire.attributes(b"\x1a", self._cleaner.attributes(event.attributes or {}))
            + wire.counted(b"\x20", event.dropped_attributes),
        )

    def _link(self, link: Any) -> bytes:
        return wire.sized(
            b"\x6a",
            wire.sized(b"\x0a", link.context.trace_id.to_bytes(16))
            + wire.sized(b"\x12", link.context.span_id.to_bytes(8))
            + wire.attributes(b"\x22", self._cleaner.attributes(link.attributes or {}))
            + wire.counted(b"\x28", link.dropped_attributes)
            + wire.fixed32(b"\x35", _flags(link.context)),
        )

    def log(self, record: ReadWriteLogRecord) -> LogRecord:
        """The record of an OTel log record or event."""
        log = record.log_record
        severity = log.severity_number.value if log.severity_number is not None else 0
        return self.line(
            time_ns=log.timestamp or log.observed_timestamp or 0,
            observed_ns=log.observed_timestamp or 0,
            severity_number=severity,
            severity_text=log.severity_text or "",
            event_name=log.event_name,
            body=log.body,
            attributes=dict(log.attributes or {}),
            trace_id=log.trace_id.to_bytes(16) if log.trace_id else None,
            span_id=log.span_id.to_bytes(8) if log.span_id else None,
            flags=int(log.trace_flags or 0),
            dropped_attributes=record.dropped_attributes,
            source=self.source(record.resource, record.instrumentation_scope),
        )

    def line(
        self,
        *,
        time_ns: int,
        severity_number: int,
        severity_text: str,
        attributes: Mapping[str, Any],
        source: Source,
        event_name: str | None = None,
        body: Any = None,
        trace_id: bytes | None = None,
        span_id: bytes | None = None,
        observed_ns: int = 0,
        flags: int = 0,
        dropped_attributes: int = 0,
    ) -> LogRecord:
        """The record of a log line given by its parts, cleaned."""
        values = self._cleaner.attributes(attributes)
        content: AttributeValue = (
            self._cleaner.attributes({"body": body}).get("body") if body is not None else None
        )
        name = self._cleaner.text(event_name) if event_name else ""
        encoded = b"".join(
            (
                wire.fixed64(b"\x09", time_ns),
                wire.counted(b"\x10", severity_number),
                wire.text(b"\x1a", severity_text),
                wire.sized(b"\x2a", wire.any_value(content)),
                wire.attributes(b"\x32", values),
                wire.counted(b"\x38", dropped_attributes),
                wire.fixed32(b"\x45", flags),
                wire.sized(b"\x4a", trace_id) if trace_id else b"",
                wire.sized(b"\x52", span_id) if span_id else b"",
                wire.fixed64(b"\x59", observed_ns),
                wire.text(b"\x62", name),
            )
        )
        text = content if isinstance(content, str) else "" if content is None else repr(content)
        return LogRecord(
            time_ns,
            severity_number,
            severity_text,
            name or None,
            text,
            values,
            trace_id,
            span_id,
            source,
            encoded,
        )

    def source_of(self, span: ReadableSpan) -> Source:
        """The serialized resource and scope of a span; of ours, which have a tracer, found at once."""
        tracer = getattr(span, "_tracer", None)
        if tracer is None:
            return self.source(span._resource, span._instrumentation_scope)
        source = self._by_tracer.get(tracer)
        if source is None:
            if len(self._by_tracer) >= _SOURCES_LIMIT:
                self._by_tracer.clear()
            source = self._by_tracer[tracer] = self.source(span._resource, span._instrumentation_scope)
        return source

    def forget_sources(self) -> None:
        """In a forked child: its resource is another one."""
        self._by_tracer.clear()

    def source(self, resource: Any, scope: Any) -> Source:
        """The serialized resource and scope."""
        key = (id(resource), id(scope))
        known = self._sources.get(key)
        if known is None:
            if len(self._sources) >= _SOURCES_LIMIT:
                self._sources.clear()
            known = (
                Source(self.resource(resource.attributes) if resource else b"", self._scope(scope)),
                resource,
                scope,
            )
            self._sources[key] = known
        return known[0]

    def resource(self, attributes: Mapping[str, Any]) -> bytes:
        """A serialized `Resource`."""
        return wire.attributes(b"\x0a", self._cleaner.attributes(dict(attributes)))

    def _scope(self, scope: Any) -> bytes:
        if scope is None:
            return b""
        return (
            wire.text(b"\x0a", self._cleaner.text(scope.name or ""))
            + wire.text(b"\x12", self._cleaner.text(scope.version or ""))
            + wire.attributes(b"\x1a", self._cleaner.attributes(dict(scope.attributes or {})))
        )


def _copy(attributes: Any) -> Mapping[str, Any]:
    return attributes.copy() if attributes is not None else {}


def _time(time_ns: int | None) -> bytes:
    """A time as OTLP has it: 0 for one before 1970, where a clock may stand that was never set."""
    try:
        return _pack(time_ns)
    except struct.error:  # none at all, or beyond 64 bits
        return _pack(0)


def _flags(context: SpanContext | None) -> int:
    if context is not None and context.is_remote:
        return _FLAG_HAS_IS_REMOTE | _FLAG_IS_REMOTE
    return _FLAG_HAS_IS_REMOTE
