"""Damaged journals brought home, each into a store of its own: it tells nothing that was not written.

python -m reliability.loads.remains COUNT SEED
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from benchmarks.loads._answer import answer
from taskscope.store import journals as layout
from taskscope.store.session import bring_home

from .children import Child, Tell, configure, warm_up
from .work import SHAPES

_LIFE_S = 0.08
_RECORDS = 20
"""At least so many stand in the journal of the victim, or another one dies."""


def main() -> None:
    """Answer how many stores were made, and what stood in them."""
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    home = Path(os.environ["TASKSCOPE_HOME"])
    warm_up()
    original = _leave_journal(home, seed)
    bodies = {record.body for record in layout.read_journal(original).records if record.kind == layout.SPAN}
    whole = original.read_bytes()
    used = len(whole.rstrip(b"\0"))
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(count):
        damaged = bytearray(whole)
        damaged[_choose(chance, used)] ^= chance.randrange(1, 256)
        counts.update(_bring_home(home / f"damaged-{number}", original.name, bytes(damaged), bodies))
    answer(**{name: counts[name] for name in ("stores", "crashes", "spans", "false", "left")})


def _leave_journal(home: Path, seed: int) -> Path:
    """The journal of a victim that died before its first transaction."""

    def live(tell: Tell) -> None:
        configure(home / f"victim-{seed}")
        SHAPES["single"](tell, seed * 100)

    while True:
        victim = Child(live)
        time.sleep(_LIFE_S)
        victim.kill()
        victim.wait()
        left = list(home.glob("victim-*/journal/*.journal"))
        if left and len(layout.read_journal(left[0]).records) >= _RECORDS:
            return left[0]
        seed += 1


def _choose(chance: random.Random, used: int) -> int:
    """A byte of the head, of the sources or of the records."""
    start, end = chance.choice(((0, 1100), (4096, 5000), (64 * 1024, used)))
    return chance.randrange(start, end)


def _bring_home(home: Path, name: str, journal: bytes, bodies: set[bytes]) -> dict[str, int]:
    folder = home / "journal"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(journal)
    (folder / name).with_suffix(".lock").touch()
    store = home / "taskscope.db"
    try:
        bring_home(store)
    except Exception:  # noqa: BLE001  whatever it is, it is a crash
        return {"stores": 1, "crashes": 1}
    with closing(sqlite3.connect(store)) as connection:
        rows = [body for (body,) in connection.execute("SELECT body FROM span")]
    # One that was closed as interrupted begins with the body of its start.
    false = sum(body not in bodies and not any(body.startswith(start) for start in bodies) for body in rows)
    return {"stores": 1, "spans": len(rows), "false": false, "left": len(list(folder.glob("*.journal")))}


if __name__ == "__main__":
    main()
