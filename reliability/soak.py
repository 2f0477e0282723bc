"""A long run with bursts: memory does not grow, the store keeps its bound, and the sums are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, all_of, how_many, none_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "Soak"
MUST = (
    "1 h at 1,000 spans/s, compressed to 15 min at 4,000/s: RSS slope (Theil-Sen) < 1 MB/h, store bounded, "
    "sums equal."
)
_SPANS = 3_600_000
_PER_SECOND = 4_000
_LIMIT_BYTES = 200_000_000
_AROUND_BYTES = 64_000_000 + 9_000_000
"""Of the write-ahead log before it is cut back, and of a journal: both stand beside the store's own size."""
_MILLIONS_AN_HOUR = 3.6


def prove(stage: Stage) -> list[Finding]:
    """Run for a compressed hour; at a small scale the slope means nothing and is not asked for."""
    spans = stage.count(_SPANS, 2_000)
    home = stage.folder / "soak"
    answer = stage.ask("soak", spans, _PER_SECOND, home=home, TASKSCOPE_STORE_LIMIT=str(_LIMIT_BYTES))
    slope = round(answer["mb_per_million"] * _MILLIONS_AN_HOUR, 2)
    words = "growth of resident memory in an hour at 1,000/s"
    return [
        how_many("seconds that it took", round(answer["took_s"])),
        Finding(words, slope, most=1, unit="MB") if stage.scale >= 1 else how_many(words, slope),
        how_many("most of it in the first half of the time watched, MB", round(answer["before_mb"], 1)),
        how_many("most of it in the second half, MB", round(answer["after_mb"], 1)),
        Finding(
            "greatest size of store, log and journals", round(answer["largest_bytes"] / 1e6, 1),
            most=(_LIMIT_BYTES + _AROUND_BYTES) / 1e6, unit="MB",
        ),
        all_of("spans in the metrics made of the record", answer["emitted"], answer["made"]),
        none_of("spans dropped", answer["dropped"], answer["made"]),
    ]  # fmt: skip
