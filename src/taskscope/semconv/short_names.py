"""The short Prometheus names on `/metrics`, each a view of one canonical metric.

Only what is shown and from what; the page itself is made where metrics are served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from . import attributes as attr
from . import metrics

Reading: TypeAlias = Literal["sum", "count", "histogram", "max", "none_failing"]
"""How series become one number: `sum` of values, `count` or buckets of a `histogram`, greatest value, or
(`none_failing`, on health status) 0 as soon as a check fails, else 1."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a short name."""

    name: str
    source: str
    """Attribute key of the canonical metric."""
    is_error: bool = False
    """True: reads `error` where the canonical label holds a value, `ok` where it is empty."""


@dataclass(frozen=True, slots=True)
class ShortName:
    """One short name; it starts from 0, before any record."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    description: str
    source: metrics.Metric
    reading: Reading = "sum"
    labels: tuple[Label, ...] = ()
    keep: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Attribute key and the values that count; all others of that key are left out."""


SHORT_NAMES: Final = (
    ShortName(
        "tasks_executed_total",
        "counter",
        "Tasks that succeeded (their work passed the target's own checks).",
        metrics.TASK_EXECUTIONS,
        keep=((attr.TASK_OUTCOME, ("succeeded",)),),
    ),
    ShortName(
        "tasks_failed_total",
        "counter",
        "Tasks that failed or whose process died.",
        metrics.TASK_EXECUTIONS,
        keep=((attr.TASK_OUTCOME, ("failed", "interrupted")),),
    ),
    ShortName(
        "task_execution_duration_seconds",
        "histogram",
        "Duration of a task.",
        metrics.WORKFLOW_DURATION,
        "histogram",
    ),
    ShortName("current_tasks_in_progress", "gauge", "Tasks in progress now.", metrics.TASK_ACTIVE),
    ShortName("active_agents", "gauge", "Agents at work now.", metrics.AGENT_ACTIVE),
    ShortName(
        "llm_calls_total", "counter", "Live calls of language models.", metrics.INFERENCE_DURATION, "count"
    ),
    ShortName(
        "embed_requests_total",
        "counter",
        "Calls of embedders.",
        metrics.OPERATION_DURATION,
        "count",
        keep=((attr.GEN_AI_OPERATION_NAME, ("embeddings",)),),
    ),
    ShortName(
        "embedding_request_latency_seconds",
        "histogram",
        "Duration of a call of an embedder.",
        metrics.OPERATION_DURATION,
        "histogram",
        keep=((attr.GEN_AI_OPERATION_NAME, ("embeddings",)),),
    ),
    ShortName(
        "agent_executions_total",
        "counter",
        "Agents' works on tasks; status is ok or error.",
        metrics.AGENT_DURATION,
        "count",
        labels=(Label("agent_id", attr.GEN_AI_AGENT_NAME), Label("status", attr.ERROR_TYPE, is_error=True)),
    ),
    ShortName(
        "skill_executions_total",
        "counter",
        "Skills carried out; status is their outcome.",
        metrics.SKILL_EXECUTIONS,
        labels=(Label("skill_id", attr.GEN_AI_SKILL_NAME), Label("status", attr.SKILL_OUTCOME)),
    ),
    ShortName(
        "last_healthcheck_timestamp",
        "gauge",
        "When a health check last ran, in seconds since 1970.",
        metrics.HEALTH_CHECK_TIMESTAMP,
        "max",
    ),
    ShortName(
        "last_healthcheck_status",
        "gauge",
        "0 if any health check fails, else 1.",
        metrics.HEALTH_STATUS,
        "none_failing",
    ),
    ShortName(
        "http_requests_total",
        "counter",
        "HTTP requests that `serve` answered.",
        metrics.HTTP_SERVER_DURATION,
        "count",
        labels=(
            Label("method", attr.HTTP_REQUEST_METHOD),
            Label("endpoint", attr.HTTP_ROUTE),
            Label("status", attr.HTTP_RESPONSE_STATUS_CODE),
        ),
    ),
    ShortName(
        "db_query_duration_seconds",
        "histogram",
        "Duration of searches in the retrieval index and of the store's reads by `serve`.",
        metrics.DB_DURATION,
        "histogram",
        labels=(Label("operation", attr.DB_OPERATION_NAME),),
    ),
)
"""All short names, the same whichever process serves them."""
