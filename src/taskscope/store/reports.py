"""Events that the store tells of its own accord: what it brought home, and what was lost on the way to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskscope.semconv import attributes as attr
from taskscope.semconv import events

from . import wire
from .decoding import decode_log

if TYPE_CHECKING:
    from .records import LogRecord, Source


def recovered_event(source: Source, spans: int) -> LogRecord:
    """The event that tells of spans brought home, as said by the process that had made them."""
    return _event(source, events.RECOVERED, {attr.RECOVERY_SPAN_COUNT: spans})


def dropped_event(source: Source, signal: str, reason: str, records: int) -> LogRecord:
    """The event that tells of records that never reached the store, as said by the process that made them."""
    values: dict[str, str | int] = {attr.SIGNAL: signal, attr.DROP_REASON: reason, attr.DROP_COUNT: records}
    return _event(source, events.RECORDS_DROPPED, values)


def _event(source: Source, name: str, attributes: Mapping[str, str | int]) -> LogRecord:
    severity = events.SEVERITIES[name]
    return decode_log(
        b"".join(
            (
                wire.fixed64(b"\x09", time.time_ns()),
                wire.counted(b"\x10", severity),
                wire.text(b"\x1a", events.SEVERITY_TEXTS[severity]),
                wire.attributes(b"\x32", attributes),
                wire.text(b"\x62", name),
            )
        ),
        source,
    )
