"""Retrieval put together as the settings say, and where it lives below the agent's home.

`index/<repository>/` for each of the user's repositories, `index/skills/`, and one embedding cache for all.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

from .cache import EmbeddingCache
from .chroma import ChromaVectorIndex
from .descriptions import DescriptionIndex
from .embedding import HashEmbedder, OpenAIEmbedder
from .hybrid import HybridRetriever
from .store import ChunkStore
from .vector import SqliteVectorIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from coding_agent.protocols import Embedder, ModelGate
    from coding_agent.records import AgentSettings

    from .vector import VectorIndex

STORE_FILE = "chunks.db"
_CACHE_FILE = "embeddings.db"
CODEBASE = "codebase"
_SKILLS = "skills"
_OPENAI = "openai:"


def index_root(home: Path) -> Path:
    """Return the folder of all indexes."""
    return home / "index"


def index_folder(home: Path, repository: Path) -> Path:
    """Return the folder of one repository's index; the user's path is the key, work trees come and go."""
    key = hashlib.sha256(os.fsencode(os.path.realpath(repository))).hexdigest()[:16]
    return index_root(home) / key


def build_embedder(
    settings: AgentSettings, *, gate: ModelGate | None = None
) -> HashEmbedder | OpenAIEmbedder:
    """Return the embedder that the settings name: `hash`, or `openai:MODEL`; ValueError for another."""
    cache = EmbeddingCache(index_root(settings.home) / _CACHE_FILE)
    if settings.embedder == "hash":
        return HashEmbedder(cache=cache)
    model = settings.embedder.removeprefix(_OPENAI)
    if not settings.embedder.startswith(_OPENAI) or not model:
        msg = f"embedder {settings.embedder!r} is unknown, expected 'hash' or 'openai:MODEL'"
        raise ValueError(msg)
    return OpenAIEmbedder(
        model,
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        gate=gate,
        cache=cache,
        is_allowed=settings.live_models,
    )


def build_vector_index(settings: AgentSettings, folder: Path, name: str, embedder: Embedder) -> VectorIndex:
    """Return the collection `name` in a folder, one for each embedder since vectors of two do not compare."""
    if settings.vector_store not in {"sqlite", "chroma"}:
        msg = f"vector store {settings.vector_store!r} is unknown, expected 'sqlite' or 'chroma'"
        raise ValueError(msg)
    model = f"{embedder.provider}-{embedder.name}"
    slug = (
        re.sub(r"[^A-Za-z0-9-]+", "-", embedder.name)[:40]
        + "-"
        + hashlib.sha256(model.encode()).hexdigest()[:8]
    )
    if settings.vector_store == "chroma":
        return ChromaVectorIndex(
            folder / f"chroma-{slug}", name, dimensions=embedder.dimensions, url=settings.chroma_url
        )
    return SqliteVectorIndex(folder / f"vectors-{slug}.db", name, dimensions=embedder.dimensions)


def build_retriever(
    settings: AgentSettings,
    *,
    repository: Path,
    root: Path,
    paths: Callable[[], Sequence[str]],
    gate: ModelGate | None = None,
) -> HybridRetriever:
    """Return the retriever over the work tree `root` of a user's repository.

    `paths` names the files to index, relative to the root and without those that git ignores.
    """
    embedder = build_embedder(settings, gate=gate)
    folder = index_folder(settings.home, repository)
    return HybridRetriever(
        root,
        paths=paths,
        store=ChunkStore(folder / STORE_FILE),
        embedder=embedder,
        vectors=build_vector_index(settings, folder, CODEBASE, embedder),
        limit=settings.retrieval_results,
        min_similarity=settings.retrieval_min_similarity,
    )


def build_skill_index(settings: AgentSettings, *, gate: ModelGate | None = None) -> DescriptionIndex:
    """Return the index of skill descriptions, collection `skills`."""
    embedder = build_embedder(settings, gate=gate)
    vectors = build_vector_index(settings, index_root(settings.home) / _SKILLS, _SKILLS, embedder)
    return DescriptionIndex(vectors, embedder)
