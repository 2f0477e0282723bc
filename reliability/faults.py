"""Faults raised within: the application gets what it would have got, and the writer comes back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from .findings import Finding, add_up, how_many, none_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .stage import Stage

TITLE = "Faults within"
MUST = (
    "A fault raised at every internal call site, also MemoryError, RecursionError, and SystemExit in the "
    "writer: the application's results and exceptions identical, writer back < 1 s."
)
_ALL = 0
_PROCESSES = 2


def prove(stage: Stage) -> list[Finding]:
    """Plant each of the faults in a life of its own; at a small scale, some of them."""
    if stage.scale >= 1:
        with ThreadPoolExecutor(_PROCESSES) as pool:
            answers = list(pool.map(lambda seed: _plant_from(stage, seed), range(_PROCESSES)))
    else:
        most = stage.count(2_000, 8)
        answers = [stage.ask("faults", most, 7, 2_000 // most, home=stage.folder / "faults")]
    counts = add_up(answers)
    return [
        how_many("functions called from within, on both sides", answers[0]["sites"]),
        none_of("lives that were disturbed", counts["disturbed"], counts["faults"]),
        none_of("writers that did not come back", counts["not_back"], counts["faults"]),
        none_of("writers that took more than a second", counts["late"], counts["faults"]),
    ]


def _plant_from(stage: Stage, seed: int) -> Mapping[str, Any]:
    """All faults from one on, in steps of as many as there are processes."""
    return stage.ask("faults", _ALL, seed, _PROCESSES, home=stage.folder / f"faults-{seed}")
