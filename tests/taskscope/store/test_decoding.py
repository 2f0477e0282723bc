"""Records out of serialized OTLP."""

from __future__ import annotations

from taskscope.store.decoding import decode_log, decode_span
from taskscope.store.records import Source

from .builders import make_log, make_span


def test_a_span_is_its_body() -> None:
    """A span read from its body alone is the record that was encoded; without an end it is open."""
    values = {"text": "é", "number": -5, "list": ["a", 1], "map": {"deep": [True, 0.5]}}
    for end_ns in (make_span().end_ns, None):
        span = make_span(
            "work", values, parent=b"\x07" * 8, kind=3, end_ns=end_ns, status_code=2 if end_ns else 0
        )
        assert decode_span(span.body, span.source) == span
        assert decode_span(span.body, span.source).is_open is (end_ns is None)


def test_a_log_record_is_its_bytes() -> None:
    """A log record, read from its bytes alone, is the record that was encoded."""
    log = make_log("hello", attributes={"n": 1}, trace=b"\x01" * 16, span=b"\x02" * 8)
    assert decode_log(log.encoded, Source(*log.source)) == log
