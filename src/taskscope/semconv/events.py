"""Names of the events (log records with an event name and no body) and how severe each is.

The docstring of an event names its attributes, by their keys without `taskscope.`.
"""

from __future__ import annotations

from typing import Final

DEBUG: Final = 5
"""OTel severity number of DEBUG."""
INFO: Final = 9
"""OTel severity number of INFO."""
WARN: Final = 13
"""OTel severity number of WARN."""
ERROR: Final = 17
"""OTel severity number of ERROR."""

SEVERITY_TEXTS: Final = {DEBUG: "DEBUG", INFO: "INFO", WARN: "WARN", ERROR: "ERROR"}
"""Severity number to text."""

TASK_STARTED: Final = "taskscope.task.started"
"""A task began: task.id, task.kind, task.attempt, task.source."""
TASK_FINISHED: Final = "taskscope.task.finished"
"""A task ended: as at its start, with task.outcome, task.verification, task.cost.*, error.type."""
PLAN_REVISED: Final = "taskscope.plan.revised"
"""A task got another plan: plan.revision, plan.reason, plan.step_count."""
SKILL_LEARNED: Final = "taskscope.skill.learned"
"""A verified repair was kept as a skill: gen_ai.skill.name."""
EXCEPTION: Final = "exception"
"""An exception left its innermost span: exception.*, error.type, task.phase, step.index, error.hint."""
CLIENT_EXCEPTION: Final = "gen_ai.client.operation.exception"
"""The same, where the innermost span is a GenAI client's (chat, embeddings, retrieval, memory)."""
BUDGET_THRESHOLD_REACHED: Final = "taskscope.budget.threshold_reached"
"""A budget is used up to 0.8 (WARN) or 1 (ERROR): budget.scope, .limit_micro_usd, .spent_micro_usd."""
HEALTH_STATUS_CHANGED: Final = "taskscope.health.status_changed"
"""A check changed its mind: health.check, .status, .previous_status, .consecutive_failures."""
RECOVERED: Final = "taskscope.recorder.recovered"
"""The spans of a dead process were brought home: recovery.span_count."""
RECORDS_DROPPED: Final = "taskscope.recorder.records_dropped"
"""Records never reached the store, once a minute while that goes on: signal, drop.reason, drop.count."""

SEVERITIES: Final = {
    TASK_STARTED: INFO,
    TASK_FINISHED: INFO,
    PLAN_REVISED: INFO,
    SKILL_LEARNED: INFO,
    EXCEPTION: ERROR,
    CLIENT_EXCEPTION: WARN,
    BUDGET_THRESHOLD_REACHED: WARN,
    HEALTH_STATUS_CHANGED: INFO,
    RECOVERED: INFO,
    RECORDS_DROPPED: WARN,
}
"""Event name to its severity where nothing in the event changes it."""

OUTCOME_SEVERITIES: Final = {"needs_llm": WARN, "stopped": WARN, "failed": ERROR, "interrupted": ERROR}
"""Task outcome to the severity of `taskscope.task.finished`; INFO for the others."""

HEALTH_SEVERITIES: Final = {"warn": WARN, "fail": ERROR}
"""Health status to the severity of `taskscope.health.status_changed`; INFO for `pass`."""
