"""The folders below the agent's home in which work trees and their baselines lie."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent import interrupts

from ._leftovers import clear_up, mark, unmark

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWNER_ONLY = 0o700
_SMALLEST_ROOM_BYTES = 16 * 1024 * 1024
"""What git and a test run need at least."""


@contextmanager
def reserved_folder(home: Path, task_id: str, *, should_keep: bool) -> Iterator[Path]:
    """Make `$home/work/<task id>`, or with a number behind it where that exists; remove it unless kept.

    Where the home's disk is as good as full it is made among the temporary files, if there is room. What
    killed agents left in the home is cleared up first.
    """
    clear_up(home / "work", remove_tree)
    place = _find_place(home)
    folder = _make_folder(place, task_id)
    marker = mark(folder, should_keep=should_keep)
    try:
        yield folder
    finally:
        with interrupts.held_back():  # who is in a hurry presses Ctrl-C twice
            if not should_keep:
                remove_tree(folder)
            unmark(folder, marker)
            if not should_keep and place.parent != home:  # made for this folder alone
                place.rmdir()


def remove_tree(folder: Path) -> None:
    """Remove a folder, also where the target's tests shut parts of it; what is somebody else's stays."""
    try:
        shutil.rmtree(folder)
    except OSError:
        _open_folders(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _open_folders(top: Path) -> None:
    top.chmod(stat.S_IRWXU)
    for place, folders, _ in os.walk(top):
        for path in (Path(place, name) for name in folders):
            if not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.chmod(stat.S_IRWXU)


def _find_place(home: Path) -> Path:
    work = home / "work"
    temporary = Path(tempfile.gettempdir())
    try:
        work.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
        free_bytes = shutil.disk_usage(work).free
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        free_bytes = 0
    is_full = free_bytes < _SMALLEST_ROOM_BYTES < shutil.disk_usage(temporary).free
    return Path(tempfile.mkdtemp(prefix="work-", dir=temporary)) if is_full else work


def _make_folder(work: Path, name: str) -> Path:
    for number in count(1):
        folder = work / (name if number == 1 else f"{name}.{number}")
        try:
            folder.mkdir(mode=_OWNER_ONLY)
        except FileExistsError:  # kept from an earlier attempt, or at work right now
            continue
        return folder.resolve()
    raise AssertionError  # count() never ends
