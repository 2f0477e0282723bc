"""Vectors in Chroma, an extra: approximate, for collections that are too large to scan.

Vectors are always our own: Chroma's default embedding function would download a model. One client serves a
path in a process, since Chroma refuses a second one with other settings.
"""

from __future__ import annotations

import logging
import threading
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coding_agent.errors import ToolMissingError

from ._database import make_private
from .rankings import Hit, Ranking, Vector

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


_log = logging.getLogger(__name__)

_clients: dict[str, Any] = {}
_clients_lock = threading.Lock()

_DELETE_BATCH = 1_000


class ChromaVectorIndex:
    """Vectors of one collection in a Chroma folder."""

    def __init__(self, path: Path, name: str, *, dimensions: int) -> None:
        self.name = name
        self.dimensions = dimensions
        self._path = path

    def search(self, vector: Vector, *, limit: int, min_similarity: float = -1.0) -> Ranking[str]:
        """Return the ids nearest by cosine similarity, which is the score; ties by id."""
        _load()  # a missing package is told even where nothing was kept yet
        if not vector or limit < 1 or not self._path.exists():
            return Ranking((), 0)
        collection = self._collection()
        count = collection.count()
        if not count:
            return Ranking((), 0)
        found = collection.query(
            query_embeddings=[self._dense(vector)], n_results=min(limit, count), include=["distances"]
        )
        scored = sorted(
            (distance - 1.0, key)
            for key, distance in zip(found["ids"][0], found["distances"][0], strict=True)
        )
        hits = tuple(Hit(key, -negative) for negative, key in scored if -negative >= min_similarity)
        return Ranking(hits, count)

    def upsert(self, vectors: Mapping[str, Vector]) -> None:
        """Keep vectors by id."""
        ids = list(vectors)
        collection = self._collection()
        step = self._client().get_max_batch_size()
        for at in range(0, len(ids), step):
            batch = ids[at : at + step]
            collection.upsert(ids=batch, embeddings=[self._dense(vectors[key]) for key in batch])

    def delete(self, ids: Collection[str]) -> None:
        """Forget ids; unknown ones are no error."""
        known = sorted(self.ids() & set(ids))
        for at in range(0, len(known), _DELETE_BATCH):
            self._collection().delete(ids=known[at : at + _DELETE_BATCH])

    def ids(self) -> set[str]:
        """Return all ids."""
        if not self._path.exists():
            return set()
        return set(self._collection().get(include=[])["ids"])

    def reset(self, reason: str) -> None:
        """Drop the collection; a folder that Chroma cannot open at all has to be removed by hand."""
        _log.warning("chroma collection %s in %s is begun anew: %s", self.name, self._path, reason)
        self._client().delete_collection(self.name)

    def _collection(self) -> Any:
        return self._client().get_or_create_collection(
            self.name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def _client(self) -> Any:
        with _clients_lock:
            key = str(self._path)
            if key not in _clients:
                chromadb = _load()
                make_private(self._path)
                settings = chromadb.config.Settings(anonymized_telemetry=False)
                _clients[key] = chromadb.PersistentClient(path=key, settings=settings)
            return _clients[key]

    def _dense(self, vector: Vector) -> list[float]:
        if not isinstance(vector, Mapping):
            return list(vector)
        dense = array("f", bytes(4 * self.dimensions))
        for slot, value in vector.items():
            dense[slot] = value
        return dense.tolist()


def _load() -> Any:
    try:
        import chromadb
        import chromadb.config
    except ModuleNotFoundError as error:
        msg = "vector store 'chroma' needs the package 'chromadb', which is not installed"
        raise ToolMissingError(
            msg, hint="pip install 'taskscope[chroma]', or use the vector store 'sqlite'"
        ) from error
    return chromadb
