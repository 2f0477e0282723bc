"""Vectors in Chroma, an extra: approximate, for collections that are too large to scan.

Either in a folder of the agent's home or on a server of its own. Vectors are always our own: Chroma's default
embedding function would download a model. One client serves a place in a process, since Chroma refuses a
second one with other settings.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coding_agent.errors import ToolMissingError
from coding_agent.shared_files import make_private

from .rankings import Hit, Ranking, Vector

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


_log = logging.getLogger(__name__)

_clients: dict[str, Any] = {}
_clients_lock = threading.Lock()

_DELETE_BATCH = 1_000


class ChromaVectorIndex:
    """Vectors of one collection in a Chroma folder, or on the Chroma server of `url`.

    A server keeps those of all repositories side by side, so there the folder is a part of the name.
    """

    def __init__(self, path: Path, name: str, *, dimensions: int, url: str | None = None) -> None:
        self.name = name
        self.dimensions = dimensions
        self._path = path
        self._url = url
        place = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        self._collection_name = f"{name}-{place}" if url else name

    def search(self, vector: Vector, *, limit: int, min_similarity: float = -1.0) -> Ranking[str]:
        """Return the ids nearest by cosine similarity, which is the score; ties by id."""
        _load()  # a missing package is told even where nothing was kept yet
        collection = self._find_collection() if vector and limit > 0 else None
        count = collection.count() if collection is not None else 0
        if not count:
            return Ranking((), 0)
        assert collection is not None
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
        collection = self._find_collection()
        return set() if collection is None else set(collection.get(include=[])["ids"])

    def reset(self, reason: str) -> None:
        """Drop the collection; a folder that Chroma cannot open at all has to be removed by hand."""
        _log.warning("chroma collection %s in %s is begun anew: %s", self.name, self._path, reason)
        self._client().delete_collection(self._collection_name)

    def _find_collection(self) -> Any:
        """Return the collection, None when nothing was kept yet: a question makes nothing."""
        if self._url is None:
            return self._collection() if self._path.exists() else None
        client = self._client()
        try:
            return client.get_collection(self._collection_name, embedding_function=None)
        except _load().errors.NotFoundError:
            return None

    def _collection(self) -> Any:
        return self._client().get_or_create_collection(
            self._collection_name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def _client(self) -> Any:
        with _clients_lock:
            key = self._url or str(self._path)
            if key not in _clients:
                chromadb = _load()
                settings = chromadb.config.Settings(anonymized_telemetry=False)
                _clients[key] = self._connect(chromadb, settings)
            return _clients[key]

    def _connect(self, chromadb: Any, settings: Any) -> Any:
        if self._url is None:
            make_private(self._path)
            return chromadb.PersistentClient(path=str(self._path), settings=settings)
        parts = urlsplit(self._url)
        is_secure = parts.scheme == "https"
        port = parts.port or (443 if is_secure else 80)
        return chromadb.HttpClient(host=parts.hostname or "", port=port, ssl=is_secure, settings=settings)

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
        import chromadb.errors
    except ModuleNotFoundError as error:
        msg = "vector store 'chroma' needs the package 'chromadb', which is not installed"
        raise ToolMissingError(
            msg, hint="pip install 'taskscope[chroma]', or use the vector store 'sqlite'"
        ) from error
    return chromadb
