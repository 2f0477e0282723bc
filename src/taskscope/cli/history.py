"""`history` and `status`: the tasks that were, and what runs now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .overview import paint_outcome
from .reading import read_store
from .shapes import shape_cost, shape_status, shape_task, to_json
from .terminal import clean, open_screen, shorten
from .wording import describe_duration, describe_money, describe_time, describe_wait, seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskscope.store.history import History, TaskSummary
    from taskscope.store.nodes import SpanNode

    from .terminal import Screen

_ALL_ENDED = (1 << 63) - 1
_LOOKED_AT = 50
"""Newest tasks among which `status` looks for interrupted ones."""
_RECENT_NS = 24 * 3600 * 1_000_000_000
_OUTCOME_WIDTH = 12


def list_tasks(limit: int, *, as_json: bool) -> int:
    """Print the newest tasks, newest first."""
    with read_store() as history:
        tasks = history.tasks(limit)
    screen = open_screen()
    if as_json:
        screen.say(to_json([shape_task(task) for task in tasks]))
    elif tasks:
        screen.say(*_table(tasks, screen))
    else:
        screen.say("no tasks yet; `taskscope run TASK` makes one")
    return 0


def _table(tasks: list[TaskSummary], screen: Screen) -> Iterator[str]:
    width = max(len(clean(task.task_id)) for task in tasks)
    head = (
        f"{'task':<{width}}  {'outcome':<{_OUTCOME_WIDTH}}  {'took':>11}  {'cost':>12}  {'started':<23}  text"
    )
    yield screen.paint.quiet(head)
    left = max(screen.width - len(head) + len("text"), 20)
    for task in tasks:
        state = "running" if task.outcome is None else task.outcome or "unknown"
        outcome = f"{shorten(state, _OUTCOME_WIDTH):<{_OUTCOME_WIDTH}}"
        yield "  ".join(
            (
                f"{clean(task.task_id):<{width}}",
                paint_outcome(outcome, task.outcome, screen.paint),
                f"{_took(task):>11}",
                f"{_cost(task):>12}",
                describe_time(task.started_ns),
                shorten((task.text or task.kind).strip(), left),
            )
        )


def _took(task: TaskSummary) -> str:
    if task.ended_ns is None:
        return describe_wait(seconds_between(task.started_ns, time.time_ns()))
    return describe_duration(seconds_between(task.started_ns, task.ended_ns))


def _cost(task: TaskSummary) -> str:
    cost = shape_cost(task)
    return "-" if cost["status"] == "no_llm_calls" else _amount(cost["micro_usd"])


def _amount(micro_usd: int | None) -> str:
    return "unknown" if micro_usd is None else describe_money(micro_usd)


def tell_status(*, as_json: bool) -> int:
    """Print the running tasks with what each does now, and the interrupted ones of the last day."""
    now_ns = time.time_ns()
    with read_store() as history:
        tasks = [*history.active_tasks(), *_interrupted(history, now_ns)]
        found = [(task, _innermost(history, task)) for task in tasks]
    screen = open_screen()
    if as_json:
        screen.say(to_json([shape_status(*row) for row in found]))
    elif found:
        for task, doing in found:
            screen.say(*_tell(task, doing, screen, now_ns))
    else:
        screen.say("nothing is running")
    return 0


def _interrupted(history: History, now_ns: int) -> Iterator[TaskSummary]:
    for task in history.tasks(_LOOKED_AT):
        if task.outcome == "interrupted" and (task.ended_ns or 0) > now_ns - _RECENT_NS:
            yield task


def _innermost(history: History, task: TaskSummary) -> SpanNode | None:
    """Return the span of a task that is open and began last; of an interrupted one, the last one cut off."""
    if task.outcome is None:
        nodes = history.spans_since(task.trace_id, _ALL_ENDED)[1]
    else:
        nodes = [node for root in history.roots(task.trace_id) for node in root.walk() if node.is_interrupted]
    own = [node for node in nodes if node.task_id == task.task_id]
    return max(own, key=lambda node: node.start_ns, default=None)


def _tell(task: TaskSummary, doing: SpanNode | None, screen: Screen, now_ns: int) -> Iterator[str]:
    ended = task.ended_ns or now_ns
    state = task.outcome or "running"
    took = describe_wait(seconds_between(task.started_ns, ended))
    words = f"{state} {took}" if task.outcome is None else f"{state} after {took}"
    state_words = paint_outcome(words, task.outcome, screen.paint)
    text = shorten((task.text or task.kind).strip(), 60)
    yield f"{screen.paint.loud(clean(task.task_id))}  {state_words}  {text}"
    if doing is not None:
        since = describe_wait(seconds_between(doing.start_ns, ended))
        verb = "is in" if task.outcome is None else "was in"
        yield f"  {verb} {clean(doing.name)}, for {since}"
