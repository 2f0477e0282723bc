"""One span that is large as a whole, of attributes that are each within the limit, among others.

    python -m reliability.loads.stout SPANS ATTRIBUTES

What a collector makes of it is seen later, from outside.
"""

from __future__ import annotations

import sys

from opentelemetry import trace

import taskscope
from benchmarks.loads._answer import answer

_VALUE_BYTES = 64_000
_FLUSH_S = 60.0


def main() -> None:
    """Answer whether all of it is stored."""
    spans, attributes = int(sys.argv[1]), int(sys.argv[2])
    taskscope.configure()
    tracer = trace.get_tracer("stout")
    for number in range(spans):
        is_stout = number == spans // 2
        with tracer.start_as_current_span("stout" if is_stout else "work") as span:
            for index in range(attributes if is_stout else 1):
                span.set_attribute(f"app.text.{index}", f"{index:03}," * (_VALUE_BYTES // 4))
    answer(is_flushed=taskscope.flush(_FLUSH_S))


if __name__ == "__main__":
    main()
