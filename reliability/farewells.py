"""The end of a program whose collector refuses, hangs or is slow: not held up, and nothing is lost by it.

An exit lasts from the program's last statement to the moment at which its parent hears of its death. Programs
with and without a destination take turns, so that both meet the same weather.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.measurement import LoadError
from benchmarks.scene import ROOT

from .collector import Collector
from .commands import ENDPOINT, read_account, ship
from .findings import Finding, all_of, none_of
from .loads.farewells import EXIT_CODE
from .stage import share

if TYPE_CHECKING:
    from pathlib import Path

    from .stage import Stage

TITLE = "Exit with a collector that does not take anything"
MUST = "Refusing, hanging or slow: <= 100 ms more than without a destination, 1,000 of 1,000."
KINDS = {
    "refusing": "refusing (nobody listens)",
    "hang": "hanging (takes the request, never answers)",
    "drip": "slow (a byte of the answer every 20 ms)",
}
_QUICK = ("refusing", "hang")
"""Those of a small form, where nothing is timed."""
_WHOLE = 0.01
"""The least scale of a form that is not small."""
_MORE_S = 0.1
_SPANS = 20
_LIVES_S = (0.0, 0.5)
"""A program that ends at once, and one that has loaded what sending needs."""
_OLD_SHARE = 10
"""One program in so many is an old one."""
_BARE_SHARE = 3
"""One program in so many is also run without a destination."""
_WORKERS = 2
_ENDLESS = 100_000


class Ends(NamedTuple):
    """How long the ends of programs lasted, in seconds."""

    with_it: list[float]
    without: list[float]


def prove(stage: Stage) -> list[Finding]:
    """Let programs end before each kind of collector, then send what they left."""
    findings = []
    for kind in KINDS if stage.scale >= _WHOLE else _QUICK:
        ends, counts = _end_before(stage, kind)
        findings += [*_tell_times(KINDS[kind], ends), *counts]
    return findings


def _end_before(stage: Stage, kind: str) -> tuple[Ends, list[Finding]]:
    """How long the ends lasted; and what became of the records, whatever the time it took."""
    folder, words = stage.folder / kind, KINDS[kind]
    count = stage.count(334, 2)
    with Collector(folder / "collector") as collector:
        if kind == "refusing":
            collector.kill()
        else:
            collector.fail({"kind": kind, "times": _ENDLESS})
        ends = _take_turns(stage, folder, count, collector.url)
        collector.kill()
        collector.start()
        left, failed, homes = _send_left(stage, folder, collector)
        arrived = collector.read()
    made = count * _SPANS
    return ends, [
        all_of(f"{words}: spans left for the next `ship --once`", left, made),
        all_of(f"{words}: spans that arrived with it", len(arrived.spans), made),
        none_of(f"{words}: spans that came twice", arrived.twice, made),
        none_of(f"{words}: `ship --once` that failed", failed, homes),
    ]


def _take_turns(stage: Stage, folder: Path, count: int, url: str) -> Ends:
    """Programs side by side, each worker with a home of its own for those with a destination."""
    ends = Ends([], [])

    def work(number: int, own: int) -> None:
        for turn in range(own):
            lives_s = _LIVES_S[turn % _OLD_SHARE == _OLD_SHARE - 1]
            _forget_last(folder / f"home-{number}" / "taskscope.db")
            ends.with_it.append(_time_exit(stage, folder / f"home-{number}", lives_s, **{ENDPOINT: url}))
            if turn % _BARE_SHARE == 0:
                ends.without.append(_time_exit(stage, folder / f"bare-{number}", lives_s))

    shares = share(count, _WORKERS)
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(work, range(len(shares)), shares))
    return ends


def _forget_last(store: Path) -> None:
    """Let each program be the first for a minute that ends: the next ones would not even try to send."""
    if store.exists():
        with closing(sqlite3.connect(store)) as connection, connection:
            connection.execute("DELETE FROM meta WHERE name LIKE 'end:%'")


def _time_exit(stage: Stage, home: Path, lives_s: float, **more: str) -> float:
    """Seconds that one program took to end; LoadError when it did not end by its own exit code."""
    command = [sys.executable, "-m", "reliability.loads.farewells", str(_SPANS), str(lives_s)]
    with tempfile.TemporaryFile() as out:
        environment = stage.environment(home, **more)
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=subprocess.DEVNULL)
        _, status, _ = os.wait4(process.pid, 0)
        ended = time.monotonic()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != EXIT_CODE:
            msg = f"a program ended with {process.returncode}, its own code is {EXIT_CODE}"
            raise LoadError(msg)
        out.seek(0)
        told = out.read().decode()
    done = float(told.partition(":")[2].strip(" }\n"))
    return ended - done


def _tell_times(words: str, ends: Ends) -> list[Finding]:
    """How many ends were within the bound, and how they are spread."""
    usual = statistics.median(ends.without)
    more_ms = sorted((one - usual) * 1000 for one in ends.with_it)
    bare_ms = sorted((one - usual) * 1000 for one in ends.without)
    within = sum(one <= _MORE_S * 1000 for one in more_ms)
    bare = f"without a destination {sum(one <= _MORE_S * 1000 for one in bare_ms)} of {len(bare_ms)}"
    return [
        all_of(f"{words}: exits of <= 100 ms more than the usual one without", within, len(more_ms), bare),
        Finding(f"{words}: p50 of the more", round(statistics.median(more_ms), 1), unit="ms"),
        Finding(f"{words}: p99 of the more", _p99(more_ms), unit="ms", note=f"without {_p99(bare_ms):,.1f}"),
        Finding(f"{words}: the worst", round(more_ms[-1], 1), unit="ms", note=f"without {bare_ms[-1]:,.1f}"),
    ]


def _p99(ordered: list[float]) -> float:
    return round(ordered[int(len(ordered) * 0.99)], 1)


def _send_left(stage: Stage, folder: Path, collector: Collector) -> tuple[int, int, int]:
    """How many spans the homes still had to send; how many of their rounds failed, of how many."""
    homes = sorted(folder.glob("home-*"))
    left = sum(read_account(stage, home)["pending"] for home in homes)
    failed = sum(ship(stage, home, collector.url) != 0 for home in homes)
    return left, failed, len(homes)
