"""A store that is damaged is set aside, never deleted, and a new one takes its place."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Final

from .database import find_inode
from .exclusion import exclusively

_CORRUPT: Final = frozenset({11, 26})
"""SQLITE_CORRUPT, SQLITE_NOTADB: https://sqlite.org/rescode.html."""
_PARTS: Final = ("", "-wal", "-shm")


def is_damage(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the file itself is broken."""
    while error is not None:
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT:
            return True
        error = error.__cause__
    return False


def set_aside(path: Path, inode: int | None) -> Path | None:
    """Rename the store at `path` with its parts; the new name, None when somebody else was faster.

    `inode` is that of the file that was found damaged: a new store in its place is left alone.
    """
    with exclusively(path):
        if find_inode(path) != inode or inode is None:
            return None
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        number = 1
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{aside.name.partition('.n')[0]}.n{number}")
        for part in _PARTS:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{part}").rename(f"{aside}{part}")
        return aside


def find_set_aside(path: Path) -> list[Path]:
    """The damaged stores that were set aside beside `path`, oldest first."""
    found = path.parent.glob(f"{path.name}.damaged-*")
    return sorted(one for one in found if not one.name.endswith(_PARTS[1:]))
