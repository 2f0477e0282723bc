"""OTLP's JSON becomes the protobuf that says the same; what it cannot say is told with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from taskscope.service.otlp.json_mapping import to_protobuf

from .requests import (
    REQUESTS,
    START,
    TRACE,
    any_value,
    logs,
    make_log,
    make_metric,
    make_span,
    metrics,
    pairs,
    to_json,
    traces,
)

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | TEXTS
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def convert(signal: str, request: Any) -> Any:
    return REQUESTS[signal].FromString(to_protobuf(signal, json.dumps(request).encode()))


def span_of(**fields: Any) -> Span:
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}
    span: Span = convert("traces", request).resource_spans[0].scope_spans[0].spans[0]
    return span


def value_of(value: Any) -> AnyValue:
    return span_of(attributes=[{"key": "k", "value": value}]).attributes[0].value


@given(
    st.dictionaries(TEXTS, VALUES, max_size=4),
    TEXTS,
    st.integers(0, 2**64 - 1),
    st.integers(0, 5),
    st.integers(0, 2**32 - 1),
)
def test_any_span_and_log_record_is_the_same_in_both(
    values: dict[str, Any], name: str, number: int, kind: int, flags: int
) -> None:
    """Every field, with numbers at the ends of their ranges."""
    span = make_span(
        1, name, values, kind=kind, start_time_unix_nano=number, flags=flags, trace_state=name,
        status=kind % 3, message=name, dropped_events_count=flags,
        events=[Span.Event(time_unix_nano=number, name=name, attributes=pairs(values))],
        links=[Span.Link(trace_id=TRACE, span_id=b"l" * 8, attributes=pairs(values), flags=flags)],
    )  # fmt: skip
    request = traces(span, resource=values)
    assert convert("traces", to_json(request)) == request
    log = make_log(values, values, observed_time_unix_nano=number, severity_number=kind, event_name=name)
    assert convert("logs", to_json(logs(log))) == logs(log)


def test_metrics_are_the_same_in_both() -> None:
    """Gauges, sums and histograms, with doubles that JSON has no number for."""
    request = metrics(
        make_metric("g", "gauge", {"as_double": float("inf"), "time_unix_nano": 5}, unit="s"),
        make_metric(
            "s",
            "sum",
            {"as_int": -(2**63), "attributes": pairs({"a": 1}), "flags": 1},
            aggregation_temporality=2,
            is_monotonic=True,
        ),
        make_metric(
            "h",
            "histogram",
            {"count": 3, "sum": 1.5, "bucket_counts": [1, 2], "explicit_bounds": [0.5], "time_unix_nano": 1},
            aggregation_temporality=1,
        ),
    )
    assert convert("metrics", to_json(request)) == request


def test_integers_are_texts_or_numbers_and_enums_have_names() -> None:
    """As the mapping asks receivers to take them."""
    for start in (START, str(START)):
        assert span_of(startTimeUnixNano=start).start_time_unix_nano == START
    assert span_of(kind="SPAN_KIND_CLIENT").kind == span_of(kind=3).kind == 3
    assert span_of(status={"code": "STATUS_CODE_ERROR"}).status.code == 2
    assert value_of({"intValue": "-5"}) == value_of({"intValue": -5.0}) == any_value(-5)
    assert value_of({"doubleValue": "NaN"}).double_value != value_of({"doubleValue": 1}).double_value
    record = {"severityNumber": "SEVERITY_NUMBER_ERROR2"}
    request = convert("logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    assert request.resource_logs[0].scope_logs[0].log_records[0].severity_number == 18


def test_ids_are_hex_of_either_case_and_other_bytes_base64_of_either_alphabet() -> None:
    """Hand-written agents differ in both."""
    assert span_of(traceId=TRACE.hex().upper()).trace_id == span_of(traceId=TRACE.hex()).trace_id == TRACE
    assert value_of({"bytesValue": "+/8="}) == value_of({"bytesValue": "-_8"}) == any_value(b"\xfb\xff")


def test_what_is_unknown_null_or_in_snake_case_is_passed_over() -> None:
    """Field names are camelCase; newer versions may know more."""
    span = span_of(traceId=TRACE.hex(), trace_id="00", future={"a": [[]]}, name=None, events=None)
    assert span == Span(trace_id=TRACE)


def test_an_empty_value_is_a_value() -> None:
    """An empty text is no missing one."""
    assert value_of({"stringValue": ""}) == any_value("")
    assert value_of({"arrayValue": {}}) == any_value([])
    assert value_of({}) == any_value(None)


def test_half_a_surrogate_pair_is_replaced() -> None:
    """JSON can say it, UTF-8 cannot."""
    body = rb'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a\ud800b"}]}]}]}'
    request = REQUESTS["traces"].FromString(to_protobuf("traces", body))
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "a\ufffdb"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"traceId": 5}, "an id in hex digits"),
    ({"traceId": "0 1"}, "an id in hex digits"),
    ({"traceId": "abc"}, "an id in hex digits"),
    ({"name": 5}, "a text is expected"),
    ({"name": {}}, "a text is expected"),
    ({"kind": "CLIENT"}, "an integer from 0"),
    ({"kind": -1}, "an integer from 0"),
    ({"startTimeUnixNano": "1e3"}, "an integer from 0"),
    ({"startTimeUnixNano": -1}, "an integer from 0"),
    ({"startTimeUnixNano": 2**64}, "an integer from 0"),
    ({"startTimeUnixNano": 0.5}, "an integer from 0"),
    ({"startTimeUnixNano": True}, "an integer from 0"),
    ({"flags": 2**32}, "an integer from 0"),
    ({"attributes": {}}, "an array is expected"),
    ({"attributes": [1]}, "an object is expected"),
    ({"status": "ok"}, "an object is expected"),
    ({"attributes": [{"value": {"boolValue": 1}}]}, "true or false"),
    ({"attributes": [{"value": {"doubleValue": "x"}}]}, "a number is expected"),
    ({"attributes": [{"value": {"bytesValue": "%"}}]}, "base64"),
    ({"attributes": [{"value": {"intValue": 2**63}}]}, "an integer from -"),
]


@pytest.mark.parametrize("fields, reason", WRONG)
def test_what_is_wrong_is_told_with_its_place(fields: dict[str, Any], reason: str) -> None:
    """Never a value of the sender's: only where it stands and what was expected."""
    with pytest.raises(ValueError, match=rf"^resourceSpans\.scopeSpans\.spans\..*{reason}"):
        span_of(**fields)
