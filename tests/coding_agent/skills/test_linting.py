"""ruff's safe fixes, one file and one rule at a time, for the target's Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.planning.diagnosis import RuleDiagnosis
from coding_agent.records import RepairOutcome
from coding_agent.skills.library import FolderLibrary
from tests.coding_agent.skills.repositories import COMMANDS, LAYOUTS
from tests.coding_agent.skills.workshop import make_bench, snapshot, write_files

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("_lean_pytest")

FILES = {"flat": "orders.py", "src": "src/textkit/words.py", "package": "bank/rules/fees.py"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "added, rule, skill, left",
    [
        ("import os\nimport re\n\nX = re.A\n", "ruff/F401", "unused_import", "import re\n\nX = re.A\n"),
        ("import re\nimport os\n\nre, os\n", "ruff/I001", "import_order", "import os\nimport re\n\nre, os\n"),
        ('NAME = f"x"\n', "ruff/F541", "safe_lint_fix", 'NAME = "x"\n'),
    ],
    ids=["unused", "order", "other"],
)  # fmt: skip
def test_a_safe_fix_is_applied_and_the_tests_pass(
    tmp_path: Path, layout: str, added: str, rule: str, skill: str, left: str
) -> None:
    """The rule's own skill is chosen; what it changes is exactly that; a second look finds nothing of it."""
    path, files = FILES[layout], LAYOUTS[layout]
    module = f"{path.removesuffix('.py')}_more.py"
    root = write_files(tmp_path / "work", {**files, module: added})
    bench = make_bench(root, test_command=COMMANDS[layout])
    finding = next(found for found in RuleDiagnosis(bench).lint() if found.rule == rule)

    chosen = FolderLibrary(tmp_path / "skills").select(finding)[0]
    repair = chosen.run(finding, bench)

    assert (chosen.name, repair.files_changed) == (skill, (module,))
    assert snapshot(bench.root) == {name: text.encode() for name, text in {**files, module: left}.items()}
    assert bench.tests.run().is_passed
    assert rule not in {found.rule for found in RuleDiagnosis(bench).lint()}


def test_a_project_for_an_old_python_keeps_its_syntax(tmp_path: Path) -> None:
    """`Optional[int]` does not become `int | None` where the target is Python 3.8."""
    code = "from typing import Optional\n\nX: Optional[int] = None\n"
    files = {
        "setup.cfg": "[options]\npython_requires = >=3.8\n",
        "ruff.toml": '[lint]\nselect = ["UP", "F"]\n',
        "a.py": code,
    }
    bench = make_bench(write_files(tmp_path / "work", files))

    assert RuleDiagnosis(bench).lint() == []
    assert bench.linter.fix("a.py", select=("UP007", "UP045")) == []


def test_an_unsafe_fix_is_never_applied(tmp_path: Path) -> None:
    """A comparison with None is ruff's unsafe fix: no finding, and no edit when forced."""
    bench = make_bench(write_files(tmp_path / "work", {"a.py": "x = 1\ny = x == None\n"}))
    (finding,) = bench.linter.check(select=("E711",))

    assert FolderLibrary(tmp_path / "skills").select(finding) == []
    forced = FolderLibrary(tmp_path / "skills").get("safe_lint_fix").run(finding, bench)
    assert forced.outcome is RepairOutcome.NOT_APPLICABLE
    assert snapshot(bench.root) == {"a.py": b"x = 1\ny = x == None\n"}
