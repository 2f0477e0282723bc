"""All hosts and services together: is it running, is it getting worse, which task was it."""

from __future__ import annotations

from typing import Final, Unpack

from grafana.mixin.builders import Words, chart, instant, lines, log, percentiles, search, stat, table
from grafana.mixin.config import CONFIG
from grafana.mixin.panels import Page, Panel, Query, Row, Step
from grafana.mixin.queries import (
    SCOPE,
    among,
    equals,
    events,
    grown,
    is_set,
    p95,
    positive,
    quantile,
    rate,
    ratio,
    select,
    selected,
    span,
    spans,
    total,
)
from grafana.mixin.tables import TO_TASK, task_columns
from grafana.mixin.variables import AGENT, EVERYWHERE, KIND, MODEL, SPAN_CALLS
from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics
from taskscope.semconv.events import (
    BUDGET_THRESHOLD_REACHED,
    RECORDS_DROPPED,
    RECOVERED,
    SKILL_LEARNED,
    TASK_FINISHED,
    TASK_STARTED,
)
from taskscope.semconv.spans import INVOKE_WORKFLOW

_BAD: Final = ("failed", "interrupted")
_ENDED: Final = select(metrics.TASK_EXECUTIONS)
_FAILED: Final = select(metrics.TASK_EXECUTIONS, among(attr.TASK_OUTCOME, *_BAD))
_SPAN_BUCKETS: Final = "traces_span_metrics_duration_seconds_bucket"
_OPERATIONS: Final = f"{{{SCOPE}, {is_set(attr.GEN_AI_OPERATION_NAME)}}}"
_FAILED_OPERATIONS: Final = f'{_OPERATIONS[:-1]}, status_code="STATUS_CODE_ERROR"}}'
_TASK: Final = equals(attr.GEN_AI_OPERATION_NAME, INVOKE_WORKFLOW)
_TASK_KEYS: Final = (
    attr.TASK_ID,
    attr.TASK_KIND,
    attr.TASK_OUTCOME,
    attr.ERROR_TYPE,
    attr.TASK_COST_MICRO_USD,
    attr.TASK_COST_UNPRICED_CALLS,
)


def _tasks(title: str, *conditions: str, **words: Unpack[Words]) -> Panel:
    """A table of the tasks that meet the conditions and are of the chosen kinds; a click opens one."""
    chosen = spans(_TASK, *conditions, f'{span(attr.TASK_KIND)} =~ "$kind"')
    found = search(selected(chosen, *_TASK_KEYS), attr.TASK_ID, attr.TASK_KIND, attr.TASK_OUTCOME)
    return table(title, found, columns=task_columns(), links=TO_TASK, width=24, height=10, **words)


_RUNNING: Final = Row(
    "Is it running?",
    (
        stat(
            "Tasks in progress",
            Query(total(select(metrics.TASK_ACTIVE))),
            description="Tasks that are open in a living process now.",
            bad="Nothing while work waits: no host is up, or none reaches us.",
            empty="no hosts",
        ),
        stat(
            "Agents at work",
            Query(total(select(metrics.AGENT_ACTIVE))),
            description="Agents that are open in a living process now.",
            bad="Fewer than tasks for long: tasks prepare or verify and get no further.",
            empty="no agents",
        ),
        stat(
            "Longest silence",
            Query(total(select(metrics.TASK_SILENCE_MAX), operator="max")),
            description="How long the quietest open task has said nothing: no span begun or ended, no line.",
            bad="It hangs, waits for a person, or runs a command without a time limit.",
            unit="s",
            empty="no hosts",
            steps=(Step(CONFIG.windows.task_silence_s, "red"),),
            alerts=("TaskscopeTaskSilent",),
        ),
        stat(
            "Failures in a row",
            Query(total(select(metrics.TASK_CONSECUTIVE_FAILURES), operator="max")),
            description="Tasks of one kind on one host that failed or died since the last that did not.",
            bad="Nothing of that kind succeeds any more; look at the newest of them.",
            empty="no tasks",
            steps=(
                Step(CONFIG.marks.tasks_failed_in_a_row, "yellow"),
                Step(CONFIG.limits.tasks_failed_in_a_row, "red"),
            ),
            alerts=("TaskscopeTasksFailingInARow",),
        ),
        stat(
            "Tasks that ended",
            Query(positive(total(grown(_ENDED)))),
            description="Tasks that ended in the chosen time, whatever came of them.",
            bad="Less than usual: work does not arrive, or does not end.",
            empty="no tasks ended",
        ),
        stat(
            "Failed or died",
            Query(ratio(total(grown(_FAILED)), total(grown(_ENDED)))),
            description=(
                "Share of the tasks that ended in the chosen time which failed or lost their process."
            ),
            bad="Above what is usual for this work: find the common error below.",
            unit="percentunit",
            empty="none failed or died",
            steps=(
                Step(CONFIG.marks.tasks_failed_share, "yellow"),
                Step(CONFIG.limits.tasks_failed_share, "red"),
            ),
            alerts=("TaskscopeTasksFailing",),
        ),
        chart(
            "Tasks in progress, by kind",
            Query(
                total(select(metrics.TASK_ACTIVE), attr.TASK_KIND),
                "{{taskscope_task_kind}}",
            ),
            description="Open tasks over time.",
            bad="A line that only rises: tasks are begun and never end.",
            unit="none",
            empty="no hosts",
            is_stacked=True,
        ),
        chart(
            "Spans by service",
            Query(f"{total(rate(f'{SPAN_CALLS}{{{SCOPE}}}'), 'job')}", "{{job}}"),
            description="What each sender reports, counted by the gateway before any sampling.",
            bad="A service that falls to nothing while it should work: it is down or cut off.",
            unit="cps",
            empty="no spans",
            alerts=("TaskscopeHostSilent",),
        ),
    ),
)

_WORSE: Final = Row(
    "Is it getting worse?",
    (
        chart(
            "Tasks that ended, by outcome",
            Query(f"{total(rate(_ENDED), attr.TASK_OUTCOME)} * 3600", "{{taskscope_task_outcome}}"),
            description="Tasks that ended per hour: succeeded by their own checks, or why not.",
            bad="More `failed`, `interrupted` or `stopped`; more `needs_llm` means the rules do not reach.",
            unit="suffix:/h",
            empty="no tasks ended",
            is_stacked=True,
            alerts=("TaskscopeTasksFailing", "TaskscopeTasksInterrupted"),
        ),
        chart(
            "How long a task takes",
            *percentiles(
                select(metrics.WORKFLOW_DURATION, part="bucket"),
                "{{gen_ai_workflow_name}}",
                attr.GEN_AI_WORKFLOW_NAME,
            ),
            description="Half and 95 % of the tasks of a kind take at most this.",
            bad="A median that rises: everything is slower. Only p95: some tasks hang; see Task.",
            unit="s",
            empty="no tasks ended",
        ),
        table(
            "Why tasks fail",
            instant(
                positive(
                    total(
                        grown(_ENDED),
                        attr.TASK_KIND,
                        attr.TASK_OUTCOME,
                        attr.TASK_VERIFICATION,
                        attr.ERROR_TYPE,
                    )
                ),
                "Tasks",
                "taskscope_task_kind",
                "taskscope_task_outcome",
            ),
            description=(
                "Tasks that ended in the chosen time by kind, outcome, verdict of their checks and error."
            ),
            bad="Many rows with one error are one cause.",
            empty="no tasks ended",
            columns=(
                ("taskscope_task_kind", "Kind"),
                ("taskscope_task_outcome", "Outcome"),
                ("taskscope_task_verification", "Checks"),
                ("error_type", "Error"),
                ("Value", "Tasks"),
            ),
            alerts=("TaskscopeTasksFailing",),
        ),
        chart(
            "How long an agent works",
            Query(
                p95(metrics.AGENT_DURATION, attr.GEN_AI_AGENT_NAME),
                "p95 {{gen_ai_agent_name}}",
            ),
            description="95 % of the works of an agent take at most this.",
            bad="Much below the task's time: the time goes into preparing or verifying.",
            unit="s",
            empty="no agents ended",
        ),
        chart(
            "How long operations take, with traces",
            Query(
                quantile(0.95, rate(f"{_SPAN_BUCKETS}{_OPERATIONS}"), attr.GEN_AI_OPERATION_NAME),
                "p95 {{gen_ai_operation_name}}",
                has_exemplars=True,
            ),
            description=(
                "Each GenAI operation of every sender, as the gateway counts it. A dot is one call: a click "
                "leads to its trace."
            ),
            bad="The operation whose line rises is where to look; its dots are examples.",
            unit="s",
            empty="no operations",
        ),
        chart(
            "Operations that fail",
            Query(
                ratio(
                    total(
                        rate(f"{SPAN_CALLS}{_FAILED_OPERATIONS}"),
                        attr.GEN_AI_OPERATION_NAME,
                    ),
                    total(rate(f"{SPAN_CALLS}{_OPERATIONS}"), attr.GEN_AI_OPERATION_NAME),
                ),
                "{{gen_ai_operation_name}}",
            ),
            description="Share of each GenAI operation that ended with an error.",
            bad="A failing tool is often a test that fails, as it should; failing chats are not.",
            unit="percentunit",
            empty="no errors",
        ),
    ),
)

_WHICH: Final = Row(
    "Which task was it?",
    (
        _tasks(
            "Latest tasks",
            description=(
                "The newest tasks that ended or are recovered, of those that sampling kept. A click opens "
                "one."
            ),
            bad="Outcome and error say how it ended.",
            empty="no tasks in Tempo",
        ),
        _tasks(
            "Tasks that failed or died",
            equals(attr.TASK_OUTCOME, *_BAD),
            description="The same, only those that failed or whose process died.",
            bad="Each is worth a look: its waterfall and its last lines say where it broke.",
            empty="no task failed",
            alerts=("TaskscopeTasksFailing", "TaskscopeTasksInterrupted"),
        ),
    ),
)

_HAPPENED: Final = Row(
    "What happened?",
    (
        log(
            "Events",
            lines(
                events(
                    TASK_STARTED,
                    TASK_FINISHED,
                    SKILL_LEARNED,
                    BUDGET_THRESHOLD_REACHED,
                    RECOVERED,
                    RECORDS_DROPPED,
                ),
                "event_name",
                "severity_text",
            ),
            description="Tasks begun and ended, skills learned, budgets used up, dead processes, losses.",
            bad="A budget that is reached, a process that died, records that were dropped.",
            empty="no events",
            height=10,
            alerts=("TaskscopeTasksInterrupted", "TaskscopeRecordsDropped"),
        ),
    ),
)

PAGE: Final = Page(
    uid="taskscope-fleet",
    title="Taskscope / Fleet",
    question="Is it running, and is it getting worse?",
    rows=(_RUNNING, _WORSE, _WHICH, _HAPPENED),
    variables=(*EVERYWHERE, KIND, AGENT, MODEL),
)
