"""Brings home what is left in a home and counts the spans of one name.

python -m reliability.loads.counting NAME
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from benchmarks.loads._answer import answer
from taskscope.store.session import bring_home
from taskscope.store.wire import SpanBody


def main() -> None:
    """Answer how many there are, and how many of them came twice."""
    store = Path(os.environ["TASKSCOPE_HOME"]) / "taskscope.db"
    bring_home(store)
    answer(**count_spans(store, sys.argv[1]))


def count_spans(store: Path, name: str) -> dict[str, int]:
    """Spans of a name in a store, and those of them whose id stands there already."""
    with closing(sqlite3.connect(store)) as connection:
        rows = connection.execute("SELECT span, body FROM span").fetchall()
    ids = [span for span, body in rows if SpanBody(body).name == name]
    return {"spans": len(set(ids)), "twice": len(ids) - len(set(ids))}


def count_all(store: Path) -> tuple[int, int]:
    """All spans of a store, and those of them whose id stands there already."""
    with closing(sqlite3.connect(store)) as connection:
        rows, ids = connection.execute("SELECT count(*), count(DISTINCT span) FROM span").fetchone()
    return ids, rows - ids


if __name__ == "__main__":
    main()
