"""The same spans by other libraries, each in its own words, all sent to one sink on this host.

They live in an environment of their own, `.venv-peers`, which `make bench-peers` makes from pinned versions.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .measurement import LoadError, ratios, spread_of, take_turns, time_process
from .results import Row, tell_spread
from .scene import ROOT
from .spans import run_sink

if TYPE_CHECKING:
    from .scene import Scene

TITLE = "Spans by other libraries, microseconds of CPU each"
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
_OURS = {"plain": "Taskscope, stored", "shipped": "Taskscope, stored, and sent"}
_PEERS = {
    "ddtrace": "ddtrace, to an agent",
    "langfuse": "langfuse, OTLP",
    "logfire": "logfire, OTLP to another backend",
}
_MEASURES = {"main_us": "main thread", "process_us": "process, until stored / sent"}


def measure(scene: Scene) -> list[Row]:
    """Time nested spans with 3 and 10 attributes by turns."""
    if not PYTHON.exists():
        msg = f"no {PYTHON.relative_to(ROOT)}: `make bench-peers` makes it first"
        raise LoadError(msg)
    pairs = scene.pick(full=1500, quick=500, tiny=20)
    rounds = scene.pick(full=6, quick=2, tiny=1)
    kinds = scene.pick(full=(3, 10), quick=(3, 10), tiny=(3,))
    with run_sink() as sink:
        return [row for attributes in kinds for row in _compare(scene, sink, pairs, rounds, attributes)]


def _compare(scene: Scene, sink: str, pairs: int, rounds: int, attributes: int) -> list[Row]:
    kinds = {**_OURS, **_PEERS}
    runs = {kind: partial(_run, scene, kind, pairs, attributes, sink) for kind in ("raw", *kinds)}
    answers = take_turns(runs, rounds)
    rows = []
    for name, words in _MEASURES.items():
        raw = [one[name] for one in answers["raw"]]
        beside = f"raw SDK, batch, OTLP {tell_spread(spread_of(raw))} us"
        for kind, what in kinds.items():
            theirs = [one[name] for one in answers[kind]]
            title = f"{what}, {attributes} attributes: {words}"
            rows.append(Row(title, spread_of(theirs), "us", beside, ratios(theirs, raw)))
    return rows


def _run(scene: Scene, kind: str, pairs: int, attributes: int, sink: str) -> dict[str, float]:
    """Return what one process measured; LoadError when spans were lost."""
    count = sum(1 for _ in scene.folder.iterdir())
    environment = scene.environment(scene.folder / f"home-{count}")
    (scene.folder / f"home-{count}").mkdir()
    if kind in _PEERS:
        command = [str(PYTHON), "-m", "benchmarks.loads.peers", kind, str(pairs), str(attributes), sink]
        answer = time_process(command, environment=environment, folder=ROOT).answer
    else:
        answer = scene.time_load("spans", kind, pairs, attributes, 0, sink, environment=environment).answer
    if answer["arrived"] != answer["made"]:
        msg = f"{kind}: {answer['arrived']} of {answer['made']} spans arrived"
        raise LoadError(msg)
    return dict(answer)
