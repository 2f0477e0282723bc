"""Laws of the index of descriptions that a skill library uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.records import AgentSettings
from coding_agent.retrieval import build_skill_index
from coding_agent.retrieval.assembly import build_embedder, build_vector_index
from tests.coding_agent.retrieval.fakes import FakeFailingEmbedder

if TYPE_CHECKING:
    from pathlib import Path

SKILLS = {
    "missing_colon": "Adds the colon that the compiler expects after a def, class or if.",
    "lost_import": "Adds the import of an undefined name.",
    "bisect": "Finds the commit that broke a test.",
}


@pytest.mark.parametrize("store", ["sqlite", "chroma"])
def test_index_and_descriptions_hold_the_same_number(tmp_path: Path, store: str) -> None:
    """After a replace the collection holds what was given, whatever it held before."""
    if store == "chroma":
        pytest.importorskip("chromadb", reason="the extra chroma is not installed")
    index = build_skill_index(AgentSettings(home=tmp_path, vector_store=store))
    assert index.name == "skills"
    assert index.replace(SKILLS) == 3
    assert index.replace({"bisect": SKILLS["bisect"]}) == 1
    assert index.count() == 1


def test_the_description_that_speaks_of_it_comes_first(tmp_path: Path) -> None:
    """Names come back nearest first, with their similarity, down to the minimum."""
    index = build_skill_index(AgentSettings(home=tmp_path))
    index.replace(SKILLS)
    ranked = index.rank("which commit broke the test?", limit=2)
    assert ranked[0][0] == "bisect"
    assert 1.0 > ranked[0][1] > ranked[1][1]
    assert index.rank("which commit broke the test?", limit=9, min_similarity=0.99) == []
    assert index.rank(" ", limit=9) == []


def test_unchanged_descriptions_cost_nothing(tmp_path: Path) -> None:
    """The next process embeds only what is new."""
    build_skill_index(AgentSettings(home=tmp_path)).replace(SKILLS)
    again = build_skill_index(AgentSettings(home=tmp_path))
    again._embedder = FakeFailingEmbedder(AssertionError("nothing is new"))
    assert again.replace(SKILLS) == 3


def test_a_changed_description_replaces_the_old_one(tmp_path: Path) -> None:
    """A skill is found by what it says now."""
    index = build_skill_index(AgentSettings(home=tmp_path))
    index.replace(SKILLS)
    assert index.replace(SKILLS | {"bisect": "Paints windows."}) == 3
    assert index.rank("who paints windows?", limit=1)[0][0] == "bisect"


@pytest.mark.parametrize("value", ["bert", "openai:", "OPENAI:x"])
def test_an_unknown_embedder_is_refused_with_what_is_allowed(tmp_path: Path, value: str) -> None:
    """The message names the value and the choices."""
    with pytest.raises(
        ValueError, match=rf"embedder '{value}' is unknown, expected 'hash' or 'openai:MODEL'"
    ):
        build_embedder(AgentSettings(home=tmp_path, embedder=value))


def test_an_unknown_vector_store_is_refused_with_what_is_allowed(tmp_path: Path) -> None:
    """The same for the store."""
    settings = AgentSettings(home=tmp_path, vector_store="qdrant")
    with pytest.raises(ValueError, match="vector store 'qdrant' is unknown, expected 'sqlite' or 'chroma'"):
        build_vector_index(settings, tmp_path, "skills", build_embedder(settings))
