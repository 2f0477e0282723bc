"""Results kept by the last commit that changed what is proven, so that a stopped run goes on where it was.

A tree that differs from its commit has a key of its own, by what differs.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.scene import ROOT

from .findings import Finding

FOLDER = ROOT / ".reliability_cache"
_PROVEN = ("src/taskscope", "reliability")
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Result:
    """What one row came to."""

    findings: tuple[Finding, ...]
    seconds: float
    day: str
    machine: str
    state: str
    """Of the code that it was proven on."""


class Shelf:
    """The results of one state of the code, at one scale."""

    def __init__(self, state: str, scale: float, folder: Path = FOLDER) -> None:
        self.state = state
        self._folder = folder / f"{state}-{scale:g}"

    def find(self, row: str) -> Result | None:
        """The kept result of a row; None when it was not proven in this state."""
        try:
            values = json.loads((self._folder / f"{row}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        findings = tuple(Finding(**one) for one in values.pop("findings"))
        return Result(findings, **values)

    def keep(self, row: str, result: Result) -> None:
        """Keep a result, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f"{row}.new"
        unfinished.write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")
        unfinished.rename(self._folder / f"{row}.json")

    def forget(self, row: str) -> None:
        """Have a row proven anew."""
        (self._folder / f"{row}.json").unlink(missing_ok=True)


def tell_state() -> str:
    """The last commit that changed what is proven, and what the proven code differs from it by."""
    commit = _git("log", "-1", "--format=%H", "--", *_PROVEN)[:_SHORT]
    changes = _git("diff", "HEAD", "--", *_PROVEN) + _git("status", "--porcelain", "--", *_PROVEN)
    return commit if not changes else f"{commit}+{hashlib.sha256(changes.encode()).hexdigest()[:_SHORT]}"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
