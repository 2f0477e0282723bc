"""Search finds lines by regular expression in what git does not ignore."""

from __future__ import annotations

from pathlib import Path

import pytest

from coding_agent.errors import ToolFailedError
from coding_agent.tools import FilesTool, GitTool, SearchTool
from tests.coding_agent.repositories import FakeLimits, make_repository


@pytest.fixture
def search(tmp_path: Path) -> SearchTool:
    files: dict[str, str | bytes] = {
        "a.py": "import os\n\nos.getcwd()\n",
        "b/c.txt": "the os\n",
        "binary": b"os\0os\n",
        "latin": b"os \xe9\n",
        ".gitignore": "ignored\n",
    }
    make_repository(tmp_path, files)
    (tmp_path / "ignored").write_text("os\n", encoding="utf-8")
    return SearchTool(FilesTool(tmp_path, GitTool(tmp_path, limits=FakeLimits())))


def test_each_matching_line_is_found(search: SearchTool) -> None:
    """Path, line number and line are told in order; binary, undecodable and ignored files are passed over."""
    assert search.find(r"\bos\b") == [
        ("a.py", 1, "import os"),
        ("a.py", 3, "os.getcwd()"),
        ("b/c.txt", 1, "the os"),
    ]


def test_glob_and_limit_narrow_the_search(search: SearchTool) -> None:
    """Only files that match the glob are read, and at most `limit` lines told."""
    assert search.find("os", glob="b/*") == [("b/c.txt", 1, "the os")]
    assert len(search.find("os", limit=2)) == 2
    assert search.find("os", limit=0) == []


def test_a_wrong_expression_is_told(search: SearchTool) -> None:
    """An expression that does not compile raises ToolFailedError with the expression."""
    with pytest.raises(ToolFailedError, match=r"\(\["):
        search.find("([")
