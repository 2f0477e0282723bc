"""docs/benchmarks.md: what is measured stands between two markers, the words around it are a person's.

The machine is told by what matters for speed, never by its name.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .results import draw_table
from .scene import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .results import Row

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN = "<!-- measured: begin (make bench writes from here) -->"
END = "<!-- measured: end -->"
_GIB = 1 << 30


def find_markers(name: str) -> tuple[str, str]:
    """Return the markers around a part that is measured apart."""
    return f"<!-- measured {name}: begin -->", f"<!-- measured {name}: end -->"


class PageError(Exception):
    """The page lacks its markers."""


def describe_machine() -> str:
    """Return cores, memory, system, Python and SQLite in one line."""
    import sqlite3
    from importlib import metadata

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} on {platform.machine()}, {python},"
        f" SQLite {sqlite3.sqlite_version}, OpenTelemetry SDK {metadata.version('opentelemetry-sdk')}"
    )


def describe_load(before: float, after: float) -> str:
    """Return how busy the machine was; 1 on average is what the benchmarks themselves make."""
    busy = " Others were at work: read ratios, not milliseconds." if before > 1 else ""
    return f"Load average of the last minute: {before:.1f} before the run, {after:.1f} after it.{busy}"


def draw_results(results: Mapping[str, Sequence[Row]], loads: tuple[float, float]) -> list[str]:
    """Return the lines between the markers."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    lines = ["", f"{today}: {describe_machine()}. {describe_load(*loads)}", ""]
    for title, rows in results.items():
        lines += [f"### {title}", "", *draw_table(rows), ""]
    return lines


def write_page(lines: Sequence[str], page: Path = PAGE, *, begin: str = BEGIN, end: str = END) -> None:
    """Put the lines between the page's markers; PageError when it has none."""
    text = page.read_text(encoding="utf-8")
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        msg = f"{page} has no lines {begin!r} and {end!r}; the results belong between them"
        raise PageError(msg)
    results = "\n".join(lines).rstrip("\n")
    page.write_text(f"{before}{begin}\n{results}\n\n{end}{after}", encoding="utf-8")


def say(text: str) -> None:
    """Print progress, on standard error: the table alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)
