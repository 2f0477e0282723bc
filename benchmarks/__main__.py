"""`python -m benchmarks [NAME ...] [--quick]`: measure, print the table, write the page.

The page is written only after a full run of all benchmarks, or of `large`, `peers`
or `gateway` alone, which no other run makes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from . import (
    agent,
    commands,
    gateway,
    growth,
    logs,
    peers,
    receiver,
    redaction,
    retrieval,
    spans,
    start,
    starts,
    stores,
)
from .page import BEGIN, END, PAGE, draw_results, find_markers, say, write_page
from .scene import ROOT, Effort, Scene

BENCHMARKS = {
    module.__name__.rpartition(".")[2]: (module.TITLE, module.measure)
    for module in (
        commands,
        agent,
        spans,
        starts,
        start,
        stores,
        receiver,
        logs,
        growth,
        retrieval,
        redaction,
    )
}
"""By name: title of its table, and the function that measures."""
APART = {
    "large": (stores.LARGE_TITLE, stores.measure_large),
    "peers": (peers.TITLE, peers.measure),
    "gateway": (gateway.TITLE, gateway.measure),
}
"""What takes gigabytes, other libraries or programs: asked by name only, each with a part of the page."""


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    some = f"of {', '.join(BENCHMARKS)}, all if none; or {', '.join(APART)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=some)
    parser.add_argument("--quick", action="store_true", help="few repetitions, page not written")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(BENCHMARKS) - set(APART)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there is {', '.join(BENCHMARKS | APART)}")
    effort = Effort.QUICK if chosen.quick else Effort.FULL
    lines = _measure(chosen.names or list(BENCHMARKS), effort)
    print("\n".join(lines))
    is_apart = len(chosen.names) == 1 and chosen.names[0] in APART
    if effort is Effort.FULL and (is_apart or not chosen.names):
        begin, end = find_markers(chosen.names[0]) if is_apart else (BEGIN, END)
        write_page(lines, begin=begin, end=end)
        say(f"written: {PAGE.relative_to(ROOT)}")


def _measure(names: list[str], effort: Effort) -> list[str]:
    before = os.getloadavg()[0]
    results = {}
    for name in names:
        title, measure = (BENCHMARKS | APART)[name]
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="taskscope-bench-") as folder:
            results[title] = measure(Scene(Path(folder).resolve(), effort))
        say(f"{name}: {time.perf_counter() - began:.0f} s")
    return draw_results(results, (before, os.getloadavg()[0]))


if __name__ == "__main__":
    main()
