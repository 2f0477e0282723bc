"""What a span costs: ours, redacted and stored, against the raw SDK, batched and sent to a local sink."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from .measurement import LoadError, differences, ratios, spread_of, take_turns
from .results import Goal, Row, tell_spread
from .scene import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .scene import Scene

TITLE = "Spans, microseconds of CPU each"
_PACE = 250
"""Spans a second where they are paced."""
_NAMES = {
    "off": "tool span of ours, TASKSCOPE_DISABLED=1",
    "sdk": "raw SDK without a processor",
    "tracer": "our tracer alone, nobody records",
    "plain": "nested span, stored at its end",
    "api": "tool span by the OTel API, stored at start and end",
    "tool": "tool span of ours, stored at start and end",
    "shipped": "nested span, stored, and sent",
}
_MAIN = "main_us", "main thread"
_STORED = "process_us", "process, until stored / sent"
_SENT = "process_us", "process, until shipped / sent"
_VIEWS = {
    "off": (_MAIN,),
    "sdk": (_MAIN,),
    "tracer": (_MAIN,),
    "plain": (_MAIN, _STORED),
    "api": (_MAIN, _STORED),
    "tool": (_MAIN, _STORED),
    "shipped": (_SENT,),
}
"""What is told of each; behind the first three nothing goes on."""
_GOALS = {
    ("off", _MAIN, 3): 0.2,
    ("off", _MAIN, 10): 0.2,
    ("tracer", _MAIN, 3): 0.25,
    ("plain", _MAIN, 3): 0.6,
    ("plain", _MAIN, 10): 0.8,
    ("plain", _STORED, 3): 0.6,
    ("plain", _STORED, 10): 0.6,
    ("shipped", _SENT, 3): 0.7,
    ("shipped", _SENT, 10): 0.7,
}
"""Of the raw SDK's, at full speed."""
_SHIPPING = ("plain", "shipped")
_RECORDED = {"raw", "plain", "api", "tool", "shipped"}


def measure(scene: Scene) -> list[Row]:
    """Time each kind of span with 3 attributes and with 10, then at a fixed pace."""
    pairs = scene.pick(full=1500, quick=500, tiny=20)
    rounds = scene.pick(full=6, quick=2, tiny=1)
    rows: list[Row] = []
    with run_sink() as sink:
        for attributes in scene.pick(full=(3, 10), quick=(3, 10), tiny=(3,)):
            load = _Load(scene, sink, pairs, attributes, 0)
            rows += _compare(load, tuple(_NAMES), rounds, f"{attributes} attributes", attributes)
        paced = _Load(scene, sink, scene.pick(full=150, quick=60, tiny=10), 10, _PACE)
        rounds = scene.pick(full=6, quick=1, tiny=1)
        rows += _compare(paced, ("plain", "tool"), rounds, f"10 attributes, {_PACE} a second")
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
        if variant in _RECORDED and answer["arrived"] != answer["made"]:
            msg = f"{variant}: {answer['arrived']} of {answer['made']} spans arrived"
            raise LoadError(msg)
        return answer


def _compare(
    load: _Load, kinds: tuple[str, ...], rounds: int, title: str, attributes: int | None = None
) -> list[Row]:
    answers = take_turns({kind: partial(load.run, kind) for kind in ("raw", *kinds)}, rounds)
    rows = []
    for view in (_MAIN, _STORED, _SENT):
        measure_name, words = view
        raw = [float(answer[measure_name]) for answer in answers["raw"]]
        beside = f"raw SDK, batch, OTLP {tell_spread(spread_of(raw))} us"
        for kind in kinds:
            if view not in _VIEWS[kind]:
                continue
            ours = [float(answer[measure_name]) for answer in answers[kind]]
            bound = _GOALS.get((kind, view, attributes)) if attributes is not None else None
            goal = Goal(bound, is_ratio=True) if bound is not None else None
            what = f"{_NAMES[kind]}, {title}: {words}"
            rows.append(Row(what, spread_of(ours), "us", beside, ratios(ours, raw), goal))
    if "shipped" in kinds:
        stored, sent = ([float(answer["process_us"]) for answer in answers[kind]] for kind in _SHIPPING)
        rows.append(Row(f"what shipping adds, {title}: process", differences(sent, stored), "us"))
    return rows


@contextlib.contextmanager
def run_sink() -> Iterator[str]:
    """Give the address of a sink in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loads.sink"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()
