"""Whether a process that runs task after task grows."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from .measurement import LoadError, spread_of
from .results import Goal, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .scene import Scene

TITLE = "Memory of one process that runs task after task"
_MEGABYTE = 1e6
_WARM = 50
"""Tasks after which caches are full."""
_PER = 100


def measure(scene: Scene) -> list[Row]:
    """Run the tasks and fit a line through the resident size after the first ones."""
    tasks, warm = scene.pick(full=200, quick=40, tiny=4), scene.pick(full=_WARM, quick=15, tiny=1)
    repository = scene.make_repository("repository", modules=2, tests=2)
    home = scene.folder / "home"
    answer = scene.time_load("growth", home, repository, tasks, environment=scene.environment(home)).answer
    sizes, outcomes = answer["resident_bytes"], answer["outcomes"]
    if outcomes != {"succeeded": tasks}:
        msg = f"of {tasks} tasks ended {outcomes}, expected that all succeed"
        raise LoadError(msg)
    slope = _slope(sizes[warm:]) * _PER / _MEGABYTE
    words = f"growth per 100 tasks, tasks {warm + 1} to {tasks}"
    first, last = sizes[warm] / _MEGABYTE, sizes[-1] / _MEGABYTE
    return [
        Row(words, spread_of([slope]), "MB", f"{first:.1f} MB then, {last:.1f} MB at the end", goal=Goal(1)),
        Row("resident after the first task", spread_of([sizes[0] / _MEGABYTE]), "MB"),
    ]


def _slope(sizes: Sequence[int]) -> float:
    """Return bytes per task, by least squares."""
    return statistics.linear_regression(range(len(sizes)), sizes).slope
