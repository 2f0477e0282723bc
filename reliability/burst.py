"""A burst that is faster than the writer: nothing is lost, and memory stays bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, all_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "A burst of spans, defaults"
MUST = "50,000 spans: 0 lost, peak RSS < +40 MB."
_ROUNDS = 3
_LIMIT_MB = 40
_MB = 1e6


def prove(stage: Stage) -> list[Finding]:
    """Compare the peak with that of the same program without telemetry; the worst of three rounds counts."""
    spans = stage.count(50_000, 500)
    rounds = _ROUNDS if stage.scale >= 1 else 1
    stored, added = 0, []
    for number in range(rounds):
        home = stage.folder / f"burst-{number}"
        without = stage.ask("burst", spans, home=home, TASKSCOPE_DISABLED="1")
        observed = stage.ask("burst", spans, home=home)
        counts = stage.ask("counting", "work", home=home)
        stored += counts["spans"] + stage.ask("counting", "root", home=home)["spans"]
        added.append((observed["peak_bytes"] - without["peak_bytes"]) / _MB)
    peak = Finding("peak RSS added, the worst round", round(max(added), 1), most=_LIMIT_MB, unit="MB")
    return [all_of("spans in the store", stored, spans * rounds), peak]
