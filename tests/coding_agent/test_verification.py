"""A suite that ran and passed on the work tree's own code verifies; anything less does not."""

from __future__ import annotations

import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coding_agent.tools import PytestTool
from coding_agent.verification import SuiteVerifier
from tests.coding_agent.repositories import FakeLimits, make_broken_pytest, write_files

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.usefixtures("_lean_pytest")


def make_verifier(
    root: Path, *, python: str = sys.executable, test_command: Sequence[str] = (), source: Path | None = None
) -> SuiteVerifier:
    tests = PytestTool(
        root, source=source or root, python=Path(python), limits=FakeLimits(), test_command=test_command
    )
    return SuiteVerifier(tests)


@pytest.mark.parametrize(
    "code,is_passed", [("def test_a(): pass\n", True), ("def test_a(): assert 0\n", False)]
)
def test_the_suite_has_the_word(tmp_path: Path, code: str, is_passed: bool) -> None:
    """The report of the whole suite is the verdict."""
    write_files(tmp_path, {"test_a.py": code})
    report = make_verifier(tmp_path).verify(["a.py"])
    assert report is not None
    assert report.is_passed is is_passed


def test_without_tests_nothing_is_verified(tmp_path: Path) -> None:
    """Where there is no test there is no verdict."""
    write_files(tmp_path, {"a.py": ""})
    assert make_verifier(tmp_path).verify(["a.py"]) is None


def test_without_pytest_nothing_is_verified(tmp_path: Path) -> None:
    """Where the target's Python has no pytest there is no verdict, unless a test command is given."""
    write_files(tmp_path, {"test_a.py": "def test_a(): pass\n"})
    venv.create(tmp_path / "env", symlinks=True)
    python = str(tmp_path / "env" / "bin" / "python")
    assert make_verifier(tmp_path, python=python).verify([]) is None
    report = make_verifier(tmp_path, python=python, test_command=("true",)).verify([])
    assert report is not None
    assert report.is_passed


def test_with_a_broken_pytest_nothing_is_verified(tmp_path: Path) -> None:
    """Where the target's pytest cannot be imported there is no verdict either: no test has said anything."""
    write_files(tmp_path, {"test_a.py": "def test_a(): pass\n"})
    assert make_verifier(tmp_path, python=str(make_broken_pytest(tmp_path / "env"))).verify([]) is None


def test_a_test_command_may_end_as_it_likes(tmp_path: Path) -> None:
    """Exit code 5 means `no tests` for pytest only; of a foreign command it is a failure."""
    report = make_verifier(tmp_path, test_command=("sh", "-c", "exit 5")).verify([])
    assert report is not None
    assert not report.is_passed


def test_the_verifier_names_the_changed_files_to_the_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suite that passed on the user's copy of a changed file is a report that did not pass."""
    source, tree = tmp_path / "source", tmp_path / "tree"
    write_files(source, {"shop.py": "x = 1\n"})
    test = f"import sys\nsys.path.insert(0, {str(source)!r})\nimport shop\ndef test_a(): assert shop.x == 1\n"
    write_files(tree, {"shop.py": "x = 2\n", "test_a.py": test})
    report = make_verifier(tree, source=source).verify(["shop.py"])
    assert report is not None
    assert report.exit_code == 0
    assert report.imported_elsewhere == ("shop.py",)
    assert not report.is_passed
