"""Without git the work tree is a copy, and its patch applies by `git apply` all the same."""

from __future__ import annotations

import os
from pathlib import Path

from coding_agent.tools import build_workbench, run_process
from coding_agent.workspace import CopyWorkspace, choose_workspace
from tests.coding_agent.repositories import (
    FakeLimits,
    apply_patch,
    contents,
    make_repository,
    make_settings,
    make_task,
    photograph,
    write_files,
)


def test_a_plain_folder_is_copied(tmp_path: Path) -> None:
    """Files, modes and links are copied; version control, byte code, environments and pipes are not."""
    root = tmp_path / "folder"
    write_files(root, {"a.py": "1\n", "run.sh": "#!/bin/sh\n", "deep/b": b"\xff", "caf\udce9": "x"})
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("a.py")
    (root / "linked").symlink_to("deep")
    wanted = contents(root)
    write_files(root, {".hg/x": "", "__pycache__/a.pyc": "", "env/pyvenv.cfg": "", "env/bin/python": ""})
    os.mkfifo(root / "pipe")
    before = photograph(root)
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    assert isinstance(workspace, CopyWorkspace)
    with workspace.open(task) as tree:
        assert contents(tree) == wanted
        assert not build_workbench(
            tree, task, make_settings(tmp_path / "home"), FakeLimits()
        ).git.is_repository
    assert photograph(root) == before
    assert list((tmp_path / "home" / "work").iterdir()) == []


def test_the_patch_of_a_copy_applies(tmp_path: Path) -> None:
    """Edits, new and deleted files of any bytes arrive in the plain folder."""
    root = tmp_path / "folder"
    write_files(root, {"a.py": "1\n", "b.bin": bytes(256), "gone": "x\n", "crlf": b"1\r\n"})
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    with workspace.open(task) as tree:
        write_files(tree, {"a.py": "2\n", "b.bin": b"\x01" * 256, "new/c": "c\n", "crlf": b"2\r\n"})
        (tree / "gone").unlink()
        wanted, patch = contents(tree), workspace.patch(["a.py", "b.bin", "new/c", "gone", "crlf"])
    apply_patch(root, patch)
    assert contents(root) == wanted


def test_a_folder_that_git_knows_nothing_of_is_copied(tmp_path: Path) -> None:
    """An ignored folder of a repository is copied for itself, and its patch still applies at the top."""
    top = make_repository(tmp_path / "repo", {".gitignore": "scratch/\n", "big.py": "1\n"})
    write_files(top, {"scratch/a.py": "1\n"})
    task = make_task(top / "scratch")
    workspace = choose_workspace(task, make_settings(tmp_path / "home"), run_process)
    assert isinstance(workspace, CopyWorkspace)
    with workspace.open(task) as tree:
        assert sorted(contents(tree)) == ["a.py"]
        write_files(tree, {"a.py": "2\n", "new.py": "n\n"})
        patch = workspace.patch(["a.py", "new.py"])
    apply_patch(top, patch)
    assert (top / "scratch/a.py").read_text(encoding="utf-8") == "2\n"
    assert (top / "scratch/new.py").read_text(encoding="utf-8") == "n\n"


def test_an_empty_folder_and_a_home_inside_are_fine(tmp_path: Path) -> None:
    """A folder that holds nothing but the agent's home is an empty work tree."""
    root = tmp_path / "folder"
    write_files(root, {"home/memory/x": "x"})
    task = make_task(root)
    workspace = choose_workspace(task, make_settings(root / "home"), run_process)
    with workspace.open(task) as tree:
        assert contents(tree) == {}
        write_files(tree, {"a": "1\n"})
        patch = workspace.patch(["a"])
    apply_patch(root, patch)
    assert (root / "a").read_text(encoding="utf-8") == "1\n"
