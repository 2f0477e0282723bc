"""A thing renamed halfway gets one name: the one that the tests use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.planning.diagnosis import RuleDiagnosis, _as_finding
from coding_agent.records import RepairOutcome, TestFailure
from coding_agent.skills.library import FolderLibrary
from tests.coding_agent.skills.workshop import assert_passes, commit, make_bench, snapshot, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from coding_agent.protocols import Workbench
    from coding_agent.records import Repair

pytestmark = pytest.mark.usefixtures("_lean_pytest")

FLAT = {
    "temperature.py": (
        "def celsius_of(fahrenheit):\n    return (fahrenheit - 32) * 5 / 9\n\n\n"
        "def mean(values):\n    return sum(values) / len(values)\n"
    ),
    "report.py": (
        "import temperature as t\n\n\ndef line(values):\n"
        '    return f"{t.mean([t.to_celsius(value) for value in values]):.1f} C"\n'
    ),
    "test_report.py": (
        "from report import line\nfrom temperature import celsius_of\n\n\n"
        "def test_celsius():\n    assert celsius_of(212) == 100\n\n\n"
        "def test_line():\n    assert line([32, 212]) == '50.0 C'\n"
    ),
}
SRC = {
    "src/slugs/__init__.py": "from .text import make_slug\n\n__all__ = ['make_slug']\n",
    "src/slugs/text.py": (
        "def make_slug(title, sep='-'):\n    return sep.join(title.lower().split())\n\n\n"
        "def unique(title, taken):\n    slug = make_slug(title)\n"
        "    return slug if slug not in taken else slug + '-2'\n"
    ),
    "src/slugs/page.py": (
        "from slugs import make_slug\n\n\ndef url(title):\n    return '/' + make_slug(title, sep='_')\n"
    ),
    "tests/test_slugs.py": (
        "import slugs.text\nfrom slugs.page import url\n\n\n"
        "def test_slug():\n    assert slugs.text.make_slug('A b') == 'a-b'\n"
        "    assert slugs.text.unique('a', ['a']) == 'a-2'\n\n\n"
        "def test_url():\n    assert url('A b') == '/a_b'\n"
    ),
}
PACKAGE = {
    "zoo/__init__.py": "",
    "zoo/animals/__init__.py": "",
    "zoo/animals/cage.py": (
        "class Cage:\n    def __init__(self, size):\n        self.size = size\n        self.inside = []\n\n"
        "    def admit(self, animal):\n"
        "        if len(self.inside) >= self.size:\n            raise OverflowError\n"
        "        self.inside.append(animal)\n\n"
        "    def leave(self, animal):\n        self.inside.remove(animal)\n"
    ),
    "zoo/tours/__init__.py": "",
    "zoo/tours/moves.py": (
        "from zoo.animals.cage import Cage\n\n\n"
        "def move(animal, source: Cage, target: Cage):\n"
        "    source.leave(animal)\n    target.admit(animal)\n"
    ),
    "tests/test_moves.py": (
        "from zoo.animals.cage import Cage\nfrom zoo.tours.moves import move\n\n\n"
        "def test_move():\n    one, two = Cage(1), Cage(1)\n    one.inside.append('ape')\n"
        "    move('ape', one, two)\n    assert two.inside == ['ape']\n"
    ),
}


NO_FUNCTION = TestFailure(
    test="test_report.py::test_line",
    error="AttributeError",
    message="module 'temperature' has no attribute 'to_celsius'",
    path="report.py",
    line=5,
)
NO_METHOD = TestFailure(
    test="tests/test_moves.py::test_move",
    error="AttributeError",
    message="'Cage' object has no attribute 'admit'",
    path="zoo/tours/moves.py",
    line=6,
)
"""What pytest says of FLAT, and of PACKAGE with the method renamed: the tests of their repairs ask it."""


def repair(bench: Workbench, home: Path, failure: TestFailure | None = None) -> Repair:
    """Return what the skill does with that failure, by default with the first that pytest finds."""
    finding = _as_finding(failure) if failure else RuleDiagnosis(bench).test()[0]
    skills = {skill.name: skill for skill in FolderLibrary(home).select(finding)}
    return skills["renamed_function"].run(finding, bench)


def test_without_history_the_unused_definition_named_alike_is_the_counterpart(tmp_path: Path) -> None:
    """Flat: the call site gets the name that the tests use."""
    bench = make_bench(write_files(tmp_path / "work", FLAT))
    assert bench.tests.run().failures == (NO_FUNCTION,)

    done = repair(bench, tmp_path / "home", NO_FUNCTION)

    assert (done.outcome, done.files_changed) == (RepairOutcome.SUCCEEDED, ("report.py",)), done.summary
    assert_passes(bench, "test_report")


def test_an_uncommitted_rename_is_carried_through(tmp_path: Path) -> None:
    """src, git: definition and tests have the new name, three kinds of call sites get it."""
    root = tmp_path / "work"
    commit(root, SRC)
    half = {"src/slugs/text.py": SRC["src/slugs/text.py"].replace("def make_slug", "def as_address")}
    half["tests/test_slugs.py"] = SRC["tests/test_slugs.py"].replace("make_slug", "as_address")
    bench = make_bench(write_files(root, half))

    done = repair(bench, tmp_path / "home")

    assert done.outcome is RepairOutcome.SUCCEEDED, done.summary
    assert done.files_changed == ("src/slugs/__init__.py", "src/slugs/page.py", "src/slugs/text.py")
    assert (
        root / "src/slugs/__init__.py"
    ).read_text() == "from .text import as_address\n\n__all__ = ['as_address']\n"
    assert_passes(bench, "test_slugs")


def test_a_committed_rename_of_a_method_is_carried_through(tmp_path: Path) -> None:
    """Package, git: no test names the method, so its call sites follow the definition."""
    root = tmp_path / "work"
    commit(root, PACKAGE)
    cage = PACKAGE["zoo/animals/cage.py"].replace("def admit", "def welcome")
    commit(root, {"zoo/animals/cage.py": cage}, "Cages welcome")
    commit(root, {"README.md": "A zoo.\n"}, "A word")
    bench = make_bench(root)
    assert bench.tests.run().failures == (NO_METHOD,)

    done = repair(bench, tmp_path / "home", NO_METHOD)

    assert (done.outcome, done.files_changed) == (RepairOutcome.SUCCEEDED, ("zoo/tours/moves.py",)), (
        done.summary
    )
    assert_passes(bench, "test_moves")
    assert done.parameters == {"name": "admit", "counterpart": "welcome"}


def test_the_tests_are_the_specification(tmp_path: Path) -> None:
    """Sources agree on a new name, the tests want the old one: the sources get it back."""
    root = tmp_path / "work"
    commit(root, SRC)
    renamed = {
        path: text.replace("make_slug", "as_address") for path, text in SRC.items() if path.startswith("src")
    }
    bench = make_bench(write_files(root, renamed))

    done = repair(bench, tmp_path / "home")

    assert done.outcome is RepairOutcome.SUCCEEDED, done.summary
    assert snapshot(root) == {path: text.encode() for path, text in SRC.items()}


DECLINED = {
    "two definitions named alike": {
        **FLAT,
        "temperature.py": FLAT["temperature.py"] + "\n\ndef celsius(kelvin):\n    return kelvin - 273\n",
    },
    "no definition named alike": {
        **FLAT,
        "temperature.py": FLAT["temperature.py"].replace("celsius_of", "cool"),
        "test_report.py": FLAT["test_report.py"].replace("celsius_of", "cool"),
    },
    "other arguments": {
        **FLAT,
        "temperature.py": FLAT["temperature.py"].replace("(fahrenheit)", "(fahrenheit, digits)"),
        "test_report.py": FLAT["test_report.py"].replace("(212)", "(212, 0)"),
    },
    "tests use both": {
        **FLAT,
        "test_report.py": FLAT["test_report.py"] + "\n\ndef test_old():\n    t.to_celsius(1)\n",
    },
    "a parameter of that name": {
        **FLAT,
        "report.py": "from temperature import *\n\n\ndef line(x, to_celsius=to_celsius):\n    return x\n",
    },
}


@pytest.mark.parametrize("files", DECLINED.values(), ids=DECLINED)
def test_without_one_plain_counterpart_nothing_is_changed(tmp_path: Path, files: dict[str, str]) -> None:
    """Evidence that does not single out one name and one direction is none."""
    bench = make_bench(write_files(tmp_path / "work", files))

    # The last one fails in another way, already on import.
    done = repair(bench, tmp_path / "home", NO_FUNCTION if files["report.py"] == FLAT["report.py"] else None)

    assert done.outcome is RepairOutcome.NOT_APPLICABLE
    assert "is plainly what to_celsius is called now" in done.summary or "the tests use both" in done.summary
    assert snapshot(bench.root) == {path: text.encode() for path, text in files.items()}


def test_a_method_that_another_class_has_too_is_left_alone(tmp_path: Path) -> None:
    """An attribute is renamed only where its name can mean one class."""
    root = tmp_path / "work"
    commit(root, PACKAGE)
    cage = PACKAGE["zoo/animals/cage.py"].replace("def admit", "def welcome")
    bench = make_bench(
        write_files(
            root,
            {"zoo/animals/cage.py": cage, "zoo/club.py": "class Club:\n    def admit(self):\n        pass\n"},
        )
    )

    done = repair(bench, tmp_path / "home", NO_METHOD)

    assert done.outcome is RepairOutcome.NOT_APPLICABLE
    assert "class Club" in done.summary
