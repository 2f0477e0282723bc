"""A missing colon is added where it belongs, or nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coding_agent.planning.diagnosis import RuleDiagnosis
from coding_agent.records import RepairOutcome
from coding_agent.skills.library import FolderLibrary
from tests.coding_agent.skills.workshop import make_bench, write_files

if TYPE_CHECKING:
    from pathlib import Path

FLAT = {
    "prices.py": 'def total(prices)\n    """Add them up."""\n    return sum(prices)\n',
    "test_prices.py": "from prices import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n",
}
SRC = {
    "src/tree/__init__.py": "from tree.walk import depth\n",
    "src/tree/walk.py": (
        "def depth(node: dict[str, object]) -> int:\n"
        "    if not node  # an empty one\n"
        "        return 0\n"
        "    return 1 + max(depth(child) for child in node.values())\n"
    ),
    "tests/test_walk.py": "from tree import depth\n\n\ndef test_one():\n    assert depth({1: {2: {}}}) == 2\n",
}
PACKAGE = {
    "bank/__init__.py": "",
    "bank/model/__init__.py": "",
    "bank/model/account.py": (
        "class Account:\n"
        "    def __init__(self, limit=0)\n"
        "        self.limit = limit\n"
        "        self.moves = []\n"
        "\n"
        "    def can_pay(self, amount)\n"
        "        try\n"
        "            return sum(self.moves) + self.limit >= amount\n"
        "        except TypeError:\n"
        "            return False\n"
    ),
    "tests/__init__.py": "",
    "tests/test_account.py": (
        "from bank.model.account import Account\n\n\n"
        "def test_limit():\n"
        "    assert Account(5).can_pay(4)\n"
        "    assert not Account(5).can_pay('4')\n"
    ),
}


@pytest.mark.parametrize("files", [FLAT, SRC, PACKAGE], ids=["flat", "src", "package"])
def test_the_repaired_repository_passes_its_own_tests(tmp_path: Path, files: dict[str, str]) -> None:
    """One run of the skill repairs each missing colon of the file, and the tests pass."""
    bench = make_bench(write_files(tmp_path / "work", files))
    finding = RuleDiagnosis(bench).lint()[0]

    skill = FolderLibrary(tmp_path / "skills").select(finding)[0]
    repair = skill.run(finding, bench)

    assert skill.name == "missing_colon"
    assert repair.outcome is RepairOutcome.SUCCEEDED
    assert repair.files_changed == (finding.path,)
    assert bench.tests.run().is_passed
