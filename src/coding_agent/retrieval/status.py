"""What a health check may ask: is there an index, does a collection answer, does an embedder embed.

Nothing here makes an index, downloads a model or spends money.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .assembly import CODEBASE, STORE_FILE, build_embedder, build_vector_index, index_root
from .store import ChunkStore

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.protocols import Embedder
    from coding_agent.records import AgentSettings

    from .vector import VectorIndex

_PROBE = "def total(prices): return sum(prices)"
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatus:
    """The code indexes below one home."""

    repositories: int
    files: int
    chunks: int


def read_index_status(home: Path) -> IndexStatus:
    """Return how much is indexed, all repositories together; sqlite3.Error when an index cannot be read."""
    stores = [ChunkStore(path) for path in sorted(index_root(home).glob(f"*/{STORE_FILE}"))]
    counts = [store.count() for store in stores]
    return IndexStatus(
        repositories=len(counts),
        files=sum(files for files, _chunks in counts),
        chunks=sum(chunks for _files, chunks in counts),
    )


def probe_vectors(vectors: VectorIndex) -> int:
    """Return how many vectors a collection holds, after having searched it; raises what the store raises."""
    vectors.search({0: 1.0}, limit=1)
    return len(vectors.ids())


def probe_codebase(settings: AgentSettings) -> int:
    """Return how many vectors the collections `codebase` of all repositories hold.

    Raises what the store raises; ToolMissingError where the settings say Chroma and it is not installed, also
    when nothing is indexed yet.
    """
    embedder = build_embedder(settings)
    folders = [path.parent for path in sorted(index_root(settings.home).glob(f"*/{STORE_FILE}"))]
    places = folders or [index_root(settings.home)]  # a place that is not there holds nothing, and stays so
    collections = [build_vector_index(settings, folder, CODEBASE, embedder) for folder in places]
    return sum(probe_vectors(vectors) for vectors in collections)


def probe_embedder(embedder: Embedder) -> int | None:
    """Return the dimensions of a vector that was embedded just now; None for a provider, which is not asked.

    ValueError when the vector does not have unit length.
    """
    if embedder.provider != "local":
        return None
    vector = embedder.embed([_PROBE])[0]
    values = vector.values() if isinstance(vector, Mapping) else vector
    length = math.sqrt(sum(value * value for value in values))
    if abs(length - 1.0) > _TOLERANCE:
        msg = f"embedder {embedder.name!r} gave a vector of length {length:.4f}, expected 1"
        raise ValueError(msg)
    return embedder.dimensions
