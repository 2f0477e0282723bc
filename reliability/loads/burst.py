"""As many spans as possible as fast as possible, with or without telemetry.

    python -m reliability.loads.burst SPANS

Without: TASKSCOPE_DISABLED=1, which leaves the same program on the API's own no-op.
"""

from __future__ import annotations

import sys
from pathlib import Path

from opentelemetry import trace

import taskscope
from benchmarks.loads._answer import answer

_FLUSH_S = 60.0
_TEXT = "the second of three attempts, after the linter had nothing to say"


def main() -> None:
    """Answer the peak of resident memory in KiB, and whether all was stored."""
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
    answer(peak_kib=_peak_kib(), is_flushed=is_flushed)


def _peak_kib() -> int:
    """The most that was resident, of this program alone: `ru_maxrss` goes on from the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()
