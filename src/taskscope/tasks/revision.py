"""Which commit of which repository a task is about, for the task's span; never a path, never a URL."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Revision:
    """What git says of a folder; None is unknown, as before the first commit or without git."""

    name: str | None = None
    """The repository's folder name."""
    branch: str | None = None
    commit: str | None = None


def read_revision(repository: Path) -> Revision:
    """Ask git once; a folder without git, or without commits, is no error here."""
    arguments = ("rev-parse", "--show-toplevel", "HEAD", "--abbrev-ref", "HEAD")
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            ["git", "-C", str(repository), *arguments],
            capture_output=True,
            check=True,
            env=environment,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return Revision()
    top, commit, branch = [*os.fsdecode(answer.stdout).splitlines(), "", "", ""][:3]
    return Revision(Path(top).name or None, branch if branch != "HEAD" else None, commit or None)


def find_patch_root(repository: Path) -> Path:
    """Return the folder that a patch's paths count from: the repository's top, else the folder itself."""
    real = repository.resolve()
    return next((folder for folder in (real, *real.parents) if (folder / ".git").exists()), real)
