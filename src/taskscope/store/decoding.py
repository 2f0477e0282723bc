"""Records out of serialized OTLP: from a journal, alive or left by the dead, and from foreign senders.

The body is the one truth; what tables and aggregates need is read from it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from taskscope.semconv import attributes as attr

from . import journals
from .heads import SpanHead, UnusualError, read_head
from .records import HealthReading, LogRecord, Record, Source, SpanRecord, TaskNote
from .wire import SpanBody, read_log

if TYPE_CHECKING:
    from .records import AttributeValue

NO_SOURCE = Source(b"", b"")
_CONTRACT = {key.encode(): key for key in vars(attr).values() if isinstance(key, str) and "." in key}
_LATEST_NS = (1 << 63) - 1
"""What SQLite holds; OTLP's times have a bit more."""


def encode(record: Record) -> tuple[int, Source, bytes]:
    """Kind, source and body of a record, as the journal keeps it."""
    if isinstance(record, SpanRecord):
        return journals.SPAN, record.source, record.body
    if isinstance(record, LogRecord):
        return journals.LOG, record.source, record.encoded
    if isinstance(record, TaskNote):
        return journals.NOTE, NO_SOURCE, _to_json(asdict(record))
    return journals.READING, NO_SOURCE, _to_json(record._asdict())


def decode(kind: int, source: Source, body: bytes) -> Record:
    """The record of what the journal keeps; ValueError when it is none."""
    if kind == journals.SPAN:
        return decode_span(body, source)
    if kind == journals.LOG:
        return decode_log(body, source)
    try:
        values = json.loads(body)
        return TaskNote(**values) if kind == journals.NOTE else HealthReading(**values)
    except TypeError as error:
        msg = f"no note and no reading: {error}"
        raise ValueError(msg) from error


def _to_json(values: dict[str, object]) -> bytes:
    return json.dumps({key: value for key, value in values.items() if value is not None}).encode()


def decode_span(body: bytes, source: Source) -> SpanRecord:
    """The record of a serialized OTLP `Span`, open when it has no end; ValueError when it is none.

    Its attributes are those of the contract: no table and no sum asks for others, and to read them all is
    half of what a span costs its writer.
    """
    try:
        span: SpanHead | SpanBody = read_head(body, _CONTRACT)
    except UnusualError:
        span = SpanBody(body)
        known = _CONTRACT.values()
        span.attributes = {key: value for key, value in span.attributes.items() if key in known}
    except IndexError:
        msg = f"torn message of {len(body)} bytes"
        raise ValueError(msg) from None
    return SpanRecord(
        span.trace_id, span.span_id, span.parent_id, span.name, span.kind,
        min(span.start_ns, _LATEST_NS), None if span.end_ns is None else min(span.end_ns, _LATEST_NS),
        span.status_code, span.status_message, span.attributes, body, source,
    )  # fmt: skip


def decode_log(encoded: bytes, source: Source) -> LogRecord:
    """The record of a serialized OTLP `LogRecord`; ValueError when it is none."""
    log = read_log(encoded)
    content: AttributeValue = log["body"]
    text = content if isinstance(content, str) else "" if content is None else repr(content)
    trace_id, span_id = log["trace_id"], log["span_id"]
    return LogRecord(
        min(log["time_ns"], _LATEST_NS), log["severity_number"], log["severity_text"], log["event_name"],
        text, log["attributes"], bytes.fromhex(trace_id) if trace_id else None,
        bytes.fromhex(span_id) if span_id else None, source, encoded,
    )  # fmt: skip
