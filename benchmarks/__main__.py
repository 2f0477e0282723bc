"""`python -m benchmarks [NAME ...] [--quick]`: measure, print the table, write the page.

The page is written only after a full run of all benchmarks, or of `large` alone, which no other run makes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from . import agent, commands, growth, logs, redaction, retrieval, spans, start, starts, stores
from .page import LARGE_BEGIN, LARGE_END, PAGE, draw_results, say, write_page
from .scene import ROOT, Effort, Scene

BENCHMARKS = {
    module.__name__.rpartition(".")[2]: (module.TITLE, module.measure)
    for module in (commands, agent, spans, starts, start, stores, logs, growth, retrieval, redaction)
}
"""By name: title of its table, and the function that measures."""
LARGE = {"large": (stores.LARGE_TITLE, stores.measure_large)}
"""What takes minutes and gigabytes alone; asked by name only."""


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}, all if none; or large"
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, page not written")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(BENCHMARKS) - set(LARGE)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there is {', '.join(BENCHMARKS | LARGE)}")
    effort = Effort.QUICK if chosen.quick else Effort.FULL
    lines = _measure(chosen.names or list(BENCHMARKS), effort)
    print("\n".join(lines))
    is_large = chosen.names == list(LARGE)
    if effort is Effort.FULL and (is_large or not chosen.names):
        write_page(lines, begin=LARGE_BEGIN, end=LARGE_END) if is_large else write_page(lines)
        say(f"written: {PAGE.relative_to(ROOT)}")


def _measure(names: list[str], effort: Effort) -> list[str]:
    before = os.getloadavg()[0]
    results = {}
    for name in names:
        title, measure = (BENCHMARKS | LARGE)[name]
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="taskscope-bench-") as folder:
            results[title] = measure(Scene(Path(folder).resolve(), effort))
        say(f"{name}: {time.perf_counter() - began:.0f} s")
    return draw_results(results, (before, os.getloadavg()[0]))


if __name__ == "__main__":
    main()
