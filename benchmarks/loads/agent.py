"""One repair in a fresh process: the agent naked, or with Taskscope's runtime around it.

    python -m benchmarks.loads.agent naked|observed HOME REPOSITORY [TEST_COMMAND]

Both get the same task and a home that one run before has filled (index, learned skill, store). Whether the
repair passes is asked of the repository's own tests, or of the command.
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
    do = {"naked": _naked, "observed": _observed}[mode]
    seconds, outcome, error = do(home, repository, tuple(sys.argv[4:]))
    if outcome != "succeeded":
        sys.exit(f"the {mode} agent ended as {outcome!r}, expected 'succeeded': {error}")
    answer(task_s=seconds, outcome=outcome)


def _naked(home: Path, repository: Path, tests: tuple[str, ...]) -> tuple[float, str, object]:
    from coding_agent.build import build_agent
    from coding_agent.records import AgentSettings, Task
    from coding_agent.validation import validate_task

    settings = AgentSettings(home=home)
    began = time.perf_counter()
    name = f"bench-{time.time_ns()}"
    task = Task(id=name, text=_TEXT, repository=repository, test_command=tests)
    validate_task(task, settings)
    outcome = build_agent(task, settings).run(task)
    return time.perf_counter() - began, outcome.outcome.value, outcome.error


def _observed(home: Path, repository: Path, tests: tuple[str, ...]) -> tuple[float, str, object]:
    from taskscope.bootstrap import build_runtime
    from taskscope.config import load_settings
    from taskscope.tasks.records import TaskRequest

    runtime = build_runtime(load_settings(home))
    began = time.perf_counter()
    result = runtime.runner.run(TaskRequest(text=_TEXT, repository=repository, test_command=tests))
    seconds = time.perf_counter() - began
    if not runtime.close():
        sys.exit("not all telemetry reached the store")
    return seconds, result.outcome, result.error


if __name__ == "__main__":
    main()
