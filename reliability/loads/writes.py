"""The k-th write of a process fails, for each k in turn: of SQLite's statements, then of the system's calls.

    python -m reliability.loads.writes COUNT SEED STRIDE statement|call

Counts up from k = 1 + SEED in steps of STRIDE. A statement fails once or several times in a row, for a full
disk or a broken one. The application counts for itself what it made.
"""

from __future__ import annotations

import errno
import mmap
import os
import sqlite3
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

import taskscope
from benchmarks.loads._answer import answer
from reliability.findings import add_up
from taskscope.store.session import bring_home

from .children import Child, Tell, configure, warm_up
from .counting import count_all
from .verdict import read_accounts

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 40
"""More than 500 statements."""
_SPANS_A_ROUND = 4
_FLUSH_S = 10.0
_TOLD = struct.Struct("<II??")
_MESSAGES = ("database or disk is full", "disk I/O error")
_CALLS: tuple[tuple[Any, str], ...] = (
    (os, "posix_fallocate"),
    (os, "open"),
    (os, "unlink"),
    (os, "rename"),
    (os, "mkdir"),
    (mmap, "mmap"),
)
"""What the recorder asks of the system; Path goes through os as well."""


class _Faults:
    """Lets the k-th of some calls fail, and those right after it."""

    def __init__(self, first: int, failures: int) -> None:
        self._failing = range(first, first + failures)
        self._calls = 0
        self.has_struck = False

    def heal(self) -> None:
        """Let no more of them fail."""
        self._failing = range(0)

    def is_due(self) -> bool:
        """Whether this call is to fail."""
        self._calls += 1
        is_due = self._calls in self._failing
        self.has_struck = self.has_struck or is_due
        return is_due


def main() -> None:
    """Answer the sums over all k."""
    count, seed, stride, way = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    warm_up()
    home = Path(os.environ["TASKSCOPE_HOME"])
    fail = {"statement": _fail_statements, "call": _fail_calls}[way]
    counts = [_try_with(home / str(number), number * stride + seed + 1, fail) for number in range(count)]
    answer(**add_up(counts))


def _try_with(home: Path, k: int, fail: Callable[[int], _Faults]) -> dict[str, int]:
    def live(tell: Tell) -> None:
        faults = fail(k)
        recording: Any = configure(home)
        made, errors = _work()
        faults.heal()
        is_back = taskscope.flush(_FLUSH_S) and not recording.is_in_memory
        tell(_TOLD.pack(made, errors, faults.has_struck, is_back))

    told, code = Child(live, keeps_exit=True).wait()
    if code or len(told) != _TOLD.size:
        return {"runs": 1, "failed": 1}
    made, errors, has_struck, is_back = _TOLD.unpack(told)
    store = home / "taskscope.db"
    bring_home(store)
    stored, twice = count_all(store)
    dropped = read_accounts(store)[1]
    return {
        "runs": 1, "errors": errors, "made": made, "stored": stored, "dropped": dropped, "twice": twice,
        "unequal": int(made != stored + dropped), "stopped": int(not is_back), "struck": int(has_struck),
    }  # fmt: skip


def _work() -> tuple[int, int]:
    """Make spans round after round, each stored before the next; how many, and what was raised into us."""
    tracer = trace.get_tracer("writes")
    made = errors = 0
    for number in range(_ROUNDS):
        try:
            with tracer.start_as_current_span("round"), taskscope.tool("search"):
                for _ in range(_SPANS_A_ROUND - 2):
                    with tracer.start_as_current_span("work") as span:
                        span.set_attribute("number", number)
            taskscope.flush(_FLUSH_S)
        except Exception:  # noqa: BLE001  counted, whatever it is
            errors += 1
        made += _SPANS_A_ROUND
    return made, errors


def _fail_statements(k: int) -> _Faults:
    faults = _Faults(k, (1, 2, 5, 40)[k % 4])
    message = _MESSAGES[k // 4 % 2]

    class Failing(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            if faults.is_due():
                raise sqlite3.OperationalError(message)
            return super().execute(*args)

    real = sqlite3.connect
    sqlite3.connect = lambda *args, **kwargs: real(*args, factory=Failing, **kwargs)  # type: ignore[assignment]
    return faults


def _fail_calls(k: int) -> _Faults:
    """The first calls of each kind, one kind after the other."""
    place, name = _CALLS[k % len(_CALLS)]
    faults = _Faults(k // len(_CALLS) + 1, (1, 3)[k % 2])
    real = getattr(place, name)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if faults.is_due():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **kwargs)

    setattr(place, name, failing)
    return faults


if __name__ == "__main__":
    main()
