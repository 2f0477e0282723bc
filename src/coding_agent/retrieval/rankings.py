"""What the stages of a retrieval hand on: ids with scores, best first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

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
