"""What a start costs that must be on record before its tool does anything."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .measurement import differences, spread_of, take_turns
from .results import Goal, Row, tell_spread

if TYPE_CHECKING:
    from .scene import Scene

TITLE = "A start on record before the side effect, microseconds of wall time"
_COMPANY = {"alone": "no other thread", "busy": "beside a thread that never rests"}
_VIEWS = {"p50_us": "median", "p95_us": "95th percentile"}
_GOAL = Goal(30)


def measure(scene: Scene) -> list[Row]:
    """Time single starts; what they add to the API's own, which does nothing."""
    count = scene.pick(full=3000, quick=1000, tiny=20)
    rounds = scene.pick(full=7, quick=3, tiny=1)
    rows = []
    for company, words in _COMPANY.items():
        variants = {name: partial(_run, scene, name, count, company) for name in ("noop", "durable")}
        answers = take_turns(variants, rounds)
        for view, share in _VIEWS.items():
            nothing, ours = ([one[view] for one in answers[name]] for name in variants)
            beside = f"OTel API without a provider {tell_spread(spread_of(nothing))} us"
            what = f"what it adds, {words}, {share}"
            rows.append(Row(what, differences(ours, nothing), "us", beside, goal=_GOAL))
    return rows


def _run(scene: Scene, name: str, count: int, company: str) -> dict[str, float]:
    home = scene.folder / f"{name}-{company}"
    return dict(scene.time_load("starts", name, count, company, environment=scene.environment(home)).answer)
