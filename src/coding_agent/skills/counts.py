"""How often each skill ended how: one small JSON file that several processes share."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that processes write one after another."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # lockf, not flock: the lock goes when its process does, also on network file systems.
    with (folder / ".lock").open("a", encoding="utf-8") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def replace_file(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never half of it."""
    new = file.with_name(f"{file.name}.{os.getpid()}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o600)
    new.replace(file)


class OutcomeCounts:
    """Outcomes by skill, in `counts.json` of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "counts.json"

    def read(self) -> Mapping[str, Mapping[str, int]]:
        """Return skill to outcome to count, empty before the first; ValueError for a foreign file."""
        try:
            counts = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        if not _is_counts(counts):
            msg = f"{self._file} holds no counts of skills"
            raise ValueError(msg)
        return {skill: dict(outcomes) for skill, outcomes in counts.items()}

    def add(self, skill: str, outcome: str) -> None:
        """Count one end of a skill. A damaged file is kept as `counts.json.damaged` and a new one begun."""
        with locked(self._folder):
            try:
                counts = {name: dict(outcomes) for name, outcomes in self.read().items()}
            except ValueError:
                self._file.replace(self._file.with_name("counts.json.damaged"))
                counts = {}
            outcomes = counts.setdefault(skill, {})
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            replace_file(self._file, json.dumps(counts, indent=2, sort_keys=True) + "\n")

    def success_rate(self, skill: str) -> float:
        """Return the share of runs that succeeded, 0 to 1; 0.5 where nothing is known (Laplace's rule)."""
        try:
            outcomes = self.read().get(skill, {})
        except (OSError, ValueError):
            outcomes = {}
        return (outcomes.get("succeeded", 0) + 1) / (sum(outcomes.values()) + 2)


def _is_counts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(outcomes, dict) and all(isinstance(count, int) for count in outcomes.values())
        for outcomes in value.values()
    )
