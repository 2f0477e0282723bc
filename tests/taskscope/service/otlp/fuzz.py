"""Requests that somebody spoilt, and what has to hold for each.

A million of them: `python -m tests.taskscope.service.otlp.fuzz 1000000`.

Real requests are changed at random (bytes flipped, cut, doubled, put in; JSON values exchanged), with and
without gzip. Upstream's own classes are the judge of protobuf: what they refuse makes no record, and what we
take is what they read. Seeded, so that a failure is found again by its number.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from taskscope.errors import RequestTooLargeError
from taskscope.recorder.cleaning import Cleaner
from taskscope.recorder.foreign import ForeignReader, Received
from taskscope.recorder.foreign_points import PointReader
from taskscope.redaction import Redactor
from taskscope.service.otlp.intake import decompress
from taskscope.service.otlp.json_mapping import to_protobuf
from taskscope.store import wire
from taskscope.store.database import open_database
from taskscope.store.foreign import ForeignIngest
from taskscope.store.records import SpanRecord

from .requests import (
    REQUESTS,
    START,
    TRACE,
    logs,
    make_agent,
    make_chat,
    make_log,
    make_metric,
    make_span,
    metrics,
    pairs,
    to_json,
    traces,
)

_VALUES = {
    "a": "text",
    "b": [1, -2, 2.5, True, b"\xff"],
    "c": {"d": {"e": []}},
    "taskscope.task.outcome": "failed",
}
SEEDS = {
    "traces": traces(
        make_agent(1),
        make_chat(2, _VALUES, parent=1, kind=3),
        make_span(3, "é", _VALUES, parent=2, status=2, message="no",
                  events=[Span.Event(time_unix_nano=START, name="e", attributes=pairs(_VALUES))],
                  links=[Span.Link(trace_id=TRACE, span_id=b"l" * 8, attributes=pairs(_VALUES))]),
        resource=_VALUES,
    ),
    "logs": logs(make_log(_VALUES, _VALUES, trace_id=TRACE, span_id=b"s" * 8), make_log("b", event_name="e")),
    "metrics": metrics(
        make_metric("g", "gauge", {"as_double": 1.5, "time_unix_nano": START, "attributes": pairs(_VALUES)}),
        make_metric("s", "sum", {"as_int": 5, "time_unix_nano": START},
                    aggregation_temporality=1, is_monotonic=True),
        make_metric("h", "histogram",
                    {"count": 3, "sum": 1.5, "bucket_counts": [1, 2], "explicit_bounds": [0.5],
                     "time_unix_nano": START}, aggregation_temporality=2),
    ),
}  # fmt: skip
_ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**64, 1e400, 0.5, "", "x", "\ud800", "9" * 30, [], {}, [[]], {"a": {}}, [None],
)  # fmt: skip

_CLEANER = Cleaner(Redactor())
READERS: dict[str, Callable[[bytes], Received]] = {
    "traces": ForeignReader(_CLEANER).spans,
    "logs": ForeignReader(_CLEANER).logs,
    "metrics": PointReader(_CLEANER).points,
}


class Rig:
    """Takes what was spoilt as the receiver does, into a store of its own."""

    def __init__(self, folder: Path) -> None:
        self._connection = open_database(folder / "taskscope.db", create=True)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._ingest = ForeignIngest(self._connection)
        self._write: dict[str, Callable[..., Counter[str]]] = {
            "traces": self._ingest.write_spans,
            "logs": self._ingest.write_logs,
            "metrics": self._ingest.write_points,
        }
        self.outcomes: Counter[str] = Counter()

    def close(self) -> None:
        self._connection.close()

    def run(self, number: int) -> None:
        """Spoil, take and judge one request; anything but ValueError on the way is a failure."""
        chance = random.Random(number)
        signal = chance.choice(list(SEEDS))
        is_json, is_gzip = chance.random() < 0.3, chance.random() < 0.2
        body = (
            spoil_json(signal, chance) if is_json else spoil_bytes(SEEDS[signal].SerializeToString(), chance)
        )
        if is_gzip:
            body = gzip.compress(body, 1)
            body = spoil_bytes(body, chance) if chance.random() < 0.5 else body
        try:
            plain = decompress(body) if is_gzip else body
            if is_json:
                plain = to_protobuf(signal, plain)
            received = READERS[signal](plain)
        except (ValueError, RequestTooLargeError):
            self.outcomes["refused"] += 1
            return
        judge(signal, plain, received)
        self._write[signal](received.records, received.refused.total())
        self.outcomes["taken"] += 1
        if self.outcomes["taken"] % 1000 == 0:
            self._check_store()

    def _check_store(self) -> None:
        """Every sum is the number of what is there, and the store stays small."""
        for table, signal in (("span", "traces"), ("log", "logs")):
            rows = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  two words
            emitted, delivered, dropped = (
                self._connection.execute(
                    "SELECT total(value) FROM counter WHERE metric = ? AND labels LIKE ?",
                    (f"taskscope.records.{name}", f'["{signal}"%'),
                ).fetchone()[0]
                for name in ("emitted", "delivered", "dropped")
            )
            kept = self._connection.execute(
                "SELECT coalesce(max(value), 0) FROM meta WHERE name = ?", (f"fuzz.{signal}",)
            ).fetchone()[0]
            assert delivered == rows + int(kept), (signal, delivered, rows)
            assert emitted == delivered + dropped, (signal, emitted, delivered, dropped)
            self._connection.execute(
                "REPLACE INTO meta VALUES(?, ?)", (f"fuzz.{signal}", str(int(delivered)))
            )
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608  two words
        self._connection.execute("DELETE FROM trace")
        self._connection.execute("DELETE FROM source")
        self._ingest._sources.clear()


def spoil_bytes(body: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(body)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        at, size = chance.randrange(len(spoilt) + 1), chance.choice((1, 1, 2, 8, 40))
        way = chance.randrange(5)
        if way == 0 and at < len(spoilt):
            spoilt[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            spoilt[at : at + size] = chance.randbytes(size)
        elif way == 2:
            del spoilt[at : at + size]
        elif way == 3:
            spoilt[at:at] = spoilt[at : at + size]
        elif chance.random() < 0.3:
            del spoilt[at:]
    return bytes(spoilt)


def spoil_json(signal: str, chance: random.Random) -> bytes:
    request = to_json(SEEDS[signal])
    for _ in range(chance.choice((0, 1, 1, 2))):
        holder, key = chance.choice(list(_places(request)))
        if chance.random() < 0.3:
            del holder[key]
            break
        holder[key] = copy.deepcopy(chance.choice(_ODD))
    body = json.dumps(request, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    return spoil_bytes(body, chance) if chance.random() < 0.3 else body


def _places(value: Any) -> Any:
    """Every place of a JSON value, as its holder and key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _make_judges() -> dict[str, Any]:
    """Upstream's request classes, of bytes where it has texts: that these are UTF-8 we do not insist on.

    And without what we pass over, which may be torn for all we know.
    """
    pool = DescriptorPool()
    for module in (resource_pb2, trace_pb2, logs_pb2, metrics_pb2):
        for file in (*module.DESCRIPTOR.dependencies, module.DESCRIPTOR):
            pool.Add(_loosen(file))
    for request in REQUESTS.values():
        pool.Add(_loosen(request.DESCRIPTOR.file))
    return {
        signal: GetMessageClass(pool.FindMessageTypeByName(request.DESCRIPTOR.full_name))
        for signal, request in REQUESTS.items()
    }


_PASSED_OVER = {"entity_refs", "exemplars", "metadata", "exponential_histogram", "summary"}


def _loosen(file: Any) -> FileDescriptorProto:
    loose = FileDescriptorProto()
    file.CopyToProto(loose)
    left = list(loose.message_type)
    while left:
        message = left.pop()
        left.extend(message.nested_type)
        kept = [field for field in message.field if field.name not in _PASSED_OVER]
        for field in kept:
            if field.type == FieldDescriptorProto.TYPE_STRING:
                field.type = FieldDescriptorProto.TYPE_BYTES
        fields = [FieldDescriptorProto.FromString(field.SerializeToString()) for field in kept]
        del message.field[:]
        message.field.extend(fields)
    return loose


_JUDGES = _make_judges()


def judge(signal: str, plain: bytes, received: Received) -> None:
    """What we took is what upstream reads, and what it refuses made no record."""
    try:
        request = _JUDGES[signal].FromString(plain)
    except DecodeError:
        # Of a metric that is refused by its kind the points are counted, not read.
        assert not received.records or (signal == "metrics" and received.refused), plain.hex()
        return
    found = _records_of(signal, request)
    if signal == "metrics":
        assert len(received.records) <= len(found), plain.hex()
        return
    assert len(received.records) + received.refused.total() == len(found), plain.hex()
    theirs = Counter(_key(signal, one) for one in found)
    for record in received.records:
        ours = _JUDGES[signal].FromString(_wrap(record))
        key = _key(signal, _records_of(signal, ours)[0])
        if not theirs[key] and signal == "logs":
            key = (0, key[1])  # it said no time, so that it has ours
        assert theirs[key] > 0, (plain.hex(), key)
        theirs[key] -= 1


def _wrap(record: Any) -> bytes:
    """A record as the only one of a request."""
    body = record.body if isinstance(record, SpanRecord) else record.encoded
    return wire.sized(b"\x0a", wire.sized(b"\x12", wire.sized(b"\x12", body)))


def _records_of(signal: str, request: Any) -> list[Any]:
    if signal == "traces":
        return [one for group in request.resource_spans for scope in group.scope_spans for one in scope.spans]
    if signal == "logs":
        return [
            one for group in request.resource_logs for scope in group.scope_logs for one in scope.log_records
        ]
    metrics = [
        one for group in request.resource_metrics for scope in group.scope_metrics for one in scope.metrics
    ]
    return [
        point
        for one in metrics
        for kind in ("gauge", "sum", "histogram")
        if one.HasField(kind)
        for point in getattr(one, kind).data_points
    ]


def _key(signal: str, one: Any) -> tuple[Any, ...]:
    """What tells a record from another one, as far as we keep it as it came."""
    if signal == "traces":
        parent = one.parent_span_id if any(one.parent_span_id) else b""
        return one.trace_id, one.span_id, parent, one.start_time_unix_nano, one.end_time_unix_nano
    level = one.severity_number if one.severity_number <= 24 else 0
    return one.time_unix_nano or one.observed_time_unix_nano, level


def run(first: int, last: int) -> Counter[str]:
    """Take the spoilt requests of these numbers; how many were taken and refused. An error names one."""
    with tempfile.TemporaryDirectory() as folder, closing(Rig(Path(folder))) as rig:
        for number in range(first, last):
            try:
                rig.run(number)
            except Exception as error:
                error.add_note(f"request number {number}")
                raise
        rig._check_store()
        return rig.outcomes


if __name__ == "__main__":
    sys.stdout.write(f"{dict(run(0, int(sys.argv[1])))}\n")
