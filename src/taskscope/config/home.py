"""The home folder: made for its owner alone, folders 700 and files 600."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from taskscope.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from .settings import Settings

_FOLDERS = ("index", "journal", "logs", "memory", "plans", "skills", "tasks", "work")
_FILES = ("taskscope.db", "taskscope.db-wal", "taskscope.db-shm", "taskscope.db.lock", "token")
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


def ensure_home(settings: Settings) -> Path:
    """Make the home folder and its rooms and return it; only its owner may enter.

    What Taskscope keeps there is tightened when it stands open. The home folder itself is tightened only
    when it holds nothing else: AGENT_HOME=/tmp must not lock everybody out of /tmp. Raises StoreError.
    """
    home = settings.home
    try:
        home.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if _is_ours_alone(home):
            _tighten(home, _FOLDER_MODE)
        for name in _FOLDERS:
            folder = home / name
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            _tighten(folder, _FOLDER_MODE)
        for name in _FILES:
            _tighten(home / name, _FILE_MODE)
    except OSError as error:
        reason = f"cannot make the home folder {str(home)!r} ({error.strerror})"
        msg = f"{reason}: set AGENT_HOME to a folder you may write"
        raise StoreError(msg) from error
    return home


def open_private(path: str | Path, flags: int) -> int:
    """Open a file that only its owner may read; an `opener` for `open()`."""
    return os.open(path, flags, _FILE_MODE)


def _is_ours_alone(home: Path) -> bool:
    known = {*_FOLDERS, *_FILES}
    with os.scandir(home) as entries:
        return all(entry.name in known for entry in entries)


def _tighten(path: Path, mode: int) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    is_open = stat.S_IMODE(found.st_mode) & ~mode
    if is_open and found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode):
        path.chmod(mode)
