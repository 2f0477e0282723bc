"""What the stages of a retrieval hand on: vectors, and ids with scores, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

Vector: TypeAlias = Mapping[int, float] | Sequence[float]
"""Dense, or sparse as index to value; unit length, or empty for a text that says nothing."""

K = TypeVar("K", bound="Hashable")


@dataclass(frozen=True, slots=True)
class Hit(Generic[K]):
    """One entry that a stage found; the score's meaning is the stage's, higher is better."""

    id: K
    score: float


@dataclass(frozen=True, slots=True)
class Ranking(Generic[K]):
    """What one stage found, best first."""

    hits: tuple[Hit[K], ...]
    candidates: int
    """Entries that matched, or were compared, before the cut to the result count."""

    def __len__(self) -> int:
        return len(self.hits)

    def ids(self) -> list[K]:
        """Return the ids, best first."""
        return [hit.id for hit in self.hits]
