"""What tables and sums need of a serialized OTLP `Span`, read in one pass over its bytes.

The same fields as `wire.SpanBody` reads, but for events, links and attributes that nobody asks for, which are
stepped over. A writer reads each span once, so this is written for speed: bytes are looked at in place, and
what our own encoder does not write is left to `wire.py`.
"""

# ruff: noqa: PLR2004  the numbers are protobuf's: of fields, of bytes

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import wire

_STRIDES = {1: 8, 5: 4}


class UnusualError(Exception):
    """A field's number takes more bytes than it needs: protobuf reads that, and so does `wire.SpanBody`."""


class SpanHead:
    """The fields of a span; fields that appear again win, as protobuf merges."""

    __slots__ = (
        "attributes", "end_ns", "kind", "name", "parent_id", "span_id", "start_ns", "status_code",
        "status_message", "trace_id",
    )  # fmt: skip

    def __init__(self) -> None:
        self.trace_id = self.span_id = b""
        self.parent_id: bytes | None = None
        self.name = self.status_message = ""
        self.kind = self.start_ns = self.status_code = 0
        self.end_ns: int | None = None
        self.attributes: dict[str, Any] = {}


def read_head(data: bytes, wanted: Mapping[bytes, str]) -> SpanHead:  # noqa: C901, PLR0912  one branch for each field
    """The fields of a serialized span, and the attributes among `wanted` (encoded key to key).

    Raises ValueError or IndexError when it is torn or no span at all, UnusualError when `wire.SpanBody` has
    to read it.
    """
    head = SpanHead()
    position, end = 0, len(data)
    while position < end:
        tag = data[position]
        position += 1
        if tag & 7 != 2 or tag > 127:
            position = _read_number(head, tag, data, position)
            continue
        size = data[position]
        position += 1
        if size > 127:
            size, position = wire.read_varint(data, position - 1)
        stop = position + size
        if stop > end:
            raise IndexError
        if tag == 0x4A:
            if data[position] == 0x0A and data[position + 1] < 128:
                start = position + 2
                position = start + data[start - 1]
                key = wanted.get(data[start:position])
                if key is not None:
                    head.attributes[key] = _read_value(data, position, stop)
            else:
                name, value = wire.read_attribute(data[position:stop])
                if name.encode(errors="replace") in wanted:
                    head.attributes[name] = value
        elif tag == 0x0A:
            head.trace_id = data[position:stop]
        elif tag == 0x12:
            head.span_id = data[position:stop]
        elif tag == 0x22:
            head.parent_id = data[position:stop] or None
        elif tag == 0x2A:
            head.name = data[position:stop].decode(errors="replace")
        elif tag == 0x7A and size:
            _read_status(head, data[position:stop])
        position = stop
    if position > end:
        raise IndexError
    return head


def _read_number(head: SpanHead, tag: int, data: bytes, position: int) -> int:
    """Read a field that is a number, or step over one that nobody asks for; the position behind it."""
    if tag == 0x39:
        head.start_ns = int.from_bytes(data[position : position + 8], "little")
        return position + 8
    if tag == 0x41:
        head.end_ns = int.from_bytes(data[position : position + 8], "little")
        return position + 8
    if tag == 0x85 and data[position] == 1:  # flags, which every span of ours has
        return position + 5
    if tag == 0x30:
        head.kind, position = wire.read_varint(data, position)
        return position
    return _step_over(data, position - 1)


def _read_value(data: bytes, position: int, stop: int) -> Any:
    """The value of an attribute whose key ends at `position`."""
    if position + 4 <= stop and data[position] == 0x12 and data[position + 1] < 128:
        kind, start = data[position + 2], position + 4
        if kind == 0x0A and start + data[start - 1] == stop:
            return data[start:stop].decode(errors="replace")
        if kind == 0x18 and start == stop and data[start - 1] < 128:
            return data[start - 1]
    value = None
    for field, raw in wire.fields(data[position:stop]):
        if field == 2:
            value = wire.read_value(raw)
    return value


def _read_status(head: SpanHead, data: bytes) -> None:
    for field, value in wire.fields(data, wire.STATUS_NUMBERS):
        if field == 2:
            head.status_message = value.decode(errors="replace")
        elif field == 3:
            head.status_code = value


def _step_over(data: bytes, position: int) -> int:
    """The position behind a field that is none of ours."""
    first = data[position]
    tag, position = wire.read_varint(data, position)
    if tag < 128 <= first:
        raise UnusualError
    kind = tag & 7
    if kind == 0:
        return wire.read_varint(data, position)[1]
    if kind == 2:
        size, position = wire.read_varint(data, position)
    elif kind in _STRIDES:
        size = _STRIDES[kind]
    else:
        msg = f"no OTLP message: wire type {kind} at byte {position}"
        raise ValueError(msg)
    if position + size > len(data):
        raise IndexError
    return position + size
