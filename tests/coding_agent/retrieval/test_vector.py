"""Laws that every vector index keeps, the embedded one and Chroma alike."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, TypeAlias

import pytest

from coding_agent.retrieval.chroma import ChromaVectorIndex
from coding_agent.retrieval.vector import SqliteVectorIndex, VectorIndex

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HAS_CHROMA = importlib.util.find_spec("chromadb") is not None
KINDS = [
    SqliteVectorIndex,
    pytest.param(
        ChromaVectorIndex,
        marks=pytest.mark.skipif(not HAS_CHROMA, reason="the extra chroma is not installed"),
    ),
]
Open: TypeAlias = "Callable[[str], VectorIndex]"


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], VectorIndex]:
    place = tmp_path / "index" / ("v.db" if request.param is SqliteVectorIndex else "chroma")
    return lambda name: request.param(place, name, dimensions=4)


def test_an_index_never_filled_is_empty_and_makes_no_file(opened: Open, tmp_path: Path) -> None:
    """Asking where nothing was written gives nothing, and leaves nothing behind."""
    index = opened("codebase")
    assert index.search({0: 1.0}, limit=3).hits == ()
    assert index.ids() == set()
    assert not (tmp_path / "index").exists()


def test_the_nearest_come_first_with_their_cosine(opened: Open) -> None:
    """Hits stand by cosine similarity, which is their score; sparse and dense vectors are one."""
    index = opened("codebase")
    index.upsert({"far": {1: 1.0}, "near": [0.6, 0.8, 0.0, 0.0], "same": {0: 1.0}})
    ranking = index.search({0: 1.0}, limit=2)
    assert ranking.ids() == ["same", "near"]
    assert [hit.score for hit in ranking.hits] == pytest.approx([1.0, 0.6], abs=1e-6)
    assert ranking.candidates == 3
    assert index.search([1.0, 0.0, 0.0, 0.0], limit=2).ids() == ["same", "near"]


def test_below_the_similarity_nothing_counts(opened: Open) -> None:
    """A hit below the minimum is left out, one at it stays."""
    index = opened("codebase")
    index.upsert({"half": {0: 0.5, 1: 0.5, 2: 0.5, 3: 0.5}, "none": {1: 1.0}})
    assert index.search({0: 1.0}, limit=9, min_similarity=0.49).ids() == ["half"]
    assert index.search({0: 1.0}, limit=9, min_similarity=0.51).ids() == []


def test_a_vector_is_replaced_and_forgotten(opened: Open) -> None:
    """An id holds one vector; a deleted one is gone, an unknown one is no error."""
    index = opened("codebase")
    index.upsert({"a": {0: 1.0}, "b": {1: 1.0}})
    index.upsert({"a": {1: 1.0}})
    assert index.search({0: 1.0}, limit=9, min_similarity=0.5).ids() == []
    index.delete(["a", "never"])
    assert index.ids() == {"b"}


def test_the_next_process_finds_what_was_kept(opened: Open) -> None:
    """A second index object over the same place sees the first one's vectors."""
    opened("codebase").upsert({"a": {2: 1.0}})
    assert opened("codebase").ids() == {"a"}


def test_a_reset_index_is_empty_and_usable(opened: Open) -> None:
    """After a reset nothing is known, and new vectors are taken."""
    index = opened("codebase")
    index.upsert({"a": {2: 1.0}})
    index.reset("a test")
    assert index.ids() == set()
    index.upsert({"b": {2: 1.0}})
    assert index.ids() == {"b"}


def test_an_empty_query_finds_nothing(opened: Open) -> None:
    """A text without a token has no direction, so nothing is near it."""
    index = opened("codebase")
    index.upsert({"a": {2: 1.0}})
    assert index.search({}, limit=3).hits == ()


def test_vectors_of_another_length_are_not_compared(tmp_path: Path) -> None:
    """A server that changed its model under the same name gives no wrong similarity."""
    index = SqliteVectorIndex(tmp_path / "v.db", "codebase", dimensions=0)
    index.upsert({"old": [1.0, 0.0], "new": [1.0, 0.0, 0.0]})
    ranking = index.search([1.0, 0.0, 0.0], limit=9)
    assert (ranking.ids(), ranking.candidates) == (["new"], 1)


@pytest.mark.skipif(not HAS_CHROMA, reason="the extra chroma is not installed")
def test_chroma_collections_share_a_folder_not_their_ids(tmp_path: Path) -> None:
    """`codebase` and `skills` are served by one client and hold their own."""
    codebase = ChromaVectorIndex(tmp_path / "chroma", "codebase", dimensions=4)
    skills = ChromaVectorIndex(tmp_path / "chroma", "skills", dimensions=4)
    codebase.upsert({"a": {0: 1.0}})
    skills.upsert({"b": {0: 1.0}})
    assert (codebase.ids(), skills.ids()) == ({"a"}, {"b"})
    assert codebase._client() is skills._client()
