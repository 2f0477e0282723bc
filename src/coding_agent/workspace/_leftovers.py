"""What a killed agent left behind: its work trees, and what still runs in them.

Beside each folder at work lies a marker, locked by its agent and gone with it. A marker that nobody holds is
a dead agent's. What that agent had started is known by the word in its environment, which a shell that
a person opened in the work tree does not have.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coding_agent import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SUFFIX: Final = ".owner"
_KEPT: Final = " kept"
_LENGTH: Final = 256
_PROCESSES: Final = Path("/proc")
"""Linux; elsewhere what still runs is left to itself."""
_PATIENCE_S: Final = 1.0
_ROUNDS: Final = 10
"""A process that is killed may have started another one meanwhile."""


def mark(folder: Path, *, should_keep: bool) -> int | None:
    """Show that the folder is at work as long as this process lives: a marker, locked before it has its name.

    Return what `unmark` takes, None without a marker, say on a full disk.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".new", dir=folder.parent)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, (identity.own_word() + (_KEPT if should_keep else "")).encode())
        os.rename(name, _path_of(folder))  # noqa: PTH104 - names of this task alone are worth no Path
    except OSError:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            Path(name).unlink()
        return None
    return descriptor


def unmark(folder: Path, marker: int | None) -> None:
    """Show that the work is done."""
    if marker is not None:
        with contextlib.suppress(OSError):
            os.unlink(_path_of(folder))  # noqa: PTH108 - the same
        os.close(marker)


def clear_up(work: Path, remove_tree: Callable[[Path], None]) -> None:
    """End what dead agents left running, and remove their work trees but those that were to be kept."""
    for marker in work.glob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):  # held by a living agent, or another one was faster
            descriptor = os.open(marker, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    word = os.read(descriptor, _LENGTH).decode(errors="replace")
                    _end_all(word.removesuffix(_KEPT))
                    folder = work / marker.name[1 : -len(_SUFFIX)]
                    if folder.is_dir() and not word.endswith(_KEPT):
                        remove_tree(folder)
                    marker.unlink()
            finally:
                os.close(descriptor)


def _path_of(folder: Path) -> str:
    return f"{folder.parent}/.{folder.name}{_SUFFIX}"


def _end_all(word: str) -> None:
    for _ in range(_ROUNDS):
        found = list(_find_processes(word)) if word else []
        for number in found:
            with contextlib.suppress(OSError):  # it has ended by itself
                _end(number)
        if not found:
            return


def _end(number: int) -> None:
    """Kill a process and see it end, for it may still write into the tree."""
    handle = os.pidfd_open(number)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], _PATIENCE_S)
    finally:
        os.close(handle)


def _find_processes(word: str) -> Iterator[int]:
    """Those whose environment has the word, but for this one; what is dead has none any more."""
    wanted = f"{identity.VARIABLE}={word}".encode()
    for entry in _PROCESSES.glob("[0-9]*"):
        number = int(entry.name)
        with contextlib.suppress(OSError):
            if number != os.getpid() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield number
