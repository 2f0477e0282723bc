"""What the recorder counts beside the records themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Accounts:
    """What the recorder counted since the last commit, to be written with the next one."""

    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By signal and reason; what was not dropped is stored, and counted there."""
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By component and error.type: what a guard kept from the host."""
    write_durations_s: list[float] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.dropped or self.errors)

    def add(self, other: Accounts) -> None:
        """Take the counts of another, whose commit failed."""
        self.dropped.update(other.dropped)
        self.errors.update(other.errors)
        self.write_durations_s.extend(other.write_durations_s)
