"""The ledger of tasks: one row for each, filled from the task's span, from its calls and from notes.

Every statement may come first: a foreign sender's calls arrive before the task's own span has ended. Runs
inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import fields

from taskscope.semconv import attributes as attr
from taskscope.semconv import spans

from .records import STATUS_ERROR, SpanRecord, TaskNote
from .roles import Role
from .rules import Number, is_made, is_unpriced, number_of

# What no process of this store says (`process` null) does not touch the row of one that does.
# A workflow inside of a task carries the task's id too: only the span that opened the row may go on with it,
# until it has ended or a later attempt begins.
_START = """
INSERT INTO task(id, process, trace, span, kind, source, attempt, started)
VALUES(:id, :process, :trace, :span, :kind, :source, :attempt, :started)
ON CONFLICT(id) DO UPDATE SET
    process = excluded.process, trace = excluded.trace, span = excluded.span, kind = excluded.kind,
    source = excluded.source, attempt = excluded.attempt, started = excluded.started, ended = NULL,
    outcome = NULL, verification = NULL, error_type = NULL
WHERE task.span IS NULL OR task.ended IS NOT NULL OR excluded.attempt > task.attempt
"""
_END = """
INSERT INTO task(id, process, trace, span, kind, source, attempt, started, ended, outcome, verification,
    error_type)
VALUES(:id, :process, :trace, :span, :kind, :source, :attempt, :started, :ended, :outcome, :verification,
    :error)
ON CONFLICT(id) DO UPDATE SET
    trace = excluded.trace, span = excluded.span, kind = excluded.kind, source = excluded.source,
    attempt = excluded.attempt, started = excluded.started, ended = excluded.ended,
    outcome = excluded.outcome, verification = excluded.verification, error_type = excluded.error_type,
    process = coalesce(task.process, excluded.process)
WHERE (task.span IS NULL OR task.span = excluded.span OR excluded.attempt > task.attempt)
    AND (excluded.process IS NOT NULL OR task.process IS NULL)
"""
_ADD_CALLS = """
ON CONFLICT(id) DO UPDATE SET
    llm_calls = llm_calls + excluded.llm_calls, replayed_calls = replayed_calls + excluded.replayed_calls,
    unpriced_calls = unpriced_calls + excluded.unpriced_calls,
    input_tokens = CASE WHEN excluded.input_tokens IS NULL THEN input_tokens
        ELSE coalesce(input_tokens, 0) + excluded.input_tokens END,
    output_tokens = CASE WHEN excluded.output_tokens IS NULL THEN output_tokens
        ELSE coalesce(output_tokens, 0) + excluded.output_tokens END,
    cost_micro_usd = CASE WHEN excluded.cost_micro_usd IS NULL THEN cost_micro_usd
        ELSE coalesce(cost_micro_usd, 0) + excluded.cost_micro_usd END
"""
_CALL_COLUMNS = (
    "llm_calls, replayed_calls, input_tokens, output_tokens, cost_micro_usd, unpriced_calls"  # in this order
)
_CALL = f"""
INSERT INTO task(id, {_CALL_COLUMNS})
VALUES(:id, :calls, :replayed, :input, :output, :cost, :unpriced) {_ADD_CALLS}
"""
# Agents inside of an agent end and arrive first; what does not lie around the row's span leaves it alone.
_WIDEST = """
INSERT INTO task(id, trace, span, kind, attempt, started, ended, outcome, verification, error_type)
VALUES(:id, :trace, :span, :kind, 1, :started, :ended, :outcome, :verification, :error)
ON CONFLICT(id) DO UPDATE SET
    trace = excluded.trace, span = excluded.span, kind = excluded.kind, attempt = 1,
    started = excluded.started, ended = excluded.ended, outcome = excluded.outcome,
    verification = excluded.verification, error_type = excluded.error_type
WHERE task.process IS NULL
    AND (task.span IS NULL OR (excluded.started <= task.started AND excluded.ended >= task.ended))
"""
_ADOPT = f"""
INSERT INTO task(id, {_CALL_COLUMNS})
SELECT :id, {_CALL_COLUMNS} FROM task WHERE id = :derived {_ADD_CALLS}
"""  # noqa: S608  our own words
FOREIGN_PREFIX = "x-"
_NOTE_FIELDS = tuple(field.name for field in fields(TaskNote) if field.name != "task_id")


def enter_span(connection: sqlite3.Connection, span: SpanRecord, role: Role, process_id: int | None) -> None:
    """Take what a span says about its task: its own start and end, or a call that costs."""
    if role is Role.TASK:
        _enter_task(connection, span, process_id)
    elif role in {Role.INFERENCE, Role.EMBEDDINGS} and not span.is_open:
        _enter_call(connection, span, role)


def derive_task_id(trace_id: bytes) -> str:
    """The id under which a foreign trace without a `taskscope.task.id` is a task: `x-` and the trace's id."""
    return f"{FOREIGN_PREFIX}{trace_id.hex()}"


def enter_foreign(connection: sqlite3.Connection, span: SpanRecord, role: Role) -> None:
    """Take what another sender's span says about the task of its trace, after `enter_span`.

    Where no task of the trace has an id of its own, the agent or workflow that lasts longest makes the row,
    under the derived id; calls wait there until it comes, or a task with an id takes them over.
    """
    derived = derive_task_id(span.trace_id)
    if span.attributes.get(attr.TASK_ID) is not None:
        if role is Role.TASK:
            connection.execute(_ADOPT, {"id": _text(span, attr.TASK_ID), "derived": derived})
            connection.execute("DELETE FROM task WHERE id = ?", (derived,))
        return
    is_call = role in {Role.INFERENCE, Role.EMBEDDINGS}
    if not is_call and role not in {Role.TASK, Role.AGENT}:
        return
    named = connection.execute(
        "SELECT id FROM task WHERE trace = ? AND id <> ? LIMIT 2", (span.trace_id, derived)
    ).fetchall()
    if is_call:
        _count_call(connection, named[0][0] if len(named) == 1 else derived, span, role)
    elif not named:
        connection.execute(_WIDEST, _foreign_row(span, derived))


def _foreign_row(span: SpanRecord, task_id: str) -> dict[str, object]:
    return {
        "id": task_id,
        "trace": span.trace_id,
        "span": span.span_id,
        "kind": _text(span, attr.GEN_AI_WORKFLOW_NAME) or _text(span, attr.GEN_AI_AGENT_NAME) or span.name,
        "started": span.start_ns,
        "ended": span.end_ns,
        "outcome": _text(span, attr.TASK_OUTCOME) or ("failed" if span.status_code == STATUS_ERROR else ""),
        "verification": _text(span, attr.TASK_VERIFICATION),
        "error": _text(span, attr.ERROR_TYPE),
    }


def enter_note(connection: sqlite3.Connection, note: TaskNote) -> None:
    """Write the fields of a note that are set."""
    values = {name: getattr(note, name) for name in _NOTE_FIELDS}
    names = [name for name, value in values.items() if value is not None]
    columns = ", ".join(["id", *names])
    marks = ", ".join([":id", *(f":{name}" for name in names)])
    change = ", ".join(f"{name} = excluded.{name}" for name in names)
    action = f"UPDATE SET {change}" if names else "NOTHING"
    connection.execute(
        f"INSERT INTO task({columns}) VALUES({marks}) ON CONFLICT(id) DO {action}",
        {"id": note.task_id, **values},
    )


def _enter_task(connection: sqlite3.Connection, span: SpanRecord, process_id: int | None) -> None:
    task_id = _text(span, attr.TASK_ID)
    if task_id is None:
        return
    row = {
        "id": task_id,
        "process": process_id,
        "trace": span.trace_id,
        "span": span.span_id,
        "kind": _text(span, attr.TASK_KIND),
        "source": _text(span, attr.TASK_SOURCE),
        "attempt": int(number_of(span, attr.TASK_ATTEMPT) or 1),
        "started": span.start_ns,
    }
    if span.is_open:
        connection.execute(_START, row)
        return
    row |= {
        "ended": span.end_ns,
        # A foreign task may end without saying how: an error failed, the rest stays untold.
        "outcome": _text(span, attr.TASK_OUTCOME) or ("failed" if span.status_code == STATUS_ERROR else ""),
        "verification": _text(span, attr.TASK_VERIFICATION),
        "error": _text(span, attr.ERROR_TYPE),
    }
    connection.execute(_END, row)


def _enter_call(connection: sqlite3.Connection, span: SpanRecord, role: Role) -> None:
    task_id = _text(span, attr.TASK_ID)
    cost = _cost_of(span)
    if cost is not None or is_unpriced(span, role):
        connection.execute(
            "INSERT INTO charge(time, task, micro_usd) VALUES(?, ?, ?)", (span.end_ns, task_id, cost)
        )
    if task_id is not None:
        _count_call(connection, task_id, span, role)


def _cost_of(span: SpanRecord) -> Number | None:
    """What a call cost, None when nobody knows."""
    is_known = span.attributes.get(attr.COST_STATUS) == spans.COST_STATUSES[0]
    return number_of(span, attr.COST_MICRO_USD) if is_known else None


def _count_call(connection: sqlite3.Connection, task_id: str, span: SpanRecord, role: Role) -> None:
    is_inference = role is Role.INFERENCE
    is_replay = span.attributes.get(attr.LLM_MODE) == "replay"
    row = {
        "id": task_id,
        "calls": int(is_inference and is_made(span)),
        "replayed": int(is_inference and is_replay),
        "input": number_of(span, attr.GEN_AI_USAGE_INPUT_TOKENS) if is_inference else None,
        "output": number_of(span, attr.GEN_AI_USAGE_OUTPUT_TOKENS) if is_inference else None,
        "cost": _cost_of(span),
        "unpriced": int(is_unpriced(span, role)),
    }
    connection.execute(_CALL, row)


def _text(span: SpanRecord, key: str) -> str | None:
    value = span.attributes.get(key)
    return None if value is None else str(value)
