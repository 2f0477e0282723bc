"""As many spans as possible as fast as possible, with or without telemetry.

    python -m reliability.loads.burst SPANS

Without: TASKSCOPE_DISABLED=1, which leaves the same program on the API's own no-op.
"""

from __future__ import annotations

import sys

from opentelemetry import trace

import taskscope
from benchmarks.loads._answer import answer
from benchmarks.memory import peak_bytes

_FLUSH_S = 60.0
_TEXT = "the second of three attempts, after the linter had nothing to say"


def main() -> None:
    """Answer the peak of resident memory, and whether all was stored."""
    spans = int(sys.argv[1])
    taskscope.configure()
    tracer = trace.get_tracer("burst")
    with tracer.start_as_current_span("root"):
        for number in range(spans - 1):
            with tracer.start_as_current_span("work") as span:
                span.set_attributes(
                    {"app.number": number, "app.path": f"src/a_{number}.py", "app.note": _TEXT}
                )
    is_flushed = taskscope.flush(_FLUSH_S)
    answer(peak_bytes=peak_bytes(), is_flushed=is_flushed)


if __name__ == "__main__":
    main()
