"""The commands that a person waits for, as whole processes."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .measurement import spread_of, take_turns, time_process
from .results import Goal, Row, tell_spread

if TYPE_CHECKING:
    from .scene import Scene

TITLE = "Commands, whole processes, wall time"
_COMMAND = Path(sys.executable).parent / "taskscope"
_GOALS = {"taskscope --help": 200, "taskscope show, 1,000 spans": 250}
"""Milliseconds, of the issue."""


def measure(scene: Scene) -> list[Row]:
    """Time help, show and history beside an empty Python."""
    home = scene.folder / "home"
    environment = scene.environment(home)
    tasks = scene.pick(full=200, quick=50, tiny=3)
    filled = scene.time_load("history", 1000, tasks, environment=environment)
    task = str(filled.answer["task"])
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "taskscope --help": [str(_COMMAND), "--help"],
        "taskscope show, 1,000 spans": [str(_COMMAND), "show", task],
        "taskscope show --json, 1,000 spans": [str(_COMMAND), "show", "--json", task],
        f"taskscope history -n 50, of {tasks + 1} tasks": [str(_COMMAND), "history", "-n", "50"],
    }
    run = partial(time_process, environment=environment, folder=scene.folder)
    variants = {name: partial(run, command) for name, command in commands.items()}
    take_turns(variants, scene.pick(full=1, quick=1, tiny=0))  # compiles what is not compiled yet
    samples = take_turns(variants, scene.pick(full=15, quick=5, tiny=1))
    floor = spread_of([sample.wall * 1e3 for sample in samples.pop("python -c pass")])
    beside = f"python -c pass {tell_spread(floor)} ms"
    return [
        Row(
            name,
            spread_of([sample.wall * 1e3 for sample in of_name]),
            "ms",
            beside=beside,
            goal=Goal(_GOALS[name]) if name in _GOALS else None,
        )
        for name, of_name in samples.items()
    ]
