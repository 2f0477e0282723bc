"""Vectors in SQLite, scanned: exact, embedded, without a further dependency.

An entry is an id and a float32 vector; what the id stands for is its user's business. `VectorIndex` is the
door that the Chroma index offers as well.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Mapping
from operator import itemgetter, mul
from typing import TYPE_CHECKING, Protocol

from ._database import Database
from .rankings import Hit, Ranking, Vector

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


_SCHEMA = "CREATE TABLE vectors (id TEXT NOT NULL PRIMARY KEY, vector BLOB NOT NULL)"
_VERSION = 1
_PAGE_SIZE = 65_536
"""Bytes; a vector of 1,024 dimensions has 4 KiB and shall not be spread over overflow pages."""


class VectorIndex(Protocol):
    """A named collection of vectors on disk."""

    @property
    def name(self) -> str:
        """The collection: `codebase`, `skills`."""

    def search(self, vector: Vector, *, limit: int, min_similarity: float = -1.0) -> Ranking[str]:
        """Return the ids nearest by cosine similarity, which is the score."""

    def upsert(self, vectors: Mapping[str, Vector]) -> None:
        """Keep vectors by id."""

    def delete(self, ids: Collection[str]) -> None:
        """Forget ids; unknown ones are no error."""

    def ids(self) -> set[str]:
        """Return all ids."""

    def reset(self, reason: str) -> None:
        """Begin anew after damage; what was there is set aside where that is possible."""


class SqliteVectorIndex:
    """Vectors of one collection in one file of their own.

    `dimensions` is the length that sparse vectors are written with; dense ones tell their own.
    """

    def __init__(self, path: Path, name: str, *, dimensions: int) -> None:
        self.name = name
        self.dimensions = dimensions
        self._database = Database(path, _SCHEMA, version=_VERSION, page_size=_PAGE_SIZE)

    def search(self, vector: Vector, *, limit: int, min_similarity: float = -1.0) -> Ranking[str]:
        """Return the ids nearest by cosine similarity, which is the score; ties by id."""
        query = {slot: value for slot, value in _items(vector) if value}
        if not query or limit < 1 or not self._database.exists():
            return Ranking((), 0)
        slots, values = list(query), list(query.values())
        # itemgetter gives a tuple only for two and more; the slot counted twice weighs nothing.
        pick = itemgetter(*slots, slots[0])
        values.append(0.0)
        size_bytes = 4 * (self.dimensions if isinstance(vector, Mapping) else len(vector))
        with self._database.reading() as connection:
            # The list is one expression because the loop runs for every vector: it is half as fast again.
            scored = [
                (-sum(map(mul, values, pick(memoryview(blob).cast("f")))), key)
                for key, blob in connection.execute("SELECT id, vector FROM vectors")
                if len(blob) == size_bytes
            ]
        near = [entry for entry in scored if -entry[0] >= min_similarity]
        hits = tuple(Hit(key, -distance) for distance, key in heapq.nsmallest(limit, near))
        return Ranking(hits, len(scored))

    def upsert(self, vectors: Mapping[str, Vector]) -> None:
        """Keep vectors by id; a search compares vectors of its own length only."""
        rows = [(key, self._encode(vector)) for key, vector in vectors.items()]
        with self._database.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def delete(self, ids: Collection[str]) -> None:
        """Forget ids; unknown ones are no error."""
        with self._database.writing() as connection:
            connection.executemany("DELETE FROM vectors WHERE id = ?", [(key,) for key in ids])

    def ids(self) -> set[str]:
        """Return all ids."""
        if not self._database.exists():
            return set()
        with self._database.reading() as connection:
            return {key for (key,) in connection.execute("SELECT id FROM vectors")}

    def reset(self, reason: str) -> None:
        """Set a broken file aside and begin anew."""
        self._database.set_aside(reason)

    def _encode(self, vector: Vector) -> bytes:
        if not isinstance(vector, Mapping):
            return array("f", vector).tobytes()
        dense = array("f", bytes(4 * self.dimensions))
        for slot, value in vector.items():
            dense[slot] = value
        return dense.tobytes()


def _items(vector: Vector) -> list[tuple[int, float]]:
    return list(vector.items() if isinstance(vector, Mapping) else enumerate(vector))
