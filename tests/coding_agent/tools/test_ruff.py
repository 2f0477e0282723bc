"""ruff reports and repairs by the target's own rules, for the target's own Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from coding_agent.errors import ToolFailedError, ToolMissingError
from coding_agent.tools import FilesTool, GitTool, RuffTool
from coding_agent.tools.ruff import find_ruff
from tests.coding_agent.repositories import FakeLimits, contents, write_files


def make_ruff(root: Path, *, protected: frozenset[str] = frozenset()) -> RuffTool:
    limits = FakeLimits()
    files = FilesTool(root, GitTool(root, limits=limits), protected=protected)
    return RuffTool(root, python=Path(sys.executable), files=files, limits=limits)


def test_findings_tell_rule_place_name_and_fix(tmp_path: Path) -> None:
    """A finding is `ruff/CODE` with its place, the name it speaks of, and whether a fix is safe."""
    code = "import os\n\n\ndef f(x):\n    y = 1\n    return Path(x) == None\n"
    write_files(tmp_path, {"pkg/a.py": code})
    found = make_ruff(tmp_path).check(select=["F", "E711"])
    assert [(f.rule, f.where(), f.data) for f in found] == [
        ("ruff/F401", "pkg/a.py:1:8", {"fix": "safe", "name": "os"}),
        ("ruff/F841", "pkg/a.py:5:5", {"fix": "unsafe", "name": "y"}),
        ("ruff/F821", "pkg/a.py:6:12", {"fix": "none", "name": "Path"}),
        ("ruff/E711", "pkg/a.py:6:23", {"fix": "unsafe"}),
    ]
    assert found[0].message == "`os` imported but unused"


def test_the_targets_own_configuration_counts(tmp_path: Path) -> None:
    """What the target selects, ignores and leaves out is what is reported; nothing is written beside it."""
    config = '[tool.ruff]\nexclude = ["old"]\n[tool.ruff.lint]\nselect = ["F"]\nignore = ["F401"]\n'
    write_files(tmp_path, {"pyproject.toml": config, "a.py": "import os\nx = y\n", "old/b.py": "x = y\n"})
    before = contents(tmp_path)
    ruff = make_ruff(tmp_path)
    assert [found.where() for found in ruff.check()] == ["a.py:2:5"]
    assert ruff.check("old/b.py") == []
    assert contents(tmp_path) == before


def test_syntax_errors_are_left_to_the_compiler(tmp_path: Path) -> None:
    """A file that does not parse yields no lint finding of its own; others still do."""
    write_files(tmp_path, {"bad.py": "def f(:\n", "good.py": "x = y\n"})
    assert [found.path for found in make_ruff(tmp_path).check(select=["F", "E9"])] == ["good.py"]


def test_only_safe_fixes_are_applied(tmp_path: Path) -> None:
    """`fix` applies the safe fixes of the chosen rules to the chosen files, and names those it changed."""
    code = "import os\nimport sys\n\nx = sys.argv == None\n"
    write_files(tmp_path, {"a.py": code, "b.py": code, "c.py": "x = 1\n"})
    ruff = make_ruff(tmp_path)
    assert ruff.fix("a.py", "c.py", select=["F", "E711"]) == ["a.py"]
    assert (tmp_path / "a.py").read_text(encoding="utf-8") == "import sys\n\nx = sys.argv == None\n"
    assert (tmp_path / "b.py").read_text(encoding="utf-8") == code
    assert ruff.fix("a.py", select=["F", "E711"]) == []


def test_a_target_that_allows_unsafe_fixes_gets_safe_ones(tmp_path: Path) -> None:
    """`unsafe-fixes = true` is the person's own risk, not the agent's."""
    write_files(tmp_path, {"ruff.toml": "unsafe-fixes = true\n", "a.py": "x = 1 == None\n"})
    assert make_ruff(tmp_path).fix(select=["E711"]) == []


@pytest.mark.parametrize(
    "files,fixed",
    [
        ({"setup.cfg": "[options]\npython_requires = >=3.8\n"}, "Optional[int]"),
        (
            {"pyproject.toml": '[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.12"\n'},
            "int | None",
        ),
        (
            {"setup.cfg": "[options]\npython_requires = >=3.8\n", "ruff.toml": 'target-version = "py312"\n'},
            "int | None",
        ),
    ],
)
def test_fixes_are_for_the_targets_python(tmp_path: Path, files: dict[str, str], fixed: str) -> None:
    """Syntax that the target's oldest Python cannot read is not written; ruff's own setting goes first."""
    write_files(tmp_path, {**files, "a.py": "from typing import Optional\n\nx: Optional[int] = None\n"})
    make_ruff(tmp_path).fix("a.py", select=["UP", "F401"])
    assert f"x: {fixed} = None\n" in (tmp_path / "a.py").read_text(encoding="utf-8")


def test_a_broken_configuration_is_told(tmp_path: Path) -> None:
    """When ruff cannot read the target's configuration, ToolFailedError quotes it."""
    write_files(tmp_path, {"ruff.toml": "select = 5\n", "a.py": ""})
    with pytest.raises(ToolFailedError, match=r"ruff\.toml"):
        make_ruff(tmp_path).check()


def test_protected_files_are_not_fixed(tmp_path: Path) -> None:
    """In place, a file with uncommitted changes is refused before anything is written."""
    write_files(tmp_path, {"a.py": "import os\n", "b.py": "import os\n"})
    with pytest.raises(ToolFailedError, match=r"b\.py"):
        make_ruff(tmp_path, protected=frozenset({"b.py"})).fix(select=["F401"])
    assert (tmp_path / "a.py").read_text(encoding="utf-8") == "import os\n"


def test_ruff_is_ours_then_the_one_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ruff beside our interpreter is used, else the one on PATH; without either the pip line is told."""
    assert find_ruff().name == "ruff"
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError) as caught:
        find_ruff()
    assert caught.value.hint == "python -m pip install ruff"
    (tmp_path / "ruff").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "ruff").chmod(0o755)
    assert find_ruff() == tmp_path / "ruff"
