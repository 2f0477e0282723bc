"""Laws that every vector index keeps: the embedded one, Chroma in a folder and a Chroma server alike."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from coding_agent.records import AgentSettings
from coding_agent.retrieval.assembly import build_skill_index
from coding_agent.retrieval.chroma import ChromaVectorIndex
from coding_agent.retrieval.vector import SqliteVectorIndex, VectorIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needs_chroma = pytest.mark.skipif(
    importlib.util.find_spec("chromadb") is None, reason="the extra chroma is not installed"
)
KINDS = [
    "sqlite",
    pytest.param("chroma folder", marks=needs_chroma),
    pytest.param("chroma server", marks=needs_chroma),
]
READY_SECONDS = 60
Open: TypeAlias = "Callable[[str], VectorIndex]"


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Chroma server on a free port, the program that Chroma's image runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("chroma")
    data = tmp_path_factory.mktemp("chroma-server")
    arguments: list[str | Path] = [program, "run", "--path", data, "--host", "127.0.0.1", "--port", str(port)]
    log = data.with_name("chroma-server.log")
    with log.open("wb") as output, subprocess.Popen(arguments, stdout=output, stderr=output) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/api/v2/heartbeat", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"the Chroma server did not come up: {log.read_text()}")


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], VectorIndex]:
    folder = tmp_path / "index"
    if request.param == "sqlite":
        return lambda name: SqliteVectorIndex(folder / "v.db", name, dimensions=4)
    url = request.getfixturevalue("server_url") if request.param == "chroma server" else None
    return lambda name: ChromaVectorIndex(folder / "chroma", name, dimensions=4, url=url)


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


@needs_chroma
def test_chroma_collections_share_a_folder_not_their_ids(tmp_path: Path) -> None:
    """`codebase` and `skills` are served by one client and hold their own."""
    codebase = ChromaVectorIndex(tmp_path / "chroma", "codebase", dimensions=4)
    skills = ChromaVectorIndex(tmp_path / "chroma", "skills", dimensions=4)
    codebase.upsert({"a": {0: 1.0}})
    skills.upsert({"b": {0: 1.0}})
    assert (codebase.ids(), skills.ids()) == ({"a"}, {"b"})
    assert codebase._client() is skills._client()


@needs_chroma
def test_homes_share_a_server_not_their_collections(tmp_path: Path, server_url: str) -> None:
    """Two homes keep collections of one name side by side on a server; each resets its own alone."""
    indexes = [
        ChromaVectorIndex(tmp_path / home / "chroma", "codebase", dimensions=4, url=server_url)
        for home in ("ann", "ben")
    ]
    for index, key in zip(indexes, "ab", strict=True):
        index.upsert({key: {0: 1.0}})
    assert [index.ids() for index in indexes] == [{"a"}, {"b"}]
    indexes[0].reset("damaged")
    assert [index.ids() for index in indexes] == [set(), {"b"}]


@needs_chroma
def test_the_settings_lead_to_the_server(tmp_path: Path, server_url: str) -> None:
    """With `chroma_url` the agent's collections are on the server, and none of them in the home."""
    home = tmp_path / "home"
    skills = build_skill_index(AgentSettings(home=home, vector_store="chroma", chroma_url=server_url))
    skills.replace({"missing_colon": "adds a colon"})
    with urllib.request.urlopen(
        f"{server_url}/api/v2/tenants/default_tenant/databases/default_database/collections", timeout=5
    ) as answer:
        assert b'"name":"skills-' in answer.read()
    assert list(home.rglob("chroma*")) == []


@needs_chroma
def test_a_server_that_is_down_is_told(tmp_path: Path) -> None:
    """Nothing is said to be empty because nobody answered."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    index = ChromaVectorIndex(tmp_path / "chroma", "codebase", dimensions=4, url=f"http://127.0.0.1:{port}")
    with pytest.raises(ValueError, match="Could not connect to a Chroma server"):
        index.ids()
