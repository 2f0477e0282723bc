"""OTLP's messages by hand: byte-identical to upstream's encoder, and read without importing protobuf.

Encoding one span of ten attributes takes a fifth of upstream's time, and `taskscope show` saves the import
(`docs/benchmarks.md`). Field numbers are those of opentelemetry-proto 1.x; unknown fields are skipped.
"""

# ruff: noqa: PLR2004  the numbers are protobuf's: of fields, of bytes

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .records import AttributeValue

_MASK_64 = (1 << 64) - 1
_ONE_BYTE = tuple(bytes((number,)) for number in range(128))
_SHORT_TEXTS = tuple(bytes((size + 2, 10, size)) for size in range(126))
"""Length of an `AnyValue` with a text of so many bytes, the text's tag and length."""
_SMALL_NUMBERS = tuple(bytes((2, 24, number)) for number in range(128))
"""Length of an `AnyValue` with such a number, the number's tag and the number."""
_DOUBLE = struct.Struct("<d")
_FIXED64 = struct.Struct("<Q")
_FIXED32 = struct.Struct("<I")
_KEY_HEADS: dict[str, bytes] = {}
_KEY_HEADS_LIMIT = 4096
_DEPTH_LIMIT = 32

_TAG_LIMIT = 1 << 32
_WIRE_VARINT = 0
_WIRE_LENGTH = 2
_FIXED_SIZES = {1: 8, 5: 4}


# --- writing


def varint(number: int) -> bytes:
    """An unsigned or two's complement 64 bit number as protobuf's variable length integer."""
    if 0 <= number < 128:
        return _ONE_BYTE[number]
    if 0 < number < 16384:
        return bytes((number & 127 | 128, number >> 7))
    number &= _MASK_64
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def sized(tag: bytes, payload: bytes) -> bytes:
    """A length-delimited field; `tag` is the field's encoded tag."""
    return tag + varint(len(payload)) + payload


def text(tag: bytes, value: str) -> bytes:
    """A string field, left out when empty, as proto3 does."""
    return sized(tag, value.encode()) if value else b""


def fixed64(tag: bytes, number: int) -> bytes:
    """A fixed64 field, left out when 0; OTLP's times begin with 1970, whatever a clock says."""
    return tag + _FIXED64.pack(number) if 0 < number <= _MASK_64 else b""


def fixed32(tag: bytes, number: int) -> bytes:
    """A fixed32 field, left out when 0."""
    return tag + _FIXED32.pack(number) if number else b""


def counted(tag: bytes, number: int) -> bytes:
    """A varint field, left out when 0."""
    return tag + varint(number) if number else b""


def any_value(value: AttributeValue) -> bytes:  # noqa: PLR0911  one line for each kind
    """Serialized `AnyValue`; a value that is no sequence either is a TypeError."""
    if isinstance(value, str):
        raw = value.encode()
        return b"\x0a" + varint(len(raw)) + raw
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE.pack(value)
    if value is None:
        return b""
    if isinstance(value, bytes):
        return sized(b"\x3a", value)
    if isinstance(value, Mapping):
        return sized(b"\x32", attributes(b"\x0a", value))
    return sized(b"\x2a", b"".join(sized(b"\x0a", any_value(item)) for item in value))


def attributes(tag: bytes, values: Mapping[str, AttributeValue]) -> bytes:
    """Repeated `KeyValue` fields under `tag`."""
    parts = []
    for key, value in values.items():
        head = _KEY_HEADS.get(key) or _key_head(key)
        # Short texts and small numbers, nearly all there are, without a call.
        if type(value) is str and len(raw := value.encode()) < len(_SHORT_TEXTS):
            encoded = _SHORT_TEXTS[len(raw)] + raw
        elif type(value) is int and 0 <= value < len(_SMALL_NUMBERS):
            encoded = _SMALL_NUMBERS[value]
        else:
            encoded = any_value(value)
            encoded = varint(len(encoded)) + encoded
        size = len(head) + len(encoded)
        parts.append(tag + (_ONE_BYTE[size] if size < len(_ONE_BYTE) else varint(size)) + head + encoded)
    return b"".join(parts)


def _key_head(key: str) -> bytes:
    """The key of a `KeyValue` and the tag of its value; kept, because programs use few keys."""
    head = text(b"\x0a", key) + b"\x12"
    if len(_KEY_HEADS) < _KEY_HEADS_LIMIT:
        _KEY_HEADS[key] = head
    return head


def status(code: int, message: str) -> bytes:
    """The status field of a span, present even when unset, as upstream writes it."""
    if not code and not message:
        return b"\x7a\x00"
    return sized(b"\x7a", text(b"\x12", message) + counted(b"\x18", code))


def closing(end_ns: int, code: int, message: str, values: Mapping[str, AttributeValue]) -> bytes:
    """What, appended to the body of an open span, ends it: protobuf merges a message read in two parts."""
    return fixed64(b"\x41", end_ns) + attributes(b"\x4a", values) + status(code, message)


# --- reading


# Wire types of the fields that are numbers (0 varint, 1 fixed64, 5 fixed32), by message; all others are
# texts, bytes or messages.
_VALUE_NUMBERS: Mapping[int, int] = {2: 0, 3: 0, 4: 1}
_SPAN_NUMBERS: Mapping[int, int] = {6: 0, 7: 1, 8: 1, 10: 0, 12: 0, 14: 0, 16: 5}
STATUS_NUMBERS: Mapping[int, int] = {3: 0}
_EVENT_NUMBERS: Mapping[int, int] = {1: 1, 4: 0}
_LOG_NUMERIC: Mapping[int, int] = {1: 1, 2: 0, 7: 0, 8: 5, 11: 1}
_NO_NUMBERS: Mapping[int, int] = {}


def fields(data: bytes, numbers: Mapping[int, int] = _NO_NUMBERS) -> Iterator[tuple[int, Any]]:
    """Field numbers and raw values of a message: int for those in `numbers`, which tells their wire types.

    The others are bytes. A field of another wire type is skipped, as protobuf does; a torn message is a
    ValueError.
    """
    position, end = 0, len(data)
    while position < end:
        tag, position = read_varint(data, position)
        if not 8 <= tag < _TAG_LIMIT:
            msg = f"no OTLP message: no field has the number {tag >> 3}, before byte {position}"
            raise ValueError(msg)
        number, wire = tag >> 3, tag & 7
        if wire == _WIRE_VARINT:
            value: int | bytes
            value, position = read_varint(data, position)
        else:
            size = _FIXED_SIZES.get(wire)
            if size is None:
                size, position = _read_size(data, position, wire)
            start, position = position, position + size
            if position > end:
                msg = f"torn message: field {number} wants {size} bytes, {end - start} are left"
                raise ValueError(msg)
            value = data[start:position]
            if wire != _WIRE_LENGTH:
                value = int.from_bytes(value, "little")
        if numbers.get(number, _WIRE_LENGTH) == wire:
            yield number, value


def _read_size(data: bytes, position: int, wire: int) -> tuple[int, int]:
    if wire != _WIRE_LENGTH:
        msg = f"no OTLP message: wire type {wire} at byte {position}"
        raise ValueError(msg)
    return read_varint(data, position)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at a position, and the position behind it."""
    try:
        byte = data[position]
        if byte < 128:
            return byte, position + 1
        number = shift = 0
        while True:
            byte = data[position]
            position += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number & _MASK_64, position
            shift += 7
            if shift > 63:
                msg = f"no OTLP message: number too long at byte {position}"
                raise ValueError(msg)
    except IndexError:
        msg = f"torn message: it ends within a number at byte {position}"
        raise ValueError(msg) from None


def read_value(data: bytes, depth: int = 0) -> Any:
    """The Python value of a serialized `AnyValue`; lists and dicts for arrays and maps."""
    if depth > _DEPTH_LIMIT:
        msg = f"value nested deeper than {_DEPTH_LIMIT}"
        raise ValueError(msg)
    value: Any = None
    for number, raw in fields(data, _VALUE_NUMBERS):
        if number == 1:
            value = raw.decode(errors="replace")
        elif number == 2:
            value = bool(raw)
        elif number == 3:
            value = raw - (1 << 64) if raw >> 63 else raw
        elif number == 4:
            value = _DOUBLE.unpack(_FIXED64.pack(raw))[0]
        elif number == 5:
            value = [read_value(item, depth + 1) for field, item in fields(raw) if field == 1]
        elif number == 6:
            value = dict(read_attribute(item, depth + 1) for field, item in fields(raw) if field == 1)
        elif number == 7:
            value = raw
    return value


def read_attribute(data: bytes, depth: int = 0) -> tuple[str, Any]:
    """Key and value of a serialized `KeyValue`."""
    key, value = "", None
    for number, raw in fields(data):
        if number == 1:
            key = raw.decode(errors="replace")
        elif number == 2:
            value = read_value(raw, depth)
    return key, value


class SpanBody:
    """A serialized OTLP `Span`, read once; fields that appear again win, as protobuf merges."""

    __slots__ = (
        "attributes",
        "end_ns",
        "events",
        "kind",
        "links",
        "name",
        "parent_id",
        "span_id",
        "start_ns",
        "status_code",
        "status_message",
        "trace_id",
    )

    def __init__(self, data: bytes) -> None:
        self.trace_id = self.span_id = b""
        self.parent_id: bytes | None = None
        self.name = self.status_message = ""
        self.kind = self.start_ns = self.status_code = 0
        self.end_ns: int | None = None
        self.attributes: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        for number, raw in fields(data, _SPAN_NUMBERS):
            self._take(number, raw)

    def _take(self, number: int, raw: Any) -> None:  # noqa: C901, PLR0912  one branch for each field
        if number == 9:
            key, value = read_attribute(raw)
            self.attributes[key] = value
        elif number == 1:
            self.trace_id = raw
        elif number == 2:
            self.span_id = raw
        elif number == 4:
            self.parent_id = raw or None
        elif number == 5:
            self.name = raw.decode(errors="replace")
        elif number == 6:
            self.kind = raw
        elif number == 7:
            self.start_ns = raw
        elif number == 8:
            self.end_ns = raw
        elif number == 11:
            self.events.append(_read_event(raw))
        elif number == 13:
            self.links.append(_read_link(raw))
        elif number == 15:
            for field, value in fields(raw, STATUS_NUMBERS):
                if field == 2:
                    self.status_message = value.decode(errors="replace")
                elif field == 3:
                    self.status_code = value


def _read_event(data: bytes) -> dict[str, Any]:
    event: dict[str, Any] = {"name": "", "time_ns": 0, "attributes": {}}
    for number, raw in fields(data, _EVENT_NUMBERS):
        if number == 1:
            event["time_ns"] = raw
        elif number == 2:
            event["name"] = raw.decode(errors="replace")
        elif number == 3:
            key, value = read_attribute(raw)
            event["attributes"][key] = value
    return event


def _read_link(data: bytes) -> dict[str, Any]:
    link: dict[str, Any] = {"trace_id": "", "span_id": "", "attributes": {}}
    for number, raw in fields(data):
        if number == 1:
            link["trace_id"] = raw.hex()
        elif number == 2:
            link["span_id"] = raw.hex()
        elif number == 4:
            key, value = read_attribute(raw)
            link["attributes"][key] = value
    return link


def read_attributes(data: bytes, number: int) -> dict[str, Any]:
    """The attributes that a message keeps under field `number`: 1 in a resource, 6 in a log record."""
    return dict(read_attribute(raw) for field, raw in fields(data) if field == number)


def read_log(data: bytes) -> dict[str, Any]:
    """A serialized OTLP `LogRecord` as the fields of `history.LogLine`."""
    log: dict[str, Any] = {
        "time_ns": 0,
        "severity_number": 0,
        "severity_text": "",
        "event_name": None,
        "body": None,
        "attributes": {},
        "trace_id": None,
        "span_id": None,
    }
    for number, raw in fields(data, _LOG_NUMERIC):
        if number == 6:
            key, value = read_attribute(raw)
            log["attributes"][key] = value
        elif number == 5:
            log["body"] = read_value(raw)
        elif number in _LOG_NUMBERS:
            log[_LOG_NUMBERS[number]] = raw
        elif number in _LOG_TEXTS:
            log[_LOG_TEXTS[number]] = raw.decode(errors="replace")
        elif number in _LOG_IDS:
            log[_LOG_IDS[number]] = raw.hex() or None
    return log


_LOG_NUMBERS = {1: "time_ns", 2: "severity_number"}
_LOG_TEXTS = {3: "severity_text", 12: "event_name"}
_LOG_IDS = {9: "trace_id", 10: "span_id"}
