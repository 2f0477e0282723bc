"""Starts of tool spans, one by one, alone or beside a thread that never rests.

    python -m benchmarks.loads.starts noop|durable COUNT alone|busy

`durable` is on record when the call returns, so that a kill during what the tool does leaves it known.
"""

from __future__ import annotations

import sys
import threading
import time

from opentelemetry import trace

import taskscope

from ._answer import answer

_FACTS = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "shell",
    "gen_ai.tool.type": "function",
}
_WARM = 200


def main() -> None:
    """Answer the median and the 95th percentile of a start, in microseconds of wall time."""
    variant, count, company = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if variant == "durable":
        taskscope.configure()
    if company == "busy":
        threading.Thread(target=_spin, daemon=True).start()
    tracer = trace.get_tracer("bench")
    took = []
    for number in range(-_WARM, count):
        began = time.perf_counter_ns()
        span = tracer.start_span("execute_tool shell", attributes={**_FACTS, "app.number": number})
        took.append(time.perf_counter_ns() - began)
        span.end()
    ordered = sorted(took[_WARM:])
    answer(p50_us=ordered[count // 2] / 1e3, p95_us=ordered[count * 95 // 100] / 1e3)


def _spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    main()
