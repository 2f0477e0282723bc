"""An attribute far beyond any limit costs nobody but itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, all_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "An attribute of 20 MB among 22 spans"
MUST = "21 of 22 delivered to a sink that takes 4 MB, the 22nd kept with a marker and counted."
_SPANS = 22
_LIMIT_BYTES = 64 * 1024


def prove(stage: Stage) -> list[Finding]:
    """Store them; what is cut says so and how large it was."""
    megabytes = stage.count(20, 2)
    answer = stage.ask("fat", _SPANS, megabytes, home=stage.folder / "fat")
    return [
        all_of("spans in the store", answer["stored"], _SPANS),
        Finding("bytes kept of the fat attribute", answer["kept_bytes"], most=_LIMIT_BYTES, least=1),
        all_of("its kept part is its beginning", int(answer["is_beginning"]), 1),
        all_of("it is marked as cut", int(answer["is_marked"]), 1),
        all_of("bytes that it says it had", answer["told_size"], megabytes * 1_000_000),
    ]
