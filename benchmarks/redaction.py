"""How fast texts pass the redaction that nothing may go round."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .measurement import spread_of, take_turns
from .results import Goal, Row

if TYPE_CHECKING:
    from .scene import Scene

TITLE = "Redaction"
_NAMES = {
    "source": "Python source that speaks of secrets and holds none",
    "output": "output of a test suite",
    "json": "JSON lines, each with a count named `tokens`",
    "secrets": "output of a test suite, three secrets in every eighth text of 16 kB",
}
_GOAL = Goal(10, is_least=True)
"""Megabytes a second, of the design."""


def measure(scene: Scene) -> list[Row]:
    """Run each kind of text in a fresh process."""
    megabytes = scene.pick(full=4, quick=1, tiny=0.05)
    environment = scene.environment(scene.folder / "home")
    variants = {"all": partial(scene.time_load, "redaction", megabytes, environment=environment)}
    samples = take_turns(variants, scene.pick(full=6, quick=2, tiny=1))["all"]
    by_name = {name: spread_of([float(one.answer[name]) for one in samples]) for name in samples[0].answer}
    rows = [Row(words, by_name[name], "MB/s", goal=_GOAL) for name, words in _NAMES.items()]
    return [*rows, Row("an attribute of 20 characters, one in two new", by_name["attributes"], "us")]
