"""Records out of serialized OTLP."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskscope.semconv import attributes as attr
from taskscope.store import wire
from taskscope.store.decoding import decode, decode_log, decode_span, encode
from taskscope.store.heads import read_head
from taskscope.store.records import HealthReading, Source, TaskNote

from .builders import make_log, make_span


def test_a_span_is_its_body() -> None:
    """A span read from its body alone is the record that was encoded; without an end it is open."""
    values = {
        attr.TASK_ID: "é",
        attr.STEP_INDEX: -5,
        attr.SKILL_OFFERED: ["a", 1],
        attr.TASK_KIND: {"deep": [True, 0.5]},
        attr.GEN_AI_USAGE_INPUT_TOKENS: 200,
        attr.TASK_SOURCE: "x" * 200,
    }
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


_WANTED = {key.encode(): key for key in ("a", "b.c", "é")}
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_attributes = st.dictionaries(st.sampled_from(["a", "b.c", "é", "other", "x" * 200]) | st.text(), _values)


def _body(attributes: dict[str, object], name: str, message: str, extra: bytes) -> bytes:
    return b"".join(
        (
            wire.sized(b"\x0a", b"t" * 16),
            wire.sized(b"\x12", b"s" * 8),
            wire.text(b"\x2a", name),
            wire.fixed64(b"\x39", 5),
            wire.attributes(b"\x4a", attributes),  # type: ignore[arg-type]  # what hypothesis makes is one
            extra,
            wire.closing(9, 2 if message else 0, message, {"b.c": "last wins"}),
            wire.fixed32(b"\x85\x01", 0x100),
        )
    )


_extras = st.sampled_from(
    [b"", b"\x30\x03", b"\x30\x83\x00", b"\x50\x07", wire.sized(b"\x5a", wire.text(b"\x12", "event")),
     wire.sized(b"\x6a", b""), b"\x9a\x06\x03abc",
     b"\xa1\x06\x00\x00\x00\x00\x00\x00\x00\x00", b"\x4a\x02\x12\x00"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(_attributes, st.text(max_size=300), st.text(max_size=200), _extras)
def test_the_fast_reader_reads_what_the_slow_one_reads(
    attributes: dict[str, object], name: str, message: str, extra: bytes
) -> None:
    """Of any span: the same fields, and of its attributes those that are wanted."""
    data = _body(attributes, name, message, extra)
    fast, slow = read_head(data, _WANTED), wire.SpanBody(data)
    for field in (
        "trace_id",
        "span_id",
        "name",
        "kind",
        "start_ns",
        "end_ns",
        "status_code",
        "status_message",
    ):
        assert getattr(fast, field) == getattr(slow, field), field
    wanted = {key: value for key, value in slow.attributes.items() if key in _WANTED.values()}
    assert repr(fast.attributes) == repr(wanted)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.integers(0, 200), st.integers(0, 255))
def test_what_is_no_span_is_a_value_error(change: bytes | int, byte: int) -> None:
    """Random bytes, and a span with a wrong byte or a missing end, fail in one way or are read."""
    if isinstance(change, bytes):
        data = change
    else:
        whole = bytearray(_body({"a": "text", "b.c": 5, "other": [1]}, "name", "message", b""))
        whole[change % len(whole)] = byte
        data = bytes(whole[: len(whole) - change % 7])
    try:
        decode_span(data, Source(b"", b""))
    except ValueError:
        return


@pytest.mark.parametrize(
    "record",
    [
        make_span(),
        make_log(),
        TaskNote("t-1", text="do it", findings="[]"),
        HealthReading("disk", "ready", "pass", 5, 0.25),
    ],
    ids=lambda record: type(record).__name__,
)
def test_every_record_comes_back_from_the_journal(record: object) -> None:
    """What was put in is what is taken out."""
    assert decode(*encode(record)) == record  # type: ignore[arg-type]  # one of each kind


def test_a_field_number_that_takes_more_bytes_than_it_needs_is_read() -> None:
    """As protobuf reads it; our own encoder writes no such."""
    span = make_span("work", {attr.TASK_ID: "t-1", "other": 1})
    body = span.body.replace(b"\x39", b"\xb9\x00", 1)
    assert decode_span(body, span.source) == span._replace(body=body, attributes={attr.TASK_ID: "t-1"})
