"""Who writes into the store and whether they still live: one row and one locked file for each process.

A POSIX record lock is freed by the kernel at death and not inherited by fork. It is also dropped when the
process closes any descriptor of the file, so nobody opens its own lock file a second time: `_HELD` knows
them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

_HELD: dict[Path, int] = {}
"""Lock files that this process holds, with its id: a forked child inherits the entry, but not the lock."""


class Process(NamedTuple):
    """One row of the table `process`."""

    id: int
    pid: int
    boot: str
    start_ticks: int
    lock: str
    seen_ns: int
    ended_ns: int | None


class ProcessLock:
    """The locked file by which others see that this process lives; held until `release` or death."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = (folder / f"{os.getpid()}-{os.urandom(4).hex()}.lock").absolute()
        self._descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _HELD[self.path] = os.getpid()

    def beat(self) -> None:
        """Give a sign of life: the file's time becomes now."""
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def release(self) -> None:
        """Give the lock back and remove the file; what is still open then reads as interrupted."""
        _HELD.pop(self.path, None)
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def register_process(connection: sqlite3.Connection, lock: ProcessLock) -> int:
    """Write this process into the store and return its number there."""
    pid, now = os.getpid(), time.time_ns()
    cursor = connection.execute(
        "INSERT INTO process(pid, boot, start_ticks, lock, started, seen) VALUES(?, ?, ?, ?, ?, ?)",
        (pid, _boot_id(), _start_ticks(pid), lock.path.name, now, now),
    )
    return int(cursor.lastrowid or 0)


def read_processes(connection: sqlite3.Connection, *, with_open_spans: bool = False) -> list[Process]:
    """All processes that are not known to have ended, or all that own open spans."""
    where = "id IN (SELECT process FROM open)" if with_open_spans else "ended IS NULL"
    rows = connection.execute(
        f"SELECT id, pid, boot, start_ticks, lock, seen, ended FROM process WHERE {where}"  # noqa: S608  our own words
    )
    return [Process(*row) for row in rows]


def is_alive(process: Process, folder: Path) -> bool:
    """Whether the owner of a row still runs; 1 us and no write."""
    if process.ended_ns is not None:
        return False
    path = (folder / process.lock).absolute()
    if path in _HELD:
        return _HELD[path] == os.getpid() or _is_locked(path)
    try:
        return _is_locked(path)
    except FileNotFoundError:  # somebody tidied up: the kernel's word is second best
        return process.boot == _boot_id() != "" and process.start_ticks == _start_ticks(process.pid) != 0


def last_sign_ns(process: Process, folder: Path) -> int:
    """When the process was last known to live: its last record or the time of its lock file."""
    with contextlib.suppress(OSError):
        return max(process.seen_ns, (folder / process.lock).stat().st_mtime_ns)
    return process.seen_ns


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # A shared lock: two who ask at once do not take each other for the owner.
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(descriptor)
    return False


def _boot_id() -> str:
    """This boot of the machine, "" where the kernel does not tell (macOS)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_ticks(pid: int) -> int:
    """When a process started, in ticks since boot; 0 where it is not known. A pid alone is used again."""
    try:
        # The name in parentheses may hold spaces and parentheses itself.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
