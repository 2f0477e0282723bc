"""Who writes into the store and whether they still live: one row and one locked file for each process.

A POSIX record lock is freed by the kernel at death and not inherited by fork. It is also dropped when the
process closes any descriptor of the file, so nobody opens its own lock file a second time: `_HELD` knows
them.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3

_HELD: dict[Path, int] = {}
"""Lock files that this process holds, with its id: a forked child inherits the entry, but not the lock."""


class Identity(NamedTuple):
    """A process among all that ever ran: its pid alone is used again."""

    pid: int
    boot: str
    """The boot of the machine, "" where the kernel does not tell (macOS)."""
    start_ticks: int
    """When it started, in ticks since boot; 0 where that is not known."""


class Process(NamedTuple):
    """One row of the table `process`."""

    id: int
    pid: int
    boot: str
    start_ticks: int
    lock: str
    seen_ns: int
    ended_ns: int | None
    journal_seq: int


class ProcessLock:
    """The locked file by which others see that this process lives; held until `release` or death."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = (folder / f"{os.getpid()}-{os.urandom(4).hex()}.lock").absolute()
        # Locked under another name first: nobody may find it free and take its owner for dead.
        unlocked = self.path.with_suffix(".new")
        self._descriptor = os.open(unlocked, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _HELD[self.path] = os.getpid()
            unlocked.rename(self.path)
        except BaseException:
            _HELD.pop(self.path, None)
            os.close(self._descriptor)
            unlocked.unlink(missing_ok=True)
            raise

    def beat(self) -> None:
        """Give a sign of life: the file's time becomes now."""
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def release(self, *, remove: bool = True) -> None:
        """Give the lock back, as the kernel does at death; with `remove` the file goes too."""
        _HELD.pop(self.path, None)
        if remove:
            with contextlib.suppress(OSError):  # a disk that may only be read by now
                self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


_COLUMNS = "id, pid, boot, start_ticks, lock, seen, ended, journal_seq"


def register_process(connection: sqlite3.Connection, lock: ProcessLock) -> int:
    """Write this process into the store and return its number there."""
    return enter_process(connection, own_identity(), lock.path.name, time.time_ns())


def enter_process(connection: sqlite3.Connection, identity: Identity, lock: str, started_ns: int) -> int:
    """Write a process into the store, a dead one too, and return its number there."""
    cursor = connection.execute(
        "INSERT INTO process(pid, boot, start_ticks, lock, started, seen) VALUES(?, ?, ?, ?, ?, ?)",
        (*identity, lock, started_ns, started_ns),
    )
    return int(cursor.lastrowid or 0)


def own_identity() -> Identity:
    """This process."""
    pid = os.getpid()
    return Identity(pid, _boot_id(), _start_ticks(pid))


def read_processes(connection: sqlite3.Connection, *, with_open_spans: bool = False) -> list[Process]:
    """All processes that are not known to have ended, or all that own open spans."""
    where = "id IN (SELECT process FROM open)" if with_open_spans else "ended IS NULL"
    rows = connection.execute(f"SELECT {_COLUMNS} FROM process WHERE {where}")  # noqa: S608  our own words
    return [Process(*row) for row in rows]


def find_process(connection: sqlite3.Connection, lock: str) -> Process | None:
    """The process with a lock file of this name, None when it never wrote into the store."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM process WHERE lock = ?", (lock,)).fetchone()  # noqa: S608  our own words
    return Process(*row) if row is not None else None


def is_alive(process: Process, folder: Path) -> bool:
    """Whether the owner of a row still runs; 1 us and no write."""
    if process.ended_ns is not None:
        return False
    return is_owner_alive(folder / process.lock, Identity(process.pid, process.boot, process.start_ticks))


def is_owner_alive(lock: Path, identity: Identity | None) -> bool:
    """Whether the owner of a lock file still runs; `identity` is asked where the file is gone."""
    path = lock.absolute()
    if path in _HELD:
        return _HELD[path] == os.getpid() or _is_locked(path)
    try:
        return _is_locked(path)
    except FileNotFoundError:  # somebody tidied up: the kernel's word is second best
        return identity is not None and _is_running(identity)


def _is_running(identity: Identity) -> bool:
    is_this_boot = identity.boot == _boot_id() != ""
    return is_this_boot and identity.start_ticks == _start_ticks(identity.pid) != 0


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


@functools.cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_ticks(pid: int) -> int:
    try:
        # The name in parentheses may hold spaces and parentheses itself.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
