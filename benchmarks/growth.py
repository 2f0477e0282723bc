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
"""Tasks after which caches count as full, by the goal."""
_PER = 100


def measure(scene: Scene) -> list[Row]:
    """Run the tasks and fit a line through the resident size after the first ones.

    The goal is for the first half; the second shows whether it goes on or was the allocator's settling.
    """
    tasks, warm = scene.pick(full=400, quick=16, tiny=4), scene.pick(full=_WARM, quick=4, tiny=1)
    repository = scene.make_repository("repository", modules=2, tests=2)
    home = scene.folder / "home"
    answer = scene.time_load("growth", home, repository, tasks, environment=scene.environment(home)).answer
    sizes, outcomes = answer["resident_bytes"], answer["outcomes"]
    if outcomes != {"succeeded": tasks}:
        msg = f"of {tasks} tasks ended {outcomes}, expected that all succeed"
        raise LoadError(msg)
    goal = Goal(1) if warm == _WARM else None  # it is one for warm caches
    return [
        _tell_growth(sizes[: tasks // 2], warm, goal),
        _tell_growth(sizes, tasks // 2),
        Row("resident after the first task", spread_of([sizes[0] / _MEGABYTE]), "MB"),
    ]


def _tell_growth(sizes: Sequence[int], start: int, goal: Goal | None = None) -> Row:
    """Return the row of the tasks after the first `start`."""
    part = sizes[start - 1 :]
    slope = statistics.linear_regression(range(len(part)), part).slope * _PER / _MEGABYTE
    words = f"growth per 100 tasks, of tasks {start + 1} to {len(sizes)}"
    beside = f"{part[0] / _MEGABYTE:.1f} MB before, {part[-1] / _MEGABYTE:.1f} MB after them"
    return Row(words, spread_of([slope]), "MB", beside, goal=goal)
