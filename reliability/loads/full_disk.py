"""A home on a disk that is too small, which gets room later: a tmpfs of its own, so only where one may mount.

    python -m reliability.loads.full_disk SPANS KIB

The application goes on in the meantime; when there is room, nobody tells the recorder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from opentelemetry import trace

import taskscope
from benchmarks.loads._answer import answer

from .counting import count_all
from .verdict import read_accounts

_TEXT = "the second of three attempts, after the linter had nothing to say " * 4
_PATIENCE_S = 60.0
"""For the recorder to notice that there is room; its longest pause is 30 s."""
_ROOM_KIB = 200 * 1024


def main() -> None:
    """Answer what the application made, what became of it, and how long the recorder took to come back."""
    spans, kib = int(sys.argv[1]), int(sys.argv[2])
    home = Path(os.environ["TASKSCOPE_HOME"])
    home.mkdir(parents=True)
    if not _mount(home, kib, "defaults"):
        answer(mounted=False)
        return
    try:
        answer(mounted=True, **_fill(home, spans))
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


def _fill(home: Path, spans: int) -> dict[str, object]:
    recording = taskscope.configure()
    tracer = trace.get_tracer("full_disk")
    errors = _make_spans(tracer, spans)
    was_full = not taskscope.flush(0.5)
    errors += _make_spans(tracer, spans)
    _mount(home, _ROOM_KIB, "remount")
    began = time.monotonic()
    while recording.is_in_memory and time.monotonic() < began + _PATIENCE_S:
        time.sleep(0.02)
    back_s = time.monotonic() - began
    errors += _make_spans(tracer, spans)
    is_flushed = taskscope.flush(_PATIENCE_S)
    taskscope.shutdown(_PATIENCE_S)
    stored, twice = count_all(recording.store_path)
    dropped = read_accounts(recording.store_path)[1]
    return {
        "made": 3 * spans, "errors": errors, "stored": stored, "twice": twice, "dropped": dropped,
        "was_full": was_full, "back_s": back_s, "is_flushed": is_flushed,
        "is_back": not recording.is_in_memory,
    }  # fmt: skip


def _make_spans(tracer: trace.Tracer, count: int) -> int:
    """Make spans of 400 bytes; the number of errors that reached us."""
    errors = 0
    for number in range(count):
        try:
            with tracer.start_as_current_span("work") as span:
                span.set_attributes({"number": number, "text": _TEXT})
        except Exception:  # noqa: BLE001  counted, whatever it is
            errors += 1
    return errors


def _mount(home: Path, kib: int, option: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"{option},size={kib}k", "tmpfs", str(home)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    main()
