"""Real repositories for tests of the agent's tools and work trees, and a photograph of a folder."""

from __future__ import annotations

import os
import subprocess
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from coding_agent.records import AgentSettings, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDENTITY = ("-c", "user.name=Tester", "-c", "user.email=tester@localhost", "-c", "commit.gpgSign=false")


class FakeLimits:
    """Limits that a test can use up; counts how often they were asked."""

    def __init__(self, seconds_left: float | None = None, error: Exception | None = None) -> None:
        self.left = seconds_left
        self.error = error
        self.checks = 0

    def seconds_left(self) -> float | None:
        return self.left

    def check(self) -> None:
        self.checks += 1
        if self.error is not None:
            raise self.error


class Clock:
    """A monotonic clock that leaps ahead once a file is there: a limit is used up then, and not before."""

    def __init__(self, file: Path, *, leap: float = 10_000.0) -> None:
        self._file = file
        self._leap = leap

    def monotonic(self) -> float:
        return time.monotonic() + (self._leap if self._file.exists() else 0.0)


def git(folder: Path, *arguments: str) -> str:
    """Run git as the user would, and return what it says."""
    command = ["git", "-C", str(folder), *_IDENTITY, *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode("utf-8", "surrogateescape")


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def make_repository(folder: Path, files: Mapping[str, str | bytes] | None = None) -> Path:
    """Make a git repository on branch `main`, with one commit when there are files."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    if files:
        commit(folder, files, "first")
    return folder


def commit(folder: Path, files: Mapping[str, str | bytes], message: str) -> str:
    write_files(folder, files)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD").strip()


def make_broken_pytest(folder: Path) -> Path:
    """Make a virtual environment whose pytest is there and cannot be imported; return its Python."""
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    write_files(packages, {"pytest.py": "import a_module_that_was_removed\n"})
    return folder / "bin" / "python"


def apply_patch(folder: Path, patch: str, *options: str) -> None:
    """Apply a patch as the user would, with `git apply`."""
    data = patch.encode("utf-8", "surrogateescape")
    subprocess.run(["git", "-C", str(folder), "apply", *options], input=data, check=True, capture_output=True)


def photograph(folder: Path) -> dict[str, tuple[int, int, int, bytes | str | None]]:
    """Return all that a folder holds, `.git` included: mode, time, inode and content of each entry."""
    seen = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place, name)
            status = path.lstat()
            content: bytes | str | None = None
            if path.is_symlink():
                content = str(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            seen[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_ino, content)
    return seen


def contents(folder: Path) -> dict[str, tuple[str, bytes | str, bool]]:
    """Return path to kind, content and whether it is executable, without `.git`."""
    found: dict[str, tuple[str, bytes | str, bool]] = {}
    for place, folders, files in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in [*files, *links]:
            path = Path(place, name)
            key = path.relative_to(folder).as_posix()
            if path.is_symlink():
                found[key] = ("link", str(path.readlink()), False)
            else:
                found[key] = ("file", path.read_bytes(), os.access(path, os.X_OK))
    return found


def make_task(repository: Path, **changes: object) -> Task:
    settings: dict[str, object] = {"id": "t1", "text": "repair it", "repository": repository, **changes}
    return Task(**settings)  # type: ignore[arg-type]


def make_settings(home: Path, **changes: object) -> AgentSettings:
    settings: dict[str, object] = {"home": home, **changes}
    return AgentSettings(**settings)  # type: ignore[arg-type]
