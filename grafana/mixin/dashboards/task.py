"""One task: how it ended, what it did, what it said, what it cost."""

from __future__ import annotations

from typing import Final, Unpack

from grafana.mixin.builders import Words, lines, log, search, table
from grafana.mixin.panels import Page, Panel, Query, Row
from grafana.mixin.queries import LINE, equals, field, logs, selected, span
from grafana.mixin.tables import TO_TASK, TO_TRACE, columns
from grafana.mixin.variables import JOB, SERVICE_NAME, TASK, TRACE
from taskscope.semconv import attributes as attr
from taskscope.semconv.spans import (
    CHAT,
    EMBEDDINGS,
    INVOKE_WORKFLOW,
    RETRIEVAL,
    SEARCH_MEMORY,
    UPSERT_MEMORY,
)

_THIS: Final = f'{span(attr.TASK_ID)} = "$task"'


def _find(condition: str, *keys: str) -> Query:
    text = selected(f"{{ {_THIS} && {condition} }}" if condition else f"{{ {_THIS} }}", *keys)
    return search(text, *keys[:1])


def _each(title: str, condition: str, *keys: str, width: int = 12, **words: Unpack[Words]) -> Panel:
    """A table of the task's spans of one sort, with these attributes; a click on the time draws the trace."""
    shown = columns("time", *keys, "duration")
    found = _find(condition, *keys)
    return table(title, found, width=width, height=10, columns=shown, links=TO_TRACE, **words)


_HOW: Final = (
    attr.TASK_ID,
    attr.TASK_KIND,
    attr.TASK_SOURCE,
    attr.TASK_ATTEMPT,
    attr.TASK_OUTCOME,
    attr.TASK_VERIFICATION,
    attr.ERROR_TYPE,
)
"""How a task ended."""
_WHAT: Final = (
    attr.TASK_FILES_CHANGED,
    attr.TASK_COST_MICRO_USD,
    attr.TASK_COST_UNPRICED_CALLS,
    attr.VCS_REPOSITORY_NAME,
    attr.VCS_REF_HEAD_NAME,
    attr.VCS_REF_HEAD_REVISION,
)
"""What it came to, and where."""

_END: Final = Row(
    "How did it end?",
    (
        table(
            "The task",
            _find(equals(attr.GEN_AI_OPERATION_NAME, INVOKE_WORKFLOW), *_HOW, *_WHAT),
            description=(
                "Outcome, verdict of the checks, error, cost. A click on the id draws its waterfall below."
            ),
            bad=(
                "`interrupted`: its process died, the trace is complete up to then. A cost with "
                "calls of unknown "
                "cost beside it is too low."
            ),
            empty=(
                "no such task in Tempo: it is still running, was not sampled, or is older than this time "
                "range"
            ),
            width=24,
            height=6,
            columns=columns("time", *_HOW, "duration", *_WHAT),
            links=TO_TASK,
        ),
    ),
)

_DID: Final = Row(
    "What did it do?",
    (
        Panel(
            title="Waterfall",
            view="traces",
            queries=(Query("$trace", kind="trace"),),
            description="The trace named above: each span with its attributes; its logs are one click away.",
            bad="A span marked red failed; a long gap between spans is time that nothing accounts for.",
            unit="none",
            empty="no trace chosen: click the task's id in the table above",
            width=24,
            height=16,
        ),
        _each(
            "Steps",
            f"{span(attr.STEP_KIND)} != nil",
            attr.STEP_KIND,
            attr.STEP_INDEX,
            attr.STEP_ATTEMPT,
            attr.STEP_OUTCOME,
            attr.ERROR_TYPE,
            description="Each step of each plan, and each diagnosis before one.",
            bad="A step begun again and again: the plan does not learn from its failure.",
            empty="no steps",
        ),
        _each(
            "Plans",
            f"{span(attr.PLAN_SOURCE)} != nil",
            attr.PLAN_SOURCE,
            attr.PLAN_REVISION,
            attr.PLAN_REASON,
            attr.PLAN_STEP_COUNT,
            attr.ERROR_TYPE,
            description="Each plan: who made it, why, how many steps it has.",
            bad="Many revisions without a step that succeeded in between: it goes in circles.",
            empty="no plans",
        ),
        _each(
            "Commands",
            f"{span(attr.PROCESS_EXECUTABLE_NAME)} != nil",
            attr.PROCESS_EXECUTABLE_NAME,
            attr.PROCESS_PID,
            attr.PROCESS_EXIT_CODE,
            attr.ERROR_TYPE,
            description="Programs that the task started. Their arguments and output are not recorded.",
            bad="An exit code that is not 0, or none: it was killed at its limit.",
            empty="no commands",
        ),
        _each(
            "Retrievals",
            equals(attr.GEN_AI_OPERATION_NAME, RETRIEVAL),
            attr.GEN_AI_DATA_SOURCE_ID,
            attr.RETRIEVAL_MODE,
            attr.GEN_AI_RETRIEVAL_TOP_K,
            attr.RETRIEVAL_CANDIDATES,
            attr.RETRIEVAL_RESULTS,
            description="Each search for passages or skills: how many were asked for, looked at, found.",
            bad="No results: the plan after it is made blindly.",
            empty="no retrievals",
        ),
        _each(
            "Memory",
            equals(attr.GEN_AI_OPERATION_NAME, SEARCH_MEMORY, UPSERT_MEMORY),
            attr.GEN_AI_OPERATION_NAME,
            attr.GEN_AI_MEMORY_STORE_ID,
            attr.GEN_AI_MEMORY_RECORD_COUNT,
            description="What was remembered, and what was written down for the next time.",
            bad="Never any records: nothing is learned from earlier tasks.",
            empty="no use of memory",
        ),
        _each(
            "Tools and skills",
            f"{span(attr.GEN_AI_TOOL_NAME)} != nil",
            attr.GEN_AI_TOOL_NAME,
            attr.GEN_AI_SKILL_NAME,
            attr.SKILL_OUTCOME,
            attr.TOOL_OUTPUT_SIZE,
            attr.TOOL_OUTPUT_TRUNCATED,
            attr.ERROR_TYPE,
            description="Each use of a tool, with the skill that it carried out.",
            bad="A skill that is `not_applicable` was chosen for nothing.",
            empty="no tools used",
        ),
    ),
)

_SAID: Final = Row(
    "What did it say?",
    (
        log(
            "Logs and events",
            lines(f"{logs(field(attr.TASK_ID, '$task'))} | {LINE}", "taskscope_task_id", "trace_id"),
            description="Every line and event of the task; a line's trace id leads to its trace.",
            bad="The last lines before the end say what it was at.",
            empty="no lines",
            height=12,
        ),
        log(
            "Warnings and errors",
            lines(
                f"{logs(field(attr.TASK_ID, '$task'), 'severity_number >= 13')} | {LINE}",
                "taskscope_task_id",
                "severity_text",
            ),
            description="Only what is at least a warning, exceptions with their message.",
            bad="An exception names its class, its phase and what a person can do.",
            empty="no warnings",
        ),
    ),
)

_COST: Final = Row(
    "What did it cost?",
    (
        _each(
            "Calls of models",
            f"{equals(attr.GEN_AI_OPERATION_NAME, CHAT, EMBEDDINGS)} && {span(attr.LLM_MODE)} != nil",
            attr.GEN_AI_REQUEST_MODEL,
            attr.GEN_AI_RESPONSE_MODEL,
            attr.LLM_MODE,
            attr.LLM_RETRY_COUNT,
            attr.GEN_AI_USAGE_INPUT_TOKENS,
            attr.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
            attr.GEN_AI_USAGE_OUTPUT_TOKENS,
            attr.COST_STATUS,
            attr.COST_MICRO_USD,
            attr.COST_UNKNOWN_REASON,
            attr.COST_PRICE_VERSION,
            attr.ERROR_TYPE,
            description=(
                "Each call with its tokens and its cost in millionths of a dollar. Replayed calls cost "
                "nothing."
            ),
            bad="Status `unknown`: the call cost something, and nobody knows what; the reason says why.",
            empty="no LLM calls",
            width=24,
            alerts=("TaskscopeCallsUnpriced",),
        ),
    ),
)

PAGE: Final = Page(
    uid="taskscope-task",
    title="Taskscope / Task",
    question="What did this task do, why did it end so, what did it cost?",
    rows=(_END, _DID, _SAID, _COST),
    variables=(JOB, SERVICE_NAME, TASK, TRACE),
    since="now-24h",
)
