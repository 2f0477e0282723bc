"""Steps of the wall clock make no time negative and break no deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, add_up, all_of, none_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "Clock steps"
MUST = (
    "Steps of an hour and a second, forth and back, at 200 points: no negative duration, no broken deadline."
)
_POINTS = 200


def prove(stage: Stage) -> list[Finding]:
    """Step the clock once in each process, at another point of its life."""
    points = stage.count(_POINTS, 8)
    counts = add_up(stage.ask_shares("clocks", points, stage.stride(_POINTS, points)))
    spans = counts["spans"]
    return [
        all_of("processes whose clock stepped", counts["stepped"], counts["points"]),
        none_of("processes that failed", counts["failed"], counts["points"]),
        none_of("spans of negative duration", counts["negative"], spans),
        none_of("spans that took more than a minute", counts["too_long"], spans),
        none_of("spans that begin before their parent", counts["before_parent"], spans),
        none_of(
            "histograms, tasks and traces of negative time", counts["negative_sums"], counts["histograms"]
        ),
        none_of("spans lost or twice", counts["lost"], spans),
        none_of("flushes that failed or came late", counts["late"], counts["points"]),
    ]
