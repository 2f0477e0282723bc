"""Finds the passages of a code base that speak of a text: words, vectors, and both fused.

This page only hands names on. Heavy packages (openai, chromadb) are imported when they are first used.
"""

from __future__ import annotations

from .assembly import build_embedder, build_retriever, build_skill_index, build_vector_index
from .descriptions import DescriptionIndex
from .embedding import Embeddings, HashEmbedder, OpenAIEmbedder
from .hybrid import HybridRetriever, fuse
from .status import IndexStatus, probe_codebase, probe_embedder, probe_vectors, read_index_status

__all__ = [
    "DescriptionIndex",
    "Embeddings",
    "HashEmbedder",
    "HybridRetriever",
    "IndexStatus",
    "OpenAIEmbedder",
    "build_embedder",
    "build_retriever",
    "build_skill_index",
    "build_vector_index",
    "fuse",
    "probe_codebase",
    "probe_embedder",
    "probe_vectors",
    "read_index_status",
]
