"""The wall clock steps at one of many points of a process's life, forth or back.

    python -m reliability.loads.clocks POINTS SEED STRIDE

Steps of an hour and of a second, each way, by turns; the point is a number of calls of `time.time_ns`,
`time.time` together. Half of the processes are killed at the end, so that recovery meets such times too.

The clock is taken over before anything of ours is imported, since who keeps a function keeps what it was.
"""

from __future__ import annotations

import math
import os
import sqlite3
import struct
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.loads._answer import answer
from reliability.findings import add_up

from .children import Child, Tell, configure, warm_up

_STEPS_S = (3_600, -3_600, 1, -1)
_FLUSH_S = 5.0
_TASKS = 4
_SPANS_A_TASK = 5
_TOLD = struct.Struct("<II?d")
_LONG_NS = 60 * 10**9
_DEAD = "its process died"
"""These end with the time of a file, which the kernel's own clock made: it does not step here."""
_PATIENCE_S = 4.0
"""For a flush of a few records; a deadline that believed the wall clock would be early or an hour late."""


class _Clock:
    """The wall clock, which steps once, after so many looks at it."""

    def __init__(self) -> None:
        self._real_ns, self._real = time.time_ns, time.time
        self._after: float = math.inf
        self._step_s = 0
        self.looks = 0
        time.time_ns = lambda: self._real_ns() + self._offset_s() * 10**9
        time.time = lambda: self._real() + self._offset_s()

    def turn(self, *, after: int, step_s: int) -> None:
        """Begin to count looks."""
        self.looks, self._after, self._step_s = 0, after, step_s

    def _offset_s(self) -> int:
        self.looks += 1
        return self._step_s if self.looks > self._after else 0


def main() -> None:
    """Answer the sums over all points."""
    clock = _Clock()
    points, seed, stride = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    warm_up()
    home = Path(os.environ["TASKSCOPE_HOME"])
    answer(**add_up(_step_at(home / str(one), one * stride + seed, clock) for one in range(points)))


def _step_at(home: Path, number: int, clock: _Clock) -> dict[str, int]:
    step_s = _STEPS_S[number % len(_STEPS_S)]
    is_killed = number // len(_STEPS_S) % 2 == 1
    after = number // len(_STEPS_S) // 2

    def live(tell: Tell) -> None:
        import taskscope

        clock.turn(after=after, step_s=step_s)
        recording: Any = configure(home)
        ended, is_flushed, took_s = _work()
        tell(_TOLD.pack(ended, clock.looks, is_flushed, took_s))
        if is_killed:
            with taskscope.task("killed"), taskscope.tool("search"):
                os._exit(0)
        recording.shutdown(_FLUSH_S)

    told, code = Child(live).wait()
    if code:
        return {"points": 1, "failed": 1}
    from taskscope.store.session import bring_home

    ended, looks, is_flushed, took_s = _TOLD.unpack(told)
    store = home / "taskscope.db"
    bring_home(store)
    counts = _judge(store)
    late = int(not is_flushed or took_s > _PATIENCE_S)
    lost = ended + (2 if is_killed else 0) - counts["spans"]
    return counts | {"points": 1, "failed": 0, "stepped": int(looks > after), "late": late, "lost": abs(lost)}


def _work() -> tuple[int, bool, float]:
    from opentelemetry import trace

    import taskscope

    tracer = trace.get_tracer("clocks")
    for _ in range(_TASKS):
        with taskscope.task("answer"), taskscope.step("edit"), taskscope.tool("search"):
            with tracer.start_as_current_span("fetch"):
                pass
            with taskscope.retrieval("docs") as found:
                found.finish(results=1)
        time.time()
    began = time.monotonic()
    is_flushed = taskscope.flush(_FLUSH_S)
    return _TASKS * _SPANS_A_TASK, is_flushed, time.monotonic() - began


def _judge(store: Path) -> dict[str, int]:
    from taskscope.store.aggregates import read_aggregates
    from taskscope.store.tally import Histogram
    from taskscope.store.wire import SpanBody

    with closing(sqlite3.connect(store)) as connection:
        bodies = [SpanBody(body) for (body,) in connection.execute("SELECT body FROM span")]
        points = read_aggregates(connection)
        tasks = connection.execute("SELECT count(*) FROM task WHERE ended < started").fetchone()[0]
        traces = connection.execute("SELECT count(*) FROM trace WHERE stop < start").fetchone()[0]
    by_id = {body.span_id: body for body in bodies}
    children = [(body, by_id[body.parent_id]) for body in bodies if body.parent_id in by_id]
    sums = [point.value.sum for point in points if isinstance(point.value, Histogram)]
    return {
        "spans": len(bodies),
        "negative": sum((body.end_ns or 0) < body.start_ns for body in bodies),
        "before_parent": sum(child.start_ns < parent.start_ns for child, parent in children),
        "negative_sums": sum(one < 0 for one in sums) + tasks + traces,
        "histograms": len(sums),
        "too_long": sum(
            (body.end_ns or 0) - body.start_ns > _LONG_NS and body.status_message != _DEAD for body in bodies
        ),
    }


if __name__ == "__main__":
    main()
