"""Fills a store through the recorder: one large trace, and many small tasks around it.

python -m benchmarks.loads.history SPANS TASKS
"""

from __future__ import annotations

import sys

import taskscope

from ._answer import answer

_FLUSH_S = 60.0
_BRANCH = 9
"""Tools below each step."""


def main() -> None:
    """Record and answer the id of the task whose trace is the large one."""
    spans, tasks = map(int, sys.argv[1:3])
    recording = taskscope.configure()
    for _ in range(tasks):
        _record_task(spans=6)
        taskscope.flush(_FLUSH_S)
    task_id = _record_task(spans)
    if not taskscope.flush(_FLUSH_S):
        sys.exit(f"not all spans reached {recording.store_path}")
    answer(task=task_id)
    taskscope.shutdown(_FLUSH_S)


def _record_task(spans: int) -> str:
    """Record a task of this many spans: steps of tools."""
    left = spans - 2
    with taskscope.task("repair") as task, taskscope.agent("coder"):
        index = 0
        while left > 0:
            left -= _record_step(index, min(left, 1 + _BRANCH))
            index += 1
            if index % 40 == 0:
                taskscope.flush(_FLUSH_S)
    return str(task.id)


def _record_step(index: int, spans: int) -> int:
    with taskscope.step("edit", index=index):
        for number in range(spans - 1):
            with taskscope.tool("read") as tool:
                tool.set("app.path", f"src/shop/orders_{index}_{number}.py")
                tool.record_output(100 + number)
    return spans


if __name__ == "__main__":
    main()
