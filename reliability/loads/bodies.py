"""Serialized spans and log records, spoilt at random, read by our decoder and by protobuf's own.

    python -m reliability.loads.bodies COUNT SEED

Ours may refuse (a ValueError), and may read what protobuf refuses (a text that is no UTF-8 becomes one);
where both read, they must read the same.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as ProtoLog
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from benchmarks.loads._answer import answer
from taskscope.store import wire
from taskscope.store.decoding import decode_log, decode_span
from taskscope.store.records import Source

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from taskscope.store.records import AttributeValue

_NO_SOURCE = Source(b"", b"")
_LATEST_NS = (1 << 63) - 1
_VALUES: tuple[AttributeValue, ...] = (
    "text",
    "é€😀",
    5,
    -7,
    2.5,
    True,
    b"\0\xff",
    ["a", 1],
    {"k": {"l": [None]}},
    None,
    "",
)


def main() -> None:
    """Answer how many were read, refused, crashed at, and read wrongly."""
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(count):
        make, read = (_make_span, _compare_spans) if number % 2 else (_make_log, _compare_logs)
        counts[_judge(_spoil(make(chance), chance), read)] += 1
    answer(**{name: counts[name] for name in ("equal", "refused", "lenient", "crashes", "false")})


def _judge(body: bytes, compare: Callable[[bytes], bool]) -> str:
    try:
        return "equal" if compare(body) else "false"
    except DecodeError:
        return "lenient"
    except ValueError:
        return "refused"
    except Exception:  # noqa: BLE001  whatever it is, it is a crash
        return "crashes"


def _compare_spans(body: bytes) -> bool:
    ours, theirs = decode_span(body, _NO_SOURCE), ProtoSpan.FromString(body)
    return (
        ours.trace_id, ours.span_id, ours.parent_id or b"", ours.name, ours.kind & 0xFFFFFFFF,
        min(ours.start_ns, _LATEST_NS), min(ours.end_ns or 0, _LATEST_NS),
        ours.status_code & 0xFFFFFFFF, ours.status_message,
    ) == (
        theirs.trace_id, theirs.span_id, theirs.parent_span_id, theirs.name, theirs.kind & 0xFFFFFFFF,
        min(theirs.start_time_unix_nano, _LATEST_NS), min(theirs.end_time_unix_nano, _LATEST_NS),
        theirs.status.code & 0xFFFFFFFF, theirs.status.message,
    ) and _is_same(
        wire.SpanBody(body).attributes, {one.key: _plain(one.value) for one in theirs.attributes}
    )  # fmt: skip


def _compare_logs(body: bytes) -> bool:
    ours, theirs = decode_log(body, _NO_SOURCE), ProtoLog.FromString(body)
    return (
        min(ours.time_ns, _LATEST_NS), ours.severity_number & 0xFFFFFFFF,
        ours.severity_text, ours.event_name or "", ours.trace_id or b"", ours.span_id or b"",
    ) == (
        min(theirs.time_unix_nano, _LATEST_NS), theirs.severity_number & 0xFFFFFFFF, theirs.severity_text,
        theirs.event_name, theirs.trace_id, theirs.span_id,
    ) and _is_same(ours.attributes, {one.key: _plain(one.value) for one in theirs.attributes})  # fmt: skip


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or kind == "string_value_strindex":  # of profiles only
        return None
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {one.key: _plain(one.value) for one in value.kvlist_value.values}
    return getattr(value, kind)


def _is_same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(_is_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_is_same, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float) and math.isnan(ours):
        return math.isnan(theirs)
    return type(ours) is type(theirs) and bool(ours == theirs)


# --- making and spoiling


def _attributes(chance: random.Random) -> dict[str, Any]:
    return {f"key.{number}": chance.choice(_VALUES) for number in range(chance.randint(0, 4))}


def _make_span(chance: random.Random) -> bytes:
    return b"".join((
        wire.sized(b"\x0a", chance.randbytes(16)), wire.sized(b"\x12", chance.randbytes(8)),
        wire.sized(b"\x22", chance.randbytes(8)), wire.text(b"\x2a", "é"), b"\x30\x01",
        wire.fixed64(b"\x39", chance.getrandbits(62)), wire.fixed64(b"\x41", chance.getrandbits(62)),
        wire.attributes(b"\x4a", _attributes(chance)), wire.status(chance.randint(0, 2), "so it is"),
        wire.fixed32(b"\x85\x01", 0x100),
    ))  # fmt: skip


def _make_log(chance: random.Random) -> bytes:
    return b"".join((
        wire.fixed64(b"\x09", chance.getrandbits(62)), wire.counted(b"\x10", 9), wire.text(b"\x1a", "INFO"),
        wire.sized(b"\x2a", wire.any_value(chance.choice(_VALUES))),
        wire.attributes(b"\x32", _attributes(chance)), wire.sized(b"\x4a", chance.randbytes(16)),
        wire.sized(b"\x52", chance.randbytes(8)), wire.text(b"\x62", "it.happened"),
    ))  # fmt: skip


def _spoil(body: bytes, chance: random.Random) -> bytes:
    """A few changes: bits, bytes, a cut, a piece from elsewhere, a number that is too large."""
    data = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        chance.choice(_WAYS)(data, chance.randrange(len(data) or 1), chance)
    return bytes(data)


def _flip(data: bytearray, place: int, chance: random.Random) -> None:
    data[place : place + 1] = bytes(byte ^ 1 << chance.randrange(8) for byte in data[place : place + 1])


def _scribble(data: bytearray, place: int, chance: random.Random) -> None:
    data[place : place + 4] = chance.randbytes(4)


def _cut(data: bytearray, place: int, _chance: random.Random) -> None:
    del data[place:]


def _copy(data: bytearray, place: int, chance: random.Random) -> None:
    data[place:place] = data[chance.randrange(len(data) or 1) :][:20]


def _enlarge(data: bytearray, place: int, chance: random.Random) -> None:
    data[place:place] = wire.varint(chance.getrandbits(64))


def _drop(data: bytearray, place: int, chance: random.Random) -> None:
    del data[place : place + chance.randint(1, 9)]


_WAYS = (_flip, _scribble, _cut, _copy, _enlarge, _drop)


if __name__ == "__main__":
    main()
