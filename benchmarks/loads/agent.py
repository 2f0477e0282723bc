"""One repair in a fresh process: the agent naked, or with Taskscope's runtime around it.

    python -m benchmarks.loads.agent naked|observed HOME REPOSITORY

Both get the same task and a home that one run before has filled (index, learned skill, store).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ._answer import answer

_TEXT = "repair the missing colon"


def main() -> None:
    """Do the task and answer `task_s`, from the request to its result, and the outcome."""
    mode, home, repository = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    seconds, outcome, error = {"naked": _naked, "observed": _observed}[mode](home, repository)
    if outcome != "succeeded":
        sys.exit(f"the {mode} agent ended as {outcome!r}, expected 'succeeded': {error}")
    answer(task_s=seconds, outcome=outcome)


def _naked(home: Path, repository: Path) -> tuple[float, str, object]:
    from coding_agent.build import build_agent
    from coding_agent.records import AgentSettings, Task
    from coding_agent.validation import validate_task

    settings = AgentSettings(home=home)
    began = time.perf_counter()
    task = Task(id=f"bench-{time.time_ns()}", text=_TEXT, repository=repository)
    validate_task(task, settings)
    outcome = build_agent(task, settings).run(task)
    return time.perf_counter() - began, outcome.outcome.value, outcome.error


def _observed(home: Path, repository: Path) -> tuple[float, str, object]:
    from taskscope.bootstrap import build_runtime
    from taskscope.config import load_settings
    from taskscope.tasks.records import TaskRequest

    runtime = build_runtime(load_settings(home))
    began = time.perf_counter()
    result = runtime.runner.run(TaskRequest(text=_TEXT, repository=repository))
    seconds = time.perf_counter() - began
    if not runtime.close():
        sys.exit("not all telemetry reached the store")
    return seconds, result.outcome, result.error


if __name__ == "__main__":
    main()
