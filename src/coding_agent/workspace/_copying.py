"""Copies files into a work tree as they are: links as links, modes and times kept.

Whole paths are plain text here: there may be many, and a `Path` costs more than what is asked of it. Its
parts also go into CPython's table of interned strings, which grows by that in a process of many tasks.
"""

from __future__ import annotations

import os
import shutil
import stat
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.errors import ToolFailedError
from coding_agent.generated import GENERATED_NAMES, is_generated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def copy_files(names: Iterable[str], source: Path, target: Path) -> list[str]:
    """Copy these paths from one folder to another; return the files and links copied.

    A folder among them (a submodule, a repository inside the repository) is copied with all that `walk`
    gives. What does not exist, and what is neither file nor link, is left out.
    """
    expanded = chain.from_iterable(_expand(source, name) for name in names)
    there = [name for name in expanded if is_file_or_link(f"{source}/{name}")]
    for folder in {os.path.dirname(name) for name in there}:  # noqa: PTH120 - once for each of many files
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name in there:
        _copy(f"{source}/{name}", f"{target}/{name}")
    return there


def walk(top: Path, below: str = "", *, without: Path | None = None) -> Iterator[str]:
    """Give the files and links of a folder, relative to `top`.

    Version control, byte code and virtual environments are left out (the last ones name their own place, and
    a copy would not run), and so is the folder `without`.
    """
    for folder, folders, files in os.walk(top / below):
        here = Path(folder)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in folders if name not in links and not is_generated(here / name)]
        if without is not None:
            folders[:] = [name for name in folders if here / name != without]
        for name in [*files, *links]:
            if name not in GENERATED_NAMES:
                yield (here / name).relative_to(top).as_posix()


def is_file_or_link(path: str) -> bool:
    """Whether something stands there that a work tree holds: no folder, pipe or socket."""
    mode = _mode(path)
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _mode(path: str) -> int:
    """What stands there, not what a link points to; 0 where nothing does."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _expand(source: Path, name: str) -> Iterable[str]:
    return walk(source, name) if stat.S_ISDIR(_mode(f"{source}/{name}")) else (name,)


def _copy(source: str, target: str) -> None:
    try:
        shutil.copy2(source, target, follow_symlinks=False)
    except OSError as error:
        message = f"cannot copy {source!r} into the work tree: {error.strerror}"
        raise ToolFailedError(message) from error
