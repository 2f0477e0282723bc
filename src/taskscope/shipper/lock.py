"""One shipper at a time for each destination, whichever process it is in: a locked file.

A POSIX record lock: the kernel frees it at death, and a forked child does not inherit it. It is also dropped
when the process closes any descriptor of the file, so that within a process nobody opens one that is held.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_held: dict[Path, int] = {}
"""Files locked by this process, with its id: a forked child inherits the entry, but not the lock."""
_guard = threading.Lock()


@contextlib.contextmanager
def shipping(folder: Path, destination: str) -> Iterator[bool]:
    """Whether this thread may ship to a destination now; the right ends with the block."""
    path = (folder / f"ship-{destination}.lock").absolute()
    with _guard:
        if _held.get(path) == os.getpid():
            descriptor = None
        else:
            descriptor = _lock(path)
            if descriptor is not None:
                _held[path] = os.getpid()
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with _guard:
                _held.pop(path, None)
                os.close(descriptor)


def _lock(path: Path) -> int | None:
    """The descriptor of the locked file, None when another process has it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _renew() -> None:
    """In a forked child: another thread may have held the guard at the fork."""
    global _guard  # noqa: PLW0603
    _guard = threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
