"""The encoding by hand: upstream's bytes, and no span lost to a value that nobody can encode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Finding, add_up, all_of, none_of

if TYPE_CHECKING:
    from .stage import Stage

TITLE = "Encoding by hand"
MUST = (
    "50,000 random spans, some with hostile values (surrogates, 2^200, NaN, deep, cyclic, `__str__` raises): "
    "clean ones byte-identical to upstream's encoder, 0 spans lost."
)


def prove(stage: Stage) -> list[Finding]:
    """Encode, compare, store and count."""
    counts = add_up(stage.ask_shares("encoding", stage.count(50_000, 200)))
    made = counts["clean"] + counts["hostile"] + counts["lost"]
    return [
        none_of("clean spans with other bytes than upstream's", counts["unequal"], counts["clean"]),
        all_of("clean and hostile spans in the store", counts["stored"], made),
    ]
