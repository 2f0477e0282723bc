"""What a large store costs: whole commands that read it, one query, and a span more in it.

The store of a million spans is made anew for each run. One of ten million takes minutes and gigabytes:
`python -m benchmarks large` makes it, and what it measures stands in the page until it is asked again.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .measurement import ratios, spread_of, take_turns, time_process
from .results import Goal, Row, tell_spread

if TYPE_CHECKING:
    from .measurement import Sample
    from .scene import Scene

TITLE = "A store of a million spans"
LARGE_TITLE = "A store of ten million spans"
_COMMAND = Path(sys.executable).parent / "taskscope"
_SMALL = 100_000
_BATCH = 4096
"""Spans of a transaction whose cost is measured, as many as the writer takes at most."""
_COST = Goal(1.1, is_ratio=True)


def measure(scene: Scene) -> list[Row]:
    """Read and write a store of a million spans."""
    return _measure(scene, scene.pick(full=1_000_000, quick=100_000, tiny=3000))


def measure_large(scene: Scene) -> list[Row]:
    """Read and write a store of ten million spans."""
    return _measure(scene, scene.pick(full=10_000_000, quick=200_000, tiny=3000))


def _measure(scene: Scene, spans: int) -> list[Row]:
    home, small_home = scene.folder / "large", scene.folder / "small"
    filled = _fill(scene, home, spans)
    small = scene.pick(full=_SMALL, quick=_SMALL // 10, tiny=2000)
    _fill(scene, small_home, small)
    task, size = str(filled.answer["task"]), float(filled.answer["size_bytes"])
    words = f"{spans:,} spans, {filled.answer['tasks']:,} tasks, {size / 1e9:.2f} GB"
    return [
        *_time_commands(scene, home, task, words),
        _time_query(scene, home, task),
        _compare_cost(scene, home, small_home, small),
    ]


def _fill(scene: Scene, home: Path, spans: int) -> Sample:
    return scene.time_load("store", "fill", home, spans, environment=scene.environment(home))


def _time_commands(scene: Scene, home: Path, task: str, words: str) -> list[Row]:
    environment = scene.environment(home)
    commands = {
        "taskscope show, a task of 1,000 spans": [str(_COMMAND), "show", task],
        "taskscope history -n 50": [str(_COMMAND), "history", "-n", "50"],
    }
    goals = dict(zip(commands, (Goal(250), Goal(150)), strict=True))
    run = partial(time_process, environment=environment, folder=scene.folder)
    variants = {name: partial(run, command) for name, command in commands.items()}
    take_turns(variants, scene.pick(full=1, quick=1, tiny=0))  # fills the system's cache of files
    samples = take_turns(variants, scene.pick(full=15, quick=5, tiny=1))
    return [
        Row(
            name,
            spread_of([1e3 * sample.wall for sample in of_name]),
            "ms",
            f"of CPU {tell_spread(spread_of([1e3 * sample.cpu for sample in of_name]))} ms; {words}",
            goal=goals[name],
        )
        for name, of_name in samples.items()
    ]


def _time_query(scene: Scene, home: Path, task: str) -> Row:
    rounds = scene.pick(full=15, quick=5, tiny=1)
    environment = scene.environment(home)
    took = scene.time_load("store", "query", home, task, rounds, environment=environment).answer["ms"]
    return Row("of which the query", spread_of(took), "ms", goal=Goal(10))


def _compare_cost(scene: Scene, home: Path, small_home: Path, small: int) -> Row:
    """Return the row of what one span more costs, by turns in both stores."""
    rounds = scene.pick(full=12, quick=3, tiny=1)
    batch = scene.pick(full=_BATCH, quick=_BATCH, tiny=64)
    environment = scene.environment(home)
    costs = scene.time_load("store", "cost", small_home, home, rounds, batch, environment=environment).answer
    beside = f"in a store of {small:,} spans {tell_spread(spread_of(costs['us']))} us"
    ours = costs["other_us"]
    return Row("to store one span more, CPU", spread_of(ours), "us", beside, ratios(ours, costs["us"]), _COST)
