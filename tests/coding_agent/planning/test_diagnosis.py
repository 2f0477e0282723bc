"""What is wrong, by the compiler, ruff and the tests, in repositories of every kind of trouble."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coding_agent.errors import ToolMissingError
from coding_agent.planning.diagnosis import RuleDiagnosis
from coding_agent.records import Finding, TestReport
from tests.coding_agent.repositories import make_broken_pytest
from tests.coding_agent.skills.workshop import commit, make_bench, make_task, snapshot, write_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OLD_PYTHONS = sorted(Path("~/.pyenv/versions").expanduser().glob("3.8.*/bin/python"))


def rules(
    root: Path, files: Mapping[str, str | bytes], text: str | None = None
) -> list[tuple[str, str | None]]:
    """Return rule and path of what lint() reports."""
    bench = make_bench(write_files(root / "work", files))
    task = None if text is None else make_task(bench.root, text)
    before = snapshot(bench.root)
    found = RuleDiagnosis(bench, task).lint()
    assert snapshot(bench.root) == before
    return [(one.rule, one.path) for one in found]


def test_a_syntax_error_has_its_place_and_the_compilers_own_words(tmp_path: Path) -> None:
    """Rule, file, line and column, message; the end of the range where the compiler knows it."""
    bench = make_bench(write_files(tmp_path / "work", {"a.py": "x = 1\ny = [1, 2 3]\n"}))

    (found,) = RuleDiagnosis(bench).lint()

    assert (found.rule, found.where()) == ("syntax/missing-comma", "a.py:2:9")
    assert found.message == found.data["text"] == "invalid syntax. Perhaps you forgot a comma?"
    assert found.data["end_line"] == 2


class NoLinter:
    def check(self, *paths: str, select: Sequence[str] = ()) -> Sequence[Finding]:
        raise ToolMissingError("ruff is not installed", hint="python -m pip install ruff")

    def fix(self, *paths: str, select: Sequence[str] = ()) -> Sequence[str]:
        self.check()
        return ()


def test_without_ruff_the_compiler_is_still_heard(tmp_path: Path) -> None:
    """Syntax errors are findings as ever, and so is it that nobody looked for lint."""
    bench = replace(
        make_bench(write_files(tmp_path / "work", {"a.py": "if x\n    pass\n"})), linter=NoLinter()
    )

    syntax, lint = RuleDiagnosis(bench).lint()

    assert (syntax.rule, lint.rule) == ("syntax/expected-colon", "lint/unavailable")
    assert "ruff is not installed (python -m pip install ruff)" in lint.message


def test_files_that_are_no_text_are_findings_not_failures(tmp_path: Path) -> None:
    """Null bytes, bad UTF-8 and nesting beyond the compiler's stack are reported; empty files are fine."""
    files: dict[str, str | bytes] = {
        "null.py": b"x = 1\0\n",
        "latin.py": b"name = '\xe9'\n",
        "deep.py": "x = " + "(" * 300 + ")" * 300 + "\n",
        "empty.py": b"",
        "mark.py": b"\xef\xbb\xbfx = 1\n",
    }

    assert rules(tmp_path, files) == [
        ("syntax/other", "deep.py"),
        ("syntax/other", "latin.py"),
        ("syntax/other", "null.py"),
    ]


def test_a_module_of_the_target_does_not_answer_for_the_standard_library(tmp_path: Path) -> None:
    """The compiling child imports json and ast of the standard library, whatever lies in the work tree."""
    files = {
        "json.py": "raise SystemExit(3)\n",
        "ast.py": "raise SystemExit(3)\n",
        "a.py": "if x\n    pass\n",
    }

    assert ("syntax/expected-colon", "a.py") in rules(tmp_path, files)


def test_ignored_files_are_not_looked_at(tmp_path: Path) -> None:
    """What git ignores is none of the agent's business."""
    commit(tmp_path / "work", {".gitignore": "build/\n"})

    assert rules(tmp_path, {"build/a.py": "if x\n"}) == []


@pytest.mark.skipif(not OLD_PYTHONS, reason="no Python 3.8 on this machine")
def test_the_targets_python_is_the_law(tmp_path: Path) -> None:
    """A match statement is an error for 3.8 and none for us."""
    files = {"a.py": "match 1:\n    case 1:\n        pass\n"}
    root = write_files(tmp_path / "work", files)

    old = RuleDiagnosis(make_bench(root, python=OLD_PYTHONS[0], has_tests=False)).lint()
    ours = RuleDiagnosis(make_bench(root, python=Path(sys.executable), has_tests=False)).lint()

    assert [found.rule for found in old] == ["syntax/other"]
    assert ours == []


UNTIDY = "import sys\nimport os\n\nprint(missing, os.sep)\n"


def test_a_repair_sees_only_what_breaks_the_program(tmp_path: Path) -> None:
    """Where ruff is not configured and not asked for, lint is an undefined name."""
    assert rules(tmp_path, {"a.py": UNTIDY}, "the tests fail") == [("ruff/F821", "a.py")]


def test_a_task_that_speaks_of_imports_sees_them(tmp_path: Path) -> None:
    """Asked for in the text, unused and unsorted imports are findings."""
    found = rules(tmp_path, {"a.py": UNTIDY}, "please sort the imports")

    assert sorted(rule for rule, _ in found) == ["ruff/F401", "ruff/F821", "ruff/I001"]


@pytest.mark.parametrize("name", ["ruff.toml", ".ruff.toml"])
def test_a_target_that_configures_ruff_gets_what_it_configures(tmp_path: Path, name: str) -> None:
    """Its own selection counts, as far as ruff has a safe fix for it; no finding comes twice."""
    files: dict[str, str | bytes] = {
        "a.py": UNTIDY + "x = None\ny = x == None\n",
        name: 'lint.select = ["F", "E"]\n',
    }

    assert rules(tmp_path, files, "the tests fail") == [("ruff/F401", "a.py"), ("ruff/F821", "a.py")]


def test_lint_is_silent_on_files_that_do_not_compile(tmp_path: Path) -> None:
    """One broken file is one finding; the others are linted."""
    files: dict[str, str | bytes] = {"a.py": "import os\nif x\n    pass\n", "b.py": "import os\n"}

    assert rules(tmp_path, files) == [("syntax/expected-colon", "a.py"), ("ruff/F401", "b.py")]


TESTS = {
    "test_all.py": (
        "import pytest\n\nimport helper\n\n\n"
        "def test_assertion():\n    assert 1 == 2\n\n\n"
        "def test_attribute():\n    helper.gone\n\n\n"
        "def test_import():\n    from helper import gone\n\n\n"
        "def test_name():\n    helper.use()\n\n\n"
        "def test_type():\n    helper.use(1)\n\n\n"
        "def test_value():\n    int('x')\n\n\n"
        "def test_good():\n    pass\n"
    ),
    "helper.py": "def use():\n    return absent\n",
    "test_broken.py": "import nowhere_at_all\n",
    "test_syntax.py": "def test(:\n",
}


def test_each_failure_is_a_finding_by_its_exception(tmp_path: Path) -> None:
    """The slug is the kind of exception; path and line lie in the work tree; the test can be run again."""
    bench = make_bench(write_files(tmp_path / "work", TESTS))

    found = {str(one.data["test"]).rpartition("::")[2]: one for one in RuleDiagnosis(bench).test()}

    assert {name: one.rule for name, one in found.items()} == {
        "test_assertion": "test/assertion",
        "test_attribute": "test/attribute-error",
        "test_import": "test/import-error",
        "test_name": "test/name-error",
        "test_type": "test/type-error",
        "test_value": "test/other",
        "test_broken.py": "test/import-error",
        "test_syntax.py": "test/syntax",
    }
    assert found["test_name"].where() == "helper.py:2"
    assert found["test_name"].data["text"] == "name 'absent' is not defined"


def test_no_tests_and_no_pytest_are_told_apart(tmp_path: Path) -> None:
    """A repository without tests, and a Python without pytest, say so in a rule of their own."""
    root = write_files(tmp_path / "work", {"a.py": "x = 1\n"})

    assert [one.rule for one in RuleDiagnosis(make_bench(root)).test()] == ["test/none"]
    assert [one.rule for one in RuleDiagnosis(make_bench(root, has_tests=False)).test()] == [
        "test/unavailable"
    ]


def test_a_broken_pytest_is_told_as_none(tmp_path: Path) -> None:
    """A pytest that is there and cannot be imported is named as what is missing, and no test is blamed."""
    root = write_files(tmp_path / "work", {"test_a.py": "def test_a():\n    assert 0\n"})
    bench = make_bench(root, python=make_broken_pytest(tmp_path / "environment"))

    assert [one.rule for one in RuleDiagnosis(bench).test()] == ["test/unavailable"]


def test_a_suite_that_passes_has_no_findings(tmp_path: Path) -> None:
    """Nothing wrong, nothing said."""
    bench = make_bench(write_files(tmp_path / "work", {"test_a.py": "def test_a():\n    pass\n"}))

    assert list(RuleDiagnosis(bench).test()) == []


class SomeTests:
    """A suite that ends as it is told to."""

    def __init__(self, report: TestReport) -> None:
        self.report = report
        self.python = Path(sys.executable)
        self.is_available = True

    def run(self, *selection: str, files_changed: Sequence[str] = ()) -> TestReport:
        return self.report


HUNG = TestReport(
    passed=0, failed=0, errors=0, skipped=0, failures=(), exit_code=None, is_timed_out=True, output_tail="..."
)
CRASHED = replace(HUNG, is_timed_out=False, exit_code=3)
FOREIGN = replace(CRASHED, has_counts=False, exit_code=5)


@pytest.mark.parametrize("report, rule", [(HUNG, "hang"), (CRASHED, "other"), (FOREIGN, "other")])
def test_a_suite_that_fails_without_naming_a_test_is_one_finding(
    tmp_path: Path, report: TestReport, rule: str
) -> None:
    """A hang, a crash, a foreign command: the end of the output is among the facts."""
    bench = replace(make_bench(write_files(tmp_path / "work", {})), tests=SomeTests(report))

    (found,) = RuleDiagnosis(bench).test()

    assert (found.rule, found.data["tail"]) == (f"test/{rule}", "...")


def test_an_empty_folder_has_nothing_to_lint(tmp_path: Path) -> None:
    """No file, no child process, no finding."""
    assert rules(tmp_path, {"README.md": "x"}) == []
