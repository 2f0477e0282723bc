"""Laws of fusion and of the retriever as a whole, on real files and a real index."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coding_agent.errors import BudgetExceededError
from coding_agent.retrieval import files
from coding_agent.retrieval.assembly import index_folder
from coding_agent.retrieval.hybrid import fuse
from tests.coding_agent.retrieval.fakes import FakeFailingEmbedder, FakeTree, open_retriever

if TYPE_CHECKING:
    from collections.abc import Sequence

RANKINGS = st.lists(st.lists(st.integers(0, 12), max_size=10, unique=True), max_size=4)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "agent-home"


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    tree = FakeTree(tmp_path / "repository")
    tree.write("shop/cart.py", "class Cart:\n    def total_price(self):\n        return sum(self.prices)\n")
    tree.write("shop/window.py", "class Window:\n    def paint(self):\n        self.canvas.clear()\n")
    tree.write("README.md", "# A shop\n\nIt sells door handles.\n")
    return tree


@given(RANKINGS)
def test_fusion_keeps_every_id_once_best_first(rankings: list[list[int]]) -> None:
    """All ids of all rankings come out exactly once, with scores that do not rise."""
    fused = fuse(rankings)
    assert sorted(hit.id for hit in fused) == sorted({key for ranking in rankings for key in ranking})
    scores = [hit.score for hit in fused]
    assert scores == sorted(scores, reverse=True)


@given(RANKINGS, st.randoms())
def test_fusion_does_not_ask_which_stage_came_first(rankings: list[list[int]], random: object) -> None:
    """The scores are the same in any order of the rankings."""
    shuffled = list(rankings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    expected = {hit.id: pytest.approx(hit.score) for hit in fuse(rankings)}
    assert {hit.id: hit.score for hit in fuse(shuffled)} == expected


@given(st.lists(st.integers(), unique=True, max_size=10))
def test_fusion_of_one_ranking_is_that_ranking(ranking: list[int]) -> None:
    """With one stage only its order stands, repeats dropped."""
    assert [hit.id for hit in fuse([ranking + ranking])] == ranking


@given(RANKINGS.filter(bool))
def test_a_further_vote_never_lowers_a_score(rankings: list[list[int]]) -> None:
    """What another ranking names as well gains, all else keeps its score."""
    before = {hit.id: hit.score for hit in fuse(rankings[1:])}
    for hit in fuse(rankings):
        gain = hit.score - before.get(hit.id, 0.0)
        assert (gain > 0) == (hit.id in rankings[0])


def test_fusion_scores_by_reciprocal_rank() -> None:
    """The score is the sum of 1/(60 + rank); a second place twice beats a first place once."""
    fused = fuse([["a", "b"], ["c", "b"]])
    assert [(hit.id, hit.score) for hit in fused] == [("b", 2 / 62), ("a", 1 / 61), ("c", 1 / 61)]
    assert fuse([["a"]], k=1)[0].score == 0.5


def test_the_passage_that_speaks_of_it_comes_first(home: Path, tree: FakeTree) -> None:
    """A retrieval names file and lines, from both stages."""
    retriever = open_retriever(home, tree)
    retriever.index()
    found = retriever.retrieve("the total price of a cart is wrong", limit=2)
    assert (found.mode, found.passages[0].path, len(found.passages)) == ("hybrid", "shop/cart.py", 2)
    first = found.passages[0]
    assert (first.start_line, first.end_line) == (1, 4)
    assert first.text == (tree.root / "shop/cart.py").read_text()
    assert found.candidates == 3
    assert retriever.problems == []


@pytest.mark.parametrize(
    "text", ["'", '"', "-", ":", "C++", "a\0b", "🎉", "", "  ", "NEAR(a b)", "a* OR", "\ud800", "x" * 70_000]
)
def test_any_text_may_be_asked(home: Path, tree: FakeTree, text: str) -> None:
    """No text is a syntax error of a search language."""
    retriever = open_retriever(home, tree)
    retriever.index()
    assert retriever.retrieve(text).mode == "hybrid"
    assert retriever.problems == []


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.characters(exclude_categories=()), max_size=60))
def test_random_text_may_be_asked(home: Path, tree: FakeTree, text: str) -> None:
    """The same, for texts that nobody thought of."""
    retriever = open_retriever(home, tree)
    if not retriever._store.exists():
        retriever.index()
    assert retriever.retrieve(text).mode == "hybrid"


def test_a_pasted_log_is_searched_by_its_rarest_words(home: Path, tree: FakeTree) -> None:
    """Of thousands of words the long ones stay, so that an identifier is found in a flood of short words."""
    retriever = open_retriever(home, tree)
    retriever.index()
    flood = " ".join(f"w{number}" for number in range(5_000))
    assert retriever._bm25.search(f"{flood} total_price", limit=9).candidates == 1


def test_a_second_pass_reads_nothing_anew(home: Path, tree: FakeTree) -> None:
    """Unchanged files are unchanged, also for the next process and after they were touched."""
    assert open_retriever(home, tree).index().indexed == 3
    os.utime(tree.root / "README.md")
    report = open_retriever(home, tree).index()
    assert (report.indexed, report.unchanged, report.removed) == (0, 3, 0)


def test_a_fresh_clone_of_the_repository_costs_no_embedding(
    home: Path, tree: FakeTree, tmp_path: Path
) -> None:
    """The next task works on another clone with new times; its files are known by their content."""
    open_retriever(home, tree).index()
    clone = FakeTree(tmp_path / "clone")
    shutil.copytree(tree.root, clone.root, dirs_exist_ok=True, copy_function=shutil.copyfile)
    retriever = open_retriever(home, clone, repository=tree.root)
    retriever._embedder = FakeFailingEmbedder(AssertionError("nothing is new"))
    report = retriever.index()
    assert (report.indexed, report.unchanged, report.removed) == (0, 3, 0)
    assert retriever.problems == []


def test_a_settled_file_is_not_even_read(home: Path, tree: FakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose times are old enough to trust is known by its stamp alone; a touched one is read."""
    monkeypatch.setattr(files, "_SETTLED_NS", -(10**18))
    tree.write("image.png", b"\0")
    open_retriever(home, tree).index()
    read: list[str] = []

    def read_and_tell(self: files.Tree, path: str) -> bytes:
        read.append(path)
        return (tree.root / path).read_bytes()

    monkeypatch.setattr(files.Tree, "read", read_and_tell)
    os.utime(tree.root / "README.md", (1, 1))
    report = open_retriever(home, tree).index()
    assert (read, report.unchanged, report.skipped) == (["README.md"], 3, {"binary": 1})


def test_a_changed_file_is_found_by_its_new_words_only(home: Path, tree: FakeTree) -> None:
    """An edit of the same length within one tick of the clock is seen."""
    retriever = open_retriever(home, tree)
    for word in ("zebra", "mouse", "koala"):
        tree.write("note.txt", f"the {word}")
        assert retriever.index().indexed >= 1
        assert retriever._bm25.search(word, limit=9).candidates == 1
    assert len(retriever._bm25.search("zebra", limit=9)) == 0


def test_a_removed_file_leaves_both_stages(home: Path, tree: FakeTree) -> None:
    """Its words, its vectors and its count go."""
    retriever = open_retriever(home, tree)
    retriever.index()
    (tree.root / "shop/cart.py").unlink()
    assert retriever.index().removed == 1
    found = retriever.retrieve("the total price of a cart")
    assert "shop/cart.py" not in {passage.path for passage in found.passages}
    assert len(retriever._vectors.ids()) == 2


def test_what_is_no_text_is_skipped_and_counted_each_time(home: Path, tree: FakeTree, tmp_path: Path) -> None:
    """Binary, large, undecodable, linked or outside: counted by reason, on every pass alike."""
    tree.write("image.png", b"\x89PNG\0\0")
    tree.write("large.txt", b"a\n" * 500_001)
    tree.write("latin.txt", "größe".encode("latin-1"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("do not read")
    (tree.root / "link.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (tree.root / "out").symlink_to(tmp_path / "outside")
    os.mkfifo(tree.root / "pipe")
    retriever = open_retriever(home, tree)
    retriever._paths = lambda: [*tree.paths(), "out/secret.txt", "gone.txt", "nul\0name"]
    expected = {
        "binary": 1, "too_large": 1, "undecodable": 1, "symlink": 2, "outside": 1, "not_a_file": 1,
        "unreadable": 2,
    }  # fmt: skip
    for indexed in (3, 0):
        report = retriever.index()
        assert (dict(report.skipped), report.indexed) == (expected, indexed)
    assert retriever._bm25.search("secret", limit=9).candidates == 0


def test_a_name_that_is_not_utf8_is_indexed(home: Path, tree: FakeTree) -> None:
    """File names are bytes; the passage gives the path back as the system does."""
    name = os.fsdecode(b"gr\xf6sse.py")
    tree.write(name, "def measure_door(): ...\n")
    retriever = open_retriever(home, tree)
    retriever.index()
    assert retriever.retrieve("measure_door").passages[0].path == name


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["a.py", "b.py", "c/d.txt", "e.bin"]),
        st.one_of(
            st.none(),
            st.sampled_from(
                [b"def one(): ...\n", b"def two(): ...\n", b"x\0", b"\xff\xff", b"one two\n" * 90, b""]
            ),
        ),
    ),
    max_size=8,
)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(EDITS, min_size=1, max_size=4))
def test_an_index_built_in_steps_equals_one_built_at_once(
    rounds: Sequence[list[tuple[str, bytes | None]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After any edits, chunks, vectors, skips and answers are those of a full rebuild."""
    folder = tmp_path_factory.mktemp("steps")
    tree = FakeTree(folder / "tree")
    stepped = open_retriever(folder / "stepped", tree)
    for edits in rounds:
        for path, content in edits:
            if content is None:
                (tree.root / path).unlink(missing_ok=True)
            else:
                tree.write(path, content)
        skipped = stepped.index().skipped
    rebuilt = open_retriever(folder / "rebuilt", tree)
    assert rebuilt.index().skipped == skipped
    assert stepped._store.count() == rebuilt._store.count()
    assert stepped._vectors.ids() == rebuilt._vectors.ids()
    for query in ("one", "def two", "c d", "nothing of it"):
        assert stepped.retrieve(query) == rebuilt.retrieve(query)
    assert stepped.problems == []


def test_without_an_embedder_words_go_on(
    home: Path, tree: FakeTree, caplog: pytest.LogCaptureFixture
) -> None:
    """When the embedder is down the mode says `bm25`, and the log says why."""
    retriever = open_retriever(home, tree)
    retriever._embedder = FakeFailingEmbedder(OSError("connection refused"))
    assert retriever.index().indexed == 3
    found = retriever.retrieve("total_price")
    assert (found.mode, found.passages[0].path) == ("bm25", "shop/cart.py")
    assert "connection refused" in caplog.text
    assert len(retriever.problems) == 2


def test_what_failed_once_is_made_good_by_the_next_pass(home: Path, tree: FakeTree) -> None:
    """Vectors that a broken embedder or a kill left out are added later, though no file has changed."""
    retriever = open_retriever(home, tree)
    retriever._embedder = FakeFailingEmbedder(OSError("down"))
    retriever.index()
    healed = open_retriever(home, tree)
    assert healed.index().unchanged == 3
    assert len(healed._vectors.ids()) == 3


def test_a_stage_without_entries_did_not_take_part(home: Path, tree: FakeTree) -> None:
    """Where the vectors could not be made, a working embedder for the query alone makes no hybrid."""
    retriever = open_retriever(home, tree)
    working = retriever._embedder
    retriever._embedder = FakeFailingEmbedder(OSError("down"))
    retriever.index()
    retriever._embedder = working
    assert retriever.retrieve("total_price").mode == "bm25"
    assert "no vectors" in retriever.problems[-1]


def test_a_used_up_budget_ends_the_task(home: Path, tree: FakeTree) -> None:
    """That no further live call may be made is not a fault to work round."""
    retriever = open_retriever(home, tree)
    retriever._embedder = FakeFailingEmbedder(BudgetExceededError("the day's budget is used up"))
    with pytest.raises(BudgetExceededError):
        retriever.index()


def test_without_words_vectors_go_on(home: Path, tree: FakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the word index cannot answer, the mode says `vector`."""
    retriever = open_retriever(home, tree)
    retriever.index()

    def fail(text: str, *, limit: int) -> None:
        raise sqlite3.OperationalError("no such module: fts5")

    monkeypatch.setattr(retriever._bm25, "search", fail)
    found = retriever.retrieve("total_price of the cart")
    assert (found.mode, found.passages[0].path) == ("vector", "shop/cart.py")


def test_a_missing_store_answers_nothing_and_stops_nothing(home: Path, tree: FakeTree) -> None:
    """Where no index can be made there are no passages, and the mode claims no stage that took part."""
    home.write_text("a file where a folder should be")
    retriever = open_retriever(home, tree)
    assert retriever.index().skipped == {"index_failed": 3}
    assert retriever.retrieve("total").passages == ()
    assert retriever.problems


def overwrite(path: Path, start: int) -> None:
    """Break a database from a byte on, as a bad disk would."""
    with path.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(start)
        stream.write(b"\xa5" * (size - start))


@pytest.mark.parametrize("start", [0, 4096])
@pytest.mark.parametrize("name", ["chunks.db", "vectors-*.db"])
def test_a_broken_index_is_set_aside_and_built_anew(
    home: Path, tree: FakeTree, caplog: pytest.LogCaptureFixture, name: str, start: int
) -> None:
    """Garbage in a file, its head or its body, is kept beside it and said, and both stages answer again."""
    open_retriever(home, tree).index()
    (path,) = index_folder(home, tree.root).glob(name)
    overwrite(path, start if path.stat().st_size > start else 100)
    retriever = open_retriever(home, tree)
    retriever.index()
    assert retriever.retrieve("total_price").mode == "hybrid"
    assert retriever.retrieve("total_price").passages[0].path == "shop/cart.py"
    assert path.with_name(f"{path.name}.broken").exists()
    assert "set aside" in caplog.text


def test_an_index_that_breaks_between_index_and_search_heals(home: Path, tree: FakeTree) -> None:
    """A search that meets the damage first rebuilds, then answers."""
    retriever = open_retriever(home, tree)
    retriever.index()
    overwrite(index_folder(home, tree.root) / "chunks.db", 4096)
    found = retriever.retrieve("total_price")
    assert (found.mode, found.passages[0].path) == ("hybrid", "shop/cart.py")


def test_another_tasks_tree_does_not_show(home: Path, tree: FakeTree, tmp_path: Path) -> None:
    """Two tasks on one repository share the index; a file that only the other has is not offered."""
    mine = open_retriever(home, tree)
    mine.index()
    other = FakeTree(tmp_path / "other")
    shutil.copytree(tree.root, other.root, dirs_exist_ok=True)
    other.write("only_there.py", "def total_price(): ...\n")
    open_retriever(home, other, repository=tree.root).index()
    assert "only_there.py" not in {passage.path for passage in mine.retrieve("total_price").passages}


WORKER = """
import logging, sys
from pathlib import Path
from tests.coding_agent.retrieval.fakes import FakeTree, open_retriever
logging.basicConfig(stream=sys.stdout)
for _ in range(5):
    retriever = open_retriever(Path(sys.argv[1]), FakeTree(Path(sys.argv[2])), repository=Path(sys.argv[3]))
    retriever.index()
    assert retriever.retrieve("total_price").mode == "hybrid"
    assert not retriever.problems, retriever.problems
"""


def test_several_processes_share_one_index(home: Path, tree: FakeTree, tmp_path: Path) -> None:
    """Four at once on one index, with different trees: none fails, and the last pass leaves it whole."""
    roots = []
    for number in range(4):
        clone = FakeTree(tmp_path / f"clone-{number}")
        shutil.copytree(tree.root, clone.root, dirs_exist_ok=True)
        clone.write(f"own_{number}.py", f"def own_{number}(): ...\n")
        roots.append(clone.root)
    project = Path(__file__).parents[3]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, home, root, tree.root], cwd=project, stdout=subprocess.PIPE
        )
        for root in roots
    ]
    outputs = [process.communicate()[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    last = open_retriever(home, tree)
    last.index()
    assert last._store.count() == (3, 3)
    assert len(last._vectors.ids()) == 3


def test_a_quiet_pass_says_nothing(home: Path, tree: FakeTree, caplog: pytest.LogCaptureFixture) -> None:
    """Where all is well the log stays empty."""
    caplog.set_level(logging.DEBUG, logger="coding_agent")
    retriever = open_retriever(home, tree)
    retriever.index()
    retriever.retrieve("total")
    assert [record for record in caplog.records if record.name.startswith("coding_agent")] == []
