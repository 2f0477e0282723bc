"""What stands in a repository's folder and is no part of its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GENERATED_NAMES = frozenset({".git", ".hg", ".svn", ".bzr", "CVS", "__pycache__"})
"""Version control and byte code; `.git` may also be a file, that of a submodule."""


def is_generated(folder: Path) -> bool:
    """Whether a folder is version control, byte code or a virtual environment."""
    return folder.name in GENERATED_NAMES or (folder / "pyvenv.cfg").is_file()
