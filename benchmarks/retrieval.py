"""The agent's index of a code base: made, brought up to date, asked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .measurement import spread_of, take_turns
from .results import Row

if TYPE_CHECKING:
    from pathlib import Path

    from .measurement import Sample
    from .scene import Scene

TITLE = "Retrieval, words and vectors in SQLite"
_FUNCTIONS = 4
"""Functions of a file; each is one chunk."""
_LINES = 38
"""Statements of a function."""


def measure(scene: Scene) -> list[Row]:
    """Index made-up files from nothing in fresh processes."""
    files = scene.pick(full=250, quick=250, tiny=5)
    folder = scene.folder / "files"
    folder.mkdir()
    for number in range(files):
        (folder / f"module_{number}.py").write_text(_make_module(number))
    runs = iter(range(1_000))
    queries = scene.pick(full=100, quick=50, tiny=2)
    variants = {"index": partial(lambda: _run(scene, folder, next(runs), queries))}
    answers = [sample.answer for sample in take_turns(variants, scene.pick(full=6, quick=1, tiny=1))["index"]]
    size = f"{answers[0]['chunks']:,} chunks of {files} files"
    views = (
        (f"index {size}, from nothing", "build_s", "ms"),
        ("bring it up to date, nothing changed", "renew_s", "ms"),
        ("one query, hybrid", "query_s", "ms"),
    )
    return [
        Row(what, spread_of([1e3 * float(answer[name]) for answer in answers]), unit)
        for what, name, unit in views
    ]


def _run(scene: Scene, folder: Path, number: int, queries: int) -> Sample:
    home = scene.folder / f"home-{number}"
    return scene.time_load("retrieval", home, folder, queries, environment=scene.environment(home))


def _make_module(number: int) -> str:
    words = ("order", "total", "weight", "customer", "parcel", "refund", "stock", "price", "address", "label")
    functions = []
    for part in range(_FUNCTIONS):
        subject, thing = words[(number + part) % 10], words[(number * 7 + part) % 10]
        head = (
            f'def count_{subject}_{number}_{part}({thing}s):\n    """Return the {subject} of each {thing}."""'
        )
        body = [f"    {subject}_{line} = {thing}s[{line}] + {number}" for line in range(_LINES)]
        functions.append("\n".join([head, *body, f"    return {subject}_0\n"]))
    return "\n\n".join(functions)
