"""Processes killed while they bring home what the dead left, at random moments.

    python -m reliability.loads.reapers KILLS SEED

Each home has a few dead with long journals and open spans; ten who come to bury them die of it, one after the
other, and the last one must find what all of them would have found.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from benchmarks.loads._answer import answer
from reliability.findings import add_up
from taskscope.store.session import bring_home

from .children import Child, Tell, configure, warm_up
from .kills import recover_in_child
from .verdict import judge_store
from .work import SHAPES, read_told

_DEAD = 3
_REAPERS = 10
_LIFE_S = 0.3
_LONGEST_S = 0.015
"""Most of a reaper's life: what it brings home here takes about as long."""


def main() -> None:
    """Answer the sums of all homes, and how many reapers were done before their end."""
    kills, seed = int(sys.argv[1]), int(sys.argv[2])
    warm_up()
    home = Path(os.environ["TASKSCOPE_HOME"])
    chance = random.Random(seed)
    counts: list[dict[str, int]] = []
    while (done := sum(one["kills"] for one in counts)) < kills:
        counts.append(
            _bury(home.with_name(f"{home.name}-{len(counts)}"), min(_REAPERS, kills - done), chance)
        )
    answer(**add_up(counts))


def _bury(home: Path, kills: int, chance: random.Random) -> dict[str, int]:
    started, ended = _leave_dead(home, chance)
    survivors = 0
    for _ in range(kills):
        reaper = Child(lambda _tell: bring_home(home / "taskscope.db"))
        time.sleep(chance.random() * _LONGEST_S)
        reaper.kill()
        _, code = reaper.wait()
        survivors += code == 0
    recover_in_child(home)
    left = len(list((home / "journal").glob("*.[lj]o*")))
    counts = judge_store(home / "taskscope.db", started, ended)
    return counts | {"kills": kills - survivors, "survivors": survivors, "files_left": left}


def _leave_dead(home: Path, chance: random.Random) -> tuple[set[bytes], set[bytes]]:
    """Victims that live at the same time, so that none of them buries another."""

    def live(tell: Tell, seed: int) -> None:
        configure(home)
        SHAPES["single"](tell, seed * 100)

    seeds = [chance.randrange(1 << 30) for _ in range(_DEAD)]
    victims = [Child(lambda tell, seed=seed: live(tell, seed)) for seed in seeds]  # type: ignore[misc]
    for victim in victims:
        victim.await_word()
    time.sleep(chance.random() * _LIFE_S)
    for victim in victims:
        victim.kill()
    told = [read_told(victim.wait()[0]) for victim in victims]
    return set().union(*(one for one, _ in told)), set().union(*(one for _, one in told))


if __name__ == "__main__":
    main()
