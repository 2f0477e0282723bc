"""What a writer is handed: spans, log records, notes about tasks, readings; redacted and encoded already.

Named tuples where a record is made for every span on the application's thread: a frozen dataclass of this
width takes four times as long to build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

AttributeValue: TypeAlias = (
    "str | bool | int | float | bytes | Sequence[AttributeValue] | Mapping[str, AttributeValue] | None"
)
"""What OTLP can carry as the value of an attribute."""

STATUS_UNSET = 0
STATUS_OK = 1
STATUS_ERROR = 2


class Source(NamedTuple):
    """Who says it: serialized OTLP `Resource` and `InstrumentationScope`."""

    resource: bytes
    scope: bytes


class SpanRecord(NamedTuple):
    """One span, at its start (`end_ns` None) or at its end."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    name: str
    kind: int
    """OTLP's number: 1 internal, 2 server, 3 client, 4 producer, 5 consumer."""
    start_ns: int
    end_ns: int | None
    status_code: int
    status_message: str
    attributes: Mapping[str, AttributeValue]
    body: bytes
    """Serialized OTLP `Span`; without end and status while the span is open."""
    source: Source

    @property
    def is_open(self) -> bool:
        """Whether this is the record of a start."""
        return self.end_ns is None

    @property
    def duration_s(self) -> float:
        """Seconds from start to end, 0 while open and when the clock stepped back."""
        return max((self.end_ns or self.start_ns) - self.start_ns, 0) / 1e9


class LogRecord(NamedTuple):
    """One log line or event."""

    time_ns: int
    severity_number: int
    severity_text: str
    event_name: str | None
    body: str
    attributes: Mapping[str, AttributeValue]
    trace_id: bytes | None
    span_id: bytes | None
    source: Source
    encoded: bytes
    """Serialized OTLP `LogRecord`."""


@dataclass(frozen=True, slots=True)
class TaskNote:
    """What the ledger of tasks cannot take from the task's span; only what is not None is written."""

    task_id: str
    text: str | None = None
    repository: str | None = None
    model: str | None = None
    findings: str | None = None
    """JSON array of objects."""
    patch_path: str | None = None
    summary: str | None = None
    error: str | None = None
    """JSON object: type, message, phase, step, hint."""


class HealthReading(NamedTuple):
    """What one run of a health check found, for the metrics alone: its span is not kept, or was not made."""

    check: str
    group: str
    status: str
    """pass, warn or fail."""
    time_ns: int
    """When the run ended."""
    duration_s: float


Record: TypeAlias = SpanRecord | LogRecord | TaskNote | HealthReading
"""Anything that a writer takes."""
