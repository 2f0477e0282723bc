"""One at a time, of all threads of all processes, may make a store, change its schema or set it aside."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_threads = threading.Lock()


@contextlib.contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold the lock of the store at `path`: a POSIX lock on a file beside it, which death frees.

    The kernel gives such a lock to a process: its threads do not exclude each other by it, and the first one
    to close the file ends it for all of them.
    """
    with _threads:
        lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _renew() -> None:
    """In a forked child: another thread may have held the lock at the fork."""
    global _threads  # noqa: PLW0603
    _threads = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
