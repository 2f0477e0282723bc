"""Spans at an even pace.

python -m reliability.loads.steady SPANS PER_SECOND
"""

from __future__ import annotations

import sys
import time

from opentelemetry import trace

import taskscope
from benchmarks.loads._answer import answer

_BATCH = 20
_FLUSH_S = 30.0


def main() -> None:
    """Answer how many were made, and whether all were stored."""
    spans, per_second = int(sys.argv[1]), int(sys.argv[2])
    taskscope.configure()
    tracer = trace.get_tracer("steady")
    began = time.perf_counter()
    for number in range(spans):
        with tracer.start_as_current_span("work") as span:
            span.set_attribute("number", number)
        if number % _BATCH == 0:
            time.sleep(max(began + number / per_second - time.perf_counter(), 0))
    answer(made=spans, is_flushed=taskscope.flush(_FLUSH_S))


if __name__ == "__main__":
    main()
