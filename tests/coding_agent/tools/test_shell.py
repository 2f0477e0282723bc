"""The shell tool runs argument lists inside the work tree only."""

from __future__ import annotations

from pathlib import Path

import pytest

from coding_agent.errors import OutsideWorkTreeError
from coding_agent.records import Command
from coding_agent.tools import ShellTool
from tests.coding_agent.repositories import FakeLimits


@pytest.fixture
def shell(tmp_path: Path) -> ShellTool:
    root = tmp_path / "tree"
    (root / "inner").mkdir(parents=True)
    return ShellTool(root, limits=FakeLimits(), timeout=30, output_limit_bytes=1000)


def test_a_command_runs_in_the_work_tree(shell: ShellTool, tmp_path: Path) -> None:
    """A command's folder is the root, or one below it."""
    assert shell.run(Command(argv=("pwd",))).stdout == f"{tmp_path / 'tree'}\n"
    assert shell.run(Command(argv=("pwd",), cwd="inner")).stdout == f"{tmp_path / 'tree' / 'inner'}\n"


def test_nothing_is_interpreted_as_a_shell_line(shell: ShellTool) -> None:
    """Arguments reach the program as they are."""
    assert shell.run(Command(argv=("printf", "%s", "$HOME; ls > made"))).stdout == "$HOME; ls > made"


def test_a_folder_outside_is_refused(shell: ShellTool, tmp_path: Path) -> None:
    """Neither `..`, nor an absolute path, nor a link leads a command out of the work tree."""
    (tmp_path / "tree" / "out").symlink_to(tmp_path)
    for folder in ("..", str(tmp_path), "out", "inner/../.."):
        with pytest.raises(OutsideWorkTreeError):
            shell.run(Command(argv=("pwd",), cwd=folder))


def test_the_tools_own_limits_hold(shell: ShellTool) -> None:
    """The tool's limit of output and a command's limit of time are both kept."""
    assert shell.run(Command(argv=("head", "-c", "5000", "/dev/zero"))).is_truncated
    assert shell.run(Command(argv=("sleep", "600"), timeout=0.2)).is_timed_out
