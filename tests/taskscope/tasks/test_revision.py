"""What the task's span says of the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskscope.tasks.revision import Revision, find_patch_root, read_revision
from tests.coding_agent.repositories import git, make_repository

if TYPE_CHECKING:
    from pathlib import Path


def test_a_commit_on_a_branch(tmp_path: Path) -> None:
    """Name, branch and commit are git's own, also asked from a folder inside."""
    repository = make_repository(tmp_path / "shop", {"src/a.py": "a = 1\n"})
    commit = git(repository, "rev-parse", "HEAD").strip()
    assert read_revision(repository / "src") == Revision("shop", "main", commit)
    assert find_patch_root(repository / "src") == repository.resolve()


def test_a_detached_head_has_no_branch(tmp_path: Path) -> None:
    """A commit that is checked out by itself is no branch called HEAD."""
    repository = make_repository(tmp_path / "shop", {"a.py": "a = 1\n"})
    git(repository, "checkout", "--quiet", "--detach")
    assert read_revision(repository).branch is None


def test_what_git_does_not_know_is_unknown(tmp_path: Path) -> None:
    """Before the first commit, and without git, nothing is claimed."""
    assert read_revision(make_repository(tmp_path / "empty")) == Revision()
    (tmp_path / "plain").mkdir()
    assert read_revision(tmp_path / "plain") == Revision()
    assert read_revision(tmp_path / "missing") == Revision()
    assert find_patch_root(tmp_path / "plain") == (tmp_path / "plain").resolve()
