"""One program as a process: started apart from its starter, known again later, ended by a deadline.

A process is known by its id *and* the time of its start, for ids are given out again; signals go through a
pidfd, which stays with the process that was looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from .errors import StackError

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_KILL_PATIENCE: Final = 30.0
_SHOWN: Final = 500
"""Characters of a line that are shown: the Collectors write whole stack traces into one."""
_LOG_BYTES: Final = 16 << 20
"""From this size on a start sets the log aside, and the one that was set aside before goes."""


class Process:
    """A program with a file that says which process it is; the file may stem from another starter."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        """What it wrote to stdout and stderr, in all its lives."""
        self._record = folder / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs; None when it ended, or never ran."""
        with self._opened() as pidfd:
            return None if pidfd is None else self._recorded()[0]

    def start(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Run it with this environment and no other; StackError when it runs already."""
        if (pid := self.pid) is not None:
            msg = f"{self.name} runs already, as process {pid}"
            raise StackError(msg)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C and the end of the terminal are not meant for it
            )
        self._write_record(self._child.pid)

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it does not run."""
        with self._opened() as pidfd:
            if pidfd is None:
                return False
            signal.pidfd_send_signal(pidfd, number)
            return True

    def end(self, number: signal.Signals, patience: float) -> bool:
        """End it by a signal, by SIGKILL when it outlives that by so many seconds; tells if it took that."""
        with self._opened() as pidfd:
            if pidfd is None:
                self._forget()
                return False
            signal.pidfd_send_signal(pidfd, number)
            if not (needed := not _has_ended(pidfd, patience)):
                self._forget()
                return needed
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            if not _has_ended(pidfd, _KILL_PATIENCE):
                msg = f"{self.name} outlived SIGKILL by {_KILL_PATIENCE:.0f} s: it hangs in the kernel"
                raise StackError(msg)
            self._forget()
            return needed

    def read_log_end(self, lines: int = 8) -> str:
        """The last lines that it wrote, each cut to what can be read."""
        if not self.log.exists():
            return ""
        written = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …" for line in written)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """A pidfd of it while it runs, else None."""
        if self._child is not None:
            self._child.poll()  # reaped: a zombie keeps its id and its start
        pid, started = self._recorded()
        try:
            pidfd = os.pidfd_open(pid) if pid else None
        except ProcessLookupError:
            pidfd = None
        if pidfd is None:
            yield None
            return
        try:
            # Looked at after it was opened: an id that was given out anew before has another start.
            is_same = read_start(pid) == started
            if not is_same and self._child is not None:
                self._child.poll()  # it may have ended since the first look
            yield pidfd if is_same else None
        finally:
            os.close(pidfd)

    def _recorded(self) -> tuple[int, str]:
        try:
            record = json.loads(self._record.read_text())
            return int(record["pid"]), str(record["started"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0, ""

    def _write_record(self, pid: int) -> None:
        part = self._record.with_suffix(".part")
        part.write_text(json.dumps({"pid": pid, "started": read_start(pid)}))
        part.replace(self._record)

    def _forget(self) -> None:
        if self._child is not None:
            self._child.wait()
            self._child = None
        self._record.unlink(missing_ok=True)


def read_start(pid: int) -> str | None:
    """When a process was started, as a text that no other one with its id can have; None: there is none."""
    try:
        # The name of a process stands in brackets and may hold anything; field 22 is in ticks since the boot.
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, ticks = after_name[0], after_name[19]
    return None if state in "ZX" else f"{_BOOT.read_text().strip()}/{ticks}"


def _has_ended(pidfd: int, patience: float) -> bool:
    """Wait for the end of a process so many seconds; whether it came."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            return True
    return False
