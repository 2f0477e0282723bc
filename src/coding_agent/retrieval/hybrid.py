"""Hybrid retrieval: words and vectors over one tree, joined by reciprocal rank.

When one stage cannot answer the other goes on, and the mode says who took part. How a stage works does not
belong here.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, TypeVar

from coding_agent.errors import TaskStoppedError
from coding_agent.records import IndexReport, Passage, Retrieval

from ._database import is_corrupt
from .bm25 import Bm25Index
from .rankings import Hit, Ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from pathlib import Path

    from coding_agent.protocols import Embedder

    from .store import ChunkStore
    from .vector import VectorIndex

_log = logging.getLogger(__name__)
T = TypeVar("T")
K = TypeVar("K", bound="Hashable")

RRF_K = 60
"""How fast a rank loses weight; the constant of Cormack, Clarke and Büttcher, SIGIR 2009."""

_CANDIDATES = 50
"""Hits taken from each stage; fusion hardly ever lifts what stands deeper."""
_BATCH = 256
"""Texts embedded and kept at a time: bounds memory, and what a kill costs."""


def fuse(rankings: Iterable[Sequence[K]], k: int = RRF_K) -> list[Hit[K]]:
    """Return all ids of the rankings by the sum of 1/(k + rank), best first: reciprocal rank fusion.

    A repeat within one ranking counts at its best rank only. Ties stand in the order of first appearance.
    """
    scores: dict[K, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(dict.fromkeys(ranking), start=1):
            scores[key] = scores.get(key, 0.0) + 1.0 / (k + rank)
    ordered = sorted(scores.items(), key=lambda item: -item[1])
    return [Hit(key, score) for key, score in ordered]


class HybridRetriever:
    """The passages of one tree that speak of a text."""

    def __init__(
        self,
        root: Path,
        *,
        paths: Callable[[], Sequence[str]],
        store: ChunkStore,
        embedder: Embedder,
        vectors: VectorIndex,
        limit: int = 8,
        min_similarity: float = 0.0,
        name: str = "codebase",
    ) -> None:
        self.name = name
        self.problems: list[str] = []
        """What went wrong and was worked round, in words; also said in the log."""
        self._root = root
        self._paths = paths
        self._store = store
        self._bm25 = Bm25Index(store, name)
        self._embedder = embedder
        self._vectors = vectors
        self._limit = limit
        self._min_similarity = min_similarity
        self._listed: frozenset[str] | None = None

    def index(self) -> IndexReport:
        """Bring the index up to the files as they are now; what cannot be indexed is told by `problems`."""
        paths = self._paths()
        self._listed = frozenset(paths)
        report = self._attempt("bm25", lambda: self._store.update(self._root, paths), self._store.set_aside)
        if report is None:
            return IndexReport(indexed=0, unchanged=0, removed=0, skipped={"index_failed": len(self._listed)})
        self._attempt("vector", self._index_vectors, self._vectors.reset)
        return report

    def retrieve(self, text: str, *, limit: int | None = None) -> Retrieval:
        """Return passages, best first; mode is hybrid, bm25 or vector, or none when no stage could answer."""
        words = self._attempt("bm25", lambda: self._bm25.search(text, limit=_CANDIDATES), self._rebuild)
        nearest = self._attempt("vector", lambda: self._search_vectors(text), self._vectors.reset)
        rankings = [ranking for ranking in (words, nearest) if ranking is not None]
        fused = fuse([ranking.ids() for ranking in rankings])
        passages = self._attempt("passages", lambda: self._passages(fused), self._rebuild) or []
        most = self._limit if limit is None else limit
        return Retrieval(passages=tuple(passages[:most]), mode=_mode(words, nearest), candidates=len(fused))

    def _passages(self, fused: Sequence[Hit[int]]) -> list[Passage]:
        """Return the passages of chunk ids, as far as this tree has them.

        Another task may have indexed its own tree of the same repository meanwhile.
        """
        chunks = self._store.chunks([hit.id for hit in fused])
        found = [(chunks[hit.id], hit.score) for hit in fused if hit.id in chunks]
        return [
            Passage(path=it.path, start_line=it.start_line, end_line=it.end_line, text=it.text, score=score)
            for it, score in found
            if self._listed is None or it.path in self._listed
        ]

    def _index_vectors(self) -> bool:
        """Make the vectors equal to the chunks, by digest; the next pass makes good what a kill left."""
        with self._store.reading() as connection:
            wanted = self._store.digests(connection)
        missing = sorted(wanted - self._vectors.ids())
        for at in range(0, len(missing), _BATCH):
            texts = self._store.texts(missing[at : at + _BATCH])
            vectors = self._embedder.embed(list(texts.values()))
            self._vectors.upsert(dict(zip(texts, vectors, strict=True)))
        self._prune_vectors()
        return True

    def _prune_vectors(self) -> None:
        """Drop vectors without a chunk; under the store's lock, so that nobody adds one meanwhile."""
        with self._store.writing() as connection:
            stale = self._vectors.ids() - self._store.digests(connection)
            if stale:
                self._vectors.delete(stale)

    def _search_vectors(self, text: str) -> Ranking[int]:
        """Return the chunks whose vectors are nearest; equal texts share one vector."""
        if not text.strip():
            return Ranking((), 0)
        vector = self._embedder.embed([text])[0]
        if not vector:
            return Ranking((), 0)
        ranking = self._vectors.search(vector, limit=_CANDIDATES, min_similarity=self._min_similarity)
        if not ranking.candidates and self._store.count()[1]:
            msg = f"collection {self._vectors.name!r} has no vectors that compare, though there are chunks"
            raise LookupError(msg)
        places = self._store.chunk_ids(ranking.ids())
        hits = tuple(Hit(key, hit.score) for hit in ranking.hits for key in places.get(hit.id, ()))
        return Ranking(hits, ranking.candidates)

    def _rebuild(self, reason: str) -> None:
        self._store.set_aside(reason)
        self.index()

    def _attempt(self, stage: str, action: Callable[[], T], mend: Callable[[str], None]) -> T | None:
        """Return what a stage gives, None when it cannot; a broken file is mended and tried again."""
        try:
            try:
                return action()
            except sqlite3.DatabaseError as error:
                if not is_corrupt(error):
                    raise
                self._tell(stage, f"{error}; building anew")
                mend(str(error))
                return action()
        except TaskStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - stores and providers fail in their own ways; retrieval only helps
            self._tell(stage, f"{type(error).__name__}: {error}")
            return None

    def _tell(self, stage: str, what: str) -> None:
        problem = f"retrieval of {self.name}, stage {stage}: {what}"
        self.problems.append(problem)
        _log.warning("%s", problem)


def _mode(words: object | None, nearest: object | None) -> str:
    if words is not None and nearest is not None:
        return "hybrid"
    return "bm25" if words is not None else "vector" if nearest is not None else "none"
