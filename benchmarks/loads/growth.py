"""Many tasks in one process, and how much memory it holds after each.

    python -m benchmarks.loads.growth HOME REPOSITORY TASKS

Whether a repair passes is asked of `true`: no test suite runs, since it would run in another process anyway.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.memory import resident_bytes
from taskscope.bootstrap import build_runtime
from taskscope.config import load_settings
from taskscope.tasks.records import TaskRequest

from ._answer import answer


def main() -> None:
    """Answer the resident bytes after each task, and how often each outcome came."""
    home, repository, tasks = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    runtime = build_runtime(load_settings(home))
    sizes, outcomes = [], dict[str, int]()
    for _ in range(tasks):
        request = TaskRequest(text="repair the missing colon", repository=repository, test_command=("true",))
        outcome = runtime.runner.run(request).outcome
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        sizes.append(resident_bytes())
    if not runtime.close():
        sys.exit("not all telemetry reached the store")
    answer(resident_bytes=sizes, outcomes=outcomes)


if __name__ == "__main__":
    main()
