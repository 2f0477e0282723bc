"""The Go that builds: whether it is there and new enough, and how it is called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import StackError

LEAST: Final = (1, 26)
"""What the modules ask for; a patch release that one of them wants Go fetches itself."""

_VERSION: Final = re.compile(r"\bgo(\d+)\.(\d+)")
_DOCKER_WAY: Final = "or go the Docker way: docker compose up"
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Go:
    """A Go that is new enough."""

    path: str
    version: str

    def run(self, arguments: Sequence[str], folder: Path, log: Path, *, mode: str = "readonly") -> None:
        """Call it in a folder; StackError with the end of what it said, all of which is in the log.

        `readonly`: what go.mod and go.sum do not name is refused, and so is what has another checksum.
        """
        flags = {"GOFLAGS": f"-mod={mode} -buildvcs=false", "GOWORK": "off", "CGO_ENABLED": "0"}
        run([self.path, *arguments], folder, log, flags)

    def read(self, arguments: Sequence[str], folder: Path) -> str:
        """What it answers to a question."""
        environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off"}
        command = [self.path, *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()


def find_go() -> Go:
    """The Go on PATH; StackError in one line when there is none or an old one."""
    path = shutil.which("go")
    wanted = ".".join(map(str, LEAST))
    if path is None:
        msg = f"`make stack` needs Go >= {wanted}, and there is no go on PATH; install it, {_DOCKER_WAY}"
        raise StackError(msg)
    # Asked in the root, where no go.mod makes it answer for a newer one that it would fetch.
    said = subprocess.run([path, "version"], cwd="/", capture_output=True, text=True, check=False).stdout
    found = _VERSION.search(said)
    if found is None or tuple(map(int, found.groups())) < LEAST:
        msg = f"`make stack` needs Go >= {wanted}, and {path} says {said.strip()!r}; update it, {_DOCKER_WAY}"
        raise StackError(msg)
    return Go(path, said.split()[2].removeprefix("go"))


def run(
    command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run a step of a build; StackError with the end of what it said, all of which is in the log."""
    with log.open("ab") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode:
        said = [line for line in log.read_text(errors="replace").splitlines() if " downloading " not in line]
        ending = "\n  ".join(said[-_SHOWN:])
        msg = f"`{' '.join(command[:2])}` ended with {done.returncode}; all it said is in {log}\n  {ending}"
        raise StackError(msg)
