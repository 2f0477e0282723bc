"""OTLP requests as other senders make them, by upstream's own classes, and their JSON."""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.message import Message

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
SECOND = 10**9
START = 1_763_720_000 * SECOND
TRACE = bytes.fromhex("6e0c63257de34c926f9efcd03927272e")
REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}


def any_value(value: Any) -> AnyValue:  # noqa: PLR0911  one line for each kind
    """A Python value as OTLP says it."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=map(any_value, value)))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    return AnyValue() if value is None else AnyValue(string_value=value)


def pairs(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def make_span(
    number: int = 1, name: str = "work", attributes: Mapping[str, Any] | None = None, **more: Any
) -> Span:
    """A span of a second; `parent` is the number of another one."""
    parent = more.pop("parent", None)
    status = Status(code=more.pop("status", 0), message=more.pop("message", ""))
    return Span(
        **{
            "trace_id": TRACE,
            "span_id": number.to_bytes(8),
            "parent_span_id": b"" if parent is None else parent.to_bytes(8),
            "name": name,
            "kind": 1,
            "start_time_unix_nano": START,
            "end_time_unix_nano": START + SECOND,
            "attributes": pairs(attributes or {}),
            "status": status,
            **more,
        }
    )


def make_log(body: Any = "hello", attributes: Mapping[str, Any] | None = None, **more: Any) -> LogRecord:
    return LogRecord(
        **{
            "time_unix_nano": START,
            "severity_number": 9,
            "severity_text": "INFO",
            "body": any_value(body),
            "attributes": pairs(attributes or {}),
            **more,
        }
    )


def make_chat(number: int = 2, attributes: Mapping[str, Any] | None = None, **more: Any) -> Span:
    values = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 3,
        **(attributes or {}),
    }
    return make_span(number, "chat m", values, **more)


def make_agent(number: int = 1, name: str = "helper", **more: Any) -> Span:
    values = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
    return make_span(number, f"invoke_agent {name}", values | more.pop("attributes", {}), **more)


def make_metric(name: str, kind: str, *points: dict[str, Any], unit: str = "", **data: Any) -> Metric:
    """A metric by the name of its field in OTLP, `gauge` say; what else the data have, by their names."""
    content: dict[str, Any] = {kind: {"data_points": points, **data}}
    return Metric(name=name, unit=unit, **content)


def traces(*spans: Span, resource: Mapping[str, Any] | None = None) -> ExportTraceServiceRequest:
    """A request of one resource and one scope."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(pairs({"service.name": "other", **(resource or {})}))
    scope = group.scope_spans.add()
    scope.scope.name = "their.library"
    scope.spans.extend(spans)
    return request


def logs(*records: LogRecord, resource: Mapping[str, Any] | None = None) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(pairs({"service.name": "other", **(resource or {})}))
    group.scope_logs.add().log_records.extend(records)
    return request


def metrics(*points: Metric, resource: Mapping[str, Any] | None = None) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    owner = {"service.name": "other", "service.instance.id": "one", **(resource or {})}
    group.resource.attributes.extend(pairs(owner))
    group.scope_metrics.add().metrics.extend(points)
    return request


def pack(request: Message) -> dict[str, Any]:
    """What a client sends: gzip and protobuf."""
    return {
        "content": gzip.compress(request.SerializeToString(), 1),
        "headers": {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"},
    }


_LONG = {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64}


def to_json(message: Message) -> dict[str, Any]:
    """A message in OTLP's JSON: as protobuf's, but ids in hex and enums as numbers."""
    return {field.json_name: _json_field(field, value) for field, value in message.ListFields()}


def _json_field(field: FieldDescriptor, value: Any) -> Any:
    return [_json_value(field, item) for item in value] if field.is_repeated else _json_value(field, value)


def _json_value(field: FieldDescriptor, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return to_json(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return value.hex() if field.name.endswith("_id") else base64.b64encode(value).decode()
    if field.type == FieldDescriptor.TYPE_DOUBLE and value != value:  # noqa: PLR0124  not a number
        return "NaN"
    if field.type == FieldDescriptor.TYPE_DOUBLE and value in {float("inf"), float("-inf")}:
        return "Infinity" if value > 0 else "-Infinity"
    return str(value) if field.type in _LONG else value


def all_spans(requests: Iterable[ExportTraceServiceRequest]) -> list[Span]:
    return [
        span
        for request in requests
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]
