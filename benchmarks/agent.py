"""The agent naked against the agent observed: the same repair, pairs of fresh processes.

A second naked run in each round says how far two equal things lie apart here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .measurement import differences, ratios, spread_of, take_turns
from .results import Goal, Row, tell_spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .measurement import Sample
    from .scene import Scene

TITLE = "Agent naked and observed, one repair"
_GOAL = Goal(1.02, is_ratio=True)
_VIEWS: dict[str, tuple[Callable[[Sample], float], Goal | None]] = {
    "whole process, wall": (lambda sample: sample.wall, _GOAL),
    "request to result, wall": (lambda sample: float(sample.answer["task_s"]), _GOAL),
    "whole process, CPU with its children": (lambda sample: sample.cpu, None),
}


def measure(scene: Scene) -> list[Row]:
    """Repair the same repository by turns."""
    modules, tests = scene.pick(full=(10, 100), quick=(10, 100), tiny=(1, 1))
    repository = scene.make_repository("repository", modules=modules, tests=tests)
    modes = {"naked": "naked", "observed": "observed", "naked again": "naked"}
    variants = {name: partial(_repair, scene, name, mode, str(repository)) for name, mode in modes.items()}
    take_turns(variants, scene.pick(full=1, quick=1, tiny=0))  # fills each home: index, learned skill, store
    samples = take_turns(variants, scene.pick(full=12, quick=2, tiny=1))
    return [row for name in _VIEWS for row in _compare(name, samples)]


def _repair(scene: Scene, name: str, mode: str, repository: str) -> Sample:
    home = scene.folder / f"home of {name}"
    command = scene.pick(full=(), quick=(), tiny=("true",))  # instead of the repository's own tests
    return scene.time_load("agent", mode, home, repository, *command, environment=scene.environment(home))


def _compare(view: str, samples: dict[str, list[Sample]]) -> list[Row]:
    take, goal = _VIEWS[view]
    naked, observed, again = (_seconds(samples[name], take) for name in ("naked", "observed", "naked again"))
    beside = f"naked {tell_spread(spread_of(naked))} s"
    added = differences([1e3 * seconds for seconds in observed], [1e3 * seconds for seconds in naked])
    return [
        Row(f"observed, {view}", spread_of(observed), "s", beside, ratios(observed, naked), goal),
        Row(f"what that adds, {view}", added, "ms"),
        Row(f"naked again, {view}", spread_of(again), "s", beside, ratios(again, naked)),
    ]


def _seconds(samples: Sequence[Sample], take: Callable[[Sample], float]) -> list[float]:
    return [take(sample) for sample in samples]
