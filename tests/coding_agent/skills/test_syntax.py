"""How a repair of syntax is chosen: by the compiler alone, by the tests, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coding_agent.compiler import find_faults
from coding_agent.records import Repair, RepairOutcome, TestFailure, TestReport
from coding_agent.skills.library import FolderLibrary
from coding_agent.skills.syntax import find_best_report
from tests.coding_agent.repositories import make_broken_pytest
from tests.coding_agent.skills.workshop import make_bench, snapshot, write_files

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.usefixtures("_lean_pytest")

OLD_PYTHONS = sorted(Path("~/.pyenv/versions").expanduser().glob("3.[89].*/bin/python"))


def repair_first(
    root: Path,
    files: dict[str, str],
    *,
    has_tests: bool = False,
    python: Path | None = None,
    test_command: Sequence[str] = (),
) -> Repair:
    """Return what the chosen skill does with the first finding of these files."""
    work = write_files(root / "work", files)
    bench = make_bench(work, has_tests=has_tests, python=python, test_command=test_command)
    path, fault = next(iter(find_faults(bench, bench.files.paths("**/*.py")).items()))
    finding = fault.as_finding(path)
    return FolderLibrary(root / "skills").select(finding)[0].run(finding, bench)


def test_one_run_repairs_all_faults_of_a_kind_in_a_file(tmp_path: Path) -> None:
    """Faults of one kind are repaired one after another, as long as each leaves one choice."""
    code = "def f(x)\n    if x\n        return 1\n    return 2\n\n\nclass A\n    pass\n"

    repair = repair_first(tmp_path, {"a.py": code})

    assert repair.outcome is RepairOutcome.SUCCEEDED
    assert (tmp_path / "work/a.py").read_text() == (
        "def f(x):\n    if x:\n        return 1\n    return 2\n\n\nclass A:\n    pass\n"
    )


def test_a_fault_of_another_kind_further_down_does_not_hinder(tmp_path: Path) -> None:
    """A repair succeeds when it moves the compiler past its line; what follows is the next finding."""
    repair_first(tmp_path, {"a.py": "def f(x)\n    return x\n\n\ny = [1, 2 3]\n"})

    left = find_faults(make_bench(tmp_path / "work", has_tests=False), ["a.py"])["a.py"]
    assert (left.slug, left.line) == ("missing-comma", 5)


AMBIGUOUS = {
    "string": "def f(a):\n    return 'x + a\n",
    "glued words": "def f(items):\n    return lenitems)\n",
    "triple quotes": 'def f():\n    """Doc.""\n',
    "bracket": "def f(a, b):\n    return a + b) * 2\n",
    "block": "for a in [1]:\nb = a\nc = a\n",
    "no body": "def f():\n\ndef g():\n    return 1\n",
    "never closed": "def f(a, b):\n    return max(a, b + 1\n",
}


@pytest.mark.parametrize("code", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_could_mean_several_things_is_left_alone_without_tests(tmp_path: Path, code: str) -> None:
    """Several edits compile and nothing can tell which was meant: no edit at all."""
    repair = repair_first(tmp_path, {"a.py": code})

    assert repair.outcome is RepairOutcome.NOT_APPLICABLE
    assert snapshot(tmp_path / "work") == {"a.py": code.encode()}


def test_a_broken_pytest_is_as_none(tmp_path: Path) -> None:
    """Where the tests cannot even begin they decide nothing, and the repair says so."""
    test = "from a import f\n\n\ndef test_f():\n    assert f(1, 2) == 6\n"
    files = {"a.py": AMBIGUOUS["bracket"], "test_a.py": test}

    repair = repair_first(
        tmp_path, files, has_tests=True, python=make_broken_pytest(tmp_path / "environment")
    )

    assert repair.outcome is RepairOutcome.NOT_APPLICABLE
    assert "no tests can decide" in repair.summary


def test_tests_that_pass_with_every_edit_do_not_decide(tmp_path: Path) -> None:
    """A tie that the tests cannot break leaves the file to the byte as it was."""
    code = AMBIGUOUS["bracket"]
    command = ("python", "-c", "from a import f; assert f(0, 0) == 0")

    repair = repair_first(tmp_path, {"a.py": code}, has_tests=True, test_command=command)

    assert repair.outcome is RepairOutcome.NOT_APPLICABLE
    assert "the tests do not single one out" in repair.summary
    assert snapshot(tmp_path / "work") == {"a.py": code.encode()}


def test_the_one_edit_with_which_the_tests_pass_is_chosen(tmp_path: Path) -> None:
    """A tie is broken by pytest, where exactly one of the edits makes the suite pass."""
    # A subtraction compiles as well as a call; the one proposed first is not the one meant.
    code = "def f(a, b):\n    return a - b)\n"
    test = "from a import f\n\n\ndef test_f():\n    assert f(abs, 2) == 2\n"

    repair = repair_first(tmp_path, {"a.py": code, "test_a.py": test}, has_tests=True)

    assert repair.outcome is RepairOutcome.SUCCEEDED
    assert "the tests chose among 3 edits" in repair.summary
    assert (tmp_path / "work/a.py").read_text() == "def f(a, b):\n    return a (- b)\n"


@pytest.mark.skipif(not OLD_PYTHONS, reason="no Python 3.8 or 3.9 on this machine")
def test_an_old_python_is_helped_by_our_own_message(tmp_path: Path) -> None:
    """Python 3.8 says only `invalid syntax`; ours names the fault, and 3.8 still judges the repair."""
    repair = repair_first(tmp_path, {"a.py": "def f(x)\n    return x\n"}, python=OLD_PYTHONS[0])

    assert repair.outcome is RepairOutcome.SUCCEEDED


def test_line_ends_and_encoding_survive(tmp_path: Path) -> None:
    """A repaired file keeps its encoding and its line ends."""
    root = tmp_path / "work"
    root.mkdir()
    before = "# coding: latin-1\r\nname = 'é'\r\nif name\r\n    name = 'è'\r\n"
    (root / "a.py").write_bytes(before.encode("latin-1"))

    repair_first(tmp_path, {})

    assert (root / "a.py").read_bytes() == before.replace("if name", "if name:").encode("latin-1")


def make_report(*failing: str, passed: int = 5) -> TestReport:
    failures = tuple(TestFailure(test=test, error="AssertionError", message="") for test in failing)
    count = len(failing)
    return TestReport(
        passed=passed, failed=count, errors=0, skipped=0, failures=failures, exit_code=1 if failing else 0
    )


def test_the_only_trial_that_passes_is_the_best() -> None:
    """Of several trials the one that passes wins; two that pass are a tie."""
    assert find_best_report([make_report("a"), make_report()]) == 1
    assert find_best_report([make_report(), make_report()]) is None


def test_where_none_passes_the_fewest_failures_count_only_as_a_subset() -> None:
    """Another fault may keep all from passing; then less of the same is evidence, other failures are not."""
    assert find_best_report([make_report("a", "b"), make_report("a")]) == 1
    assert find_best_report([make_report("a", "b"), make_report("c")]) is None
    assert find_best_report([make_report("a", "b"), make_report("a", passed=0)]) is None
