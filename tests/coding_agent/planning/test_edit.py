"""An edit step on a real work tree: done exactly, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.planning.edit import EditRefusedError, apply_edit
from coding_agent.records import PlannedStep, StepKind, StepResult
from coding_agent.tools.workbench import build_workbench
from tests.coding_agent.repositories import (
    FakeLimits,
    contents,
    make_repository,
    make_settings,
    make_task,
)

if TYPE_CHECKING:
    from pathlib import Path

FILES: dict[str, str | bytes] = {
    ".gitignore": "secret.txt\n",
    "a.py": b"one = 1\r\ntwo = 2\r\n",
    "link.py": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "tree", FILES)
    (root / "secret.txt").write_text("token", "utf-8")
    (tmp_path / "outside.py").write_text("token", "utf-8")
    (root / "link.py").unlink()
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    return root


def edit(tree: Path, path: str, old: str, new: str) -> StepResult:
    bench = build_workbench(tree, make_task(tree), make_settings(tree.parent / "home"), FakeLimits())
    arguments = {"path": path, "old": old, "new": new}
    return apply_edit(PlannedStep(kind=StepKind.EDIT, title="mend it", arguments=arguments), bench)


def test_edit_keeps_the_rest_of_the_file(tree: Path) -> None:
    """Over line ends of another system, which stay as they are."""
    result = edit(tree, "a.py", "1\ntwo", "1\nthree")
    assert (tree / "a.py").read_bytes() == b"one = 1\r\nthree = 2\r\n"
    assert (result.summary, result.files_changed) == ("mend it", ("a.py",))


@pytest.mark.parametrize(
    "path, old, new",
    [
        ("a.py", " = ", "="),
        ("a.py", "three", "four"),
        ("a.py", "one", "one"),
        ("a.py", "", "x"),
        ("none.py", "a", "b"),
        ("secret.txt", "token", "b"),
        ("link.py", "token", "b"),
        ("../outside.py", "token", "b"),
        (".git/HEAD", "main", "b"),
        ("", "a", "b"),
    ],
)
def test_edit_that_does_not_fit_changes_nothing(tree: Path, path: str, old: str, new: str) -> None:
    """Nor does one of what git ignores, of git's own, or of a place outside."""
    before = contents(tree.parent)
    with pytest.raises(EditRefusedError):
        edit(tree, path, old, new)
    assert contents(tree.parent) == before
