"""Records and stores for these tests: spans by role, with real bodies, and a real file."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from taskscope.semconv import attributes as attr
from taskscope.store import wire
from taskscope.store.records import STATUS_ERROR, LogRecord, Source, SpanRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskscope.store.aggregates import MetricPoint

SOURCE = Source(wire.attributes(b"\x0a", {"service.name": "test"}), wire.text(b"\x0a", "tests"))
TRACE = b"\x01" * 16
SECOND = 10**9
START = 1_700_000_000 * SECOND

_ids = itertools.count(1)


def make_span(
    name: str = "work",
    attributes: dict[str, Any] | None = None,
    *,
    trace: bytes = TRACE,
    span_id: bytes | None = None,
    parent: bytes | None = None,
    start_ns: int = START,
    end_ns: int | None = START + SECOND,
    kind: int = 1,
    status_code: int = 0,
) -> SpanRecord:
    span_id = span_id or next(_ids).to_bytes(8)
    values = attributes or {}
    body = b"".join(
        (
            wire.sized(b"\x0a", trace),
            wire.sized(b"\x12", span_id),
            wire.sized(b"\x22", parent) if parent else b"",
            wire.text(b"\x2a", name),
            wire.counted(b"\x30", kind),
            wire.fixed64(b"\x39", start_ns),
            wire.fixed64(b"\x41", end_ns or 0),
            wire.attributes(b"\x4a", values),
            wire.status(status_code, "") if end_ns else b"",
        )
    )
    return SpanRecord(
        trace, span_id, parent, name, kind, start_ns, end_ns, status_code, "", values, body, SOURCE
    )


def open_and_end(span: SpanRecord, **ending: Any) -> tuple[SpanRecord, SpanRecord]:
    """The records of a span's start and of its end, with what was set meanwhile."""
    first = make_span(
        span.name,
        dict(span.attributes),
        trace=span.trace_id,
        span_id=span.span_id,
        parent=span.parent_id,
        start_ns=span.start_ns,
        end_ns=None,
        kind=span.kind,
    )
    last = make_span(
        span.name,
        {**span.attributes, **ending},
        trace=span.trace_id,
        span_id=span.span_id,
        parent=span.parent_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        kind=span.kind,
        status_code=STATUS_ERROR if attr.ERROR_TYPE in ending else 0,
    )
    return first, last


def make_task(task_id: str = "t-1", kind: str = "repair", **more: Any) -> SpanRecord:
    attributes = {
        attr.GEN_AI_OPERATION_NAME: "invoke_workflow",
        attr.TASK_ID: task_id,
        attr.TASK_KIND: kind,
        attr.TASK_SOURCE: "cli",
        attr.TASK_ATTEMPT: 1,
    }
    return make_span(f"invoke_workflow {kind}", attributes, **more)


def make_agent(name: str = "coder", **more: Any) -> SpanRecord:
    attributes = {attr.GEN_AI_OPERATION_NAME: "invoke_agent", attr.GEN_AI_AGENT_NAME: name}
    return make_span(f"invoke_agent {name}", attributes, **more)


def make_tool(name: str = "pytest", **more: Any) -> SpanRecord:
    attributes = {attr.GEN_AI_OPERATION_NAME: "execute_tool", attr.GEN_AI_TOOL_NAME: name}
    return make_span(f"execute_tool {name}", attributes, **more)


def make_chat(attributes: dict[str, Any] | None = None, **more: Any) -> SpanRecord:
    values = {
        attr.GEN_AI_OPERATION_NAME: "chat",
        attr.GEN_AI_PROVIDER_NAME: "openai",
        attr.GEN_AI_REQUEST_MODEL: "m",
        **(attributes or {}),
    }
    return make_span("chat m", values, kind=3, **more)


def make_log(body: str = "hello", **more: Any) -> LogRecord:
    attributes = more.pop("attributes", {})
    trace, span = more.pop("trace", None), more.pop("span", None)
    encoded = b"".join(
        (
            wire.fixed64(b"\x09", START),
            wire.counted(b"\x10", 9),
            wire.text(b"\x1a", "INFO"),
            wire.sized(b"\x2a", wire.any_value(body)),
            wire.attributes(b"\x32", attributes),
            wire.sized(b"\x4a", trace) if trace else b"",
            wire.sized(b"\x52", span) if span else b"",
        )
    )
    return LogRecord(START, 9, "INFO", None, body, attributes, trace, span, SOURCE, encoded)


def values_of(points: Iterable[MetricPoint], name: str) -> dict[tuple[str, ...], Any]:
    """The series of one metric by their label values, without zeros."""
    found = {tuple(value for _, value in point.labels): point.value for point in points if point.name == name}
    return {
        labels: value for labels, value in found.items() if (value[0] if isinstance(value, tuple) else value)
    }
