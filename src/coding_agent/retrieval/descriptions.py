"""Search among a few described things, say skills: names, one text each, nearest first.

What the things are does not belong here; a skill library and a memory use this through its methods alone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coding_agent.protocols import Embedder

    from .vector import VectorIndex


class DescriptionIndex:
    """Descriptions by name, kept in a vector collection between processes."""

    def __init__(self, vectors: VectorIndex, embedder: Embedder) -> None:
        self.name = vectors.name
        self._vectors = vectors
        self._embedder = embedder
        self._names: dict[str, str] = {}

    def replace(self, descriptions: Mapping[str, str]) -> int:
        """Make the collection hold exactly these; return how many it then holds.

        Unchanged ones are not embedded again. Equal to the number of names given, unless another process
        changes the same collection at the same moment.
        """
        self._names = {_key(name, text): name for name, text in descriptions.items()}
        known = self._vectors.ids()
        missing = [key for key in self._names if key not in known]
        if missing:
            vectors = self._embedder.embed([self._text(descriptions, key) for key in missing])
            self._vectors.upsert(dict(zip(missing, vectors, strict=True)))
        stale = known - self._names.keys()
        if stale:
            self._vectors.delete(stale)
        return self.count()

    def rank(self, text: str, *, limit: int, min_similarity: float = -1.0) -> list[tuple[str, float]]:
        """Return names with their cosine similarity to the text, best first, of those given to `replace`."""
        if not self._names or not text.strip():
            return []
        vector = self._embedder.embed([text])[0]
        ranking = self._vectors.search(vector, limit=limit, min_similarity=min_similarity)
        return [(self._names[hit.id], hit.score) for hit in ranking.hits if hit.id in self._names]

    def count(self) -> int:
        """Return how many descriptions the collection holds."""
        return len(self._vectors.ids())

    def _text(self, descriptions: Mapping[str, str], key: str) -> str:
        name = self._names[key]
        return f"{name}\n{descriptions[name]}"


def _key(name: str, text: str) -> str:
    """Return an id that changes with the description, so that the ids alone tell what is up to date."""
    return hashlib.sha256(f"{name}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
