"""Laws of what the agent remembers on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coding_agent.errors import BudgetExceededError
from coding_agent.memory import FileMemory, MemoryStatus
from coding_agent.records import Finding, MemoryEntry, Plan, PlannedStep, StepKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


ANY_KEY = st.text(alphabet=st.characters(exclude_categories=()), min_size=1, max_size=30)


class FakeEmbedder:
    """A vector of one dimension a word that the test cares for."""

    name = "words-3"
    provider = "local"
    dimensions = 3
    words = ("cart", "window", "import")

    def __init__(self, *, is_dense: bool = False, error: Exception | None = None) -> None:
        self.is_dense = is_dense
        self.error = error

    def embed(self, texts: Sequence[str]) -> Sequence[Mapping[int, float] | Sequence[float]]:
        if self.error:
            raise self.error
        dense = [[float(word in text) for word in self.words] for text in texts]
        return dense if self.is_dense else [dict(enumerate(vector)) for vector in dense]


def note(task: str, text: str = "", **changes: object) -> MemoryEntry:
    entry = MemoryEntry(id=task, store="archive", text=text or task, task_id=task, created_at=1_000.0)
    return replace(entry, **changes)  # type: ignore[arg-type]


@pytest.fixture(params=["words", "sparse", "dense"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> FileMemory:
    embedder = None if request.param == "words" else FakeEmbedder(is_dense=request.param == "dense")
    return FileMemory(tmp_path, embedder)


def test_what_was_archived_is_found_by_what_it_says(memory: FileMemory, tmp_path: Path) -> None:
    """A search returns the entries that speak of the text, whole, and none else; in any process."""
    wanted = note("t-1", "the cart total is wrong", data={"files": 2, "ok": True})
    memory.upsert(wanted)
    memory.upsert(note("t-2", "paint the window"))
    assert memory.search("cart") == (wanted,)
    assert FileMemory(tmp_path).search("cart") == (wanted,)


def test_no_more_than_asked_comes_back(memory: FileMemory) -> None:
    """The limit holds; where entries are alike the newest come first."""
    for number in range(8):
        memory.upsert(note(f"t-{number}", "cart", created_at=float(number)))
    assert [entry.id for entry in memory.search("cart", limit=2)] == ["t-7", "t-6"]
    assert len(memory.search("cart")) == 5
    assert memory.search("cart", limit=0) == ()


def test_an_entry_is_replaced_by_its_id(memory: FileMemory) -> None:
    """An upsert of a known id leaves one entry, the new one."""
    memory.upsert(note("t-1", "the cart"))
    memory.upsert(note("t-1", "the window"))
    assert memory.search("cart") == ()
    assert [entry.text for entry in memory.search("window")] == ["the window"]


@pytest.mark.parametrize(
    "text", ["", " ", "'", '"', "-", "C++", "a:b", "a\0b", "🎉", "\ud800", "AND OR NOT", "*"]
)
def test_any_text_may_be_asked(memory: FileMemory, text: str) -> None:
    """No text is a syntax error of a search language."""
    memory.upsert(note("t-1", "the cart"))
    assert memory.search(text) == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=ANY_KEY, text=st.text(max_size=50))
def test_any_id_and_text_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, key: str, text: str
) -> None:
    """An id may hold slashes or dots; no entry leaves the memory's folder."""
    home = tmp_path_factory.mktemp("memory")
    entry = note(key, f"cart {text}")
    memory = FileMemory(home)
    memory.upsert(entry)
    assert memory.search("cart") == (entry,)
    assert [path.name for path in home.iterdir()] == ["memory"]


def test_two_ids_never_share_a_file(tmp_path: Path) -> None:
    """An id that is no file name does not replace one that looks like its stand-in."""
    memory = FileMemory(tmp_path)
    memory.upsert(note("a/b"))
    (stand_in,) = (tmp_path / "memory" / "archive").iterdir()
    memory.upsert(note(stand_in.stem))
    assert memory.status().archived == 2


def test_scratch_lives_until_its_task_is_archived(tmp_path: Path) -> None:
    """Notes of a running task are its own, are not searched, and go when it is archived; others' stay."""
    memory = FileMemory(tmp_path)
    memory.upsert(note("t-1", "cart", store="scratch"))
    memory.upsert(note("n-2", "window", store="scratch", task_id="t-1", created_at=2_000.0))
    memory.upsert(note("t-2", "cart", store="scratch"))
    assert [entry.id for entry in memory.scratch("t-1")] == ["t-1", "n-2"]
    assert memory.search("cart") == ()
    memory.upsert(note("t-1", "done with the cart"))
    assert memory.scratch("t-1") == ()
    assert [entry.id for entry in memory.scratch("t-2")] == ["t-2"]


def test_notes_of_a_task_that_died_long_ago_go(tmp_path: Path) -> None:
    """What no archive entry ever ends is removed after a week, not before."""
    memory = FileMemory(tmp_path)
    for task in ("old", "young"):
        memory.upsert(note(task, store="scratch"))
    week_ago = time.time() - 8 * 24 * 3600
    os.utime(tmp_path / "memory" / "scratch" / "old", (week_ago, week_ago))
    memory.upsert(note("t-3"))
    assert (memory.scratch("old"), len(memory.scratch("young"))) == ((), 1)


def test_a_plan_lies_on_disk_by_task_and_revision(tmp_path: Path) -> None:
    """Each revision is one JSON file that holds every step and finding."""
    finding = Finding(rule="ruff/F821", message="Undefined name `Path`", path="a.py", line=3)
    step = PlannedStep(kind=StepKind.SKILL, title="add the import", skill="lost_import", finding=finding)
    memory = FileMemory(tmp_path)
    for revision in (0, 1):
        memory.keep_plan("t-1", Plan(steps=(step,), source="rules", revision=revision, untreated=(finding,)))
    folder = tmp_path / "plans" / "t-1"
    assert sorted(path.name for path in folder.iterdir()) == ["0.json", "1.json"]
    kept = json.loads((folder / "1.json").read_text())
    assert (kept["task_id"], kept["revision"], kept["untreated"][0]["rule"]) == ("t-1", 1, "ruff/F821")
    assert (kept["steps"][0]["kind"], kept["steps"][0]["finding"]["line"]) == ("skill", 3)


def test_above_the_size_the_oldest_become_a_line_each(tmp_path: Path) -> None:
    """The newest stay whole, the rest stay findable by their first line, and none goes uncounted."""
    memory = FileMemory(tmp_path, summarise_above=3)
    for number in range(10):
        memory.upsert(
            note(f"t-{number}", f"cart{number} broke\nlong story {number}", created_at=float(number))
        )
    assert memory.status() == MemoryStatus(archived=3, summarised=7, broken=0)
    lines = (tmp_path / "memory" / "summary.jsonl").read_text().splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == [f"t-{number}" for number in range(7)]
    (old,) = memory.search("cart0")
    assert (old.text, old.task_id, old.data, old.created_at) == ("cart0 broke", "t-0", {"summarised": 1}, 0.0)
    assert memory.search("cart9")[0].text == "cart9 broke\nlong story 9"


def test_a_task_of_many_entries_becomes_one_line(tmp_path: Path) -> None:
    """One line per task: its newest text, its newest time, and how many entries it stands for."""
    memory = FileMemory(tmp_path, summarise_above=1)
    for number in range(5):
        entry = note(f"n-{number}", f"cart, part {number}", task_id="t-1", created_at=float(number))
        memory.upsert(entry)
    (last, line) = memory.search("cart")
    assert last.id == "n-4"
    assert (line.text, line.data, line.created_at) == ("cart, part 3", {"summarised": 4}, 3.0)
    assert memory.status().summarised == 4


def test_a_kill_between_line_and_removal_counts_nothing_twice(tmp_path: Path) -> None:
    """An entry that is both whole and a line is one entry."""
    memory = FileMemory(tmp_path, summarise_above=1)
    entry = note("t-1", "cart", created_at=1.0)
    memory.upsert(entry)
    memory.upsert(note("t-2", "window", created_at=2.0))
    FileMemory(tmp_path, summarise_above=9).upsert(entry)
    assert memory.search("cart") == (entry,)
    assert memory.status() == MemoryStatus(archived=2, summarised=0, broken=0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id": 1}', b"\xff\xfe", b"null", b'"text"'])
def test_a_broken_entry_is_skipped_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """One damaged file or line costs itself only."""
    memory = FileMemory(tmp_path)
    memory.upsert(note("t-1", "cart"))
    (tmp_path / "memory" / "archive" / "bad.json").write_bytes(content)
    (tmp_path / "memory" / "summary.jsonl").write_bytes((content or b"?") + b"\n")
    assert [entry.id for entry in memory.search("cart")] == ["t-1"]
    assert memory.status().broken == 2
    assert "2 broken entries skipped" in caplog.text


def test_a_torn_line_costs_itself_only(tmp_path: Path) -> None:
    """A line that a dying process left without an end does not swallow the next one."""
    memory = FileMemory(tmp_path, summarise_above=1)
    memory.upsert(note("t-1", "cart", created_at=1.0))
    (tmp_path / "memory" / "summary.jsonl").write_text('{"task_id": "t-0", "id')
    memory.upsert(note("t-2", "window", created_at=2.0))
    assert [entry.id for entry in memory.search("cart")] == ["t-1"]
    assert memory.status() == MemoryStatus(archived=1, summarised=1, broken=1)


def test_an_unfinished_write_is_no_entry(tmp_path: Path) -> None:
    """What a killed writer left beside the entries is not read."""
    memory = FileMemory(tmp_path)
    memory.upsert(note("t-1", "cart"))
    (tmp_path / "memory" / "archive" / ".new-x1y2").write_text("{")
    assert memory.status() == MemoryStatus(archived=1, summarised=0, broken=0)


def test_what_cannot_be_written_is_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A home that takes no files stops no task: the loss is counted, searches are empty."""
    (tmp_path / "home").write_text("a file in the way")
    memory = FileMemory(tmp_path / "home")
    memory.upsert(note("t-1", "cart", store="scratch"))
    memory.keep_plan("t-1", Plan(steps=(), source="rules"))
    assert memory.lost == 2
    assert "cannot write plan 't-1'" in caplog.text
    assert memory.search("cart") == ()


def test_a_store_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A misspelled store would be a silent loss."""
    with pytest.raises(ValueError, match="memory store 'archiv' is unknown, expected 'scratch' or 'archive'"):
        FileMemory(tmp_path).upsert(note("t-1", store="archiv"))


def test_when_the_embedder_is_down_words_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A search goes on by words, and says so; a used-up budget ends the task instead."""
    memory = FileMemory(tmp_path, FakeEmbedder(error=OSError("connection refused")))
    memory.upsert(note("t-1", "cart"))
    assert [entry.id for entry in memory.search("cart")] == ["t-1"]
    assert "connection refused" in caplog.text
    spent = FileMemory(tmp_path, FakeEmbedder(error=BudgetExceededError("used up")))
    with pytest.raises(BudgetExceededError):
        spent.search("cart")


def test_memory_is_for_its_owner_only(tmp_path: Path) -> None:
    """Folders have mode 700, files 600, from the home down."""
    memory = FileMemory(tmp_path / "home", summarise_above=1)
    for task in ("t-1", "t-2"):
        memory.upsert(note(task, store="scratch"))
        memory.upsert(note(task))
        memory.keep_plan(task, Plan(steps=(), source="rules"))
    paths = [tmp_path / "home", *(tmp_path / "home").rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}
    assert (tmp_path / "home" / "memory" / "summary.jsonl").exists()


WORKER = """
import sys
from pathlib import Path
from coding_agent.memory import FileMemory
from coding_agent.records import MemoryEntry
memory = FileMemory(Path(sys.argv[1]), summarise_above=5)
for number in range(25):
    key = f"t-{sys.argv[2]}-{number}"
    task = key if sys.argv[3] == "own" else "t-shared"
    memory.upsert(MemoryEntry(id=key, store="archive", text="cart " + key, task_id=task, created_at=number))
    memory.search("cart")
assert memory.lost == 0
assert memory.status().broken == 0
"""


@pytest.mark.parametrize("task", ["own", "shared"])
def test_several_processes_lose_nothing(tmp_path: Path, task: str) -> None:
    """Four writers that all summarise leave every entry, whole or in a line, also in one shared line."""
    processes = [
        subprocess.Popen([sys.executable, "-c", WORKER, tmp_path, str(number), task]) for number in range(4)
    ]
    assert [process.wait() for process in processes] == [0] * 4
    status = FileMemory(tmp_path).status()
    assert (status.archived + status.summarised, status.broken) == (100, 0)
    found = FileMemory(tmp_path).search("cart", limit=1_000)
    assert len(found) == (100 if task == "own" else status.archived + 1)
