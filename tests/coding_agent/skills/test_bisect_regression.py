"""The commit that broke a test is named, and reverted where the whole suite passes with that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.planning.diagnosis import RuleDiagnosis, _read_report
from coding_agent.records import RepairOutcome, TestFailure, TestReport
from coding_agent.skills.library import FolderLibrary
from tests.coding_agent.skills.repositories import COMMANDS, FLAT, LAYOUTS, own_check
from tests.coding_agent.skills.workshop import commit, git, make_bench, snapshot, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.protocols import Workbench
    from coding_agent.records import Finding, Repair

pytestmark = pytest.mark.usefixtures("_lean_pytest")

TEST_GROSS = "test_orders.py::test_gross"

# File, what the bad commit replaces and by what, the test that fails then (None: as pytest finds it), how
# many commits stand before and after it. Each commit costs a run of pytest, whatever the own test command
# is; of the longest history git has to halve a part.
BROKEN = {
    "flat": ("orders.py", "(100 + rate)", "(100 - rate)", TEST_GROSS, 0, 1),
    "src": (
        "src/textkit/wrap.py",
        ">= width",
        "> width + 1",
        "tests/test_textkit.py::test_wrap",
        1,
        2,
    ),
    "package": ("bank/rules/fees.py", "amount + fee(amount)", "amount - fee(amount)", None, 0, 0),
}


def repair(bench: Workbench, home: Path, test: str | None = None) -> Repair:
    """Return what the skill does with that failing test, by default with the first that pytest finds."""
    finding = read_failure(test) if test else RuleDiagnosis(make_bench(bench.root)).test()[0]
    skills = FolderLibrary(home).select(finding)
    assert skills[-1].name == "bisect_regression"
    return skills[-1].run(finding, bench)


def read_failure(test: str) -> Finding:
    """Return the finding that a diagnosis makes of a failed assertion, without a run of the suite."""
    failure = TestFailure(test=test, error="AssertionError", message="", path=test.partition("::")[0], line=1)
    (finding,) = _read_report(
        TestReport(passed=0, failed=1, errors=0, skipped=0, failures=(failure,), exit_code=1)
    )
    return finding


def make_history(
    root: Path, files: dict[str, str], path: str, change: tuple[str, str], *, earlier: int = 0, later: int = 0
) -> str:
    """Commit a healthy repository, a commit that breaks it, and some that do no harm; return the bad one."""
    commit(root, files, "Begin")
    for number in range(earlier):
        commit(root, {"EARLIER.md": f"{number}\n"}, f"Earlier {number}")
    bad = commit(root, {path: files[path].replace(*change)}, "A better sum")
    for number in range(later):
        commit(root, {"NOTES.md": f"{number}\n"}, f"Note {number}")
    return bad


@pytest.mark.parametrize("layout", BROKEN)
def test_the_commit_is_reported_and_its_revert_repairs(tmp_path: Path, layout: str) -> None:
    """Wherever the bad commit lies, it is named and taken back, and the whole suite passes."""
    root, files = tmp_path / "work", LAYOUTS[layout]
    path, good, bad, test, earlier, later = BROKEN[layout]
    culprit = make_history(root, files, path, (good, bad), earlier=earlier, later=later)
    bench = make_bench(root, test_command=COMMANDS[layout])

    done = repair(bench, tmp_path / "home", test)

    assert (done.outcome, done.files_changed) == (RepairOutcome.SUCCEEDED, (path,)), done.summary
    (found,) = done.findings
    assert (found.rule, found.data["commit"], found.data["subject"]) == (
        "test/bisected",
        culprit,
        "A better sum",
    )
    # To the byte the files whose own tests pass, which test_syntax_repairs.py proves.
    assert snapshot(root).items() >= {name: text.encode() for name, text in files.items()}.items()
    assert git(root, "status", "--porcelain") == f"M {path}"


def test_a_revert_that_breaks_something_else_is_undone_and_still_reported(tmp_path: Path) -> None:
    """The whole suite has to pass; else the tree is as it was, and the finding stays."""
    root = tmp_path / "work"
    test = "import a\n\n\ndef test_f():\n    assert a.f() < 2\n"
    commit(root, {"a.py": "def f():\n    return 1\n", "test_a.py": test}, "One")
    culprit = commit(root, {"a.py": "def f():\n    return 2\n\n\ndef g():\n    return 3\n"}, "Two")
    write_files(root, {"test_g.py": "import a\n\n\ndef test_g():\n    assert a.g() == 3\n"})
    before = snapshot(root)
    bench = make_bench(root, test_command=own_check("test_a", "test_g"))

    done = repair(bench, tmp_path / "home", "test_a.py::test_f")

    assert (done.outcome, done.findings[0].data["commit"]) == (RepairOutcome.FAILED, culprit)
    assert snapshot(root) == before


def test_a_conflicting_revert_leaves_no_trace(tmp_path: Path) -> None:
    """Later changes to the same lines stand in the way: nothing is left of it, in the index neither."""
    root = tmp_path / "work"
    test = "import a\n\n\ndef test_f():\n    assert a.f() == 1\n"
    commit(root, {"a.py": "def f():\n    return 1\n", "test_a.py": test}, "One")
    commit(root, {"a.py": "def f():\n    return 2\n"}, "Two")
    commit(root, {"a.py": "def f():\n    return 3\n"}, "Three")
    before = snapshot(root)

    done = repair(make_bench(root), tmp_path / "home", "test_a.py::test_f")

    assert done.outcome is RepairOutcome.FAILED
    assert done.findings[0].data["subject"] == "Two"
    assert snapshot(root) == before
    assert git(root, "status", "--porcelain") == ""


def test_a_test_younger_than_the_fault_finds_it_and_later_changes_stay(tmp_path: Path) -> None:
    """The failing test is carried into commits that lack it; the revert takes back sources, never tests.

    It goes on top of what came after it elsewhere in the same file, also when that is not committed.
    """
    root = tmp_path / "work"
    commit(root, {"orders.py": FLAT["orders.py"]}, "Begin")
    wrong = FLAT["orders.py"].replace("(100 + rate)", "(100 - rate)")
    culprit = commit(root, {"orders.py": wrong, "checks/test_rates.py": "import orders\n"}, "A better sum")
    text = (root / "orders.py").read_text().replace('"none of "', '"no "')
    text = text.replace("Sum of the", "The sum of the")
    test = FLAT["test_orders.py"].replace("none of", "no")
    write_files(root, {"orders.py": text, "checks/test_orders.py": test})
    bench = make_bench(root, test_command=own_check("checks.test_orders"))

    done = repair(bench, tmp_path / "home", "checks/test_orders.py::test_gross")

    assert done.outcome is RepairOutcome.SUCCEEDED, done.summary
    assert done.findings[0].data["commit"] == culprit
    assert (root / "orders.py").read_text() == text.replace("(100 - rate)", "(100 + rate)")
    assert (root / "checks/test_orders.py").read_text() == test
    assert (root / "checks/test_rates.py").exists()


def test_uncommitted_changes_are_named_as_the_cause(tmp_path: Path) -> None:
    """The test passes in the last commit: no commit is to blame and nothing is edited."""
    root = tmp_path / "work"
    commit(root, FLAT, "Begin")
    write_files(root, {"orders.py": FLAT["orders.py"].replace("(100 + rate)", "(100 - rate)")})
    before = snapshot(root)

    done = repair(make_bench(root), tmp_path / "home", TEST_GROSS)

    assert done.outcome is RepairOutcome.NOT_APPLICABLE
    assert [(found.rule, found.data["files"]) for found in done.findings] == [
        ("test/uncommitted", "orders.py")
    ]
    assert snapshot(root) == before


def test_a_test_that_never_passed_has_no_culprit(tmp_path: Path) -> None:
    """Without a good end there is nothing to tell apart."""
    root = tmp_path / "work"
    commit(root, {"test_a.py": "def test_a():\n    assert 1 == 2\n"}, "One")
    commit(root, {"a.txt": "x"}, "Two")

    done = repair(make_bench(root), tmp_path / "home", "test_a.py::test_a")

    assert (done.outcome, done.findings) == (RepairOutcome.NOT_APPLICABLE, ())


def test_without_history_the_skill_does_not_apply(tmp_path: Path) -> None:
    """A folder without git is told so."""
    bench = make_bench(write_files(tmp_path / "work", {"test_a.py": "def test_a():\n    assert 1 == 2\n"}))

    done = repair(bench, tmp_path / "home", "test_a.py::test_a")

    assert (done.outcome, "needs git" in done.summary) == (RepairOutcome.NOT_APPLICABLE, True)
