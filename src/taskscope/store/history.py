"""The read face of the store: tasks from the ledger, one trace as a tree, log lines, cost.

Every answer is true at the moment it is given: an open span whose process is gone reads as interrupted,
whether or not a writer has closed it yet. No SDK and no protobuf is imported on this path.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from taskscope.errors import NotFoundError
from taskscope.semconv import attributes as attr
from taskscope.semconv import spans

from .database import find_locks_path, open_database, tells_store_errors
from .interruption import OpenSpan, find_dead, interrupt
from .ledger import FOREIGN_PREFIX, derive_task_id
from .nodes import SpanNode, by_start, cut_circles, is_task, read_node
from .roles import Role
from .wire import read_attributes, read_log

_CANDIDATES_SHOWN = 5
_TRACE_DIGITS = 32
_TRACE_PREFIX = re.compile(r"[0-9a-f]{4,32}")
"""How much of a trace id names it: less is more likely a mistyped task id."""


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """One row of the ledger, with the truth about its process."""

    task_id: str
    trace_id: str
    """32 hex digits."""
    kind: str
    text: str | None
    repository: str | None
    outcome: str | None
    """None while the task runs, "" when it ended without saying how."""
    verification: str | None
    started_ns: int
    ended_ns: int | None
    error_type: str | None
    cost_micro_usd: int | None
    """None when no call had a known price."""
    unpriced_calls: int
    llm_calls: int
    """Replayed ones included."""
    replayed_calls: int
    input_tokens: int | None
    output_tokens: int | None
    patch_path: str | None
    findings: tuple[dict[str, Any], ...]
    error: dict[str, Any] | None
    summary: str | None
    model: str | None
    source: str | None
    attempt: int
    process_id: int | None
    """Number in the table `process`, not a pid."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One stored log record."""

    seq: int
    time_ns: int
    severity_number: int
    severity_text: str
    event_name: str | None
    body: Any
    attributes: dict[str, Any]
    trace_id: str | None
    span_id: str | None
    resource: dict[str, Any]


def open_history(path: Path) -> History:
    """The history of the store at `path`, read only; StoreMissingError when there is none. Close it."""
    return History(open_database(path, create=False, read_only=True))


class History:
    """Reads a store; owns its connection from here on."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._resources: dict[int, dict[str, Any]] = {}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def _locks_path(self) -> Path:
        return find_locks_path(self._connection)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for `read_aggregates`."""
        return self._connection

    # --- tasks

    @tells_store_errors
    def tasks(self, limit: int = 50, before: int | None = None) -> list[TaskSummary]:
        """The newest tasks, newest first; `before`: only those that started earlier than this many ns."""
        return self._tasks("started < ?", (before or 1 << 62,), limit)

    @tells_store_errors
    def active_tasks(self) -> list[TaskSummary]:
        """Tasks that run now, newest first."""
        return [task for task in self._tasks("ended IS NULL", (), -1) if task.outcome is None]

    @tells_store_errors
    def find_task(self, prefix: str | None = None) -> TaskSummary:
        """The task of an id, a unique prefix of an id or of a trace id, or the newest.

        A trace without a task is told as one, under the id that would be its own. NotFoundError names
        candidates.
        """
        if prefix is None:
            return self._one_of(self.tasks(1), "no task yet: run `taskscope run` once")
        exact = self._tasks("id = ?", (prefix,), 1)
        if exact:
            return exact[0]
        found = self._tasks("id >= ? AND id < ?", (prefix, f"{prefix}\U0010ffff"), _CANDIDATES_SHOWN + 1)
        if len(found) > 1:
            names = ", ".join(task.task_id for task in found[:_CANDIDATES_SHOWN])
            more = " and more" if len(found) > _CANDIDATES_SHOWN else ""
            msg = f"{prefix!r} begins more than one task id: {names}{more}; give more of it"
            raise NotFoundError(msg)
        found = found or self._find_trace(prefix)
        names = ", ".join(task.task_id for task in self.tasks(_CANDIDATES_SHOWN)) or "none yet"
        return self._one_of(found, f"no task {prefix!r}; the latest are: {names}")

    def _find_trace(self, prefix: str) -> list[TaskSummary]:
        """The task of the one trace whose id begins so, or the trace as a task; [] where there is none."""
        digits = prefix.removeprefix(FOREIGN_PREFIX).lower()
        if not _TRACE_PREFIX.fullmatch(digits):
            return []
        limits = (
            bytes.fromhex(digits.ljust(_TRACE_DIGITS, "0")),
            bytes.fromhex(digits.ljust(_TRACE_DIGITS, "f")),
        )
        rows = self._connection.execute(
            "SELECT trace, start, stop, root_name FROM trace WHERE trace BETWEEN ? AND ? LIMIT ?",
            (*limits, _CANDIDATES_SHOWN + 1),
        ).fetchall()
        if len(rows) > 1:
            names = ", ".join(row[0].hex() for row in rows[:_CANDIDATES_SHOWN])
            msg = f"{prefix!r} begins more than one trace id: {names}; give more of it"
            raise NotFoundError(msg)
        if not rows:
            return []
        tasks = self._tasks("trace = ?", (rows[0][0],), 2)
        return tasks if len(tasks) == 1 else [self._tell_trace(*rows[0])]

    def _tell_trace(self, trace: bytes, start_ns: int, stop_ns: int, root_name: str | None) -> TaskSummary:
        """A trace as a task of unknown outcome; the ledger may know calls that wait for a task of it."""
        task_id = derive_task_id(trace)
        select = f"SELECT {_TASK_COLUMNS} FROM task WHERE id = ?"  # noqa: S608  our own words
        row = self._connection.execute(select, (task_id,)).fetchone()
        values = dict.fromkeys(_COLUMNS, None) | {"llm_calls": 0, "replayed_calls": 0, "unpriced_calls": 0}
        values |= dict(zip(_COLUMNS, row, strict=True)) if row else {}
        is_open = any(node.end_ns is None for node in self._open_nodes(trace))
        values |= {
            "id": task_id,
            "trace": trace,
            "kind": root_name,
            "started": start_ns,
            "ended": None if is_open else stop_ns,
            "outcome": None if is_open else "",
            "attempt": 1,
        }
        return _to_summary(tuple(values[name] for name in _COLUMNS), {})

    @staticmethod
    def _one_of(tasks: list[TaskSummary], message: str) -> TaskSummary:
        if not tasks:
            raise NotFoundError(message)
        return tasks[0]

    def _tasks(self, where: str, values: tuple[object, ...], limit: int) -> list[TaskSummary]:
        rows = self._connection.execute(
            f"SELECT {_TASK_COLUMNS} FROM task WHERE started IS NOT NULL AND {where} "  # noqa: S608  our own words
            "ORDER BY started DESC, id DESC LIMIT ?",
            (*values, limit),
        ).fetchall()
        dead = self._dead() if any(row[_ENDED] is None for row in rows) else {}
        return [_to_summary(row, dead) for row in rows]

    def _dead(self) -> dict[int, int]:
        """Processes that are gone, with their last sign of life."""
        return {process.id: end_ns for process, end_ns in find_dead(self._connection, self._locks_path)}

    # --- spans

    def tree(self, task: TaskSummary | str) -> SpanNode:
        """The span tree of a task, or of a trace by its hex id; NotFoundError when there is no such span.

        A trace whose top is missing (the caller's own root) has its oldest span as top, with the other
        orphans below it.
        """
        trace_id = task if isinstance(task, str) else task.trace_id
        roots = self.roots(trace_id)
        if not roots:
            msg = f"no spans of trace {trace_id!r} in the store"
            raise NotFoundError(msg)
        if isinstance(task, TaskSummary):
            for node in (node for root in roots for node in root.walk()):
                if node.attributes.get(attr.TASK_ID) == task.task_id and is_task(node):
                    return node
        top, *others = roots
        top.children = sorted((*top.children, *others), key=by_start)
        return top

    @tells_store_errors
    def roots(self, trace_id: str) -> list[SpanNode]:
        """All spans of a trace as trees: those without a parent in the store, oldest first."""
        nodes = {node.span_id: node for node in self._nodes(trace_id)}
        roots: list[SpanNode] = []
        ordered = sorted(nodes.values(), key=by_start)
        for node in ordered:
            parent = nodes.get(node.parent_id or "")
            (roots if parent is None else parent.children).append(node)
        return [*roots, *cut_circles(ordered, nodes, roots)]

    @tells_store_errors
    def spans_since(self, trace_id: str, seq: int = 0) -> tuple[list[SpanNode], list[SpanNode], int]:
        """For following a trace: spans that ended after `seq`, those open now, and the new `seq`."""
        trace = _to_bytes(trace_id)
        rows = self._connection.execute(
            "SELECT seq, body FROM span WHERE trace = ? AND seq > ? ORDER BY seq", (trace, seq)
        ).fetchall()
        ended = [read_node(body) for _, body in rows]
        return ended, list(self._open_nodes(trace)), rows[-1][0] if rows else seq

    def _nodes(self, trace_id: str) -> Iterator[SpanNode]:
        trace = _to_bytes(trace_id)
        # Open ones first: one that ends in between is then seen twice, and its end wins, instead of never.
        opened = list(self._open_nodes(trace))
        yield from opened
        for (body,) in self._connection.execute(
            "SELECT body FROM span WHERE trace = ? ORDER BY seq", (trace,)
        ):
            yield read_node(body)

    def _open_nodes(self, trace: bytes) -> Iterator[SpanNode]:
        rows = self._connection.execute(
            "SELECT process, source, role, body FROM open WHERE trace = ? ORDER BY start", (trace,)
        ).fetchall()
        dead = self._dead() if rows else {}
        for process_id, source_id, role, body in rows:
            if process_id in dead:
                record = interrupt(OpenSpan(process_id, source_id, Role(role), body), dead[process_id])
                yield read_node(record.body)
            else:
                yield read_node(body)

    # --- logs and cost

    @tells_store_errors
    def logs(self, task: TaskSummary | None = None, limit: int = 1000, after_seq: int = 0) -> list[LogLine]:
        """The newest log lines, oldest first; of one task: those with its id or of its trace."""
        where, values = "seq > ?", (after_seq,)
        if task is not None:
            where += " AND (task = ? OR trace = ?)"
            values += (task.task_id, _to_bytes(task.trace_id))  # type: ignore[assignment]
        rows = self._connection.execute(
            f"SELECT seq, source, body FROM log WHERE {where} ORDER BY seq DESC LIMIT ?",  # noqa: S608  our own words
            (*values, limit),
        ).fetchall()
        return [self._to_line(*row) for row in reversed(rows)]

    def _to_line(self, seq: int, source: int, body: bytes) -> LogLine:
        return LogLine(seq=seq, resource=self._resource(source), **read_log(body))

    def _resource(self, source: int) -> dict[str, Any]:
        if source not in self._resources:
            row = self._connection.execute("SELECT resource FROM source WHERE id = ?", (source,)).fetchone()
            self._resources[source] = read_attributes(row[0], 1) if row else {}
        return self._resources[source]

    @tells_store_errors
    def cost_since(self, since_ns: int) -> tuple[int, int]:
        """Known cost in micro-dollars, and the number of calls of unknown cost, that ended since then."""
        row = self._connection.execute(
            "SELECT total(micro_usd), total(micro_usd IS NULL) FROM charge WHERE time >= ?", (since_ns,)
        ).fetchone()
        return int(row[0]), int(row[1])


_COLUMNS = (
    "id", "trace", "kind", "text", "repository", "outcome", "verification", "started", "ended", "error_type",
    "cost_micro_usd", "unpriced_calls", "llm_calls", "replayed_calls", "input_tokens", "output_tokens",
    "patch_path", "findings", "error", "summary", "model", "source", "attempt", "process",
)  # fmt: skip
_TASK_COLUMNS = ", ".join(_COLUMNS)
_ENDED = _COLUMNS.index("ended")


def _to_summary(row: tuple[Any, ...], dead: dict[int, int]) -> TaskSummary:
    values = dict(zip(_COLUMNS, row, strict=True))
    process = values.pop("process")
    if values["ended"] is None and process in dead:
        end_ns = max(dead[process], values["started"])
        values |= {"ended": end_ns, "outcome": "interrupted", "error_type": spans.ERROR_INTERRUPTED}
    return TaskSummary(
        task_id=values.pop("id"),
        trace_id=values.pop("trace").hex(),
        kind=values.pop("kind") or "",
        started_ns=values.pop("started"),
        ended_ns=values.pop("ended"),
        findings=tuple(json.loads(values.pop("findings") or "[]")),
        error=json.loads(values.pop("error") or "null"),
        process_id=process,
        **values,
    )


def _to_bytes(hex_id: str) -> bytes:
    try:
        return bytes.fromhex(hex_id)
    except ValueError:
        msg = f"no trace id: {hex_id!r}; 32 hex digits were expected"
        raise NotFoundError(msg) from None
