"""Programs that end right after they recorded something; how long their end takes.

    python -m reliability.loads.goodbyes COUNT SEED off|URL

A child of the fork server runs its exit handlers as the interpreter does at its end; the clock runs from the
last line of its program until it is gone. `off` is the same program without telemetry.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path

import taskscope
from benchmarks.loads._answer import answer

from .children import Child, Tell, configure, warm_up
from .counting import count_all

_TOLD = struct.Struct("<d")


def main() -> None:
    """Answer the milliseconds of each end."""
    count, url = int(sys.argv[1]), sys.argv[3]
    warm_up()
    home = Path(os.environ["TASKSCOPE_HOME"])
    ends = [_end(home / str(number), url) for number in range(count)]
    stored = sum(
        count_all(home / str(number) / "taskscope.db")[0] for number in range(count if url != "off" else 0)
    )
    answer(ends_ms=ends, stored=stored)


def _end(home: Path, url: str) -> float:
    def live(tell: Tell) -> None:
        if url == "off":
            configure(home, TASKSCOPE_DISABLED="1")
        else:
            os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
            configure(home, OTEL_EXPORTER_OTLP_ENDPOINT=url)
        with taskscope.task("answer"), taskscope.step("edit"), taskscope.tool("search"):
            pass
        tell(_TOLD.pack(time.monotonic()))

    child = Child(live, keeps_exit=True)
    told, _ = child.wait()
    (ended_at,) = _TOLD.unpack(told)
    return float(time.monotonic() - ended_at) * 1e3


if __name__ == "__main__":
    main()
