"""Programs that end without a word, each after its share of ended spans.

    python -m reliability.loads.exits WAY SPANS

Ways: `os_exit`, `sigterm`; `fork`, `spawn`, `forkserver` (children of multiprocessing), `pool` (of
concurrent.futures). The spans are plain ones of the OTel API, which nothing records before their end.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import taskscope

_CHILDREN = 4


def main() -> None:
    """Make the spans, and end as told."""
    way, spans = sys.argv[1], int(sys.argv[2])
    taskscope.configure()
    if way in {"os_exit", "sigterm"}:
        make_spans(spans)
        if way == "sigterm":
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        os._exit(0)
    shares = [spans // _CHILDREN] * _CHILDREN
    if way == "pool":
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(make_spans, shares))
    else:
        context: Any = mp.get_context(way)
        children = [context.Process(target=make_spans, args=(one,)) for one in shares]
        for child in children:
            child.start()
        for child in children:
            child.join()


def make_spans(count: int) -> None:
    """End spans, in a process that may be a new one."""
    from opentelemetry import trace

    taskscope.configure()
    tracer = trace.get_tracer("exits")
    for number in range(count):
        with tracer.start_as_current_span("work") as span:
            span.set_attribute("number", number)


if __name__ == "__main__":
    main()
