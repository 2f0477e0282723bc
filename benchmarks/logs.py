"""Logging on and off: a line through our pipeline, to file and store, against the standard library's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .measurement import LoadError, ratios, spread_of, take_turns
from .results import Row, tell_spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .scene import Scene

TITLE = "Log lines, microseconds of CPU each"
_NAMES = {"taskscope": "our pipeline, JSON file and store", "filtered": "our pipeline, below its level"}
_MEASURES = {"main_us": "main thread", "process_us": "process, until stored"}


def measure(scene: Scene) -> list[Row]:
    """Time lines by turns."""
    lines = scene.pick(full=4000, quick=1500, tiny=20)
    variants = {mode: partial(_run, scene, mode, lines) for mode in ("stdlib", *_NAMES)}
    answers = take_turns(variants, scene.pick(full=6, quick=2, tiny=1))
    rows = []
    for name, words in _MEASURES.items():
        plain = [float(answer[name]) for answer in answers["stdlib"]]
        beside = f"logging.FileHandler {tell_spread(spread_of(plain))} us"
        for mode, told in _NAMES.items():
            ours = [float(answer[name]) for answer in answers[mode]]
            rows.append(Row(f"{told}: {words}", spread_of(ours), "us", beside, ratios(ours, plain)))
    return rows


def _run(scene: Scene, mode: str, lines: int) -> Mapping[str, Any]:
    """Return what one process measured; LoadError when lines went where they should not."""
    home = scene.folder / f"{mode}-home"
    answer = scene.time_load("logs", mode, lines, environment=scene.environment(home)).answer
    if bool(answer["file_bytes"]) == (mode == "filtered"):
        msg = f"{mode}: {answer['file_bytes']} bytes of log lines"
        raise LoadError(msg)
    return answer
