"""Laws of what a health check may ask of retrieval, and of retrieval without Chroma."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from coding_agent.errors import ToolMissingError
from coding_agent.records import AgentSettings
from coding_agent.retrieval import (
    HashEmbedder,
    OpenAIEmbedder,
    build_embedder,
    probe_codebase,
    probe_embedder,
    probe_vectors,
    read_index_status,
)
from coding_agent.retrieval.assembly import index_folder
from coding_agent.retrieval.chroma import ChromaVectorIndex
from coding_agent.retrieval.embedding import Embeddings
from coding_agent.retrieval.vector import SqliteVectorIndex
from tests.coding_agent.retrieval.fakes import FakeTree, open_retriever

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    tree = FakeTree(tmp_path / "tree")
    tree.write("a.py", "def total(): ...\n")
    tree.write("b.bin", b"\0")
    return tree


def test_nothing_indexed_reads_as_nothing_and_makes_nothing(tmp_path: Path) -> None:
    """A fresh home has no index, and asking does not make one."""
    status = read_index_status(tmp_path / "home")
    assert (status.repositories, status.files, status.chunks) == (0, 0, 0)
    assert not (tmp_path / "home").exists()


def test_the_status_counts_all_repositories(tmp_path: Path, tree: FakeTree) -> None:
    """Indexes of several repositories add up; skipped files are not indexed ones."""
    open_retriever(tmp_path / "home", tree).index()
    open_retriever(tmp_path / "home", tree, repository=tmp_path / "other").index()
    status = read_index_status(tmp_path / "home")
    assert (status.repositories, status.files, status.chunks) == (2, 2, 2)


def test_a_collection_answers_with_its_count(tmp_path: Path, tree: FakeTree) -> None:
    """The probe searches for real and returns how many vectors there are; an unreadable file raises."""
    retriever = open_retriever(tmp_path / "home", tree)
    retriever.index()
    assert probe_vectors(retriever._vectors) == 1
    blocked = SqliteVectorIndex(tmp_path / "blocked", "codebase", dimensions=1024)
    (tmp_path / "blocked").mkdir()
    with pytest.raises((sqlite3.Error, OSError)):
        probe_vectors(blocked)


@pytest.mark.parametrize("store", ["sqlite", "chroma"])
def test_the_collections_of_all_repositories_answer(tmp_path: Path, tree: FakeTree, store: str) -> None:
    """The probe by settings finds every repository's vectors, and none where nothing is indexed."""
    if store == "chroma":
        pytest.importorskip("chromadb", reason="the extra chroma is not installed")
    settings = AgentSettings(home=tmp_path / "home", vector_store=store)
    assert probe_codebase(settings) == 0
    assert not settings.home.exists()
    open_retriever(tmp_path / "home", tree, vector_store=store).index()
    open_retriever(tmp_path / "home", tree, repository=tmp_path / "other", vector_store=store).index()
    assert probe_codebase(settings) == 2


class FakeLongEmbedder(HashEmbedder):
    """Gives vectors of the wrong length."""

    def embed(self, texts: Sequence[str]) -> Embeddings:
        return Embeddings(({0: 2.0},))


def test_the_embedder_is_probed_unless_it_costs(tmp_path: Path) -> None:
    """The hash embedder embeds, a provider is not asked, and a wrong vector is told."""
    assert probe_embedder(build_embedder(AgentSettings(home=tmp_path))) == 1024
    assert probe_embedder(OpenAIEmbedder("m", api_key="k", base_url="http://127.0.0.1:1/v1")) is None
    with pytest.raises(ValueError, match=r"length 2\.0000, expected 1"):
        probe_embedder(FakeLongEmbedder())


def test_the_index_is_for_its_owner_only(tmp_path: Path, tree: FakeTree) -> None:
    """Folders have mode 700, files 600, from the home down."""
    home = tmp_path / "home"
    open_retriever(home, tree).index()
    paths = [home, *home.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}


def test_one_repository_has_one_index_whatever_its_spelling(tmp_path: Path) -> None:
    """A path through a link is the same repository, another path another one."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    home = tmp_path / "home"
    assert index_folder(home, tmp_path / "link") == index_folder(home, tmp_path / "real")
    assert index_folder(home, tmp_path / "else") != index_folder(home, tmp_path / "real")


def test_without_the_extra_chroma_is_told_with_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing package is ToolMissingError; its hint installs it."""
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(ToolMissingError) as caught:
        ChromaVectorIndex(tmp_path / "chroma", "codebase", dimensions=4).upsert({"a": {0: 1.0}})
    assert "pip install 'taskscope[chroma]'" in caught.value.hint


def test_without_the_extra_words_go_on(
    tmp_path: Path, tree: FakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chroma chosen but absent: retrieval answers by BM25, and says why."""
    monkeypatch.setitem(sys.modules, "chromadb", None)
    retriever = open_retriever(tmp_path / "home", tree, vector_store="chroma")
    retriever.index()
    assert retriever.retrieve("total").mode == "bm25"
    assert "chromadb" in retriever.problems[0]
    with pytest.raises(ToolMissingError):
        probe_codebase(AgentSettings(home=tmp_path / "fresh", vector_store="chroma"))


def test_chroma_serves_the_whole_retrieval(tmp_path: Path, tree: FakeTree) -> None:
    """By setting, the vectors lie in Chroma; a removed file leaves it as well."""
    pytest.importorskip("chromadb", reason="the extra chroma is not installed")
    retriever = open_retriever(tmp_path / "home", tree, vector_store="chroma")
    retriever.index()
    found = retriever.retrieve("total")
    assert (found.mode, found.passages[0].path) == ("hybrid", "a.py")
    (tree.root / "a.py").unlink()
    retriever.index()
    assert retriever._vectors.ids() == set()
    assert retriever.problems == []


def test_importing_retrieval_loads_nothing_heavy() -> None:
    """Extras are imported when they are used, not before."""
    code = "import sys, coding_agent.retrieval; print({'openai', 'chromadb', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
