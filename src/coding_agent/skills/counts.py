"""How often each skill ended how: one small JSON file that tasks and processes share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from coding_agent.shared_files import locked, make_private, replace_file


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder of skills and hold its lock: those who count and those who learn take turns."""
    make_private(folder)
    with locked(folder / ".lock"):
        yield


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
        with alone_in(self._folder):
            try:
                counts = {name: dict(outcomes) for name, outcomes in self.read().items()}
            except ValueError:
                self._file.replace(self._file.with_name("counts.json.damaged"))
                counts = {}
            outcomes = counts.setdefault(skill, {})
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            replace_file(self._file, f"{json.dumps(counts, indent=2, sort_keys=True)}\n".encode())

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
