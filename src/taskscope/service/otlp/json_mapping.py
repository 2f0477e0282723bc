"""OTLP's JSON as OTLP's protobuf, so that one reader decides what a record is.

By the OTLP specification, section JSON Protobuf Encoding: ids in hex, enums as integers (their names are
tolerated), 64-bit integers as texts or numbers, other bytes in base64, camelCase keys, unknown keys ignored,
null as absent. Whatever a JSON parser accepts becomes protobuf or a ValueError that names the place.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from taskscope.store import wire

from .intake import check_json_depth

_DEPTH_LIMIT = 64
"""Messages in messages: 32 values in one another, and what is around them."""
_PLACE_SHOWN = 8
_DIGITS = re.compile(r"-?[0-9]{1,20}")
"""Of 64 bits."""


class _Field(NamedTuple):
    """One field: its number and what it holds."""

    number: int
    kind: Callable[[Any], bytes] | str
    """Encodes a scalar with everything but the tag; or the name of a message."""
    wire_type: int = 2
    is_repeated: bool = False


_Message: TypeAlias = Mapping[str, _Field]


class _WrongError(ValueError):
    """A value is not what its field holds."""


# --- scalars, as protobuf's bytes without the tag


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _WrongError("a text is expected")
    try:
        raw = value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can say
        raw = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    return wire.varint(len(raw)) + raw


def _hex(value: Any) -> bytes:
    try:
        raw = bytes.fromhex(value) if isinstance(value, str) and value.isalnum() else b""
    except ValueError:
        raise _WrongError("an id in hex digits is expected") from None
    if not raw and value != "":
        raise _WrongError("an id in hex digits is expected")
    return wire.varint(len(raw)) + raw


def _base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _WrongError("bytes in base64 are expected")
    plain = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _WrongError("bytes in base64 are expected") from None
    return wire.varint(len(raw)) + raw


def _integer(value: Any, low: int, high: int) -> int:
    is_text = isinstance(value, str) and _DIGITS.fullmatch(value)
    if is_text or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        msg = f"an integer from {low} to {high} is expected"
        raise _WrongError(msg)
    return value


def _varint64(value: Any) -> bytes:
    return wire.varint(_integer(value, -(1 << 63), (1 << 63) - 1))


def _varint32(value: Any) -> bytes:
    return wire.varint(_integer(value, 0, (1 << 32) - 1))


def _fixed64(value: Any) -> bytes:
    return struct.pack("<Q", _integer(value, 0, (1 << 64) - 1))


def _sfixed64(value: Any) -> bytes:
    return struct.pack("<q", _integer(value, -(1 << 63), (1 << 63) - 1))


def _fixed32(value: Any) -> bytes:
    return struct.pack("<I", _integer(value, 0, (1 << 32) - 1))


def _double(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _WrongError("a number is expected")
    try:
        return struct.pack("<d", value)
    except OverflowError:
        return struct.pack("<d", math.copysign(math.inf, value))


def _bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise _WrongError("true or false is expected")
    return b"\x01" if value else b"\x00"


def _enum(prefix: str, *names: str) -> Callable[[Any], bytes]:
    numbers = {f"{prefix}_{name}": number for number, name in enumerate(names)}

    def encode(value: Any) -> bytes:
        if isinstance(value, str) and value in numbers:
            return wire.varint(numbers[value])
        return wire.varint(_integer(value, 0, (1 << 31) - 1))

    return encode


_KIND = _enum("SPAN_KIND", "UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS = _enum("STATUS_CODE", "UNSET", "OK", "ERROR")
_LEVELS = [f"{name}{number}" for name in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
           for number in ("", 2, 3, 4)]  # fmt: skip
_SEVERITY = _enum("SEVERITY_NUMBER", "UNSPECIFIED", *_LEVELS)
_TEMPORALITY = _enum("AGGREGATION_TEMPORALITY", "UNSPECIFIED", "DELTA", "CUMULATIVE")


# --- messages


def _many(number: int, kind: str) -> _Field:
    return _Field(number, kind, is_repeated=True)


_DROPPED = _Field(4, _varint32, 0)
_TIMES = {"startTimeUnixNano": _Field(2, _fixed64, 1), "timeUnixNano": _Field(3, _fixed64, 1)}

_MESSAGES: Mapping[str, _Message] = {
    "traces": {"resourceSpans": _many(1, "ResourceSpans")},
    "ResourceSpans": {"resource": _Field(1, "Resource"), "scopeSpans": _many(2, "ScopeSpans")},
    "ScopeSpans": {"scope": _Field(1, "Scope"), "spans": _many(2, "Span")},
    "logs": {"resourceLogs": _many(1, "ResourceLogs")},
    "ResourceLogs": {"resource": _Field(1, "Resource"), "scopeLogs": _many(2, "ScopeLogs")},
    "ScopeLogs": {"scope": _Field(1, "Scope"), "logRecords": _many(2, "LogRecord")},
    "metrics": {"resourceMetrics": _many(1, "ResourceMetrics")},
    "ResourceMetrics": {"resource": _Field(1, "Resource"), "scopeMetrics": _many(2, "ScopeMetrics")},
    "ScopeMetrics": {"scope": _Field(1, "Scope"), "metrics": _many(2, "Metric")},
    "Resource": {"attributes": _many(1, "KeyValue"), "droppedAttributesCount": _Field(2, _varint32, 0)},
    "Scope": {
        "name": _Field(1, _text),
        "version": _Field(2, _text),
        "attributes": _many(3, "KeyValue"),
        "droppedAttributesCount": _DROPPED,
    },
    "Span": {
        "traceId": _Field(1, _hex),
        "spanId": _Field(2, _hex),
        "traceState": _Field(3, _text),
        "parentSpanId": _Field(4, _hex),
        "name": _Field(5, _text),
        "kind": _Field(6, _KIND, 0),
        "startTimeUnixNano": _Field(7, _fixed64, 1),
        "endTimeUnixNano": _Field(8, _fixed64, 1),
        "attributes": _many(9, "KeyValue"),
        "droppedAttributesCount": _Field(10, _varint32, 0),
        "events": _many(11, "Event"),
        "droppedEventsCount": _Field(12, _varint32, 0),
        "links": _many(13, "Link"),
        "droppedLinksCount": _Field(14, _varint32, 0),
        "status": _Field(15, "Status"),
        "flags": _Field(16, _fixed32, 5),
    },
    "Event": {
        "timeUnixNano": _Field(1, _fixed64, 1),
        "name": _Field(2, _text),
        "attributes": _many(3, "KeyValue"),
        "droppedAttributesCount": _DROPPED,
    },
    "Link": {
        "traceId": _Field(1, _hex),
        "spanId": _Field(2, _hex),
        "traceState": _Field(3, _text),
        "attributes": _many(4, "KeyValue"),
        "droppedAttributesCount": _Field(5, _varint32, 0),
        "flags": _Field(6, _fixed32, 5),
    },
    "Status": {"message": _Field(2, _text), "code": _Field(3, _STATUS, 0)},
    "LogRecord": {
        "timeUnixNano": _Field(1, _fixed64, 1),
        "severityNumber": _Field(2, _SEVERITY, 0),
        "severityText": _Field(3, _text),
        "body": _Field(5, "AnyValue"),
        "attributes": _many(6, "KeyValue"),
        "droppedAttributesCount": _Field(7, _varint32, 0),
        "flags": _Field(8, _fixed32, 5),
        "traceId": _Field(9, _hex),
        "spanId": _Field(10, _hex),
        "observedTimeUnixNano": _Field(11, _fixed64, 1),
        "eventName": _Field(12, _text),
    },
    "Metric": {
        "name": _Field(1, _text),
        "description": _Field(2, _text),
        "unit": _Field(3, _text),
        "gauge": _Field(5, "Gauge"),
        "sum": _Field(7, "Sum"),
        "histogram": _Field(9, "Histogram"),
        # Their points are counted, and refused.
        "exponentialHistogram": _Field(10, "Counted"),
        "summary": _Field(11, "Counted"),
    },
    "Counted": {"dataPoints": _many(1, "Point")},
    "Point": {},
    "Gauge": {"dataPoints": _many(1, "NumberPoint")},
    "Sum": {
        "dataPoints": _many(1, "NumberPoint"),
        "aggregationTemporality": _Field(2, _TEMPORALITY, 0),
        "isMonotonic": _Field(3, _bool, 0),
    },
    "Histogram": {
        "dataPoints": _many(1, "HistogramPoint"),
        "aggregationTemporality": _Field(2, _TEMPORALITY, 0),
    },
    "NumberPoint": {
        **_TIMES,
        "asDouble": _Field(4, _double, 1),
        "asInt": _Field(6, _sfixed64, 1),
        "attributes": _many(7, "KeyValue"),
        "flags": _Field(8, _varint32, 0),
    },
    "HistogramPoint": {
        **_TIMES,
        "count": _Field(4, _fixed64, 1),
        "sum": _Field(5, _double, 1),
        "bucketCounts": _Field(6, _fixed64, 1, is_repeated=True),
        "explicitBounds": _Field(7, _double, 1, is_repeated=True),
        "attributes": _many(9, "KeyValue"),
        "flags": _Field(10, _varint32, 0),
    },
    "KeyValue": {"key": _Field(1, _text), "value": _Field(2, "AnyValue")},
    "AnyValue": {
        "stringValue": _Field(1, _text),
        "boolValue": _Field(2, _bool, 0),
        "intValue": _Field(3, _varint64, 0),
        "doubleValue": _Field(4, _double, 1),
        "arrayValue": _Field(5, "Values"),
        "kvlistValue": _Field(6, "Pairs"),
        "bytesValue": _Field(7, _base64),
    },
    "Values": {"values": _many(1, "AnyValue")},
    "Pairs": {"values": _many(1, "KeyValue")},
}


def to_protobuf(signal: str, body: bytes) -> bytes:
    """The export request of a signal as protobuf; ValueError for what is no JSON or no such request."""
    check_json_depth(body)
    try:
        parsed = json.loads(body.decode("utf-8"))
    except RecursionError:  # the depth is bounded; who knows which stack this runs on
        msg = "the JSON is nested too deep"
        raise ValueError(msg) from None
    return b"".join(_encode(_MESSAGES[signal], parsed, ()))


def _encode(message: _Message, value: Any, place: tuple[str, ...]) -> Iterator[bytes]:
    """The fields of a message; both what is missing and what is unknown is passed over."""
    if not isinstance(value, dict):
        raise ValueError(_at(place, "an object is expected"))  # noqa: TRY004  a wrong request, not a wrong call
    if len(place) > _DEPTH_LIMIT:
        raise ValueError(_at(place[:_PLACE_SHOWN], "something here is nested too deep"))
    for key, content in value.items():
        field = message.get(key)
        if field is None or content is None:
            continue
        here = (*place, key)
        if field.is_repeated and not isinstance(content, list):
            raise ValueError(_at(here, "an array is expected"))
        for item in content if field.is_repeated else (content,):
            yield wire.varint(field.number << 3 | field.wire_type)
            yield _encode_one(field.kind, item, here)


def _encode_one(kind: Callable[[Any], bytes] | str, value: Any, place: tuple[str, ...]) -> bytes:
    if isinstance(kind, str):
        payload = b"".join(_encode(_MESSAGES[kind], value, place))
        return wire.varint(len(payload)) + payload
    try:
        return kind(value)
    except _WrongError as error:
        raise ValueError(_at(place, str(error))) from None


def _at(place: tuple[str, ...], what: str) -> str:
    return f"{'.'.join(place[-_PLACE_SHOWN:]) or 'the body'}: {what}"
