"""What other senders hand in: OTLP requests read strictly, cleaned, and encoded anew as records of the store.

Nothing of a request is copied but ids and numbers: texts and values pass the `Cleaner` as our own do, and
what claims to be of our contract has to keep it. A request that is no OTLP is a ValueError as a whole; a
record that cannot be true (no id, no end) is refused alone. Metrics stand in `foreign_points.py`.
"""

# ruff: noqa: PLR2004  the numbers are protobuf's fields

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from taskscope.errors import RequestTooLargeError
from taskscope.semconv import attributes as attr
from taskscope.semconv import spans
from taskscope.store import dialects, wire
from taskscope.store.decoding import decode_log, decode_span
from taskscope.store.records import LogRecord, Source, SpanRecord

if TYPE_CHECKING:
    from taskscope.store.records import AttributeValue

    from .cleaning import Cleaner

RECORDS_LIMIT = 1 << 16
"""Records of one request; stock senders send 512 to 8,192."""
ATTRIBUTES_LIMIT = 128
"""Attributes of one span, event, link, log record, resource or scope, as OpenTelemetry's own SDKs have it."""
PARTS_LIMIT = 128
"""Events of one span, and links of one span."""
_LOOKED_THROUGH = 4096
"""Attributes of one record among which the contract's keys are searched for."""
FUTURE_NS = 24 * 3600 * 10**9
"""How far ahead another machine's clock may be; a record of the year 2262 would never grow old."""
IN_THE_FUTURE = "a time more than a day ahead"
_COUNT_LIMIT = (1 << 32) - 1
_SEVERITY_LIMIT = 24
_TASK_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_CONTRACT = frozenset(value for name, value in vars(attr).items() if name.isupper()) | dialects.SOURCES
"""The keys that we read, by our names or by those of other dialects."""
_CLOSED = {key: values for key, values in spans.CLOSED_SETS.items() if key.startswith("taskscope.")}

_SPAN_NUMBERS: Mapping[int, int] = {6: 0, 7: 1, 8: 1, 10: 0, 12: 0, 14: 0, 16: 5}
_STATUS_NUMBERS: Mapping[int, int] = {3: 0}
_EVENT_NUMBERS: Mapping[int, int] = {1: 1, 4: 0}
_LINK_NUMBERS: Mapping[int, int] = {5: 0, 6: 5}
_LOG_NUMBERS: Mapping[int, int] = {1: 1, 2: 0, 7: 0, 8: 5, 11: 1}
_OWNER_NUMBERS: Mapping[int, int] = {2: 0}
_SCOPE_NUMBERS: Mapping[int, int] = {4: 0}


class Received(NamedTuple):
    """What a request brought."""

    records: Sequence[Any]
    refused: Counter[str]
    """Why records were refused, in words for their sender, and how many."""


class RefusedError(Exception):
    """One record cannot be true; the message says why."""


class ForeignReader:
    """Makes records out of requests; safe to share between threads as far as its cleaner is."""

    def __init__(self, cleaner: Cleaner, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._cleaner = cleaner
        self._now_ns = now_ns

    def spans(self, request: bytes) -> Received:
        """The spans of a serialized `ExportTraceServiceRequest`; ValueError when it is none."""
        return self._read(request, self._span)

    def logs(self, request: bytes) -> Received:
        """The log records of a serialized `ExportLogsServiceRequest`; ValueError when it is none."""
        return self._read(request, self._log)

    def _read(
        self, request: bytes, read: Callable[[bytes, Source, str, int], SpanRecord | LogRecord]
    ) -> Received:
        records: list[SpanRecord | LogRecord] = []
        refused: Counter[str] = Counter()
        latest_ns = self._now_ns() + FUTURE_NS
        for resource, scope, bodies in read_groups(request):
            source, scope_name = Source(self.resource(resource), self._scope(scope)), _read_name(scope)
            for body in bodies:
                try:
                    records.append(read(body, source, scope_name, latest_ns))
                except RefusedError as error:
                    refused[str(error)] += 1
        return Received(records, refused)

    # --- who says it

    def resource(self, data: bytes) -> bytes:
        """A serialized `Resource`, cleaned."""
        numbers, repeated = gather(data, _OWNER_NUMBERS, {1})
        values, dropped = self._attributes(repeated[1], numbers.get(2, 0))
        return wire.attributes(b"\x0a", values) + wire.counted(b"\x10", dropped)

    def _scope(self, data: bytes) -> bytes:
        single, repeated = gather(data, _SCOPE_NUMBERS, {3})
        values, dropped = self._attributes(repeated[3], single.get(4, 0))
        return (
            self._text(b"\x0a", single.get(1))
            + self._text(b"\x12", single.get(2))
            + wire.attributes(b"\x1a", values)
            + wire.counted(b"\x20", dropped)
        )

    # --- spans

    def _span(self, data: bytes, source: Source, scope: str, latest_ns: int) -> SpanRecord:
        single, repeated = gather(data, _SPAN_NUMBERS, {9, 11, 13, 15})
        name, is_root = bytes(single.get(5, b"")).decode(errors="replace"), not any(single.get(4, b""))
        values, dropped = self._attributes(
            repeated[9],
            single.get(10, 0),
            lambda given: dialects.translate(given, scope, name, is_root=is_root, clean=self._cleaner.text),
        )
        events = [self._event(event) for event in repeated[11][:PARTS_LIMIT]]
        links = [link for link in map(self._link, repeated[13][:PARTS_LIMIT]) if link]
        status = self._status(b"".join(repeated[15]))
        # Only now, so that a torn part is seen whatever else is wrong.
        trace_id, span_id, parent_id = _read_ids(single)
        start_ns, end_ns = _read_times(single, latest_ns)
        kind = single.get(6, 0)
        body = b"".join(
            (
                b"\x0a\x10", trace_id, b"\x12\x08", span_id,
                self._text(b"\x1a", single.get(3)),
                b"\x22\x08" + parent_id if parent_id else b"",
                self._text(b"\x2a", single.get(5)),
                wire.counted(b"\x30", kind if kind <= 5 else 0),
                wire.fixed64(b"\x39", start_ns),
                wire.fixed64(b"\x41", end_ns),
                wire.attributes(b"\x4a", values),
                wire.counted(b"\x50", dropped),
                *events,
                wire.counted(b"\x60", _add(single.get(12, 0), len(repeated[11]) - len(events))),
                *links,
                wire.counted(b"\x70", _add(single.get(14, 0), len(repeated[13]) - len(links))),
                status,
                wire.fixed32(b"\x85\x01", single.get(16, 0)),
            )
        )  # fmt: skip
        return decode_span(body, source)

    def _status(self, data: bytes) -> bytes:
        single, _ = gather(data, _STATUS_NUMBERS, ())
        code = single.get(3, 0)
        return wire.status(code if code <= 2 else 0, self._cleaned(single.get(2)))

    def _event(self, data: bytes) -> bytes:
        single, repeated = gather(data, _EVENT_NUMBERS, {3})
        values, dropped = self._attributes(repeated[3], single.get(4, 0))
        event = (
            wire.fixed64(b"\x09", single.get(1, 0))
            + self._text(b"\x12", single.get(2))
            + wire.attributes(b"\x1a", values)
            + wire.counted(b"\x20", dropped)
        )
        return wire.sized(b"\x5a", event)

    def _link(self, data: bytes) -> bytes | None:
        single, repeated = gather(data, _LINK_NUMBERS, {4})
        values, dropped = self._attributes(repeated[4], single.get(5, 0))
        trace_id, span_id = _identifier(single.get(1), 16), _identifier(single.get(2), 8)
        if trace_id is None or span_id is None:
            return None
        link = (
            wire.sized(b"\x0a", trace_id)
            + wire.sized(b"\x12", span_id)
            + self._text(b"\x1a", single.get(3))
            + wire.attributes(b"\x22", values)
            + wire.counted(b"\x28", dropped)
            + wire.fixed32(b"\x35", single.get(6, 0))
        )
        return wire.sized(b"\x6a", link)

    # --- log records

    def _log(self, data: bytes, source: Source, _scope: str, latest_ns: int) -> LogRecord:
        single, repeated = gather(data, _LOG_NUMBERS, {5, 6})
        observed_ns = single.get(11, 0)
        time_ns = single.get(1, 0) or observed_ns or self._now_ns()
        severity = single.get(2, 0)
        content = wire.read_value(b"".join(repeated[5]))
        values, dropped = self._attributes(repeated[6], single.get(7, 0))
        if max(time_ns, observed_ns) > latest_ns:
            raise RefusedError(IN_THE_FUTURE)
        # An id that is none means: of no trace, of no span (comments of opentelemetry-proto's LogRecord).
        trace_id, span_id = _identifier(single.get(9), 16), _identifier(single.get(10), 8)
        encoded = b"".join(
            (
                wire.fixed64(b"\x09", time_ns),
                wire.counted(b"\x10", severity if severity <= _SEVERITY_LIMIT else 0),
                self._text(b"\x1a", single.get(3)),
                wire.sized(b"\x2a", wire.any_value(self._cleaner.attributes({"body": content}).get("body"))),
                wire.attributes(b"\x32", values),
                wire.counted(b"\x38", dropped),
                wire.fixed32(b"\x45", single.get(8, 0)),
                wire.sized(b"\x4a", trace_id) if trace_id else b"",
                wire.sized(b"\x52", span_id) if span_id else b"",
                wire.fixed64(b"\x59", observed_ns),
                self._text(b"\x62", single.get(12)),
            )
        )
        return decode_log(encoded, source)

    # --- what all have

    def _cleaned(self, raw: bytes | None) -> str:
        return self._cleaner.text(raw.decode(errors="replace")) if raw else ""

    def _text(self, tag: bytes, raw: bytes | None) -> bytes:
        return wire.text(tag, self._cleaned(raw)) if raw else b""

    def _attributes(
        self,
        pairs: Sequence[bytes],
        dropped: int,
        translate: Callable[[dict[str, Any]], None] = lambda _values: None,
    ) -> tuple[dict[str, AttributeValue], int]:
        """The attributes that are kept, cleaned, and how many were dropped here and before."""
        values, left_out = read_pairs(pairs)
        translate(values)
        changed = hold_contract(values)
        cleaned = self._cleaner.attributes(values)
        if changed:
            known = cleaned.get(attr.SANITIZE_KEYS)
            cleaned[attr.SANITIZE_KEYS] = [*(known if isinstance(known, list) else ()), *changed]
        return cleaned, _add(dropped, left_out)


def read_groups(request: bytes) -> Iterator[tuple[bytes, bytes, list[bytes]]]:
    """Resource, scope and records of an export request, all serialized; all three signals are built alike.

    ValueError when the request is no such thing, RequestTooLargeError when it has too many records.
    """
    number = 0
    for resource, scopes in (_split(group) for field, group in wire.fields(request) if field == 1):
        for scope, records in map(_split, scopes):
            number += len(records)
            if number > RECORDS_LIMIT:
                msg = f"the request has more than {RECORDS_LIMIT} records: send smaller ones"
                raise RequestTooLargeError(msg)
            yield resource, scope, records


def _split(data: bytes) -> tuple[bytes, list[bytes]]:
    """What stands in field 1, in however many parts, and the items of field 2."""
    head, items = b"", []
    for number, raw in wire.fields(data):
        if number == 1:
            head += raw
        elif number == 2:
            items.append(raw)
    return head, items


def gather(
    data: bytes, numbers: Mapping[int, int], repeated: Sequence[int] | set[int]
) -> tuple[dict[int, Any], dict[int, list[bytes]]]:
    """A message's fields: of the single ones the last, of the `repeated` ones all."""
    single: dict[int, Any] = {}
    many: dict[int, list[bytes]] = {number: [] for number in repeated}
    for number, raw in wire.fields(data, numbers):
        if number in many:
            many[number].append(raw)
        else:
            single[number] = raw
    return single, many


def read_pairs(pairs: Sequence[bytes]) -> tuple[dict[str, Any], int]:
    """The attributes of serialized `KeyValue`s that are kept, the contract's first; how many are not."""
    values = dict(wire.read_attribute(pair) for pair in pairs[:_LOOKED_THROUGH])
    left_out = len(pairs) - _LOOKED_THROUGH if len(pairs) > _LOOKED_THROUGH else 0
    if len(values) <= ATTRIBUTES_LIMIT:
        return values, left_out
    ranked = sorted(values, key=lambda key: key not in _CONTRACT)  # stable: else as they came
    kept = set(ranked[:ATTRIBUTES_LIMIT])
    left_out += len(values) - len(kept)
    return {key: value for key, value in values.items() if key in kept}, left_out


def hold_contract(values: dict[str, Any]) -> list[str]:
    """Hold, in place, foreign attributes of our names to our contract; the keys that were changed.

    A task id is a plain word, since it is typed and printed; a value outside of its closed set is `other`.
    """
    changed = []
    for key in values.keys() & _CLOSED.keys():
        if values[key] not in _CLOSED[key]:
            values[key] = spans.OTHER
            changed.append(key)
    task_id = values.get(attr.TASK_ID)
    if attr.TASK_ID in values and not (isinstance(task_id, str) and _TASK_ID.fullmatch(task_id)):
        del values[attr.TASK_ID]
        changed.append(attr.TASK_ID)
    return sorted(changed)


def _read_name(scope: bytes) -> str:
    raw = gather(scope, _SCOPE_NUMBERS, ())[0].get(1, b"")
    return bytes(raw).decode(errors="replace")


def _add(number: int, more: int) -> int:
    return min(number + more, _COUNT_LIMIT)


def _read_ids(single: Mapping[int, Any]) -> tuple[bytes, bytes, bytes | None]:
    trace_id, span_id = _identifier(single.get(1), 16), _identifier(single.get(2), 8)
    if trace_id is None or span_id is None:
        msg = "a span without a trace id of 16 bytes and a span id of 8, not all zero"
        raise RefusedError(msg)
    given = single.get(4, b"")
    parent_id = _identifier(given, 8)
    if (parent_id is None and any(given)) or parent_id == span_id:
        msg = "a parent id that is none, or the span's own"
        raise RefusedError(msg)
    return trace_id, span_id, parent_id


def _read_times(single: Mapping[int, Any], latest_ns: int) -> tuple[int, int]:
    start_ns, end_ns = single.get(7, 0), single.get(8, 0)
    if not start_ns or not end_ns:
        msg = "a span without start or end"
        raise RefusedError(msg)
    if max(start_ns, end_ns) > latest_ns:
        raise RefusedError(IN_THE_FUTURE)
    return start_ns, end_ns


def _identifier(raw: bytes | None, size: int) -> bytes | None:
    """An id of this size that is not all zero, else None."""
    return raw if raw is not None and len(raw) == size and any(raw) else None
