"""What the tables of spans share: Tempo's fields, their headings, and where a click leads."""

from __future__ import annotations

from typing import Final

from grafana.mixin.panels import Link
from taskscope.semconv import attributes as attr

TASK_UID: Final = "taskscope-task"
TRACE_FIELD: Final = "traceIdHidden"
"""Tempo's data source gives each row of spans its trace id under this name."""
_TASK_FIELD: Final = f'${{__data.fields["{attr.TASK_ID}"]}}'
_TRACE: Final = f"var-trace=${{__data.fields.{TRACE_FIELD}}}&${{__url_time_range}}"
TO_TASK: Final = (
    Link(
        attr.TASK_ID,
        "Open this task",
        f"/d/{TASK_UID}?var-task={_TASK_FIELD}&{_TRACE}",
    ),
)
TO_TRACE: Final = (Link("time", "Draw its trace", f"/d/{TASK_UID}?var-task=$task&{_TRACE}"),)
"""On the page of a task, which goes on with it."""
TO_TRACE_ALONE: Final = (Link("time", "Draw its trace", f"/d/{TASK_UID}?{_TRACE}"),)
"""Of what belongs to no task."""
HEADINGS: Final = {
    "time": "Begun",
    "name": "Span",
    "duration": "Took",
    attr.TASK_ID: "Task",
    attr.TASK_KIND: "Kind",
    attr.TASK_OUTCOME: "Outcome",
    attr.TASK_VERIFICATION: "Checks",
    attr.TASK_SOURCE: "From",
    attr.TASK_ATTEMPT: "Attempt",
    attr.TASK_FILES_CHANGED: "Files changed",
    attr.ERROR_TYPE: "Error",
    attr.TASK_COST_MICRO_USD: "Known cost (µ$)",
    attr.TASK_COST_UNPRICED_CALLS: "Calls of unknown cost",
    attr.VCS_REPOSITORY_NAME: "Repository",
    attr.VCS_REF_HEAD_NAME: "Branch",
    attr.VCS_REF_HEAD_REVISION: "Commit",
    attr.STEP_KIND: "Kind",
    attr.STEP_INDEX: "Place",
    attr.STEP_ATTEMPT: "Attempt",
    attr.STEP_OUTCOME: "Outcome",
    attr.PLAN_REVISION: "Revision",
    attr.PLAN_SOURCE: "By",
    attr.PLAN_REASON: "Reason",
    attr.PLAN_STEP_COUNT: "Steps",
    attr.PROCESS_EXECUTABLE_NAME: "Program",
    attr.PROCESS_PID: "Process",
    attr.PROCESS_EXIT_CODE: "Exit code",
    attr.GEN_AI_TOOL_NAME: "Tool",
    attr.GEN_AI_SKILL_NAME: "Skill",
    attr.SKILL_OUTCOME: "Its outcome",
    attr.TOOL_OUTPUT_SIZE: "Output (bytes)",
    attr.TOOL_OUTPUT_TRUNCATED: "Output was cut",
    attr.GEN_AI_REQUEST_MODEL: "Model",
    attr.GEN_AI_RESPONSE_MODEL: "Answered by",
    attr.LLM_MODE: "Mode",
    attr.LLM_RETRY_COUNT: "Retries",
    attr.GEN_AI_USAGE_INPUT_TOKENS: "Input tokens",
    attr.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: "from cache",
    attr.GEN_AI_USAGE_OUTPUT_TOKENS: "Output tokens",
    attr.COST_STATUS: "Cost is",
    attr.COST_MICRO_USD: "Cost (µ$)",
    attr.COST_UNKNOWN_REASON: "Why unknown",
    attr.COST_PRICE_VERSION: "Price list",
    attr.GEN_AI_DATA_SOURCE_ID: "Source",
    attr.GEN_AI_RETRIEVAL_TOP_K: "Asked for",
    attr.RETRIEVAL_MODE: "Mode",
    attr.RETRIEVAL_CANDIDATES: "Looked at",
    attr.RETRIEVAL_RESULTS: "Found",
    attr.GEN_AI_OPERATION_NAME: "Operation",
    attr.GEN_AI_MEMORY_STORE_ID: "Memory",
    attr.GEN_AI_MEMORY_RECORD_COUNT: "Records",
    attr.HEALTH_CHECK: "Check",
    attr.HEALTH_GROUP: "Group",
    attr.HEALTH_STATUS: "Status",
    attr.HEALTH_CONSECUTIVE_FAILURES: "Failures in a row",
}
"""Field to heading."""


def columns(*keys: str) -> tuple[tuple[str, str], ...]:
    """Fields with their headings; an attribute without one is headed by its key."""
    return tuple((key, HEADINGS.get(key, key)) for key in keys)


def task_columns() -> tuple[tuple[str, str], ...]:
    """Of a table of tasks."""
    return columns(
        "time",
        attr.TASK_ID,
        attr.TASK_KIND,
        attr.TASK_OUTCOME,
        attr.ERROR_TYPE,
        "duration",
        attr.TASK_COST_MICRO_USD,
        attr.TASK_COST_UNPRICED_CALLS,
    )
