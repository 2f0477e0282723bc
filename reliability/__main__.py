"""`python -m reliability [--only ROW] [--scale 0.01] [--anew]`: prove, print the tables, write the page.

Results are kept by commit: a run that was stopped goes on where it was. Rows that only wait for their time to
pass run beside the others. The page is written once all rows are proven in full in one state of the code, and
a miss stays a miss.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.page import describe_machine, say
from benchmarks.scene import ROOT

from . import (
    burst,
    clocks,
    damage,
    disk,
    encoding,
    exits,
    farewells,
    fat,
    faults,
    forks,
    kills,
    outages,
    reapers,
    soak,
    unended,
)
from .findings import draw_findings
from .keeping import Result, Shelf, tell_state
from .page import PAGE, draw_results, judge, write
from .stage import Stage

if TYPE_CHECKING:
    from types import ModuleType

ROWS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        kills,
        unended,
        reapers,
        exits,
        forks,
        fat,
        burst,
        outages,
        farewells,
        disk,
        faults,
        clocks,
        damage,
        soak,
        encoding,
    )
}
"""By name, in the order of the page."""
_BESIDE: frozenset[str] = frozenset({"outages"})
"""Rows that run beside the others: those that use little, or a pace is lost and exits are late."""


def main() -> None:
    """Prove what is asked for; exit code 1 when something does not hold."""
    chosen = _parse()
    state = tell_state()
    shelf = Shelf(state, chosen.scale)
    names = chosen.only or list(ROWS)
    if chosen.anew:
        for name in names:
            shelf.forget(name)
    results = _prove(names, shelf, chosen.scale)
    if chosen.scale == 1:
        kept = {name: result for name in ROWS if (result := shelf.find(name)) is not None}
        if missing := [name for name in ROWS if name not in kept]:
            say(f"page not written: {', '.join(missing)} not proven yet at {state}")
        else:
            write(draw_results(ROWS, kept, state))
            say(f"written: {PAGE.relative_to(ROOT)}")
    sys.exit(any(judge(result.findings) == "missed" for result in results.values()))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(ROWS), metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full proof; the page needs 1")
    parser.add_argument("--anew", action="store_true", help="do not take results that are kept")
    return parser.parse_args()


def _prove(names: list[str], shelf: Shelf, scale: float) -> dict[str, Result]:
    with ThreadPoolExecutor(len(_BESIDE)) as pool:
        beside: dict[str, Future[Result]] = {
            name: pool.submit(_prove_row, name, shelf, scale) for name in names if name in _BESIDE
        }
        return {
            name: beside[name].result() if name in beside else _prove_row(name, shelf, scale)
            for name in sorted(names, key=lambda name: name in _BESIDE)
        }


def _prove_row(name: str, shelf: Shelf, scale: float) -> Result:
    result = shelf.find(name)
    if result is None:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="taskscope-reliability-") as folder:
            findings = ROWS[name].prove(Stage(Path(folder).resolve(), scale))
        seconds = time.perf_counter() - began
        today = dt.datetime.now(dt.UTC).date().isoformat()
        result = Result(tuple(findings), seconds, today, describe_machine(), shelf.state)
        shelf.keep(name, result)
    say(f"{name}: {judge(result.findings)}, {result.seconds:.0f} s")
    print("\n".join([f"\n### {ROWS[name].TITLE}\n", *draw_findings(result.findings)]), flush=True)
    return result


if __name__ == "__main__":
    main()
