"""The library: shipped, added and learned skills, chosen by pattern, likeness and success."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coding_agent.errors import TimeExceededError
from coding_agent.records import AgentSettings, Finding, Repair, RepairOutcome
from coding_agent.retrieval import build_skill_index
from coding_agent.skills.counts import OutcomeCounts
from coding_agent.skills.library import SHIPPED, FolderLibrary
from tests.coding_agent.skills.workshop import make_bench, snapshot, write_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coding_agent.retrieval import DescriptionIndex

UNDEFINED = Finding(
    rule="ruff/F821", message="Undefined name `Path`", path="a.py", line=1, column=5, data={"name": "Path"}
)
LEARNED_PATH = Repair(
    outcome=RepairOutcome.SUCCEEDED,
    summary="",
    parameters={"name": "Path", "module": "pathlib", "attribute": "Path"},
)
CODE = """
from coding_agent.records import Repair, RepairOutcome

def repair(finding, bench):
    {body}
    return Repair(outcome=RepairOutcome.{outcome}, summary="")
"""


class BrokenIndex:
    """An index whose store is gone."""

    def replace(self, descriptions: Mapping[str, str]) -> int:
        return len(descriptions)

    def rank(self, text: str, *, limit: int, min_similarity: float = -1.0) -> Sequence[tuple[str, float]]:
        del text, limit, min_similarity
        msg = "the disk is gone"
        raise OSError(msg)


def make_index(home: Path) -> DescriptionIndex:
    """The index of skills as the agent builds it, by the embedder that needs no model."""
    return build_skill_index(AgentSettings(home=home))


def add_skill(
    folder: Path,
    name: str,
    *,
    rule: str = "house/*",
    description: str = "Does it.",
    body: str = "pass",
    outcome: str = "SUCCEEDED",
) -> None:
    """Write a skill as a user would."""
    files = {
        f"{name}/SKILL.md": f"---\nname: {name}\ndescription: {description}\n---\nText.\n",
        f"{name}/metadata.yaml": f"treats:\n  - rule: {rule}\n",
        f"{name}/repair.py": CODE.format(body=body, outcome=outcome),
    }
    write_files(folder, files)


def test_every_shipped_folder_is_a_skill_with_an_entry_in_the_index(tmp_path: Path) -> None:
    """Index and folders hold the same number, and none of ours is broken."""
    index = make_index(tmp_path / "home")
    library = FolderLibrary(tmp_path, index=index)
    folders = {path.parent.name for path in SHIPPED.glob("*/SKILL.md")}

    assert library.problems == ()
    assert {skill.name for skill in library.skills} == folders
    assert index.count() == len(folders)


def test_a_folder_in_the_home_is_a_skill(tmp_path: Path) -> None:
    """A user adds a skill by adding a folder; it runs on the findings it names."""
    add_skill(tmp_path / "skills", "tidy", body="bench.files.write('a.txt', 'new')")
    bench = make_bench(write_files(tmp_path / "work", {"a.txt": "old"}))
    finding = Finding(rule="house/dust", message="dust")

    (skill,) = FolderLibrary(tmp_path / "skills").select(finding)

    assert (skill.name, skill.description) == ("tidy", "Does it.")
    assert skill.run(finding, bench).outcome is RepairOutcome.SUCCEEDED
    assert (tmp_path / "work/a.txt").read_text() == "new"


FAILING = {
    "raises": ("1 / 0", "SUCCEEDED", RepairOutcome.FAILED),
    "declines": ("pass", "NOT_APPLICABLE", RepairOutcome.NOT_APPLICABLE),
    "exits": ("raise SystemExit(1)", "SUCCEEDED", RepairOutcome.FAILED),
    "returns nothing": ("return None", "SUCCEEDED", RepairOutcome.FAILED),
}


@pytest.mark.parametrize("last, says, outcome", FAILING.values(), ids=FAILING)
def test_what_a_skill_wrote_is_undone_unless_it_succeeded(
    tmp_path: Path, last: str, says: str, outcome: RepairOutcome
) -> None:
    """Foreign code that fails leaves the tree as it was: changed files, new files and modes."""
    body = f"bench.files.write('a.txt', 'x'); bench.files.write('new/b.txt', 'x'); {last}"
    add_skill(tmp_path / "skills", "clumsy", body=body, outcome=says)
    bench = make_bench(write_files(tmp_path / "work", {"a.txt": b"old\r\n\xff"}))
    finding = Finding(rule="house/dust", message="dust")

    repair = FolderLibrary(tmp_path / "skills").get("clumsy").run(finding, bench)

    assert repair.outcome is outcome
    assert snapshot(bench.root) == {"a.txt": b"old\r\n\xff"}


def test_what_ends_the_task_passes_through_and_leaves_no_trace(tmp_path: Path) -> None:
    """A limit that strikes inside a skill is raised, after its edits were undone."""
    body = (
        "from coding_agent.errors import TimeExceededError\n"
        "    bench.files.write('a.txt', 'x')\n    raise TimeExceededError('over')"
    )
    add_skill(tmp_path / "skills", "slow", body=body)
    bench = make_bench(write_files(tmp_path / "work", {"a.txt": "old"}))

    with pytest.raises(TimeExceededError):
        FolderLibrary(tmp_path / "skills").get("slow").run(Finding(rule="house/a", message=""), bench)
    assert snapshot(bench.root) == {"a.txt": b"old"}


BROKEN = {
    "no front matter": ({"SKILL.md": "tidy"}, "front matter"),
    "another name": ({"SKILL.md": "---\nname: other\ndescription: x\n---\n"}, "name: broken"),
    "no metadata": ({"metadata.yaml": None}, "metadata.yaml: cannot be read"),
    "no YAML": ({"metadata.yaml": "treats: ["}, "not YAML"),
    "a list": ({"metadata.yaml": "- 1"}, "keys and values"),
    "treats nothing": ({"metadata.yaml": "order: 1"}, "treats has to be a list"),
    "unknown key": ({"metadata.yaml": "treats: [{rules: a}]"}, "an entry of treats"),
    "bad expression": ({"metadata.yaml": "treats: [{rule: a, message: '('}]"}, "an entry of treats"),
    "bad order": ({"metadata.yaml": "treats: [{rule: a}]\norder: first"}, "order has to be"),
    "unknown need": ({"metadata.yaml": "treats: [{rule: a}]\nneeds: [luck]"}, "needs may name git and tests"),
    "strange need": (
        {"metadata.yaml": "treats: [{rule: a}]\nneeds: [{a: b}]"},
        "needs may name git and tests",
    ),
    "strange parent": ({"metadata.yaml": "treats: [{rule: a}]\nparent: [x]"}, "no parent skill ['x']"),
    "strange parameters": (
        {"metadata.yaml": "treats: [{rule: a}]\nparameters: [x]"},
        "parameters have to be",
    ),
    "code that exits": ({"repair.py": "raise SystemExit"}, "SystemExit"),
    "unknown parent": ({"metadata.yaml": "treats: [{rule: a}]\nparent: nobody"}, "no parent skill 'nobody'"),
    "no code": ({"repair.py": None}, "is missing"),
    "code that does not compile": ({"repair.py": "def repair("}, "SyntaxError"),
    "code without repair": ({"repair.py": "x = 1"}, "AttributeError"),
    "not text": ({"SKILL.md": b"\xff"}, "cannot be read"),
}


@pytest.mark.parametrize("files, message", BROKEN.values(), ids=BROKEN)
def test_a_broken_skill_is_a_named_problem(
    tmp_path: Path, files: dict[str, str | bytes | None], message: str
) -> None:
    """It is told by name, folder and fault, and all other skills are there."""
    add_skill(tmp_path, "broken")
    for name, content in files.items():
        (tmp_path / "broken" / name).unlink()
        if content is not None:
            write_files(tmp_path / "broken", {name: content})

    library = FolderLibrary(tmp_path)

    (problem,) = library.problems
    assert (problem.name, problem.folder) == ("broken", tmp_path / "broken")
    assert message in problem.message
    assert len(library.skills) == len(list(SHIPPED.glob("*/SKILL.md")))


def test_a_name_that_is_taken_is_a_problem(tmp_path: Path) -> None:
    """A folder cannot replace a shipped skill unnoticed."""
    add_skill(tmp_path, "missing_colon")

    library = FolderLibrary(tmp_path)

    assert "name is taken" in library.problems[0].message
    assert library.get("missing_colon").folder == SHIPPED / "missing_colon"


def test_an_unknown_skill_names_those_that_exist(tmp_path: Path) -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(KeyError, match="no skill 'nope'; there are bisect_regression,"):
        FolderLibrary(tmp_path).get("nope")


def test_likeness_and_success_rank_skills_that_treat_the_same(tmp_path: Path) -> None:
    """The description that is like the finding goes first; without an index, what succeeded more."""
    for name in ("commas", "quotes", "tabs"):
        add_skill(tmp_path, name, description=f"Repairs {name}.")
    finding = Finding(rule="house/style", message="wrong quotes")

    alike = FolderLibrary(tmp_path, index=make_index(tmp_path / "home"))
    assert alike.select(finding)[0].name == "quotes"

    plain = FolderLibrary(tmp_path)
    plain.count("tabs", "succeeded")
    plain.count("commas", "failed")
    assert [skill.name for skill in plain.select(finding)] == ["tabs", "quotes", "commas"]


def test_likeness_below_the_threshold_counts_as_none(tmp_path: Path) -> None:
    """Weak likeness does not outweigh success."""
    for name in ("quotes", "tabs"):
        add_skill(tmp_path, name, description=f"Repairs {name}.")
    library = FolderLibrary(tmp_path, index=make_index(tmp_path / "home"), min_similarity=1.1)
    library.count("tabs", "succeeded")

    found = library.select(Finding(rule="house/style", message="wrong quotes"))

    assert [skill.name for skill in found] == ["tabs", "quotes"]


def test_index_and_folders_hold_the_same_number(tmp_path: Path) -> None:
    """Every skill has its entry in the index: shipped, added, learned, and none of those taken away."""
    add_skill(tmp_path / "skills", "added")
    index = make_index(tmp_path / "home")
    library = FolderLibrary(tmp_path / "skills", index=index)
    assert index.count() == len(library.skills)
    library.learn(UNDEFINED, "missing_import", LEARNED_PATH, "t1")
    assert index.count() == len(library.skills)
    shutil.rmtree(tmp_path / "skills" / "added")
    later = FolderLibrary(tmp_path / "skills", index=index)
    assert index.count() == len(later.skills) == len(library.skills) - 1


def test_skills_are_selected_without_an_index_that_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An index that cannot answer is said once, and skills are ranked by order and success."""
    for name in ("quotes", "tabs"):
        add_skill(tmp_path, name)
    library = FolderLibrary(tmp_path, index=BrokenIndex())
    found = [[skill.name for skill in library.select(Finding(rule="house/a", message=""))] for _ in "ab"]
    assert found == [["quotes", "tabs"]] * 2
    assert [record.getMessage() for record in caplog.records if "index" in record.getMessage()] == [
        "skills are ranked without likeness, their index failed: the disk is gone"
    ]


def test_a_lesson_becomes_a_skill_that_goes_first(tmp_path: Path) -> None:
    """Learned from one task, it decides where its parent cannot, in the same library and in the next."""
    library = FolderLibrary(tmp_path / "skills")
    name = library.learn(UNDEFINED, "missing_import", LEARNED_PATH, "t1")
    bench = make_bench(write_files(tmp_path / "work", {"a.py": "p = Path('x')\n"}), has_tests=False)

    for one in (library, FolderLibrary(tmp_path / "skills")):
        assert [skill.name for skill in one.select(UNDEFINED)] == [name, "missing_import"]
    repair = library.select(UNDEFINED)[0].run(UNDEFINED, bench)

    assert name is not None
    assert name.startswith("learned-missing-import-path-pathlib")
    assert repair.outcome is RepairOutcome.SUCCEEDED
    assert (tmp_path / "work/a.py").read_text().startswith("from pathlib import Path\n")
    assert not list((tmp_path / "skills" / name).glob("*.py"))


def test_a_lesson_treats_its_own_name_only(tmp_path: Path) -> None:
    """`Path` teaches nothing about `PurePath`, but something about the NameError of a test."""
    library = FolderLibrary(tmp_path)
    name = library.learn(UNDEFINED, "missing_import", LEARNED_PATH, "t1")
    other = replace(UNDEFINED, message="Undefined name `PurePath`", data={"name": "PurePath"})
    error = Finding(rule="test/name-error", message="t.py::t: NameError: name 'Path' is not defined")

    assert [skill.name for skill in library.select(other)] == ["missing_import"]
    assert library.select(error)[0].name == name


def test_the_same_lesson_is_counted_not_written_twice(tmp_path: Path) -> None:
    """Also when the learned skill itself has done it again."""
    library = FolderLibrary(tmp_path)
    first = library.learn(UNDEFINED, "missing_import", LEARNED_PATH, "t1")
    assert first is not None
    again = library.learn(UNDEFINED, first, LEARNED_PATH, "t2")

    assert first == again
    assert [path.name for path in tmp_path.glob("learned-*")] == [first]
    assert "times: 2\n  last_task: t2" in (tmp_path / first / "metadata.yaml").read_text()


NOTHING = {
    "a failed repair": replace(LEARNED_PATH, outcome=RepairOutcome.FAILED),
    "no parameters": replace(LEARNED_PATH, parameters={}),
    "another name": replace(LEARNED_PATH, parameters={"name": "Counter", "module": "collections"}),
}


@pytest.mark.parametrize("repair", NOTHING.values(), ids=NOTHING)
def test_what_teaches_nothing_is_not_kept(tmp_path: Path, repair: Repair) -> None:
    """No parameters, no success or no connection with the finding: no lesson."""
    assert FolderLibrary(tmp_path).learn(UNDEFINED, "missing_import", repair, "t1") is None
    assert list(tmp_path.iterdir()) == []


def test_a_skill_without_a_lesson_key_learns_nothing(tmp_path: Path) -> None:
    """A missing colon is as easy to find the next time."""
    finding = Finding(rule="syntax/expected-colon", message="expected ':'")

    assert FolderLibrary(tmp_path).learn(finding, "missing_colon", LEARNED_PATH, "t1") is None


def count_many(folder: Path) -> None:
    for _ in range(50):
        OutcomeCounts(folder).add("a", "succeeded")


def count_by_threads(folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        for counted in [pool.submit(count_many, folder) for _ in range(2)]:
            counted.result()


def test_counts_of_threads_and_processes_add_up(tmp_path: Path) -> None:
    """No count of a task is lost to another: a service runs several in one process, beside a person's."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=count_by_threads, args=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert OutcomeCounts(tmp_path).read() == {"a": {"succeeded": 200}}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"b": "c"}}'])
def test_damaged_counts_are_set_aside(tmp_path: Path, text: str) -> None:
    """A file that holds no counts is kept under another name, and counting goes on."""
    (tmp_path / "counts.json").write_text(text)
    library = FolderLibrary(tmp_path)

    assert library.select(
        Finding(rule="test/name-error", message="name 'x' is not defined", data={"test": "t"})
    )
    library.count("a", "failed")

    assert library.counts() == {"a": {"failed": 1}}
    assert (tmp_path / "counts.json.damaged").read_text() == text
    assert json.loads((tmp_path / "counts.json").read_text()) == {"a": {"failed": 1}}
