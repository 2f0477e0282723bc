"""Spans at a steady rate for some time, whatever becomes of them.

    python -m reliability.loads.steady RATE SECONDS COMPRESSION

Compressed, time runs so much faster for the shipper: each of its pauses is divided by that.
"""

from __future__ import annotations

import sys
import time

from opentelemetry import trace

import taskscope
from benchmarks.loads._answer import answer
from taskscope.shipper import courier, loop

_BEAT_S = 0.01
_FLUSH_S = 60.0
_PAUSES = {
    courier: ("_FIRST_PAUSE_S", "_LONGEST_PAUSE_S", "_LONGEST_PAUSE_FOR_A_PERSON_S"),
    loop: ("_OTHERS_TURN_S", "_FIRST_PAUSE_S", "_LONGEST_PAUSE_S"),
}


def main() -> None:
    """Answer how many spans were made."""
    rate, seconds, compression = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    recording = taskscope.configure()
    compress(compression)
    made = make_spans(rate, seconds)
    answer(made=made, is_flushed=recording.flush(_FLUSH_S))


def compress(factor: float) -> None:
    """Divide all that the shipper waits for, but for answers."""
    for module, names in _PAUSES.items():
        for name in names:
            setattr(module, name, getattr(module, name) / factor)


def make_spans(rate: int, seconds: float) -> int:
    """Make up for what a beat that came late has missed; how many it were."""
    tracer = trace.get_tracer("steady")
    made, began = 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        while made < rate * passed:
            with tracer.start_as_current_span("work") as span:
                span.set_attributes({"app.number": made, "app.path": f"src/part_{made % 100}.py"})
            made += 1
        time.sleep(_BEAT_S)
    return made


if __name__ == "__main__":
    main()
