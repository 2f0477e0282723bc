"""Forks in the midst of recording: no child is stuck in an inherited lock, and nobody's record is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, add_up, how_many, none_of
from .kills import tell

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "Forks while threads record"
MUST = "1,000 forks of a process whose threads are busy recording: 0 deadlocks, 0 lost, 0 twice."


def prove(stage: Stage) -> list[Finding]:
    """Fork beside three busy threads."""
    counts = add_up(stage.ask_shares("forks", stage.count(1_000, 10)))
    return [
        how_many("forks", counts["forks"]),
        none_of("children that were stuck", counts["stuck"], counts["forks"]),
        none_of("parents that failed", counts["failed"], counts["forks"]),
        *tell("parents and children", counts),
    ]
