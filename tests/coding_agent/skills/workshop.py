"""Small broken repositories and real benches on them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.limits import TaskLimits
from coding_agent.records import AgentSettings, Task
from coding_agent.tools.pytest import PytestTool
from coding_agent.tools.workbench import build_workbench
from tests.coding_agent.skills.repositories import own_check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coding_agent.protocols import Workbench
    from coding_agent.records import TestReport

_IDENTITY = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")


class NoTests:
    """A target whose Python has no pytest."""

    def __init__(self, python: Path) -> None:
        self.python = python
        self.is_available = False

    def run(self, *selection: str, files_changed: Sequence[str] = ()) -> TestReport:
        raise AssertionError(f"no tests can run here, asked for {selection}")


def write_files(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder, which is made, and return it."""
    root.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder and return what it says."""
    command = ["git", "-C", str(root), *_IDENTITY, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path, files: Mapping[str, str | bytes], message: str = "Work") -> str:
    """Write files, commit all and return the commit's id."""
    if not (root / ".git").exists():
        root.mkdir(parents=True, exist_ok=True)
        git(root, "init", "-q")
    write_files(root, files)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", message)
    return git(root, "rev-parse", "HEAD")


def make_bench(
    root: Path,
    *,
    python: Path | None = None,
    has_tests: bool = True,
    home: Path | None = None,
    test_command: Sequence[str] = (),
) -> Workbench:
    """Return the real tools on a folder; without tests, a target that has none to run."""
    task = replace(make_task(root, python=python or Path(sys.executable)), test_command=tuple(test_command))
    settings = AgentSettings(home=home or root.parent / "home", command_timeout=60)
    bench = build_workbench(root, task, settings, TaskLimits(None))
    if python is None and isinstance(bench.tests, PytestTool):
        bench.tests._is_available = True  # our own Python runs this very test with pytest
    return bench if has_tests else replace(bench, tests=NoTests(bench.tests.python))


def make_task(root: Path, text: str = "repair it", *, python: Path | None = None) -> Task:
    """Return a task on a folder."""
    return Task(id="t1", text=text, repository=root, python=python)


def snapshot(root: Path) -> dict[str, bytes]:
    """Return all files of a folder, history left out."""
    files = (
        file for file in root.rglob("*") if file.is_file() and ".git" not in file.relative_to(root).parts
    )
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def assert_passes(bench: Workbench, test_module: str) -> None:
    """See that a repository passes its own tests."""
    report = make_bench(bench.root, test_command=own_check(test_module)).tests.run()
    assert report.is_passed, report.output_tail
