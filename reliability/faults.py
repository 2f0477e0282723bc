"""Faults raised within: the application gets what it would have got, and the writer comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, add_up, how_many, none_of

if TYPE_CHECKING:
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
        counts = add_up(
            stage.ask("faults", _ALL, seed, _PROCESSES, home=stage.folder / f"faults-{seed}")
            for seed in range(_PROCESSES)
        )
    else:
        most = stage.count(2_000, 8)
        counts = dict(stage.ask("faults", most, 7, 2_000 // most, home=stage.folder / "faults"))
    return [
        how_many("functions called from within, on both sides", counts["sites"]),
        none_of("lives that were disturbed", counts["disturbed"], counts["faults"]),
        none_of("writers that did not come back", counts["not_back"], counts["faults"]),
    ]
