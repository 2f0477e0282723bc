"""Requests of other senders become clean records, or are refused: whole when torn, one by one when untrue."""

from __future__ import annotations

import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from taskscope.errors import RequestTooLargeError
from taskscope.recorder.cleaning import VALUE_LIMIT_BYTES, Cleaner
from taskscope.recorder.foreign import ATTRIBUTES_LIMIT, PARTS_LIMIT, RECORDS_LIMIT, ForeignReader, Received
from taskscope.redaction import Redactor
from taskscope.semconv import attributes as attr
from taskscope.store.dialects import translate
from taskscope.store.records import LogRecord, SpanRecord
from taskscope.store.wire import SpanBody
from tests.collector.dialect_spans import SPANS
from tests.collector.records import from_attributes, to_request
from tests.taskscope.service.otlp.requests import (
    SECOND,
    START,
    TRACE,
    any_value,
    logs,
    make_log,
    make_span,
    pairs,
    traces,
)

SECRET = "sk-proj-" + "a1B2c3D4" * 6
READER = ForeignReader(Cleaner(Redactor()))


def read(*spans: Span, **more: Any) -> Received:
    return READER.spans(traces(*spans, **more).SerializeToString())


def read_one(span: Span) -> SpanRecord:
    received = read(span)
    assert not received.refused
    (record,) = received.records
    assert isinstance(record, SpanRecord)
    return record


def read_log(log: Any) -> LogRecord:
    (record,) = READER.logs(logs(log).SerializeToString()).records
    assert isinstance(record, LogRecord)
    return record


def test_a_healthy_span_is_stored_as_it_was_sent() -> None:
    """Every field that there is comes back equal, in upstream's own class."""
    span = make_span(
        7,
        "chat m",
        {"a": "x", "b": [1, 2.5, True], "c": {"deep": b"raw"}, "d": -5, "e": None},
        parent=6,
        kind=3,
        status=2,
        message="no answer",
        trace_state="vendor=1",
        flags=0x101,
        dropped_attributes_count=1,
        dropped_events_count=2,
        dropped_links_count=3,
        events=[Span.Event(time_unix_nano=START, name="e", attributes=pairs({"k": 1}),
                           dropped_attributes_count=4)],
        links=[Span.Link(trace_id=TRACE, span_id=b"l" * 8, trace_state="t=1", attributes=pairs({"k": "v"}),
                         dropped_attributes_count=5, flags=1)],
    )  # fmt: skip
    record = read_one(span)
    assert Span.FromString(record.body) == span
    assert (record.trace_id, record.span_id, record.parent_id) == (TRACE, (7).to_bytes(8), (6).to_bytes(8))
    assert not record.is_open


def test_its_source_is_its_own() -> None:
    """Resource and scope are the sender's, cleaned as all else."""
    (record,) = read(make_span(), resource={"service.name": "shop", "api_key": SECRET}).records
    resource = Resource.FromString(record.source.resource)
    assert {pair.key: pair.value.string_value for pair in resource.attributes}["service.name"] == "shop"
    assert SECRET.encode() not in record.source.resource
    assert b"their.library" in record.source.scope


def test_a_healthy_log_record_is_stored_as_it_was_sent() -> None:
    """Every field that there is comes back equal, in upstream's own class."""
    log = make_log(
        {"said": ["a", 1]}, {"k": "v"}, trace_id=TRACE, span_id=b"s" * 8, observed_time_unix_nano=START + 1,
        event_name="their.event", flags=1, dropped_attributes_count=2,
    )  # fmt: skip
    assert type(log).FromString(read_log(log).encoded) == log


@pytest.mark.parametrize(
    "place",
    [
        lambda text: make_span(name=text),
        lambda text: make_span(attributes={"note": text}),
        lambda text: make_span(attributes={text: 1}),
        lambda text: make_span(status=2, message=text),
        lambda text: make_span(trace_state=text),
        lambda text: make_span(events=[Span.Event(name=text)]),
        lambda text: make_span(events=[Span.Event(attributes=pairs({"deep": {"er": [text]}}))]),
        lambda text: make_span(
            links=[Span.Link(trace_id=TRACE, span_id=b"l" * 8, attributes=pairs({"k": text}))]
        ),
    ],
)
def test_a_secret_is_stored_nowhere(place: Any) -> None:
    """Whatever place of a span it stands in, it is taken out before anything is kept."""
    assert SECRET.encode() not in read_one(place(f"key is {SECRET} here")).body


def test_a_secret_of_a_log_record_is_not_stored() -> None:
    """Not from its text, its event's name, its level or its attributes."""
    for log in (
        make_log(f"key {SECRET}"),
        make_log(attributes={"a": SECRET}),
        make_log(event_name=f"event {SECRET}"),
        make_log(severity_text=f"level {SECRET}"),
    ):
        assert SECRET.encode() not in read_log(log).encoded


def test_what_is_long_is_cut_and_marked() -> None:
    """A value of megabytes takes 64 KiB, with our marks; the rest of its span is whole."""
    record = read_one(make_span(attributes={"prompt": "x" * 3_000_000, "kept": 1}))
    attributes = SpanBody(record.body).attributes
    assert len(str(attributes["prompt"])) == VALUE_LIMIT_BYTES
    assert attributes[attr.CONTENT_ORIGINAL_SIZES] == [3_000_000]
    assert attributes["kept"] == 1


def test_of_too_many_attributes_those_of_the_contract_stay() -> None:
    """128 are kept, the contract's first wherever they stood, and the rest is counted on the span."""
    many = {f"k{number}": number for number in range(300)}
    record = read_one(make_span(attributes={**many, attr.GEN_AI_OPERATION_NAME: "chat"}))
    assert len(SpanBody(record.body).attributes) == ATTRIBUTES_LIMIT
    assert record.attributes[attr.GEN_AI_OPERATION_NAME] == "chat"
    assert Span.FromString(record.body).dropped_attributes_count == 301 - ATTRIBUTES_LIMIT


def test_events_and_links_are_bounded_and_counted() -> None:
    """128 of each; what is left out is added to what the sender dropped."""
    link = Span.Link(trace_id=TRACE, span_id=b"l" * 8)
    span = make_span(
        events=[Span.Event(name="e")] * 200, links=[link] * 200 + [Span.Link()], dropped_events_count=1
    )
    kept = Span.FromString(read_one(span).body)
    assert (len(kept.events), kept.dropped_events_count) == (PARTS_LIMIT, 201 - PARTS_LIMIT)
    assert (len(kept.links), kept.dropped_links_count) == (PARTS_LIMIT, 201 - PARTS_LIMIT)


UNTRUE = {
    "no trace id": {"trace_id": b""},
    "zero trace id": {"trace_id": bytes(16)},
    "short trace id": {"trace_id": b"x" * 15},
    "no span id": {"span_id": b""},
    "zero span id": {"span_id": bytes(8)},
    "long span id": {"span_id": b"x" * 9},
    "long parent id": {"parent_span_id": b"x" * 9},
    "its own parent": {"parent_span_id": (1).to_bytes(8)},
    "no end": {"end_time_unix_nano": 0},
    "no start": {"start_time_unix_nano": 0},
    "the year 2262": {"end_time_unix_nano": (1 << 63) - 1},
    "the year 2554": {"end_time_unix_nano": (1 << 64) - 1},
    "in two days": {"start_time_unix_nano": time.time_ns() + 2 * 86_400 * SECOND},
}


@pytest.mark.parametrize("fault", UNTRUE.values(), ids=UNTRUE)
def test_a_span_that_cannot_be_true_is_refused_alone(fault: dict[str, Any]) -> None:
    """The others of its request are taken."""
    received = read(make_span(**fault), make_span(2))
    assert [record.span_id for record in received.records] == [(2).to_bytes(8)]
    assert received.refused.total() == 1


def test_a_root_may_say_zeros_and_an_end_may_lie_before_its_start() -> None:
    """A parent of eight zeros is none; a clock that stepped back is told as it was, and lasts no time."""
    record = read_one(make_span(parent_span_id=bytes(8), end_time_unix_nano=START - SECOND))
    assert record.parent_id is None
    assert (record.end_ns, record.duration_s) == (START - SECOND, 0)


def test_a_log_record_with_ids_that_are_none_belongs_to_no_trace() -> None:
    """As opentelemetry-proto asks of receivers; and one without a time has that of its observation."""
    record = read_log(
        make_log(trace_id=b"x", span_id=bytes(8), time_unix_nano=0, observed_time_unix_nano=START + 5)
    )
    assert (record.trace_id, record.span_id, record.time_ns) == (None, None, START + 5)
    assert abs(read_log(make_log(time_unix_nano=0)).time_ns - time.time_ns()) < 3600 * SECOND


def test_our_names_are_held_to_our_contract() -> None:
    """A value outside of its closed set is `other`, a task id that is no plain word is none; all marked."""
    given = {
        attr.TASK_OUTCOME: "splendid",
        attr.TASK_ID: "a b\x1b[31m",
        attr.STEP_OUTCOME: "failed",
        attr.LLM_MODE: [1],
    }
    values = read_one(make_span(attributes=given)).attributes
    assert values[attr.TASK_OUTCOME] == values[attr.LLM_MODE] == "other"
    assert values[attr.STEP_OUTCOME] == "failed"
    assert attr.TASK_ID not in values
    assert values[attr.SANITIZE_KEYS] == sorted([attr.LLM_MODE, attr.TASK_ID, attr.TASK_OUTCOME])


def test_unknown_kinds_codes_and_levels_are_unspecified() -> None:
    """Numbers that no version of OTLP has do not stay."""
    record = read_one(make_span(kind=77, status=9))
    assert (record.kind, record.status_code) == (0, 0)
    assert read_log(make_log(severity_number=99)).severity_number == 0


def nested(depth: int) -> Any:
    value = any_value("deep")
    for _ in range(depth):
        outer = any_value([])
        outer.array_value.values.append(value)
        value = outer
    return value


def test_values_are_nested_32_deep_and_no_deeper() -> None:
    """32 levels are cut where they are stored, 33 are a ValueError before anything is built."""
    span = make_span()
    span.attributes.add(key="a").value.CopyFrom(nested(32))
    assert "deep" in str(SpanBody(read_one(span).body).attributes["a"])
    span.attributes.add(key="b").value.CopyFrom(nested(33))
    with pytest.raises(ValueError, match="nested deeper than 32"):
        read(span)


def test_ten_thousand_levels_are_a_value_error() -> None:
    """By hand, since upstream's own class would not write them: no recursion follows."""
    value = b""
    for _ in range(10_000):
        value = _sized(0x2A, _sized(0x0A, value))
    span = make_span().SerializeToString() + _sized(0x4A, _sized(0x12, value))
    body = _sized(0x0A, _sized(0x12, _sized(0x12, span)))
    with pytest.raises(ValueError, match="nested deeper than 32"):
        READER.spans(body)


def _sized(tag: int, payload: bytes) -> bytes:
    size, length = len(payload), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([tag, *length, size]) + payload


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_request_is_refused_whole(cut: int) -> None:
    """Wherever it ends early."""
    body = traces(make_span(attributes={"a": 1})).SerializeToString()
    with pytest.raises(ValueError, match="torn message"):
        READER.spans(body[:-cut])


def test_too_many_records_are_too_large() -> None:
    """However small each is: what they become takes a thousand times as much."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend([Span()] * (RECORDS_LIMIT + 1))
    with pytest.raises(RequestTooLargeError, match="65536 records"):
        READER.spans(request.SerializeToString())


def test_a_message_in_parts_is_one() -> None:
    """Protobuf merges a message that comes twice: a resource in two parts, a span's status in two."""
    whole = traces(make_span(status=2, message="why"), resource={"host.name": "h"})
    group = whole.resource_spans[0]
    first, second = (
        Resource(attributes=group.resource.attributes[:1]),
        Resource(attributes=group.resource.attributes[1:]),
    )
    scopes = group.scope_spans[0].SerializeToString()
    parts = (
        _sized(0x0A, first.SerializeToString())
        + _sized(0x12, scopes)
        + _sized(0x0A, second.SerializeToString())
    )
    assert READER.spans(_sized(0x0A, parts)) == READER.spans(whole.SerializeToString())


def test_a_field_of_another_wire_type_is_no_field() -> None:
    """As protobuf reads it: a start given as a varint is unknown, so that the span has none."""
    span = make_span(start_time_unix_nano=0).SerializeToString() + b"\x38\x05"  # field 7 as varint
    received = READER.spans(_sized(0x0A, _sized(0x12, _sized(0x12, span))))
    assert dict(received.refused) == {"a span without start or end": 1}


def test_what_is_read_is_what_upstream_reads() -> None:
    """The body that is kept has no more than upstream's class saw in it."""
    record = read_one(make_span(attributes={"é": "ü\ufffd"}))
    assert SpanBody(record.body).attributes == {"é": "ü\ufffd"}


@pytest.mark.parametrize("group", SPANS)
def test_spans_of_other_dialects_are_read_as_what_they_mean(group: str) -> None:
    """What the table of dialects fills stands in the record, and what was sent stands beside it, unmasked."""
    received = READER.spans(to_request(SPANS[group]).SerializeToString())
    assert not received.refused
    for span, record in zip(SPANS[group], received.records, strict=True):
        expected = dict(span.attributes)
        translate(expected, span.scope, span.name, is_root=span.is_root)
        stored = from_attributes(Span.FromString(record.body).attributes)
        # A double that is no number is stored as a text.
        kept = {key: value for key, value in expected.items() if not isinstance(value, float)}
        assert {key: stored.get(key) for key in kept} == kept


def test_a_dialect_is_understood_behind_many_attributes() -> None:
    """OpenInference flattens messages into hundreds of attributes; the count behind them is still read."""
    messages = {f"llm.input_messages.{number}.message.role": "user" for number in range(300)}
    telling = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 7}
    record = read_one(make_span(1, "llm", {**messages, **telling}))
    assert record.attributes[attr.GEN_AI_USAGE_INPUT_TOKENS] == 7
    assert record.attributes[attr.GEN_AI_OPERATION_NAME] == "chat"


def test_a_filled_value_is_redacted_too() -> None:
    """A secret does not come in by another name."""
    record = read_one(make_span(1, f"agent {SECRET}", {"openinference.span.kind": "AGENT"}))
    assert record.attributes[attr.GEN_AI_AGENT_NAME] == "agent [redacted:openai_key]"


def test_no_part_of_a_secret_is_copied() -> None:
    """The provider is what stands before a dot: a secret is taken out before it is cut there."""
    secret = "a1B2c3D4e5F6g7.atlasv1." + "a1B2" * 16
    record = read_one(make_span(1, "call", {"ai.model.id": "m", "ai.model.provider": secret}))
    assert record.attributes[attr.GEN_AI_PROVIDER_NAME] == "[redacted:terraform_token]"
