"""Recovery that is killed itself: the next one finds all that the first would have found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, add_up, how_many
from .kills import tell

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "SIGKILL in the midst of recovery"
MUST = "1,000 kills of who brings home what the dead left: the same result as without."


def prove(stage: Stage) -> list[Finding]:
    """Kill those who recover, ten in a row, and judge what the last one made of it."""
    counts = add_up(stage.ask_shares("reapers", stage.count(1_000, 5)))
    return [how_many("kills", counts["kills"]), *tell("after them", counts)]
