"""Tasks: they fail, say nothing, or their process dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskscope.semconv import attributes as attr
from taskscope.semconv import metrics

from .alert import Alert, Group, Recording
from .promql import count_recent, differ, duration, labels, match, select, total

if TYPE_CHECKING:
    from grafana.mixin.config import Config

TASKS_RECENT: Final = "taskscope:task_executions:recent"
"""Tasks that ended within the window, by all labels of the counter."""
FAILED_RECENT: Final = "taskscope:tasks_failed:recent"
"""Those of them that failed or died, by kind of task."""
_BY_KIND: Final = labels(attr.TASK_KIND)


def build_group(config: Config) -> Group:
    """The rules about tasks."""
    ended = count_recent(select(metrics.TASK_EXECUTIONS), config.windows.tasks_s, config.windows)
    return Group(
        "taskscope-tasks",
        (
            _failing(config),
            _failing_in_a_row(config),
            _silent(config),
            _interrupted(config),
            _host_silent(config),
        ),
        (Recording(TASKS_RECENT, ended), _record_failed()),
    )


def _record_failed() -> Recording:
    """Senders without Taskscope say no outcome; with them an error is a failure."""
    failed = f"{TASKS_RECENT}{{{match(attr.TASK_OUTCOME, 'failed', 'interrupted')}}}"
    erred = f"{TASKS_RECENT}{{{match(attr.TASK_OUTCOME, '')}, {differ(attr.ERROR_TYPE, '')}}}"
    return Recording(FAILED_RECENT, total(f"{failed}\nor\n{erred}", _BY_KIND))


def _failing(config: Config) -> Alert:
    ended = total(TASKS_RECENT, _BY_KIND)
    return Alert(
        name="TaskscopeTasksFailing",
        value=FAILED_RECENT,
        limit=config.limits.tasks_failed,
        guard=f"and\n{FAILED_RECENT} / {ended} >= {config.limits.tasks_failed_share:g}",
        severity="error",
        summary=(
            "{{ $labels.job }}: {{ $value }} tasks"
            "{{ with $labels.taskscope_task_kind }} of kind {{ . }}{{ end }} failed"
        ),
        description=(
            f"Within {duration(config.windows.tasks_s)} at least "
            f"{config.limits.tasks_failed_share:.0%} of the tasks "
            "of this kind on {{ $labels.instance }} failed or died."
        ),
    )


def _failing_in_a_row(config: Config) -> Alert:
    held = duration(config.windows.failures_held_s)
    return Alert(
        name="TaskscopeTasksFailingInARow",
        value=total(f"last_over_time({select(metrics.TASK_CONSECUTIVE_FAILURES)}[{held}])", _BY_KIND, "max"),
        limit=config.limits.tasks_failed_in_a_row,
        severity="error",
        summary=(
            "{{ $labels.job }}: the last {{ $value }} tasks of kind {{ $labels.taskscope_task_kind }} failed"
        ),
        description="No task of this kind on {{ $labels.instance }} has succeeded since the first of them.",
    )


def _silent(config: Config) -> Alert:
    return Alert(
        name="TaskscopeTaskSilent",
        value=total(select(metrics.TASK_SILENCE_MAX), labels(), "max"),
        limit=config.windows.task_silence_s,
        comparison=">",
        severity="warning",
        summary="{{ $labels.job }}: a task has said nothing for {{ $value | humanizeDuration }}",
        description=(
            "A task on {{ $labels.instance }} is open, its process lives, and no span began or ended "
            "and no line "
            "was logged: it hangs, waits for a person, or runs a command without a time limit."
        ),
    )


def _interrupted(config: Config) -> Alert:
    return Alert(
        name="TaskscopeTasksInterrupted",
        value=total(f"{TASKS_RECENT}{{{match(attr.TASK_OUTCOME, 'interrupted')}}}", _BY_KIND),
        limit=config.limits.tasks_interrupted,
        severity="warning",
        summary=(
            "{{ $labels.job }}: {{ $value }} tasks of kind {{ $labels.taskscope_task_kind }} died "
            "with their process"
        ),
        description=(
            "On {{ $labels.instance }} a process ended without ending its task: killed, out of "
            "memory, or the "
            "machine went down. Its trace is complete up to its last sign of life."
        ),
    )


def _host_silent(config: Config) -> Alert:
    silence = select(metrics.TASK_SILENCE_MAX)
    forgotten, window = duration(config.windows.host_forgotten_s), duration(config.windows.host_silence_s)
    return Alert(
        name="TaskscopeHostSilent",
        value=total(f"last_over_time({silence}[{forgotten}])", labels(), "max"),
        limit=0,
        comparison=">",
        guard=f"unless on (job, instance)\npresent_over_time({silence}[{window}])",
        severity="error",
        summary="{{ $labels.job }}: {{ $labels.instance }} fell silent in the middle of a task",
        description=(
            f"A task was in progress when this host last sent something, more than {window} ago. The host is "
            "down, or its way to here is."
        ),
        consequence_of="collector_down",
    )
