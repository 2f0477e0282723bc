"""Processes killed at random moments, and what a store has of them after recovery.

    python -m reliability.loads.kills CYCLES SEED SHAPE

Every home sees some cycles, recovered in one of three ways: by another process after each kill, by the next
victim's own start, or by a process that is at it already while the victim lives.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.loads._answer import answer
from reliability.findings import add_up
from taskscope.store.session import bring_home

from .children import Child, Tell, configure, warm_up
from .verdict import judge_store
from .work import SHAPES, holds_old, read_told

_CYCLES_OF_A_HOME = 25
_WAYS = ("after", "next", "meanwhile")
_LIVES_S = (0.02, 0.05, 0.15)
"""Longest lives: during set-up, in the midst of it, past the writer's first transaction."""
_OLD_LIFE_S = 1.5
"""Of a victim that holds a span for a second."""


def main() -> None:
    """Answer the sums of all homes."""
    cycles, seed, shape = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    warm_up()
    home = Path(os.environ["TASKSCOPE_HOME"])
    counts = []
    for number, first in enumerate(range(0, cycles, _CYCLES_OF_A_HOME)):
        seeds = range(first, min(first + _CYCLES_OF_A_HOME, cycles))
        folder = home.with_name(f"{home.name}-{number}")
        way = _WAYS[number % len(_WAYS)]
        counts.append(kill_in(folder, shape, way, [seed * 1_000_003 + one for one in seeds]))
    answer(**add_up(counts))


def kill_in(home: Path, shape: str, way: str, seeds: Iterable[int]) -> dict[str, int]:
    """Kill one victim for each seed in one home, and judge the store at the end."""
    started: set[bytes] = set()
    ended: set[bytes] = set()
    cycles = 0
    for seed in seeds:
        told = _kill_one(home, shape, seed, is_recovered_meanwhile=way == "meanwhile")
        now_started, now_ended = read_told(told)
        started |= now_started
        ended |= now_ended
        if way == "after":
            recover_in_child(home)
        cycles += 1
    recover_in_child(home)
    counts = judge_store(home / "taskscope.db", started, ended)
    left = len(list((home / "journal").glob("*.[lj]o*")))
    return counts | {"cycles": cycles, "files_left": left}


def _kill_one(home: Path, shape: str, seed: int, *, is_recovered_meanwhile: bool) -> bytes:
    def live(tell: Tell) -> None:
        configure(home)
        SHAPES[shape](tell, seed)

    chance = random.Random(~seed)
    is_old = shape == "single" and holds_old(seed)
    life_s = _OLD_LIFE_S if is_old else chance.random() * chance.choice(_LIVES_S)
    victim = Child(live)
    if is_recovered_meanwhile:
        time.sleep(life_s * chance.random())
        recover_in_child(home)
    time.sleep(life_s)
    victim.kill()
    return victim.wait()[0]


def recover_in_child(home: Path) -> None:
    """Bring home what the dead left, as `taskscope recover` does, in a process of its own."""
    _, code = Child(lambda _tell: bring_home(home / "taskscope.db")).wait()
    if code:
        msg = f"the recovery of {home} ended with {code}"
        raise RuntimeError(msg)


if __name__ == "__main__":
    main()
