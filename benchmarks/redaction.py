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
    "json": "JSON lines",
    "secrets": "output of a test suite, three secrets in every eighth text of 16 kB",
    "attributes": "attributes of 20 characters, half of them new",
}
_GOAL = Goal(10, is_least=True)
"""Megabytes a second, of the design."""


def measure(scene: Scene) -> list[Row]:
    """Run each kind of text in a fresh process."""
    megabytes = scene.pick(full=4, quick=1, tiny=0.05)
    environment = scene.environment(scene.folder / "home")
    variants = {"all": partial(scene.time_load, "redaction", megabytes, environment=environment)}
    samples = take_turns(variants, scene.pick(full=5, quick=3, tiny=1))["all"]
    return [
        Row(words, spread_of([float(sample.answer[name]) for sample in samples]), "MB/s", goal=_GOAL)
        for name, words in _NAMES.items()
    ]
