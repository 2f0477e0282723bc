"""Which Python the target's checks run with, and which Python its code is written for."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coding_agent.records import Task

OLDEST_MINOR, NEWEST_MINOR = 7, 14
"""The Python 3 versions that ruff's `--target-version` knows."""

_CLAUSE = re.compile(r"(>=|>|~=|===?)\s*3(?:\.(\d+))?")
_SETUP_PY = re.compile(r"python_requires\s*=\s*[\"']([^\"']+)[\"']")
_SETUP_CFG = re.compile(r"^\s*python_requires\s*=\s*(.+)$", re.MULTILINE)
_PLAIN_VERSION = re.compile(r"^\s*(?:python-|cpython-)?3\.(\d+)", re.MULTILINE)


def find_python(task: Task, environment: Mapping[str, str] | None = None) -> Path:
    """Return the interpreter of the target: the task's own, its repository's environment, or ours.

    In this order: `task.python`, `.venv` or `venv` in the user's repository (or in a folder above it, up to
    the one that holds `.git`), `$VIRTUAL_ENV`, the interpreter that runs the agent. Links are not followed:
    what lies beside the link makes the environment.
    """
    if task.python is not None:
        return Path(os.path.abspath(task.python))  # noqa: PTH100 - resolve() would leave the environment
    known = os.environ if environment is None else environment
    environments = [folder / name for folder in _folders(task.repository) for name in (".venv", "venv")]
    if active := known.get("VIRTUAL_ENV"):
        environments.append(Path(active))
    pythons = (folder / "bin" / "python" for folder in environments)
    return next((python for python in pythons if os.access(python, os.X_OK)), Path(sys.executable))


def find_target_minor(root: Path, python: Path) -> int:
    """Return N of the oldest Python 3.N that the target's code has to run on, within ruff's range.

    From `requires-python`, `python_requires` of setup.cfg or setup.py, `.python-version`, and where the
    target says nothing from the interpreter that it runs with.
    """
    declared = _declared_minor(root)
    minor = _interpreter_minor(python) if declared is None else declared
    return min(max(minor, OLDEST_MINOR), NEWEST_MINOR)


def _folders(repository: Path) -> list[Path]:
    """Return the repository's folder and those above it that belong to the same git repository."""
    chain = [repository, *repository.parents]
    tops = [index for index, folder in enumerate(chain) if (folder / ".git").exists()]
    return chain[: tops[0] + 1] if tops else [repository]


def _declared_minor(root: Path) -> int | None:
    sources = (
        _requires_of(_text(root / "pyproject.toml")),
        *_SETUP_CFG.findall(_text(root / "setup.cfg")),
        *_SETUP_PY.findall(_text(root / "setup.py")),
    )
    for source in sources:
        if (minor := lowest_minor(source)) is not None:
            return minor
    pinned = _PLAIN_VERSION.search(_text(root / ".python-version"))
    return int(pinned.group(1)) if pinned else None


def lowest_minor(specifier: str) -> int | None:
    """Return N of the lowest 3.N that a version specifier such as `>=3.8,<4` allows, None without a floor."""
    floors = [
        int(minor or 0) + (operator == ">" and not specifier.count(f"3.{minor}."))
        for operator, minor in _CLAUSE.findall(specifier)
    ]
    return max(floors, default=None)


def _requires_of(pyproject: str) -> str:
    try:
        project = tomllib.loads(pyproject).get("project", {})
    except tomllib.TOMLDecodeError:
        return ""
    found = project.get("requires-python", "") if isinstance(project, dict) else ""
    return found if isinstance(found, str) else ""


def _interpreter_minor(python: Path) -> int:
    """Read the version of an interpreter without running it: from its environment, or from its name."""
    settings = _text(python.parent.parent / "pyvenv.cfg")
    found = re.search(r"^version(?:_info)?\s*=\s*3\.(\d+)", settings, re.MULTILINE)
    found = found or re.search(r"python3\.(\d+)$", python.resolve().name)
    return int(found.group(1)) if found else sys.version_info.minor


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
