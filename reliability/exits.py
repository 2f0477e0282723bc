"""Programs and children that end without a word: what had ended before is in the store."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from .findings import Finding, all_of, none_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "Exits without a goodbye"
MUST = (
    "`os._exit`, default SIGTERM, multiprocessing fork/spawn/forkserver children, `concurrent.futures` "
    "process pool: 400 of 400 spans each."
)
WAYS = {
    "os_exit": "`os._exit`",
    "sigterm": "default SIGTERM",
    "fork": "multiprocessing, fork",
    "spawn": "multiprocessing, spawn",
    "forkserver": "multiprocessing, forkserver",
    "pool": "process pool of concurrent.futures",
}


def prove(stage: Stage) -> list[Finding]:
    """End each way once, with all spans."""
    return [finding for way, words in WAYS.items() for finding in _prove_way(stage, way, words)]


def _prove_way(stage: Stage, way: str, words: str) -> list[Finding]:
    home = stage.folder / way
    spans = stage.count(400, 40)
    expected = -signal.SIGTERM if way == "sigterm" else 0
    stage.ask("exits", way, spans, home=home, expected=expected)
    counts = stage.ask("counting", "work", home=home)
    return [
        all_of(f"{words}: spans in the store", counts["spans"], spans),
        none_of(f"{words}: spans that came twice", counts["twice"], spans),
    ]
