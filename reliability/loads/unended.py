"""Victims that hold task, step and tool open when they are killed, each sent by `taskscope ship --once`.

    python -m reliability.loads.unended CYCLES SEED URL

Half of the victims know the collector themselves. Answered are the ids of what each had open: trace, task,
step, tool.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from opentelemetry import trace

import taskscope
from benchmarks.loads._answer import answer

from .children import Child, Tell, configure, warm_up

_CYCLES_OF_A_HOME = 20
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_LIVES_S = (0.0, 0.02, 0.4)
"""Longest lives after the tool began: in the journal alone, while the writer drains it, in the store."""
_TREE_BYTES = 16 + 3 * 8


def main() -> None:
    """Answer what was open in each victim."""
    cycles, seed, url = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    warm_up()
    home = Path(os.environ["TASKSCOPE_HOME"])
    chance = random.Random(seed)
    trees, codes = [], []
    for number in range(cycles):
        folder = home.with_name(f"{home.name}-{number // _CYCLES_OF_A_HOME}")
        own = {_ENDPOINT: url} if number % 2 else {}
        trees.append(_kill_one(folder, chance, own))
        codes.append(_ship(folder, url))
    answer(trees=trees, ships_failed=sum(code != 0 for code in codes))


def _kill_one(home: Path, chance: random.Random, own: dict[str, str]) -> list[str]:
    def live(tell: Tell) -> None:
        configure(home, **own)
        with taskscope.task("answer"):
            task = trace.get_current_span().get_span_context()
            with taskscope.step("edit"):
                step = trace.get_current_span().get_span_context()
                with taskscope.tool("search"):
                    tool = trace.get_current_span().get_span_context()
                    ids = (one.span_id.to_bytes(8) for one in (task, step, tool))
                    tell(task.trace_id.to_bytes(16) + b"".join(ids))
                    while True:
                        time.sleep(60)

    victim = Child(live)
    victim.await_word()
    time.sleep(chance.random() * chance.choice(_LIVES_S))
    victim.kill()
    told, _ = victim.wait()
    assert len(told) == _TREE_BYTES, told
    return [told[:16].hex(), *(told[start : start + 8].hex() for start in range(16, _TREE_BYTES, 8))]


def _ship(home: Path, url: str) -> int:
    environment = {**os.environ, "TASKSCOPE_HOME": str(home), "AGENT_HOME": str(home), _ENDPOINT: url}
    command = [sys.executable, "-m", "taskscope", "ship", "--once"]
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    main()
