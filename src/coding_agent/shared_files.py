"""Files that several threads and processes share: replaced whole, changed by one at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NEW = ".coding-agent-"
_threads = threading.Lock()


def make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing, for their owner only."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


def replace_file(file: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it.

    One that exists keeps its mode; a new one gets `mode` less the umask. Raises OSError, and has then changed
    nothing.
    """
    new = file.with_name(f"{_NEW}{secrets.token_hex(8)}")
    # Made by the mode, and not changed to it: to ask for the umask is to change it for all threads.
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123 - a descriptor has no path
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(file.stat().st_mode))
            stream.write(data)
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold a lock of this name, an empty file that stays: one thread of one process at a time.

    Its folder must exist. Not for a file that SQLite has open: closing that would drop SQLite's locks. Death
    frees the lock. Whoever holds one must not ask for another.
    """
    # The kernel gives a POSIX lock to a process: threads do not exclude each other by it, and the first one
    # that closes the file ends it for all. Not flock: that does not hold on every network file system.
    with _threads:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _renew() -> None:
    """In a forked child: another thread may have held the lock at the fork."""
    global _threads  # noqa: PLW0603
    _threads = threading.Lock()


os.register_at_fork(after_in_child=_renew)
