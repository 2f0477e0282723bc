"""A fork server: children of a process that has imported everything, each a fresh one for telemetry.

A cycle takes some 30 ms instead of the 400 of a new interpreter. Nothing is configured before the fork, so
that journal, writer, lock and providers of a child are its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

_PIPE_BYTES = 1 << 20
"""Room for what a child tells in its life; it must never wait for us."""
_READ_BYTES = 1 << 16
_WARM = (
    "opentelemetry.sdk._logs",
    "opentelemetry.sdk.trace",
    "taskscope.bootstrap",
    "taskscope.recorder.processor",
    "taskscope.store.history",
    "taskscope.store.session",
    "taskscope.telemetry.manual",
)

Tell = Callable[[bytes], object]
"""Tells the parent something at once, from any thread; at most 4 KiB arrive in one piece."""


def warm_up() -> None:
    """Import what children need; called once, before the first of them."""
    for name in _WARM:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # children share these pages as long as no collector walks through them


class Child:
    """A forked process, leader of a group of its own, that runs a function and ends without any clean-up."""

    def __init__(self, run: Callable[[Tell], object], *, keeps_exit: bool = False) -> None:
        """`keeps_exit`: it ends as a program does, with its exit handlers."""
        self._pipe, told = os.pipe()
        with contextlib.suppress(OSError):  # the limit of an unprivileged user may be lower
            fcntl.fcntl(told, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.pid = os.fork()
        if not self.pid:
            _live(run, self._pipe, told, keeps_exit=keeps_exit)
        os.close(told)
        with contextlib.suppress(OSError):  # the child does so too: whoever is first
            os.setpgid(self.pid, self.pid)

    def kill(self) -> None:
        """End the whole group by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> tuple[bytes, int]:
        """All that it and its children told, and its exit code; negative for a signal."""
        parts = []
        while part := os.read(self._pipe, _READ_BYTES):
            parts.append(part)
        os.close(self._pipe)
        _, status = os.waitpid(self.pid, 0)
        return b"".join(parts), os.waitstatus_to_exitcode(status)

    def await_word(self) -> None:
        """Wait until it told something, or is gone."""
        select.select([self._pipe], [], [])


def _live(run: Callable[[Tell], object], pipe: int, told: int, *, keeps_exit: bool) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        os.close(pipe)
        run(lambda data: os.write(told, data))
        code = 0
        if keeps_exit:
            import atexit

            atexit._run_exitfuncs()  # noqa: SLF001  what the interpreter does at its end
    except BaseException:  # noqa: BLE001  what went wrong is the parent's to see
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def configure(home: Path, **more: str) -> object:
    """Set up telemetry in a child as a host program does."""
    import taskscope

    return taskscope.configure({"TASKSCOPE_HOME": str(home), **more})
