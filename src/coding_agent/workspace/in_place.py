"""The user's own folder as work tree, for tasks that are told to edit in place; one at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.errors import InvalidTaskError

from ._baseline import Baseline
from ._calls import GitCalls
from ._copying import is_file_or_link, walk
from ._folders import reserved_folder
from ._source import find_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coding_agent.protocols import Limits, RunProcess
    from coding_agent.records import AgentSettings, Task

_held: set[Path] = set()
"""Locks of this process: `lockf` tells processes apart, not threads."""
_guard = threading.Lock()


class InPlaceWorkspace:
    """Works on the user's files themselves; `.git` and its index stay as they are.

    While it is open, `protected` names the files with uncommitted changes, relative to the root: who writes
    has to refuse them. In a folder without git no file is protected. A second task in place on the same
    repository is refused with InvalidTaskError.
    """

    def __init__(self, settings: AgentSettings, run: RunProcess, limits: Limits | None = None) -> None:
        self._settings = settings
        self._git = GitCalls(run, limits)
        self._unlimited_git = GitCalls(run, None)
        self._baseline: Baseline | None = None
        self._prefix = ""
        self.protected: frozenset[str] = frozenset()

    @contextmanager
    def open(self, task: Task) -> Iterator[Path]:
        """Take the folder for this task and give it; on leaving, let go of it."""
        root, home = task.repository.resolve(), self._settings.home
        source = find_source(root, self._git)
        top = root if source is None else source.top
        with (
            _exclusive(home, top),
            reserved_folder(home, f"{task.id}.baseline", should_keep=False) as baseline,
        ):
            self._prefix = f"{source.prefix}/" if source is not None and source.prefix else ""
            dirty = frozenset() if source is None else source.uncommitted()
            self.protected = frozenset(
                name.removeprefix(self._prefix) for name in dirty if name.startswith(self._prefix)
            )
            names = walk(root, without=home.resolve()) if source is None else source.files()
            files = [name for name in names if is_file_or_link(f"{top}/{name}")]
            self._baseline = Baseline(self._unlimited_git, baseline, top, files)
            yield root

    def patch(self, paths: Sequence[str]) -> str:
        """Return what was changed in these files; `git apply --reverse` takes it back. Only while open."""
        assert self._baseline is not None, "patch() outside of open()"
        return self._baseline.diff([self._prefix + path for path in paths])


@contextmanager
def _exclusive(home: Path, top: Path) -> Iterator[None]:
    """Hold the repository against other tasks in place, of this process and of others."""
    folder = home / "locks"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (
        folder.resolve()
        / f"{hashlib.sha256(str(top).encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.lock"
    )
    with _guard:
        if file in _held:  # asked first: closing a second handle would let go of the first one's lock
            raise _busy(top)
        _held.add(file)
    try:
        with file.open("w") as stream, _locked_folder(top):
            try:
                fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise _busy(top) from error
            yield
    finally:
        with _guard:
            _held.discard(file)


@contextmanager
def _locked_folder(top: Path) -> Iterator[None]:
    """Hold the folder itself, which keeps out those with another home; nothing is written for it."""
    folder = os.open(top, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise _busy(top) from error
    except OSError:  # a file system without locks on folders (NFS): the lock of the home has to do
        pass
    try:
        yield
    finally:
        os.close(folder)


def _busy(top: Path) -> InvalidTaskError:
    reason = f"another task is at work in place on {str(top)!r}; wait for it, or run without in_place"
    return InvalidTaskError({"in_place": reason})
