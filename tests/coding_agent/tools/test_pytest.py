"""The target's tests run on the work tree's code, and the report says what they said."""

from __future__ import annotations

import os
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from coding_agent.errors import ToolMissingError
from coding_agent.records import TestFailure, TestReport
from coding_agent.tools import PytestTool, process
from coding_agent.tools._results import Results, imported_elsewhere, module_names
from tests.coding_agent.repositories import (
    Clock,
    FakeLimits,
    contents,
    make_broken_pytest,
    write_files,
)

PACKAGE = {
    "src/shop/__init__.py": "",
    "src/shop/cart.py": "def total(prices):\n    return sum(prices)\n",
    "tests/test_cart.py": "from shop.cart import total\ndef test_total(): assert total([1, 2]) == 3\n",
}


def make_tests(root: Path, **options: object) -> PytestTool:
    settings: dict[str, object] = {
        "source": root,
        "python": Path(sys.executable),
        "limits": FakeLimits(),
        "timeout": 120,
        **options,
    }
    return PytestTool(root, **settings)  # type: ignore[arg-type]


def make_environment(folder: Path, *lines: str) -> Path:
    """Make a virtual environment that finds our pytest, with lines for a .pth file; return its Python."""
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "zz_pytest.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    (packages / "aa_editable.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "bin" / "python"


# All that can happen to a test, in one suite and one run of it for the laws that only read the report.
SUITE = {
    **PACKAGE,
    "tests/test_cart.py": """\
import pytest
from shop.cart import total
def test_good(): pass
def test_bad(): assert total([1]) == 2, 'wrong sum'
def test_deep(): total(None)
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_expected(): assert False
@pytest.fixture
def broken(): raise KeyError('here')
def test_setup(broken): pass
""",
    "tests/test_import.py": "\nimport no_such_module\n",
    "tests/test_last.py": "def test_last(): pass\n",
    "tests/test_name.py": "from pathlib import NoSuchName\n",
    "tests/test_odd.py": """\
class Odd(Exception):
    def __str__(self): raise ValueError
def test_odd(): raise Odd
""",
    "tests/test_parts.py": """\
def test_parts(subtests):
    for n in range(3):
        with subtests.test(n=n):
            assert n
""",
    "tests/test_syntax.py": "def test_a(:\n    pass\n",
    "tests/test_value.py": "def test_value(): raise ValueError('why')\n",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> TestReport:
    root = tmp_path_factory.mktemp("suite")
    write_files(root, SUITE)
    return make_tests(root).run()


def failures_in(report: TestReport, *names: str) -> list[TestFailure]:
    return [
        found for found in report.failures if found.test.partition("::")[0] in {f"tests/{n}" for n in names}
    ]


def test_counts_are_what_pytest_says(report: TestReport) -> None:
    """Tests are counted by how they ended, those that ran and files that could not be collected."""
    assert (report.passed, report.failed, report.errors, report.skipped) == (2, 6, 4, 2)
    assert report.exit_code == 1
    assert not report.is_passed


def test_failures_are_named_with_exception_and_innermost_frame(report: TestReport) -> None:
    """A failure lies where the work tree's own code failed: in a test, a source or a fixture."""
    found = failures_in(report, "test_cart.py")
    assert found[0].message.startswith("wrong sum")
    assert [(one.test, one.error, one.path, one.line) for one in found] == [
        ("tests/test_cart.py::test_bad", "AssertionError", "tests/test_cart.py", 4),
        ("tests/test_cart.py::test_deep", "TypeError", "src/shop/cart.py", 2),
        ("tests/test_cart.py::test_setup", "KeyError", "tests/test_cart.py", 11),
    ]


def test_files_that_cannot_be_collected_are_failures(report: TestReport) -> None:
    """A test file that cannot be imported is named with error and place; the rest still runs."""
    found = failures_in(report, "test_import.py", "test_name.py", "test_syntax.py")
    assert report.passed == 2
    assert all(one.is_collection_error for one in found)
    assert [(one.test, one.error, one.path, one.line) for one in found] == [
        ("tests/test_import.py", "ModuleNotFoundError", "tests/test_import.py", 2),
        ("tests/test_name.py", "ImportError", "tests/test_name.py", 1),
        ("tests/test_syntax.py", "SyntaxError", "tests/test_syntax.py", 1),
    ]


def test_an_exception_with_a_broken_text_is_reported(report: TestReport) -> None:
    """An exception that cannot even be told is told by its class."""
    assert [(one.error, one.message) for one in failures_in(report, "test_odd.py")] == [("Odd", "")]


def test_subtests_are_not_counted_as_tests(report: TestReport) -> None:
    """A failed subtest is a failure; those that pass are part of their test, which has not passed."""
    assert "AssertionError" in {one.error for one in failures_in(report, "test_parts.py")}
    assert report.passed == 2  # test_good and test_last


def test_failures_are_records(report: TestReport) -> None:
    """A failure is the agent's record, whole."""
    assert failures_in(report, "test_value.py") == [
        TestFailure(
            test="tests/test_value.py::test_value",
            error="ValueError",
            message="why",
            path="tests/test_value.py",
            line=1,
        )
    ]


def test_a_good_suite_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A suite that passes is a pass, and the work tree holds no file more than before.

    Changed files that the tests did not import, and files that are no modules, do not spoil it.
    """
    write_files(tmp_path, {**PACKAGE, "src/shop/other.py": "", "README.md": "", "setup.py": ""})
    before = contents(tmp_path)
    changed = ["src/shop/other.py", "README.md", "setup.py", "src/shop/cart.py", "deleted.py"]
    report = make_tests(tmp_path).run(files_changed=changed)
    assert report.is_passed
    assert report.passed == 1
    assert contents(tmp_path) == before


def test_node_ids_count_from_the_work_tree(tmp_path: Path) -> None:
    """Where pytest's root lies above the work tree, node ids are turned, and can be run there alone."""
    files = {
        "pytest.ini": "[pytest]\n",
        "part/tests/test_a.py": "def test_a(): assert 0\ndef test_b(): pass\n",
    }
    write_files(tmp_path, files)
    tests = make_tests(tmp_path / "part")
    whole = tests.run()
    [failure] = whole.failures
    assert failure.test == "tests/test_a.py::test_a"
    alone = tests.run(failure.test)
    assert [(one.passed, one.failed) for one in (whole, alone)] == [(1, 1), (0, 1)]


def test_a_broken_conftest_is_a_failure_with_its_cause(tmp_path: Path) -> None:
    """Where pytest cannot even start, the report still holds one failure that says why; pytest is sound."""
    write_files(tmp_path, {**PACKAGE, "tests/conftest.py": "import no_such_module\n"})
    tests = make_tests(tmp_path)
    [failure] = tests.run("tests").failures
    assert tests.is_available
    assert failure.error == "ModuleNotFoundError"
    assert failure.message == "No module named 'no_such_module'"
    assert failure.test.endswith("tests/conftest.py")
    assert failure.is_collection_error


def test_a_process_that_dies_is_a_failure(tmp_path: Path) -> None:
    """A test that takes the whole process down leaves no pass behind, and the report names it."""
    write_files(tmp_path, {"test_a.py": "import os\ndef test_a(): pass\ndef test_b(): os._exit(3)\n"})
    report = make_tests(tmp_path).run()
    assert not report.is_passed
    assert report.exit_code == 3
    assert [found.error for found in report.failures] == ["Crash"]
    assert report.failures[0].test == "test_a.py::test_b"


@pytest.fixture
def hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Python that hangs, and by doing so uses up whatever time its run was given."""
    started = tmp_path / "started"
    monkeypatch.setattr(process, "time", Clock(started))
    monkeypatch.setattr(process, "_LOOK_SECONDS", 0.02)
    return f"open({str(started)!r}, 'w').close(); time.sleep(600)"


def test_a_hanging_suite_is_stopped_and_the_test_named(tmp_path: Path, hang: str) -> None:
    """At its limit a suite is stopped, and the report names the test that was running."""
    write_files(tmp_path, {"test_a.py": f"import time\ndef test_a(): pass\n\ndef test_b(): {hang}\n"})
    report = make_tests(tmp_path).run()
    assert report.is_timed_out
    assert report.exit_code is None
    assert not report.is_passed
    [failure] = report.failures
    assert (failure.test, failure.error, failure.path, failure.line) == (
        "test_a.py::test_b",
        "Timeout",
        "test_a.py",
        4,
    )


def test_a_file_that_hangs_on_import_is_named(tmp_path: Path, hang: str) -> None:
    """Also a suite that hangs while it is collected is stopped, and the file is named."""
    write_files(tmp_path, {"test_a.py": f"import time\n{hang}\n"})
    [failure] = make_tests(tmp_path).run().failures
    assert (failure.test, failure.error, failure.is_collection_error) == ("test_a.py", "Timeout", True)


def test_no_tests_is_no_pass(tmp_path: Path) -> None:
    """A suite without tests ends with pytest's code for that, and has not passed."""
    write_files(tmp_path, {"module.py": "x = 1\n"})
    report = make_tests(tmp_path).run()
    assert (report.exit_code, report.passed, report.failures) == (5, 0, ())
    assert not report.is_passed


@pytest.mark.parametrize(
    "options",
    [
        "-x --lf --ff -v",
        "-p xdist -n 2",
        "-p no:cacheprovider --maxfail=1 --strict-config -W error",
        "-p no:terminal",
    ],
)
def test_the_targets_own_options_do_not_break_the_report(tmp_path: Path, options: str) -> None:
    """Whatever addopts the target has, all of its tests are run and counted."""
    tests = "def test_a(): assert 0\ndef test_b(): pass\ndef test_c(): assert 0\n"
    write_files(tmp_path, {"pytest.ini": f"[pytest]\naddopts = {options}\n", "test_a.py": tests})
    report = make_tests(tmp_path).run()
    assert (report.passed, report.failed) == (1, 2), report.output_tail
    assert not (tmp_path / ".pytest_cache").exists()


def test_pytest_is_looked_for_in_the_targets_python(tmp_path: Path) -> None:
    """A Python without pytest, and one that is not there, cannot run the checks; a test command can."""
    bare = tmp_path / "bare"
    venv.create(bare, symlinks=True)
    assert make_tests(tmp_path).is_available
    assert not make_tests(tmp_path, python=bare / "bin" / "python").is_available
    assert not make_tests(tmp_path, python=tmp_path / "nowhere").is_available
    assert make_tests(tmp_path, python=tmp_path / "nowhere", test_command=("true",)).is_available


def test_a_broken_pytest_shows_when_it_is_run(tmp_path: Path) -> None:
    """A pytest that is there and cannot be imported counts as missing, from its first run on."""
    write_files(tmp_path, PACKAGE)
    tests = make_tests(tmp_path, python=make_broken_pytest(tmp_path / "environment"))
    assert not tests.run().is_passed
    assert not tests.is_available


def test_a_test_command_is_judged_by_its_exit_code(tmp_path: Path) -> None:
    """A foreign command passes with exit code 0, has no counts, and is told what to run."""
    write_files(tmp_path, PACKAGE)
    assert make_tests(tmp_path, test_command=("true",)).run(files_changed=["src/shop/cart.py"]).is_passed
    report = make_tests(tmp_path, test_command=("sh", "-c", 'echo "$0" said; exit 2')).run("this")
    assert (report.exit_code, report.has_counts, report.output_tail) == (2, False, "this said")
    assert not report.is_passed
    with pytest.raises(ToolMissingError, match="no-such-command"):
        make_tests(tmp_path, test_command=("no-such-command",)).run()


def test_python_in_a_test_command_is_the_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python` and the programs beside it are the target's, also where PATH has another or none."""
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    beside = python.with_name("check")
    beside.write_text("#!/bin/sh\necho from the environment\n", encoding="utf-8")
    beside.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for name in ("python", "python3"):
        tests = make_tests(
            tmp_path, python=python, test_command=(name, "-c", "import sys; print(sys.prefix)")
        )
        assert tests.run().output_tail == str(tmp_path / "env")
    assert make_tests(tmp_path, python=python, test_command=("check",)).run().output_tail == (
        "from the environment"
    )


@pytest.fixture
def trap(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The user's tree with a good module, a work tree with a broken one, and a Python that prefers the first.

    Its finder stands first on sys.meta_path, as some editable installs put it.
    """
    source, tree = tmp_path / "source", tmp_path / "tree"
    write_files(source, PACKAGE)
    write_files(tree, {**PACKAGE, "src/shop/cart.py": "def total(prices):\n    return 0\n"})
    environment = tmp_path / "environment"
    python = make_environment(
        environment, "import __editable___shop_finder; __editable___shop_finder.install()"
    )
    [packages] = environment.glob("lib/python*/site-packages")
    finder = (
        "import importlib.util, sys\n"
        "class Finder:\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        if name != 'shop':\n"
        "            return None\n"
        f"        folder = {str(source / 'src' / 'shop')!r}\n"
        "        return importlib.util.spec_from_file_location(\n"
        "            name, folder + '/__init__.py', submodule_search_locations=[folder])\n"
        "def install():\n"
        "    sys.meta_path.insert(0, Finder)\n"
    )
    (packages / "__editable___shop_finder.py").write_text(finder, encoding="utf-8")
    return source, tree, python


def test_a_pass_on_an_installed_copy_is_no_pass(trap: tuple[Path, Path, Path]) -> None:
    """Tests that import the changed module from the user's tree pass there, and are not believed."""
    source, tree, python = trap
    report = make_tests(tree, source=source, python=python).run(files_changed=["src/shop/cart.py"])
    assert (report.passed, report.exit_code) == (1, 0)
    assert report.imported_elsewhere == ("src/shop/cart.py",)
    assert not report.is_passed


def test_a_test_command_is_not_believed_in_the_trap_either(trap: tuple[Path, Path, Path]) -> None:
    """Also under a foreign command it is found out that the target's Python imports another copy."""
    source, tree, python = trap
    command = (str(python), "-c", "from shop.cart import total; assert total([1, 2]) == 3")
    tests = make_tests(tree, source=source, python=python, test_command=command)
    report = tests.run(files_changed=["src/shop/cart.py", "README.md"])
    assert report.exit_code == 0
    assert report.imported_elsewhere == ("src/shop/cart.py",)
    assert not report.is_passed


def test_the_work_tree_stands_before_an_editable_path(tmp_path: Path) -> None:
    """Against an editable install by a .pth file the work tree wins, so that the broken code fails."""
    source, tree = tmp_path / "source", tmp_path / "tree"
    write_files(source, PACKAGE)
    write_files(tree, {**PACKAGE, "src/shop/cart.py": "def total(prices):\n    return 0\n"})
    python = make_environment(tmp_path / "environment", str(source / "src"))
    report = make_tests(tree, source=source, python=python).run(files_changed=["src/shop/cart.py"])
    assert report.failed == 1
    assert report.imported_elsewhere == ()


def test_modules_are_known_by_all_names_they_may_have(tmp_path: Path) -> None:
    """A file is imported from the root, from src, or from where its package stands."""
    packages = ("src/shop", "shop", "python/deep", "python/deep/er")
    write_files(tmp_path, {f"{package}/__init__.py": "" for package in packages})
    assert module_names(tmp_path, "src/shop/cart.py") == {"src.shop.cart", "shop.cart"}
    assert module_names(tmp_path, "python/deep/er/m.py") == {"python.deep.er.m", "deep.er.m"}
    assert module_names(tmp_path, "shop/__init__.py") == {"shop"}
    assert module_names(tmp_path, "m.py") == {"m"}
    assert module_names(tmp_path, "src/m.py") == {"src.m", "m"}
    assert module_names(tmp_path, "scripts/yaml.py") == {"scripts.yaml"}


def test_a_namesake_in_the_standard_library_is_no_copy(tmp_path: Path) -> None:
    """A changed `json.py` is not taken for Python's own, which is imported all the time."""
    standard = os.path.realpath(sysconfig.get_paths()["stdlib"])
    results = Results(modules={"json": {f"{standard}/json.py"}}, standard_library=standard)
    assert imported_elsewhere(results, tmp_path, tmp_path, ["json.py"]) == ()
    results = Results(modules={"json": {f"{standard}/site-packages/json.py"}}, standard_library=standard)
    assert imported_elsewhere(results, tmp_path, tmp_path, ["json.py"]) == ("json.py",)
