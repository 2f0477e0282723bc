"""A process that is killed within a tool, within a step, within a task; it says which spans these are."""

from __future__ import annotations

import os
import signal

import taskscope


def main() -> None:
    """Die in the midst of it."""
    taskscope.configure()
    with taskscope.task("answer"), taskscope.step("edit"), taskscope.tool("search"):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
