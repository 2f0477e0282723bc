"""A process that forks while its threads are in the midst of recording.

    python -m reliability.loads.forks FORKS SEED

Each child makes a task of its own and ends without clean-up. One that is not done after a minute is stuck in
a lock that it inherited.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from benchmarks.loads._answer import answer
from reliability.findings import add_up

from .children import Child, Tell, configure, warm_up
from .kills import recover_in_child
from .verdict import judge_store
from .work import TOLD_BYTES, Worker, read_told

_FORKS_OF_A_HOME = 50
_PATIENCE_S = 60.0
_STUCK = b"D" + bytes(TOLD_BYTES - 1)
_THREADS = 3


def main() -> None:
    """Answer the sums of all homes."""
    forks, seed = int(sys.argv[1]), int(sys.argv[2])
    warm_up()
    home = Path(os.environ["TASKSCOPE_HOME"])
    counts = [
        _fork_in(home.with_name(f"{home.name}-{first}"), min(_FORKS_OF_A_HOME, forks - first), seed + first)
        for first in range(0, forks, _FORKS_OF_A_HOME)
    ]
    answer(**add_up(counts))


def _fork_in(home: Path, forks: int, seed: int) -> dict[str, int]:
    def live(tell: Tell) -> None:
        configure(home)
        _fork_often(tell, forks, seed)

    told, code = Child(live).wait()
    recover_in_child(home)
    started, ended = read_told(told)
    counts = judge_store(home / "taskscope.db", started, ended)
    return counts | {"forks": forks, "stuck": told.count(_STUCK), "failed": int(code != 0)}


def _fork_often(tell: Tell, forks: int, seed: int) -> None:
    for number in range(_THREADS):
        worker = Worker(tell, seed * 7 + number)
        threading.Thread(target=worker.work, daemon=True).start()
    for number in range(forks):
        child = os.fork()
        if not child:
            try:
                Worker(tell, seed * 11 + number).do_task()
            finally:
                os._exit(0)
        if not _has_ended(child):
            tell(_STUCK)


def _has_ended(child: int) -> bool:
    """Whether a child ends by itself within its time; it is ended otherwise."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


if __name__ == "__main__":
    main()
