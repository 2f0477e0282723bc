"""Embeddings on disk by the content of their text, so that what was embedded once costs nothing again.

Bounded by count, the oldest leave first. A cache that cannot be read or written is a miss, said in the log.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._database import Database, is_corrupt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .rankings import Vector


_log = logging.getLogger(__name__)

_SCHEMA = "CREATE TABLE embeddings (key BLOB NOT NULL UNIQUE, slots BLOB, weights BLOB NOT NULL)"
_EVICT = "DELETE FROM embeddings WHERE rowid <= (SELECT max(rowid) - ? FROM embeddings)"
_VERSION = 1
_LIMIT = 50_000
"""Vectors kept; about 1.5 KB each when hashed, 6 KB for 1,536 dense dimensions."""
_WAIT = 2.0
"""Seconds to wait for another process: beyond that, embedding anew is the better deal."""
_BATCH = 500


class EmbeddingCache:
    """Vectors by model and text, shared by all repositories and processes of one home."""

    def __init__(self, path: Path, *, limit: int = _LIMIT) -> None:
        self._database = Database(path, _SCHEMA, version=_VERSION, wait=_WAIT)
        self._limit = limit

    def get(self, model: str, texts: Sequence[str]) -> dict[str, Vector]:
        """Return the vectors that are known, by text."""
        keys = {_key(model, text): text for text in texts}
        try:
            rows = self._read(list(keys))
        except (sqlite3.Error, OSError) as error:
            self._failed("read", error)
            return {}
        return {keys[key]: _decode(slots, weights) for key, slots, weights in rows}

    def put(self, model: str, vectors: Mapping[str, Vector]) -> None:
        """Keep vectors by text."""
        rows = [(_key(model, text), *_encode(vector)) for text, vector in vectors.items()]
        try:
            with self._database.writing() as connection:
                connection.executemany("INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?)", rows)
                connection.execute(_EVICT, (self._limit,))
        except (sqlite3.Error, OSError) as error:
            self._failed("write", error)

    def _read(self, keys: Sequence[bytes]) -> list[tuple[bytes, bytes | None, bytes]]:
        rows: list[tuple[bytes, bytes | None, bytes]] = []
        with self._database.reading() as connection:
            for at in range(0, len(keys), _BATCH):
                batch = keys[at : at + _BATCH]
                marks = ", ".join("?" * len(batch))
                query = f"SELECT key, slots, weights FROM embeddings WHERE key IN ({marks})"  # noqa: S608 - marks only
                rows += connection.execute(query, batch)
        return rows

    def _failed(self, action: str, error: Exception) -> None:
        _log.warning("embedding cache %s: cannot %s (%s), embedding anew", self._database.path, action, error)
        if isinstance(error, sqlite3.Error) and is_corrupt(error):
            self._database.set_aside(str(error))


def _key(model: str, text: str) -> bytes:
    return hashlib.sha256(f"{model}\0{text}".encode("utf-8", "surrogatepass")).digest()[:16]


def _encode(vector: Vector) -> tuple[bytes | None, bytes]:
    if isinstance(vector, Mapping):
        return array("I", vector).tobytes(), array("f", vector.values()).tobytes()
    return None, array("f", vector).tobytes()


def _decode(slots: bytes | None, weights: bytes) -> Vector:
    values = array("f", weights)
    return values if slots is None else dict(zip(array("I", slots), values, strict=True))
