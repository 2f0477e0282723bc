"""The one place where the agent spawns processes.

A child is an argument list in a session of its own, with a filtered environment, a time limit for its whole
group, and output that is drained to the end but kept only up to a limit. What a program means by its output
is its tool's business, not this room's.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from coding_agent import identity, interrupts
from coding_agent.errors import ToolFailedError, ToolMissingError
from coding_agent.records import Command, CommandResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from coding_agent.protocols import Limits

_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)$", re.IGNORECASE)
# Of `git rev-parse --local-env-vars`: set inside a hook, they would send our git to another repository.
_FOREIGN = frozenset(
    {
        *(
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_OBJECT_DIRECTORY",
            "GIT_COMMON_DIR",
            "GIT_PREFIX",
        ),
        *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE"),
        # A test run of somebody else, of which the target's test run is no part.
        *("PYTEST_CURRENT_TEST", "PYTEST_VERSION", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"),
        *("PYTEST_XDIST_TESTRUNUID", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),
    }
)
_CHUNK_BYTES = 65_536
_GRACE_SECONDS = 2.0
"""Between SIGTERM and SIGKILL."""
_LOOK_SECONDS = 0.5
"""How often the task's limits are asked while a child is silent: somebody may stop the task meanwhile."""
_POLL_SECONDS = 0.05
"""Where the kernel cannot tell of a child's end by a file descriptor (macOS)."""


def run_process(
    command: Command,
    *,
    root: Path,
    limits: Limits | None = None,
    env: Mapping[str, str] | None = None,
    output_limit_bytes: int = 1_000_000,
    timeout: float | None = None,
    errors: str = "replace",
) -> CommandResult:
    """Run a program in `root` and return what came of it, whatever its exit code.

    The time limit is the least of `command.timeout` (else `timeout`) and what `limits` leave; at the limit
    the whole process group gets SIGTERM, then SIGKILL. What the child leaves running in its group is killed.
    `env` is what the child inherits (the agent's own environment when None), less secrets; `command.env` is
    added as it is. `errors` is the codec error handler: `surrogateescape` keeps every byte. Raises
    ToolMissingError for a program that is not there, and what `limits.check()` raises, which is asked before
    and while the child runs.
    """
    if limits is not None:
        limits.check()
    allowed = _allowed_seconds(command.timeout if command.timeout is not None else timeout, limits)
    started_at = time.monotonic()
    inherited = filter_environment(os.environ if env is None else env)
    process = child = None
    try:
        with interrupts.held_back():  # raised inside of Popen it would leave the child to nobody
            process = _spawn(command, root, {**inherited, **command.env})
        child = _Child(process, command.stdin, output_limit_bytes)
        is_timed_out = child.attend(None if allowed is None else started_at + allowed, limits)
    except BaseException:
        if process is not None:
            _kill(process)
        raise
    finally:
        _close(process, child)
    if is_timed_out and limits is not None:
        limits.check()  # the task's own time may be what was used up
    return CommandResult(
        argv=command.argv,
        exit_code=None if is_timed_out else process.returncode,
        stdout=child.stdout.text(errors),
        stderr=child.stderr.text(errors),
        duration=time.monotonic() - started_at,
        pid=process.pid,
        output_bytes=child.stdout.seen + child.stderr.seen,
        is_truncated=child.stdout.is_truncated or child.stderr.is_truncated,
        is_timed_out=is_timed_out,
    )


def filter_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a child may inherit: no secrets by their names, nothing that points git elsewhere."""
    return {
        name: value
        for name, value in environment.items()
        if not _SECRET.search(name) and name not in _FOREIGN
    }


def _allowed_seconds(timeout: float | None, limits: Limits | None) -> float | None:
    left = limits.seconds_left() if limits is not None else None
    known = [seconds for seconds in (timeout, left) if seconds is not None]
    return max(0.0, min(known)) if known else None


def _spawn(command: Command, root: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    # A stale .pyc made an edit of the same length within one second run the old code, and bisect lie.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment[identity.VARIABLE] = identity.own_word()
    folder = root / command.cwd
    if not folder.is_dir():
        message = f"cannot run {command.argv!r}: its folder {str(folder)!r} does not exist"
        raise ToolFailedError(message)
    try:
        return subprocess.Popen(
            command.argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        message = f"cannot run {command.argv[0]!r}: {error.strerror}"
        raise ToolMissingError(message, hint=f"Install {command.argv[0]!r} or put it on PATH.") from error
    except (OSError, ValueError, IndexError) as error:  # too long, a null byte, no argument at all
        message = f"cannot run {command.argv!r}: {error}"
        raise ToolFailedError(message) from error


@dataclass(slots=True)
class _Kept:
    """The head and the tail of a stream, and how much it was in all."""

    limit: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    seen: int = 0

    def add(self, data: bytes) -> None:
        self.seen += len(data)
        room = self.limit // 2 - len(self.head)
        self.head += data[:room] if room > 0 else b""
        self.tail += data[max(0, room) :]
        # Trimmed in strides: cutting the front at each read would copy the tail each time.
        if len(self.tail) > 2 * self._tail_limit + _CHUNK_BYTES:
            del self.tail[: len(self.tail) - self._tail_limit]

    @property
    def _tail_limit(self) -> int:
        return self.limit - self.limit // 2

    @property
    def is_truncated(self) -> bool:
        return self.seen > self.limit

    def text(self, errors: str) -> str:
        if not self.is_truncated:
            return (self.head + self.tail).decode("utf-8", errors)
        tail = self.tail[len(self.tail) - self._tail_limit :]
        cut = f"\n[... {self.seen - self.limit} bytes left out ...]\n"
        return self.head.decode("utf-8", errors) + cut + tail.decode("utf-8", errors)


class _Child:
    """A running process with its pipes, attended until it ends."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: str | None, limit: int) -> None:
        self._process = process
        self._unsent = memoryview((stdin or "").encode("utf-8", "surrogateescape"))
        self._selector = selectors.DefaultSelector()
        self._has_ended = False
        # Results stand on stdout, complaints on stderr; both together stay below the limit.
        self.stdout, self.stderr = _Kept(limit - limit // 4), _Kept(limit // 4)
        self._pidfd = _open_pidfd(process.pid)
        if self._pidfd is not None:
            self._selector.register(self._pidfd, selectors.EVENT_READ, None)
        self._watch(process.stdout, selectors.EVENT_READ, self.stdout)
        self._watch(process.stderr, selectors.EVENT_READ, self.stderr)
        self._watch(process.stdin, selectors.EVENT_WRITE, None)

    def attend(self, deadline: float | None, limits: Limits | None) -> bool:
        """Serve the pipes until the child has ended; return whether it had to be killed at the deadline."""
        is_timed_out = not self._serve_until(deadline, limits)
        if is_timed_out:
            _signal(self._process, signal.SIGTERM)
            self._serve_until(time.monotonic() + _GRACE_SECONDS)
        _kill(self._process)
        self._drain()
        return is_timed_out

    def close(self) -> None:
        self._selector.close()
        if self._pidfd is not None:
            os.close(self._pidfd)

    def _watch(self, pipe: IO[bytes] | None, events: int, kept: _Kept | None) -> None:
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, events, kept)

    def _serve_until(self, deadline: float | None, limits: Limits | None = None) -> bool:
        while not self._is_over():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            self._serve_once(_LOOK_SECONDS if left is None else min(left, _LOOK_SECONDS))
            if limits is not None:
                limits.check()
        return True

    def _serve_once(self, timeout: float) -> None:
        if self._pidfd is None:
            timeout = min(timeout, _POLL_SECONDS)
        for key, events in self._selector.select(timeout):
            if key.data is not None:
                self._read(key.fileobj, key.data)
            elif events & selectors.EVENT_WRITE:
                self._write(key.fileobj)

    def _read(self, pipe: object, kept: _Kept) -> None:
        assert hasattr(pipe, "fileno")
        try:
            data = os.read(pipe.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return
        if data:
            kept.add(data)
        else:
            self._selector.unregister(pipe)

    def _write(self, pipe: object) -> None:
        assert hasattr(pipe, "fileno")
        assert hasattr(pipe, "close")
        with contextlib.suppress(BlockingIOError):
            try:
                self._unsent = self._unsent[os.write(pipe.fileno(), self._unsent[:_CHUNK_BYTES]) :]
            except BrokenPipeError:  # it does not want the rest
                self._unsent = self._unsent[:0]
        if not self._unsent:
            self._selector.unregister(pipe)
            pipe.close()

    def _is_over(self) -> bool:
        """Whether the child has ended, without reaping it where that can be told apart."""
        if not self._has_ended and hasattr(os, "waitid"):
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            self._has_ended = os.waitid(os.P_PID, self._process.pid, flags) is not None
        elif not self._has_ended:
            self._has_ended = self._process.poll() is not None
        return self._has_ended

    def _drain(self) -> None:
        """Read what lies in the pipes; a stranger who holds them open is not waited for."""
        for kept, pipe in ((self.stdout, self._process.stdout), (self.stderr, self._process.stderr)):
            assert pipe is not None
            for data in _available(pipe):
                kept.add(data)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group, then reap the child; before that its pid cannot be another's."""
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: no permission on a zombie
        os.killpg(process.pid, number)


def _close(process: subprocess.Popen[bytes] | None, child: _Child | None) -> None:
    if child is not None:
        child.close()
    if process is None:
        return
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _available(pipe: IO[bytes]) -> Iterator[bytes]:
    # Bounded by what a pipe can hold, or a stranger who writes without end would hold us here.
    for _ in range(64):
        try:
            data = os.read(pipe.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            return
        yield data


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
