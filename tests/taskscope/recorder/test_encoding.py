from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from taskscope.recorder.cleaning import Cleaner
from taskscope.recorder.encoding import Encoder
from taskscope.redaction import Redactor
from taskscope.store.wire import SpanBody, read_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AnyValue

_RESOURCE = Resource({"service.name": "test", "n": 1, "list": ["a", "b"]})
_plain = st.text("abc xyz é€😀", max_size=200)
_numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_lists = st.lists(_plain, max_size=3) | st.lists(st.integers(0, 9), max_size=3)
_attributes = st.dictionaries(
    st.text("abcdef.", min_size=1, max_size=12), _plain | st.booleans() | _numbers | _lists, max_size=6
)


class Ended(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class Emitted(LogRecordProcessor):
    def __init__(self) -> None:
        self.records: list[ReadWriteLogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.records.append(log_record)

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def _encoder() -> Encoder:
    return Encoder(Cleaner(Redactor()))


_STATUSES = [
    Status(),
    Status(StatusCode.OK),
    Status(StatusCode.ERROR, "it failed €"),
    Status(StatusCode.ERROR),
]
_BODIES: list[AnyValue] = [None, "a body €", 5, ["x", 1], {"k": "v"}]


# What is finite is asked whole, with each of the values that are drawn: 1,400 spans and 600 log records.
@settings(max_examples=350)
@given(_plain, _attributes, _attributes, st.sampled_from(list(SpanKind)), st.sampled_from(_STATUSES))
def test_a_span_takes_the_bytes_of_upstreams_encoder(
    name: str, attributes: Mapping[str, Any], more: Mapping[str, Any], kind: SpanKind, status: Status
) -> None:
    """Body, resource and scope, whatever a clean span holds: events, links, status, a remote parent."""
    provider, ended = TracerProvider(resource=_RESOURCE, shutdown_on_exit=False), Ended()
    provider.add_span_processor(ended)
    tracer = provider.get_tracer("scope", "1.2", attributes={"a": "b"})
    remote = SpanContext(
        7, 9, is_remote=True, trace_flags=TraceFlags(1), trace_state=trace.TraceState([("k", "v")])
    )
    encoder = _encoder()
    for has_parent, has_events in itertools.product((False, True), repeat=2):
        context = trace.set_span_in_context(trace.NonRecordingSpan(remote)) if has_parent else None
        links = [Link(remote, more), Link(SpanContext(1, 2, is_remote=False))] if has_events else []
        span = tracer.start_span(name, context, kind, dict(attributes), links=links)
        if has_events:
            span.add_event("happened", more)
        span.set_status(status)
        span.end()
        found = ended.spans.pop()
        expected = encode_spans([found]).resource_spans[0]
        body = encoder.span(found, is_end=True)
        assert body == expected.scope_spans[0].spans[0].SerializeToString()
        source = encoder.source(found.resource, found.instrumentation_scope)
        assert source.resource == expected.resource.SerializeToString()
        assert source.scope == expected.scope_spans[0].scope.SerializeToString()


@settings(max_examples=60)
@given(_attributes)
def test_a_log_record_takes_the_bytes_of_upstreams_encoder(attributes: Mapping[str, Any]) -> None:
    """Events and lines, with and without the context of a span."""
    emitted = Emitted()
    provider = LoggerProvider(resource=_RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(emitted)
    parent = trace.NonRecordingSpan(SpanContext(7, 9, is_remote=False, trace_flags=TraceFlags(1)))
    encoder = _encoder()
    for body, has_span in itertools.product(_BODIES, (False, True)):
        provider.get_logger("scope").emit(
            timestamp=5,
            observed_timestamp=6,
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body=body,
            attributes=attributes,
            event_name="it.happened",
            context=trace.set_span_in_context(parent) if has_span else None,
        )
        record = emitted.records.pop()
        readable = ReadableLogRecord(
            record.log_record, record.resource or _RESOURCE, record.instrumentation_scope
        )
        expected = encode_logs([readable]).resource_logs[0].scope_logs[0].log_records[0].SerializeToString()
        encoded = encoder.log(record).encoded
        if body is None:
            assert read_log(encoded)["body"] is None
        assert encoded == expected


def test_an_open_span_is_recorded_without_end_and_status() -> None:
    """And what is set later is not in it."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("scope")
    span = tracer.start_span("work", attributes={"a": 1})
    assert isinstance(span, ReadableSpan)
    body = SpanBody(_encoder().span(span, is_end=False))
    assert (body.end_ns, body.status_code, body.attributes) == (None, 0, {"a": 1})


def test_no_secret_is_encoded_wherever_it_stands() -> None:
    """Name, attribute, key's value, event, link, status, resource and scope are all looked through."""
    secret = "correct-horse-battery-staple"
    provider, ended = TracerProvider(resource=Resource({"r": secret}), shutdown_on_exit=False), Ended()
    provider.add_span_processor(ended)
    tracer = provider.get_tracer(f"scope {secret}", attributes={"a": secret})
    link = Link(SpanContext(1, 2, is_remote=False), {"l": secret})
    span = tracer.start_span(f"run {secret}", attributes={"a": f"x {secret} y", "b": [secret]}, links=[link])
    span.add_event(f"event {secret}", {"e": secret})
    try:
        raise ValueError(secret)
    except ValueError as error:
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, f"failed with {secret}"))
    span.end()
    encoder = Encoder(Cleaner(Redactor([secret])))
    found = ended.spans[0]
    source = encoder.source(found.resource, found.instrumentation_scope)
    everything = encoder.span(found, is_end=True) + source.resource + source.scope
    assert secret.encode() not in everything
    assert everything.count(b"[redacted:known_value]") == 12


@pytest.mark.parametrize("name", ["lone \ud800 surrogate", ""])
def test_a_name_that_no_text_can_carry_does_not_lose_the_span(name: str) -> None:
    """A lone surrogate becomes U+FFFD; upstream's encoder loses the whole batch."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("scope").start_span(name)
    assert isinstance(span, ReadableSpan)
    assert SpanBody(_encoder().span(span, is_end=False)).name == name.replace("\ud800", "\ufffd")
