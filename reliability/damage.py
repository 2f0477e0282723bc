"""Journals and bodies that were damaged: nothing crashes, and no record appears that nobody wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, add_up, how_many, none_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "Damaged journals and bodies"
MUST = "Every byte of a journal flipped; 10^6 fuzzed journals and OTLP bodies: no crash, no false record."
_POSITIONS = 100_000
"""More than the journal has bytes: each of them is flipped, to its inverse and to another value."""


def prove(stage: Stage) -> list[Finding]:
    """Flip, fuzz, bring damaged journals home, and read spoilt bodies beside protobuf."""
    flips = stage.ask("damage", stage.count(_POSITIONS, 200), 0, "flips", home=stage.folder / "flips")
    fuzz = add_up(stage.ask_shares("damage", stage.count(1_000_000, 500), "fuzz"))
    homes = add_up(stage.ask_shares("remains", stage.count(1_000, 10)))
    bodies = add_up(stage.ask_shares("bodies", stage.count(1_000_000, 500)))
    read = bodies["equal"] + bodies["false"]
    return [
        none_of("flipped: crashes", flips["crashes"], flips["reads"]),
        none_of("flipped: reads with a false record", flips["false"], flips["reads"]),
        how_many("flipped: reads that missed something", flips["changed"]),
        none_of("fuzzed journals: crashes", fuzz["crashes"], fuzz["reads"]),
        none_of("fuzzed journals: reads with a false record", fuzz["false"], fuzz["reads"]),
        how_many("fuzzed journals: reads that missed something", fuzz["changed"]),
        none_of("damaged journals brought home: crashes", homes["crashes"], homes["stores"]),
        none_of("damaged journals brought home: false spans", homes["false"], homes["spans"]),
        none_of("damaged journals brought home: journals left", homes["left"], homes["stores"]),
        none_of("spoilt bodies: crashes", bodies["crashes"], sum(bodies.values())),
        none_of("spoilt bodies: read otherwise than protobuf reads them", bodies["false"], read),
        how_many("spoilt bodies: refused", bodies["refused"]),
        how_many("spoilt bodies: read though protobuf refuses them", bodies["lenient"]),
    ]
