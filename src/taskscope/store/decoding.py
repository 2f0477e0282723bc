"""Records out of serialized OTLP: from a journal, alive or left by the dead, and from foreign senders.

The body is the one truth; what tables and aggregates need is read from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import LogRecord, Source, SpanRecord
from .wire import SpanBody, read_log

if TYPE_CHECKING:
    from .records import AttributeValue


def decode_span(body: bytes, source: Source) -> SpanRecord:
    """The record of a serialized OTLP `Span`, open when it has no end; ValueError when it is none."""
    span = SpanBody(body)
    return SpanRecord(
        span.trace_id, span.span_id, span.parent_id, span.name, span.kind, span.start_ns, span.end_ns,
        span.status_code, span.status_message, span.attributes, body, source,
    )  # fmt: skip


def decode_log(encoded: bytes, source: Source) -> LogRecord:
    """The record of a serialized OTLP `LogRecord`; ValueError when it is none."""
    log = read_log(encoded)
    content: AttributeValue = log["body"]
    text = content if isinstance(content, str) else "" if content is None else repr(content)
    trace_id, span_id = log["trace_id"], log["span_id"]
    return LogRecord(
        log["time_ns"], log["severity_number"], log["severity_text"], log["event_name"], text,
        log["attributes"], bytes.fromhex(trace_id) if trace_id else None,
        bytes.fromhex(span_id) if span_id else None, source, encoded,
    )  # fmt: skip
