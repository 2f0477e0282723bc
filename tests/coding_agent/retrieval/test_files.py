"""Laws of reading the files of one tree; most are told by the retriever's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.retrieval.files import SkippedFileError, Tree

if TYPE_CHECKING:
    from pathlib import Path


def reason_of(tree: Tree, path: str) -> str:
    with pytest.raises(SkippedFileError) as caught:
        tree.read(path)
    return caught.value.reason


def test_a_file_that_changed_since_it_was_stamped_is_still_refused(tmp_path: Path) -> None:
    """Between stamp and read a file may go, grow, or become a link: each is a reason, none an error."""
    tree = Tree(tmp_path)
    (tmp_path / "grown.txt").write_bytes(b"a" * 1_000_001)
    (tmp_path / "link.txt").symlink_to(tmp_path / "grown.txt")
    assert [reason_of(tree, name) for name in ("gone.txt", "grown.txt", "link.txt")] == [
        "unreadable",
        "too_large",
        "unreadable",
    ]


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/hostname", "folder/../../secret.txt"])
def test_no_path_leads_out_of_the_tree(tmp_path: Path, path: str) -> None:
    """A path with dots or a root of its own is refused like a link that leads out."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "tree" / "folder").mkdir(parents=True)
    assert reason_of(Tree(tmp_path / "tree"), path) == "outside"


def test_a_file_just_written_has_no_stamp(tmp_path: Path) -> None:
    """Its clock may not have ticked yet, so that the next write could leave the same stamp."""
    (tmp_path / "new.txt").write_text("a")
    assert not Tree(tmp_path).stamp("new.txt")
