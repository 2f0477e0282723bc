"""A short program with telemetry, which answers when its own work was done.

    python -m reliability.loads.farewells SPANS LIVES_S

Its exit code is its own. The moment is of the clock that all processes of the host share.
"""

from __future__ import annotations

import sys
import time

import taskscope
from benchmarks.loads._answer import answer

EXIT_CODE = 7
"""What the program itself wants to say at its end."""


def main() -> None:
    """Make the spans in a task, live as long as told, and end."""
    spans, lives_s = int(sys.argv[1]), float(sys.argv[2])
    taskscope.configure()
    with taskscope.task("answer"):
        for _ in range(spans - 1):
            with taskscope.step("edit"):
                pass
    time.sleep(lives_s)
    answer(done=time.monotonic())
    sys.stdout.flush()
    sys.exit(EXIT_CODE)


if __name__ == "__main__":
    main()
