"""The target's Python is found where people put it, and its oldest version where they say it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from coding_agent.tools import find_python
from coding_agent.tools.interpreter import find_target_minor, lowest_minor
from tests.coding_agent.repositories import make_task, write_files


def make_environment(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder / "bin" / "python"


def test_the_nearest_python_is_the_targets(tmp_path: Path) -> None:
    """The task's own Python goes before `.venv`, that before `venv`, `$VIRTUAL_ENV` and ours."""
    repository = tmp_path / "repo"
    repository.mkdir()
    task = make_task(repository)
    assert find_python(task, {}) == Path(sys.executable)
    active = make_environment(tmp_path / "active")
    variables = {"VIRTUAL_ENV": str(tmp_path / "active")}
    assert find_python(task, variables) == active
    second = make_environment(repository / "venv")
    assert find_python(task, variables) == second
    first = make_environment(repository / ".venv")
    assert find_python(task, variables) == first
    assert find_python(make_task(repository, python=Path("/opt/python")), variables) == Path("/opt/python")


def test_a_folder_uses_the_environment_of_its_repository(tmp_path: Path) -> None:
    """Below a repository's top its environment counts, one above the repository does not."""
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "part").mkdir()
    make_environment(tmp_path / ".venv")
    task = make_task(tmp_path / "repo" / "part")
    assert find_python(task, {}) == Path(sys.executable)
    assert find_python(task, {}) != make_environment(tmp_path / "repo" / ".venv")
    assert find_python(task, {}) == tmp_path / "repo" / ".venv" / "bin" / "python"


@pytest.mark.parametrize(
    "specifier,minor",
    [
        (">=3.8", 8),
        (">=3.8,<4", 8),
        ("~=3.10", 10),
        ("==3.9.*", 9),
        (">3.8", 9),
        (">3.8.1", 8),
        (">= 3.7 , !=3.9.1", 7),
        ("<4", None),
        ("", None),
        (">=3", 0),
        (">=2.7, >=3.6", 6),
    ],
)
def test_the_lowest_version_that_is_allowed(specifier: str, minor: int | None) -> None:
    """A specifier's floor is its highest lower bound within Python 3."""
    assert lowest_minor(specifier) == minor


@pytest.mark.parametrize(
    "files,minor",
    [
        (
            {
                "pyproject.toml": '[project]\nrequires-python = ">=3.9"\n',
                "setup.cfg": "python_requires = >=3.7",
            },
            9,
        ),
        ({"pyproject.toml": "not toml [", "setup.cfg": "[options]\npython_requires = >=3.8\n"}, 8),
        ({"setup.py": "setup(name='a', python_requires='>=3.8')\n"}, 8),
        ({".python-version": "3.10.4\n"}, 10),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.5"\n'}, 7),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.99"\n'}, 14),
        ({}, sys.version_info.minor),
    ],
)
def test_the_targets_version_is_where_people_say_it(
    tmp_path: Path, files: dict[str, str], minor: int
) -> None:
    """pyproject, setup.cfg, setup.py, .python-version, then the interpreter, within what ruff knows."""
    write_files(tmp_path, files)
    assert find_target_minor(tmp_path, Path(sys.executable)) == minor


def test_an_environment_tells_its_version_without_being_run(tmp_path: Path) -> None:
    """The version of an interpreter is read from its environment's file."""
    write_files(tmp_path, {"env/pyvenv.cfg": "home = /usr/bin\nversion = 3.9.18\n"})
    assert find_target_minor(tmp_path, tmp_path / "env" / "bin" / "python") == 9
