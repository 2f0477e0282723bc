"""Processes killed at random moments: what they told before is found, once, in whole trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, add_up, how_many, none_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .stage import Stage

TITLE = "SIGKILL at random moments"
MUST = (
    "10,000 cycles, 3 process shapes (single, threads, forked children): 0 acknowledged starts or ends lost, "
    "0 duplicate span ids, 0 broken trees."
)
SHAPES = {"single": "one thread", "threads": "three threads", "children": "two forked children"}
_AMONG = 4


def prove(stage: Stage) -> list[Finding]:
    """Kill a third of the victims in each shape."""
    findings = []
    for shape, words in SHAPES.items():
        counts = add_up(stage.ask_shares("kills", stage.count(3_334, 8), shape, among=_AMONG))
        findings += [how_many(f"{words}: cycles", counts["cycles"]), *tell(words, counts)]
    return findings


def tell(words: str, counts: Mapping[str, int]) -> list[Finding]:
    """The findings of a store that was judged."""
    return [
        none_of(f"{words}: told starts lost", counts["starts_lost"], counts["starts_told"]),
        none_of(f"{words}: told ends lost", counts["ends_lost"], counts["ends_told"]),
        none_of(f"{words}: ends called interrupted", counts["ends_called_interrupted"], counts["ends_told"]),
        none_of(f"{words}: span ids that came twice", counts["twice"], counts["spans"]),
        none_of(f"{words}: broken trees", counts["trees_broken"], counts["trees"]),
        none_of(f"{words}: spans left open", counts["left_open"], counts["spans"]),
        none_of(f"{words}: spans miscounted by the metrics", counts["miscounted"], counts["spans"]),
    ]
