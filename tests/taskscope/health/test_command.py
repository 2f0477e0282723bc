"""`taskscope health`: once as a whole process, else in this one, which has all imported already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest

from taskscope.cli import main
from taskscope.store.history import open_history
from tests.taskscope.otel_globals import fresh_otel
from tests.taskscope.service.services import environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHECKS = [
    "store", "disk", "config", "git", "pytest", "ruff",
    "index", "vector:codebase", "vector:skills", "embedder",
]  # fmt: skip


class Ended(NamedTuple):
    """How the command ended and what it printed."""

    returncode: int
    stdout: str


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> Ended:
        with fresh_otel():
            code = main(("health", *arguments))
        out, err = capfd.readouterr()
        assert err == ""
        return Ended(code, out)

    return run


def test_a_fresh_machine_is_well(tmp_path: Path) -> None:
    """A line for each check, in their order, exit code 0, and each check is a trace in the record."""
    ended = subprocess.run(
        [sys.executable, "-m", "taskscope", "health"],
        env=environment(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert (ended.returncode, ended.stderr, lines.pop()) == (0, "", ["well"])
    assert [name for _, name, *_ in lines] == CHECKS
    assert {status for status, *_ in lines} == {"pass", "warn"}
    with closing(open_history(tmp_path / "home" / "taskscope.db")) as history:
        roots = [row[0] for row in history.connection.execute("SELECT root_name FROM trace")]
    assert sorted(roots) == sorted(f"health_check {name}" for name in CHECKS)


def test_json_is_one_object_with_all_that_was_found(run: Callable[..., Ended]) -> None:
    """The form of `/health/ready`, and here a pass tells what it found too."""
    report = json.loads(run("--json").stdout)
    assert (report["status"], list(report["checks"])) == ("warn", CHECKS)
    (git,) = report["checks"]["git"]
    assert (git["status"], git["required"], git["output"][:4]) == ("pass", True, "git ")


def test_a_required_check_that_fails_is_exit_code_1(
    tmp_path: Path, run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without git the last line says what is not well; a tool that is not required only warns."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}")
    ended = run()
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (1, "not well: git")
    assert "fail  git              git is not installed (required)" in ended.stdout
