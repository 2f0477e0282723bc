"""Open spans whose process is gone: how they read, and how they are closed for good.

Whoever reads sees them as interrupted at once, without writing. The next writer (a recorder's start,
`serve`) closes them: in one transaction the span is stored and counted, and its row in `open` disappears,
so that it is counted once however many find it. `aggregates.py` counts what is not closed yet by the same
rules, and so both show the same number at every moment.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans

from .processes import Process, is_alive, last_sign_ns, read_processes
from .records import STATUS_ERROR, AttributeValue, Source, SpanRecord
from .roles import Role
from .wire import SpanBody, closing

_NO_SOURCE = Source(b"", b"")
_MESSAGE = "its process died"


class OpenSpan(NamedTuple):
    """One row of the table `open`."""

    process_id: int
    source_id: int
    role: Role
    body: bytes


def read_open(connection: sqlite3.Connection, process_id: int) -> list[OpenSpan]:
    """The open spans of a process, oldest first."""
    rows = connection.execute(
        "SELECT process, source, role, body FROM open WHERE process = ? ORDER BY start", (process_id,)
    )
    return [OpenSpan(process, source, Role(role), body) for process, source, role, body in rows]


def find_dead(connection: sqlite3.Connection, folder: Path) -> list[tuple[Process, int]]:
    """Processes that died or ended with open spans, each with its last sign of life in ns."""
    candidates = {
        process.id: process
        for process in (*read_processes(connection), *read_processes(connection, with_open_spans=True))
    }
    return [
        (process, process.ended_ns or last_sign_ns(process, folder))
        for process in candidates.values()
        if not is_alive(process, folder)
    ]


def interrupt(span: OpenSpan, end_ns: int) -> SpanRecord:
    """The record of an open span as interrupted: its own ids, an end at the last sign of life."""
    body = SpanBody(span.body)
    end_ns = max(end_ns, body.start_ns)
    added: dict[str, AttributeValue] = {
        attr.ERROR_TYPE: spans.ERROR_INTERRUPTED,
        attr.RECOVERY_END_ESTIMATED: True,
    }
    if span.role is Role.TASK:
        added[attr.TASK_OUTCOME] = "interrupted"
    if span.role is Role.STEP:
        added[attr.STEP_OUTCOME] = "interrupted"
    return SpanRecord(
        trace_id=body.trace_id,
        span_id=body.span_id,
        parent_id=body.parent_id,
        name=body.name,
        kind=body.kind,
        start_ns=body.start_ns,
        end_ns=end_ns,
        status_code=STATUS_ERROR,
        status_message=_MESSAGE,
        attributes={**body.attributes, **added},
        body=span.body + closing(end_ns, STATUS_ERROR, _MESSAGE, added),
        source=_NO_SOURCE,
    )
