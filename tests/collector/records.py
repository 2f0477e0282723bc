"""Spans, log records and points as OTLP requests, and what came out of them as plain Python values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CAPTURED = Path(__file__).parent / "captured"
"""Spans that real libraries made; each file says which ones."""


class ForeignSpan(NamedTuple):
    """A span as another instrumentation makes it."""

    name: str
    attributes: Mapping[str, Any]
    scope: str = "other"
    is_root: bool = False


def load_captured(file: str) -> list[ForeignSpan]:
    """The spans of one library."""
    spans = json.loads((CAPTURED / file).read_text("utf-8"))["spans"]
    return [
        ForeignSpan(
            span["name"],
            {key: from_value(ParseDict(value, AnyValue())) for key, value in span["attributes"].items()},
            span["scope"],
            span["is_root"],
        )
        for span in spans
    ]


def to_request(spans: Iterable[ForeignSpan]) -> ExportTraceServiceRequest:
    """All spans in one request, in this order; span ids count from 1."""
    request = ExportTraceServiceRequest()
    block = request.resource_spans.add()
    block.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="other")))
    for number, span in enumerate(spans, 1):
        group = block.scope_spans.add()
        group.scope.name = span.scope
        made = group.spans.add(
            trace_id=number.to_bytes(16),
            span_id=number.to_bytes(8),
            parent_span_id=b"" if span.is_root else (1 << 60).to_bytes(8),
            name=span.name,
            start_time_unix_nano=1_795_000_000_000_000_000,
            end_time_unix_nano=1_795_000_001_000_000_000,
        )
        made.attributes.extend(to_attributes(span.attributes))
    return request


def to_attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes as protobuf has them."""
    return [KeyValue(key=key, value=to_value(value)) for key, value in values.items()]


def to_value(value: Any) -> AnyValue:
    """A value as protobuf has it; None is one that is empty."""
    made = AnyValue()
    if value is None:
        return made
    if isinstance(value, dict):
        made.kvlist_value.values.extend(to_attributes(value))
        if not value:
            made.kvlist_value.SetInParent()
    elif isinstance(value, list | tuple):
        made.array_value.SetInParent()
        made.array_value.values.extend(map(to_value, value))
    else:
        kinds = {bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value"}
        setattr(made, kinds.get(type(value), "string_value"), value)
    return made


def from_attributes(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes as Python has them."""
    return {pair.key: from_value(pair.value) for pair in attributes}


def from_value(value: AnyValue) -> Any:
    """A value as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return from_attributes(value.kvlist_value.values)
    if kind == "array_value":
        return [from_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
