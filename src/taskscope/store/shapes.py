"""What the store holds, as the objects that `--json` and HTTP show. They are public: tests hold them.

Ids are hex, times ISO 8601 in UTC, durations seconds; what is not known yet is null.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .history import LogLine, TaskSummary
    from .nodes import SpanNode

_NS = 1_000_000_000

_DEPTH_LIMIT = 200
"""Spans nested in one another; deeper ones become siblings, as readers of JSON (ours too) limit the depth."""


def seconds_between(start_ns: int, end_ns: int) -> float:
    """Return seconds, 0 where the clock stepped back."""
    return max(end_ns - start_ns, 0) / _NS


def iso_time(time_ns: int | None) -> str | None:
    """Return the moment as ISO 8601 in UTC with microseconds, None for None."""
    if time_ns is None:
        return None
    seconds, rest = divmod(time_ns, _NS)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def shape_span(root: SpanNode) -> dict[str, Any]:
    """Return the object of `show --json`: the task's span, its children nested by start."""
    top = _span(root)
    left = [(root, top, 1)]
    while left:
        node, shape, depth = left.pop()
        for child in node.children:
            shaped = _span(child)
            shape["children"].append(shaped)
            left.append((child, shaped if depth < _DEPTH_LIMIT else shape, min(depth + 1, _DEPTH_LIMIT)))
    return top


def _span(node: SpanNode) -> dict[str, Any]:
    return {
        "span_id": node.span_id,
        "parent_id": node.parent_id,
        "name": node.name,
        "kind": node.kind,
        "status": node.status,
        "attributes": _plain(node.attributes),
        "started_at": iso_time(node.start_ns),
        "ended_at": iso_time(node.end_ns),
        "duration_s": _duration(node.start_ns, node.end_ns),
        "children": [],
    }


def shape_task(task: TaskSummary) -> dict[str, Any]:
    """Return one object of `history --json`."""
    return {
        "task_id": task.task_id,
        "trace_id": task.trace_id,
        "kind": task.kind,
        "text": task.text,
        "repository": task.repository,
        "model": task.model,
        "source": task.source,
        "attempt": task.attempt,
        "outcome": task.outcome,
        "verification": task.verification,
        "started_at": iso_time(task.started_ns),
        "ended_at": iso_time(task.ended_ns),
        "duration_s": _duration(task.started_ns, task.ended_ns),
        "error_type": task.error_type,
        "findings": list(task.findings),
        "patch": task.patch_path,
        "llm_calls": task.llm_calls,
        "input_tokens": task.input_tokens,
        "output_tokens": task.output_tokens,
        "cost": shape_cost(task),
    }


def shape_cost(task: TaskSummary) -> dict[str, Any]:
    """Return `{micro_usd, status, unpriced_calls}`; the amount is null unless every live call had a price."""
    has_cost = task.unpriced_calls or task.cost_micro_usd is not None
    status = ("unknown" if task.unpriced_calls else "known") if has_cost else "no_llm_calls"
    amount = task.cost_micro_usd if status == "known" else None
    return {"micro_usd": amount, "status": status, "unpriced_calls": task.unpriced_calls}


def shape_status(task: TaskSummary, doing: SpanNode | None) -> dict[str, Any]:
    """Return one object of `status --json`: `doing` is the innermost span that is (or was) open."""
    return {
        "task_id": task.task_id,
        "trace_id": task.trace_id,
        "kind": task.kind,
        "text": task.text,
        "repository": task.repository,
        "state": task.outcome or "running",
        "started_at": iso_time(task.started_ns),
        "ended_at": iso_time(task.ended_ns),
        "doing": doing
        and {
            "span_id": doing.span_id,
            "name": doing.name,
            "kind": doing.kind,
            "started_at": iso_time(doing.start_ns),
        },
    }


def shape_log(line: LogLine) -> dict[str, Any]:
    """Return one object of `logs --json`."""
    return {
        "time": iso_time(line.time_ns),
        "severity": line.severity_text,
        "severity_number": line.severity_number,
        "event": line.event_name,
        "message": _plain(line.body),
        "attributes": _plain(line.attributes),
        "trace_id": line.trace_id,
        "span_id": line.span_id,
    }


def _duration(start_ns: int, end_ns: int | None) -> float | None:
    return None if end_ns is None else seconds_between(start_ns, end_ns)


def _plain(value: Any) -> Any:
    """Return what JSON can say, keys sorted: bytes as hex, NaN and infinity as words."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
