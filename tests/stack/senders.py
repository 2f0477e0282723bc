"""Records that are known again, and a sender that repeats a request until it is taken.

The id of a span is its span id; log records and data points carry theirs in the attribute `proof.id`.
"""

from __future__ import annotations

import enum
import http
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

PROOF_ID: Final = "proof.id"
SIGNALS: Final = ("traces", "logs", "metrics")
SERVICE: Final = "proof"

_PAUSE: Final = 0.05


def make_value(value: object) -> AnyValue:
    """A value of Python as OTLP has it."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=map(make_value, value)))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=make_attributes(value)))
    return AnyValue(string_value=str(value))


def make_attributes(mapping: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=make_value(value)) for key, value in mapping.items()]


@dataclass
class Span:
    """A span that ended just now; alone in its trace unless told otherwise."""

    name: str = "invoke_workflow proof"
    attributes: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 0.01
    error: str | None = None
    trace_id: bytes = field(default_factory=lambda: os.urandom(16))
    span_id: bytes = field(default_factory=lambda: os.urandom(8))
    parent_id: bytes = b""


def encode_spans(spans: Iterable[Span], resource: Mapping[str, object] | None = None) -> bytes:
    """A request of spans."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(make_attributes({"service.name": SERVICE, **(resource or {})}))
    scope = group.scope_spans.add()
    now = time.time_ns()
    for span in spans:
        encoded = scope.spans.add(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_id,
            name=span.name,
            kind=ProtoSpan.SPAN_KIND_INTERNAL,
            start_time_unix_nano=now - int(span.seconds * 1e9),
            end_time_unix_nano=now,
            attributes=make_attributes(span.attributes),
        )
        if span.error is not None:
            encoded.status.code = Status.STATUS_CODE_ERROR
            encoded.status.message = span.error
    return request.SerializeToString()


def encode_logs(records: Iterable[tuple[object, Mapping[str, object]]], event: str = "") -> bytes:
    """A request of log records, each its body and its attributes; None is no body."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(make_attributes({"service.name": SERVICE}))
    scope = group.scope_logs.add()
    for body, attributes in records:
        scope.log_records.add(
            time_unix_nano=time.time_ns(),
            severity_number=SeverityNumber.SEVERITY_NUMBER_INFO,
            severity_text="INFO",
            body=None if body is None else make_value(body),
            event_name=event,
            attributes=make_attributes(attributes),
        )
    return request.SerializeToString()


class Temporality(enum.IntEnum):
    """Whether a point tells what was since the last one, or the whole."""

    DELTA = 1
    CUMULATIVE = 2


def encode_points(ids: Iterable[str]) -> bytes:
    """A request of one cumulative counter, a data point for each id."""
    return _encode_sum("proof.items", Temporality.CUMULATIVE, ((1, {PROOF_ID: one}) for one in ids))


def encode_counter(name: str, value: int, temporality: Temporality) -> bytes:
    """A request of one point of a counter, taken just now."""
    return _encode_sum(name, temporality, [(value, {})])


def _encode_sum(
    name: str, temporality: Temporality, points: Iterable[tuple[int, Mapping[str, object]]]
) -> bytes:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(make_attributes({"service.name": SERVICE, "service.instance.id": "one"}))
    metric = group.scope_metrics.add().metrics.add(name=name, unit="{item}")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AggregationTemporality.ValueType(temporality)
    now = time.time_ns()
    for value, attributes in points:
        metric.sum.data_points.add(
            start_time_unix_nano=now - 10**6,
            time_unix_nano=now,
            as_int=value,
            attributes=make_attributes(attributes),
        )
    return request.SerializeToString()


def post(url: str, body: bytes, *, timeout: float = 10.0) -> int:
    """The HTTP status of a request, 0 where no answer came."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/x-protobuf"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except (OSError, http.client.HTTPException):
        return 0


@dataclass
class Sender:
    """Sends to an OTLP/HTTP address, and again what was not taken; knows what it sent."""

    url: str
    sent: dict[str, set[str]] = field(default_factory=lambda: {signal: set() for signal in SIGNALS})
    """Ids of what was taken, by signal."""
    taken: int = 0
    """Requests that were taken."""
    refusals: int = 0
    """Requests that were answered with something else than 200, or not at all."""

    def send(self, items: int, *, requests: int = 1, patience: float = 60.0, padding: int = 0) -> None:
        """Send so many new records of each signal in so many requests each, until all are taken."""
        for _ in range(requests):
            for signal, ids, body in make_requests(items, padding):
                self.deliver(signal, body, patience=patience)
                self.sent[signal] |= ids

    def deliver(self, signal: str, body: bytes, *, patience: float = 60.0) -> None:
        """Send a request until it is taken."""
        deadline = time.monotonic() + patience
        while not self.offer(signal, body):
            assert time.monotonic() < deadline, f"{self.url} took no {signal} for {patience:.0f} s"
            time.sleep(_PAUSE)

    def offer(self, signal: str, body: bytes, *, timeout: float = 10.0) -> bool:
        """Send a request once; whether it was taken."""
        is_taken = post(f"{self.url}/v1/{signal}", body, timeout=timeout) == http.HTTPStatus.OK
        self.taken += is_taken
        self.refusals += not is_taken
        return is_taken


def trace_of(span_id: bytes) -> bytes:
    """The trace of a span that `make_requests` made."""
    return span_id * 2


def make_requests(items: int, padding: int = 0) -> list[tuple[str, set[str], bytes]]:
    """A request of each signal with so many new records: signal, their ids, body."""
    filling: dict[str, Any] = {"filling": os.urandom(padding // 2).hex()} if padding else {}
    spans = [Span(attributes=filling, span_id=os.urandom(8)) for _ in range(items)]
    for span in spans:
        span.trace_id = trace_of(span.span_id)
    logs, points = ({os.urandom(8).hex() for _ in range(items)} for _ in range(2))
    return [
        ("traces", {span.span_id.hex() for span in spans}, encode_spans(spans)),
        ("logs", logs, encode_logs((f"log {log}", {PROOF_ID: log, **filling}) for log in logs)),
        ("metrics", points, encode_points(points)),
    ]
