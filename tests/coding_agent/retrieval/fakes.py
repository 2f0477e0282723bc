"""A small repository on disk, and stages that cannot answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coding_agent.records import AgentSettings
from coding_agent.retrieval import build_retriever

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coding_agent.retrieval import HybridRetriever
    from coding_agent.retrieval.embedding import Embeddings


class FakeTree:
    """Files below a root; `paths` lists what is there, as git would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def write(self, path: str, content: str | bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())

    def paths(self) -> Sequence[str]:
        found = (path for path in self.root.rglob("*") if path.is_symlink() or not path.is_dir())
        return sorted(str(path.relative_to(self.root)) for path in found)


class FakeFailingEmbedder:
    """Cannot embed, for the reason given."""

    name = "broken"
    provider = "local"
    dimensions = 1024

    def __init__(self, error: Exception) -> None:
        self.error = error

    def embed(self, texts: Sequence[str]) -> Embeddings:
        raise self.error


def open_retriever(
    home: Path, tree: FakeTree, *, repository: Path | None = None, **settings: object
) -> HybridRetriever:
    """Return the retriever as the agent builds it."""
    return build_retriever(
        AgentSettings(home=home, **settings),  # type: ignore[arg-type]
        repository=repository or tree.root,
        root=tree.root,
        paths=tree.paths,
    )
