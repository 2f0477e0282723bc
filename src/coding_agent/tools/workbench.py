"""Lays the tools on one work tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.protocols import Limits, Workbench

from .files import FilesTool
from .git import GitTool
from .interpreter import find_python
from .pytest import PytestTool
from .ruff import RuffTool
from .search import SearchTool
from .shell import ShellTool

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from coding_agent.records import AgentSettings, Task


def build_workbench(
    root: Path, task: Task, settings: AgentSettings, limits: Limits, *, protected: Collection[str] = ()
) -> Workbench:
    """Return the tools of a task on its work tree.

    `protected` are the files that must not be written, relative to `root` (in place: those with uncommitted
    changes).
    """
    timeout, output_limit = settings.command_timeout, settings.output_limit_bytes
    python = find_python(task)
    git = GitTool(
        root,
        limits=limits,
        timeout=timeout,
        output_limit_bytes=output_limit,
        area=settings.home / "work",
        is_in_place=task.in_place,
    )
    files = FilesTool(root, git, protected=protected)
    return Workbench(
        root=root,
        source=task.repository,
        shell=ShellTool(root, limits=limits, timeout=timeout, output_limit_bytes=output_limit),
        files=files,
        search=SearchTool(files),
        git=git,
        tests=PytestTool(
            root,
            source=task.repository,
            python=python,
            limits=limits,
            test_command=task.test_command,
            timeout=timeout,
            output_limit_bytes=output_limit,
        ),
        linter=RuffTool(root, python=python, files=files, limits=limits, timeout=timeout),
        limits=limits,
    )
