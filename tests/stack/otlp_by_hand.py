"""One record at a time of a chosen moment, and the whole answer of who was asked to take it."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

if TYPE_CHECKING:
    from google.protobuf.message import Message

SERVICE: Final = "by-hand"


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


def post(base: str, signal: str, message: Message) -> Answer:
    """Hand in a request by OTLP over HTTP."""
    request = urllib.request.Request(
        f"{base}/v1/{signal}", message.SerializeToString(), {"Content-Type": "application/x-protobuf"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.read())


def make_span(name: str, *, at: float | None = None, filling: int = 0) -> tuple[str, Message]:
    """A span alone in its trace: the trace's id, and the request."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    _name_service(group.resource)
    end = _nanoseconds(at)
    span = group.scope_spans.add().spans.add(
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        name=name,
        start_time_unix_nano=end - 10**9,
        end_time_unix_nano=end,
    )
    if filling:
        span.attributes.add(key="filling").value.string_value = os.urandom(filling // 2).hex()
    return span.trace_id.hex(), request


def make_log(body: str, *, at: float | None = None) -> Message:
    """A log record."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    _name_service(group.resource)
    record = group.scope_logs.add().log_records.add(time_unix_nano=_nanoseconds(at))
    record.body.string_value = body
    return request


def make_total(name: str, total: int, *, at: float | None = None) -> Message:
    """The total of a counter."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    _name_service(group.resource)
    metric = group.scope_metrics.add().metrics.add(name=name)
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    now = _nanoseconds(at)
    metric.sum.data_points.add(start_time_unix_nano=now - 60 * 10**9, time_unix_nano=now, as_int=total)
    return request


def _name_service(resource: Any) -> None:
    for key in ("service.name", "service.instance.id"):
        resource.attributes.add(key=key).value.string_value = SERVICE


def _nanoseconds(at: float | None) -> int:
    return int((time.time() if at is None else at) * 1e9)
