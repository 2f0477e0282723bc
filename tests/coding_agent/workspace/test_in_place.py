"""In place one task at a time edits the user's files, never those with uncommitted changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coding_agent.errors import InvalidTaskError, ToolFailedError
from coding_agent.tools import build_workbench, run_process
from coding_agent.workspace import InPlaceWorkspace, choose_workspace
from tests.coding_agent.repositories import (
    FakeLimits,
    apply_patch,
    contents,
    git,
    make_repository,
    make_settings,
    make_task,
    photograph,
    write_files,
)

HOLD = """
import sys
from pathlib import Path
from coding_agent.tools import run_process
from coding_agent.workspace import choose_workspace
from tests.coding_agent.repositories import make_settings, make_task
task = make_task(Path(sys.argv[1]), in_place=True)
with choose_workspace(task, make_settings(Path(sys.argv[2])), run_process).open(task):
    print("held", flush=True)
    sys.stdin.read()
"""


def open_in_place(root: Path, home: Path) -> InPlaceWorkspace:
    workspace = choose_workspace(make_task(root, in_place=True), make_settings(home), run_process)
    assert isinstance(workspace, InPlaceWorkspace)
    return workspace


def test_files_with_uncommitted_changes_are_refused(tmp_path: Path) -> None:
    """Edited, staged and untracked files are protected by name; committed and new ones can be written."""
    root = make_repository(
        tmp_path / "repo", {"clean.py": "import os\n", "edited.py": "1\n", "staged.py": "1\n"}
    )
    write_files(root, {"edited.py": "import os\n", "staged.py": "2\n", "new.py": "n\n"})
    git(root, "add", "staged.py")
    home, task = tmp_path / "home", make_task(root, in_place=True)
    workspace = open_in_place(root, home)
    with workspace.open(task) as tree:
        assert tree == root
        assert workspace.protected == {"edited.py", "staged.py", "new.py"}
        bench = build_workbench(tree, task, make_settings(home), FakeLimits(), protected=workspace.protected)
        for name in workspace.protected:
            with pytest.raises(ToolFailedError, match=name):
                bench.files.write(name, "mine\n")
        with pytest.raises(ToolFailedError, match=r"edited\.py"):
            bench.linter.fix(select=["F401"])
        bench.files.write("clean.py", "import sys\n")
        bench.files.write("other.py", "o\n")
    assert (root / "clean.py").read_text(encoding="utf-8") == "import sys\n"


def test_the_patch_takes_the_edits_back(tmp_path: Path) -> None:
    """In place the patch tells what was done, and applied in reverse undoes it; `.git` stays as it was."""
    root = make_repository(tmp_path / "repo", {"a.py": "1\n", "b.py": "1\n"})
    write_files(root, {"b.py": "dirty\n"})
    before, history = contents(root), photograph(root / ".git")
    workspace = open_in_place(root, tmp_path / "home")
    with workspace.open(make_task(root, in_place=True)):
        write_files(root, {"a.py": "2\n", "new.py": "n\n"})
        patch = workspace.patch(["a.py", "new.py"])
    assert photograph(root / ".git") == history
    apply_patch(root, patch, "--reverse")
    assert contents(root) == before


def test_two_tasks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    """While a task is in place, a second one on the same repository is refused, also from a folder below."""
    root = make_repository(tmp_path / "repo", {"part/a": ""})
    first, second = (open_in_place(folder, tmp_path / "home") for folder in (root, root / "part"))
    with first.open(make_task(root, in_place=True)):
        for _ in range(2):  # a refusal must not let go of the first one's lock
            with pytest.raises(InvalidTaskError, match="in_place"), second.open(make_task(root / "part")):
                pass
    with second.open(make_task(root / "part", in_place=True)) as tree:
        assert tree == root / "part"


@pytest.mark.parametrize("home", ["home", "other"])
def test_two_processes_exclude_each_other(tmp_path: Path, home: str) -> None:
    """Another process is kept out, whatever its home, until this one has ended, by kill -9 if need be."""
    root = make_repository(tmp_path / "repo", {"a": ""})
    (tmp_path / "link").symlink_to(root)
    workspace = open_in_place(root, tmp_path / "home")
    command = [sys.executable, "-c", HOLD, str(tmp_path / "link"), str(tmp_path / home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InvalidTaskError, match="in_place"), workspace.open(make_task(root)):
            pass
        other.kill()
    with workspace.open(make_task(root, id="t2", in_place=True)) as tree:
        assert tree == root


def test_a_plain_folder_has_no_uncommitted_changes(tmp_path: Path) -> None:
    """Without git nothing is protected, and the patch still takes the edits back."""
    root = tmp_path / "folder"
    write_files(root, {"a.py": "1\n"})
    workspace = open_in_place(root, tmp_path / "home")
    with workspace.open(make_task(root, in_place=True)):
        assert workspace.protected == frozenset()
        write_files(root, {"a.py": "2\n"})
        patch = workspace.patch(["a.py"])
    apply_patch(root, patch, "--reverse")
    assert (root / "a.py").read_text(encoding="utf-8") == "1\n"
