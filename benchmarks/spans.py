"""What a span costs: ours, redacted and stored, against the raw SDK, batched and sent to a local sink."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from .measurement import LoadError, ratios, spread_of, take_turns
from .results import Row, tell_spread
from .scene import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .scene import Scene

TITLE = "Spans, microseconds of CPU each"
_PACE = 250
"""Spans a second where they are paced."""
_NAMES = {
    "noop": "OTel API without a provider",
    "off": "tool span of ours, TASKSCOPE_DISABLED=1",
    "sdk": "raw SDK without a processor",
    "tracer": "our tracer alone, nobody records",
    "stage": "stage span of ours, stored at its end",
    "tool": "tool span of ours, stored at start and end",
}
_MEASURES = {"main_us": "main thread", "process_us": "process, until stored / sent"}


def measure(scene: Scene) -> list[Row]:
    """Time each kind of span with 10 attributes and with 3, then at a fixed pace."""
    pairs = scene.pick(full=1500, quick=500, tiny=20)
    rounds = scene.pick(full=6, quick=2, tiny=1)
    rows: list[Row] = []
    with _run_sink() as sink:
        for attributes, kinds in (
            (10, ("noop", "off", "sdk", "tracer", "stage", "tool")),
            (3, ("sdk", "tracer", "stage", "tool")),
        ):
            load = _Load(scene, sink, pairs, attributes, 0)
            rows += _compare(load, kinds, rounds, f"{attributes} attributes")
        paced = _Load(scene, sink, scene.pick(full=150, quick=60, tiny=10), 10, _PACE)
        rounds = scene.pick(full=6, quick=1, tiny=1)
        rows += _compare(paced, ("stage", "tool"), rounds, f"10 attributes, {_PACE} a second")
    return rows


class _Load:
    """Runs `loads/spans.py` with one set of arguments."""

    def __init__(self, scene: Scene, sink: str, pairs: int, attributes: int, pace: int) -> None:
        self._scene = scene
        self._arguments = (pairs, attributes, pace, sink)
        self._runs = 0

    def run(self, variant: str) -> Mapping[str, Any]:
        """Return what one process measured; LoadError when spans were lost, for then it was cheap."""
        self._runs += 1
        pairs, attributes, pace, _ = self._arguments
        home = self._scene.folder / f"{variant}-{pairs}-{attributes}-{pace}-{self._runs}"
        environment = self._scene.environment(home)
        answer = self._scene.time_load("spans", variant, *self._arguments, environment=environment).answer
        if variant in {"raw", "stage", "tool"} and answer["arrived"] != answer["made"]:
            msg = f"{variant}: {answer['arrived']} of {answer['made']} spans arrived"
            raise LoadError(msg)
        return answer


def _compare(load: _Load, kinds: tuple[str, ...], rounds: int, title: str) -> list[Row]:
    answers = take_turns({kind: partial(load.run, kind) for kind in ("raw", *kinds)}, rounds)
    rows = []
    for measure_name, words in _MEASURES.items():
        raw = [float(answer[measure_name]) for answer in answers["raw"]]
        beside = f"raw SDK, batch, OTLP {tell_spread(spread_of(raw))} us"
        for kind in kinds:
            if kind in {"noop", "off", "sdk", "tracer"} and measure_name == "process_us":
                continue  # nothing goes on behind the main thread
            ours = [float(answer[measure_name]) for answer in answers[kind]]
            what = f"{_NAMES[kind]}, {title}: {words}"
            rows.append(Row(what, spread_of(ours), "us", beside, ratios(ours, raw)))
    return rows


@contextlib.contextmanager
def _run_sink() -> Iterator[str]:
    """Give the address of a sink in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loads.sink"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()
