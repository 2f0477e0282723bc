"""What the agent works with: programs, files, search, git, the target's tests, the linter.

Each tool stands behind a Protocol of `protocols.py`; `build_workbench` lays them on one work tree. Which tool
is used when is not decided here.
"""

from __future__ import annotations

from .files import FilesTool
from .git import GitTool
from .interpreter import find_python
from .process import run_process
from .pytest import PytestTool
from .ruff import RuffTool
from .search import SearchTool
from .shell import ShellTool
from .workbench import build_workbench

__all__ = [
    "FilesTool",
    "GitTool",
    "PytestTool",
    "RuffTool",
    "SearchTool",
    "ShellTool",
    "build_workbench",
    "find_python",
    "run_process",
]
