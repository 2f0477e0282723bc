"""A process that records at a pace for long, with bursts between, and with a store that fills up.

Each tenth of the time begins with a burst, as when the disk holds the writer up for seconds: the largest
batch that can come has come before memory is watched, and it comes again while it is.

python -m reliability.loads.soak SPANS PER_SECOND
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from pathlib import Path

import taskscope
from benchmarks.loads._answer import answer
from benchmarks.memory import resident_bytes

from .verdict import read_accounts

_SPANS_A_TASK = 20
_LOOKS = 200
_WARM = 0.3
"""Share of the time after which caches and the store are full."""
_BURSTS = 10
_BURST = 1 / 36
"""Of what is made between two bursts: 10,000 spans at full scale, more than one transaction takes."""
_FLUSH_S = 60.0


def main() -> None:
    """Answer the growth of resident memory by a million spans, the store's greatest size, and the sums."""
    spans, per_second = int(sys.argv[1]), int(sys.argv[2])
    recording = taskscope.configure()
    tasks = spans // _SPANS_A_TASK
    between = max(tasks // _BURSTS, 1)
    sizes: list[tuple[int, float]] = []
    largest = 0
    began = time.perf_counter()
    for number in range(tasks):
        _do_task(number)
        if number % between >= between * _BURST:
            time.sleep(max(began + number * _SPANS_A_TASK / per_second - time.perf_counter(), 0))
        if number % max(tasks // _LOOKS, 1) == 0:
            sizes.append((number * _SPANS_A_TASK, resident_bytes() / 1e6))
            largest = max(largest, _store_bytes(recording.store_path))
    took_s = time.perf_counter() - began
    is_flushed = taskscope.flush(_FLUSH_S)
    emitted, dropped = read_accounts(recording.store_path)
    warm = sizes[int(len(sizes) * _WARM) :]
    half = len(warm) // 2
    answer(
        made=tasks * _SPANS_A_TASK, emitted=emitted, dropped=dropped, is_flushed=is_flushed, took_s=took_s,
        mb_per_million=slope_of(warm) * 1e6, largest_bytes=largest,
        before_mb=max(size for _, size in warm[:half]), after_mb=max(size for _, size in warm[half:]),
    )  # fmt: skip


def slope_of(sizes: list[tuple[int, float]]) -> float:
    """Of the line through them, by Theil and Sen: the median of the slopes between any two.

    CPython takes memory by arenas of 1 MiB, and gives one back when it is empty. One that was away for a
    tenth of the time is more than 1 MB an hour to the least squares, and nothing to the median; what grows
    for all of the time is the same to both.
    """
    pairs = itertools.combinations(sizes, 2)
    return statistics.median((size - one) / (at - since) for (since, one), (at, size) in pairs)


def _do_task(number: int) -> None:
    """A task with steps and tools: twenty spans, a few of them failed."""
    with taskscope.task("answer"), taskscope.agent("coder"):
        for index in range(6):
            with taskscope.step("edit"), taskscope.tool("search") as tool, taskscope.tool("read"):
                tool.set("app.path", f"src/part_{number % 1000}_{index}.py")


def _store_bytes(store: Path) -> int:
    """Of the file, its write-ahead log, and the journals beside it."""
    files = [store, store.with_name(f"{store.name}-wal"), *store.parent.glob("journal/*")]
    total = 0
    for file in files:
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


if __name__ == "__main__":
    main()
