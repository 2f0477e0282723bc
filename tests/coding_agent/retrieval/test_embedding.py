"""Laws of the hash embedder and of the cache behind every embedder."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coding_agent.retrieval.cache import EmbeddingCache
from coding_agent.retrieval.embedding import HashEmbedder

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.retrieval.rankings import Vector


def cosine(left: Vector, right: Vector) -> float:
    assert isinstance(left, Mapping)
    assert isinstance(right, Mapping)
    return sum(value * right.get(slot, 0.0) for slot, value in left.items())


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=300))
def test_a_vector_has_unit_length_or_nothing(text: str) -> None:
    """Any text embeds without an error: to unit length inside the dimensions, or to the empty vector."""
    (vector,) = HashEmbedder().embed([text])
    assert isinstance(vector, Mapping)
    assert all(0 <= slot < 1024 for slot in vector)
    length = math.sqrt(sum(value * value for value in vector.values()))
    assert not vector or length == pytest.approx(1.0, abs=1e-5)


def test_names_alike_are_near_and_others_far() -> None:
    """4-grams make `parse_invoice` more like `parsing invoices` than like a text that shares nothing."""
    query, near, far = HashEmbedder().embed(
        ["parsing invoices", "def parse_invoice(): ...", "class Window: ..."]
    )
    assert cosine(query, near) > 0.15 > abs(cosine(query, far))


def test_the_embedder_names_what_it_is() -> None:
    """Its name tells method and dimension, its provider that nothing leaves this process."""
    embedder = HashEmbedder()
    assert (embedder.name, embedder.provider, embedder.dimensions) == ("hash-1024", "local", 1024)
    result = embedder.embed(["a", "b"])
    assert (len(result), result.cache_hits, result.live_calls, result.usage) == (2, 0, 0, None)


def test_what_was_embedded_once_comes_from_the_cache(tmp_path: Path) -> None:
    """A second process finds the same vectors on disk, to the last bit, and is told how many."""
    texts = ["def total(): ...", "class Cart: ...", "def total(): ..."]
    first = HashEmbedder(cache=EmbeddingCache(tmp_path / "cache.db")).embed(texts)
    again = HashEmbedder(cache=EmbeddingCache(tmp_path / "cache.db")).embed([*texts, "new"])
    assert first.cache_hits == 0
    assert again.cache_hits == 3
    assert list(again[:3]) == list(first) == list(HashEmbedder().embed(texts))


def test_models_do_not_share_vectors(tmp_path: Path) -> None:
    """The same text under another dimension is not a hit."""
    cache = EmbeddingCache(tmp_path / "cache.db")
    HashEmbedder(1024, cache=cache).embed(["total"])
    assert HashEmbedder(256, cache=cache).embed(["total"]).cache_hits == 0


def test_the_cache_keeps_the_newest(tmp_path: Path) -> None:
    """Above its limit the oldest vectors leave."""
    cache = EmbeddingCache(tmp_path / "cache.db", limit=2)
    for text in ("one", "two", "three"):
        HashEmbedder(cache=cache).embed([text])
    assert set(cache.get("hash-1024", ["one", "two", "three"])) == {"two", "three"}


def test_a_broken_cache_is_a_miss_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Garbage in the cache's file costs one warning and no vector; the garbage is kept beside it."""
    path = tmp_path / "cache.db"
    path.write_bytes(b"no database at all " * 100)
    result = HashEmbedder(cache=EmbeddingCache(path)).embed(["total"])
    assert len(result) == 1
    assert "set aside" in caplog.text
    assert path.with_name("cache.db.broken").read_bytes().startswith(b"no database")
    assert HashEmbedder(cache=EmbeddingCache(path)).embed(["total"]).cache_hits == 1


def test_a_cache_without_a_place_is_a_miss_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where no file can be made, embedding goes on."""
    (tmp_path / "file").write_text("in the way")
    result = HashEmbedder(cache=EmbeddingCache(tmp_path / "file" / "cache.db")).embed(["total"])
    assert len(result) == 1
    assert "embedding anew" in caplog.text


def test_the_cache_is_for_its_owner_only(tmp_path: Path) -> None:
    """Files have mode 600, folders 700."""
    HashEmbedder(cache=EmbeddingCache(tmp_path / "a" / "cache.db")).embed(["total"])
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a").iterdir()} == {0o600}


def test_a_cache_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    """A file that another release wrote is set aside, not read."""
    path = tmp_path / "cache.db"
    HashEmbedder(cache=EmbeddingCache(path)).embed(["total"])
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert HashEmbedder(cache=EmbeddingCache(path)).embed(["total"]).cache_hits == 0
    assert path.with_name("cache.db.broken").exists()
