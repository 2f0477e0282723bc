from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from taskscope.store import wire

from .builders import make_span

_scalars = (
    st.text(max_size=300)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | st.none()
)
values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)


@given(values)
def test_a_value_is_read_as_it_was_written(value: object) -> None:
    """Any value OTLP can carry, nested too; protobuf reads the same bytes without complaint."""
    data = wire.any_value(value)  # type: ignore[arg-type]
    assert wire.read_value(data) == value
    assert AnyValue.FromString(data).SerializeToString() == data


@given(st.integers(0, 2**64 - 1))
def test_a_number_takes_the_bytes_of_protobuf(number: int) -> None:
    """Up to ten bytes, read back whole."""
    assert list(wire.fields(b"\x08" + wire.varint(number), {1: 0})) == [(1, number)]


def test_events_links_and_status_are_read_as_protobuf_wrote_them() -> None:
    """Another sender's span, every part of it, with fields that we do not know in between."""
    span = Span(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        parent_span_id=b"p" * 8,
        name="GET",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=5,
        end_time_unix_nano=9,
        dropped_attributes_count=3,
        flags=257,
        trace_state="a=b",
    )
    event = span.events.add(name="happened", time_unix_nano=7, dropped_attributes_count=2)
    event.attributes.add(key="e").value.double_value = 1.5
    link = span.links.add(trace_id=b"u" * 16, span_id=b"v" * 8, trace_state="c=d", flags=1)
    link.attributes.add(key="l").value.int_value = -4
    span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "no"
    body = wire.SpanBody(span.SerializeToString())
    assert (body.trace_id, body.span_id, body.parent_id) == (b"t" * 16, b"s" * 8, b"p" * 8)
    assert (body.name, body.kind, body.start_ns, body.end_ns) == ("GET", 2, 5, 9)
    assert body.events == [{"name": "happened", "time_ns": 7, "attributes": {"e": 1.5}}]
    assert body.links == [
        {"trace_id": (b"u" * 16).hex(), "span_id": (b"v" * 8).hex(), "attributes": {"l": -4}}
    ]
    assert (body.status_code, body.status_message) == (2, "no")


@pytest.mark.parametrize("data", [b"\x0f", b"\x0a\x05abc", b"\x39\x01", b"\x08", b"\x08" + b"\xff" * 11])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    """An unknown wire type, a field or number that ends too soon, a number without end."""
    with pytest.raises(ValueError, match="message"):
        wire.SpanBody(data)


def test_appended_bytes_close_an_open_span() -> None:
    """Protobuf merges what is appended: end, status and an attribute, without reading the body."""
    opened = make_span("work", {"a": 1}, end_ns=None)
    body = opened.body + wire.closing(opened.start_ns + 5, 2, "gone", {"error.type": "interrupted"})
    span, read = Span.FromString(body), wire.SpanBody(body)
    assert (span.end_time_unix_nano, span.status.code, span.status.message) == (
        opened.start_ns + 5,
        2,
        "gone",
    )
    assert [pair.key for pair in span.attributes] == ["a", "error.type"]
    assert (read.end_ns, read.status_code, read.status_message) == (opened.start_ns + 5, 2, "gone")
    assert read.attributes == {"a": 1, "error.type": "interrupted"}


@given(st.data())
def test_a_torn_or_changed_message_never_crashes(data: st.DataObject) -> None:
    """It is read, or refused as a ValueError; nothing else leaves the reader."""
    body = bytearray(make_span("work", {"a": "text", "b": [1, 2], "c": {"d": 1.5}}).body)
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    with contextlib.suppress(ValueError):
        wire.SpanBody(cut)


def test_a_value_nested_without_end_is_refused() -> None:
    """Depth is bounded when reading: a stored or received bomb is a ValueError."""
    data = b""
    for _ in range(40):
        data = wire.sized(b"\x2a", wire.sized(b"\x0a", data))
    with pytest.raises(ValueError, match="nested deeper"):
        wire.read_value(data)
