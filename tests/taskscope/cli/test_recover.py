"""Killed processes, as the command line tells of them afterwards."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.taskscope.cli.stores import shown, told

if TYPE_CHECKING:
    from pathlib import Path

_VICTIM = """
import os, signal, taskscope
recording = taskscope.configure()
recording._writer._start = lambda: None  # no writer: what it does is in its journal alone
with taskscope.task("answer"), taskscope.agent("helper"):
    with taskscope.step("search"):
        pass
    with taskscope.tool("grep"):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def _kill_one(home: Path) -> None:
    environment = {"TASKSCOPE_HOME": str(home), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", _VICTIM], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def killed(home: Path) -> Path:
    """A home in which a process was killed that had never written into the store."""
    _kill_one(home)
    assert not (home / "taskscope.db").exists()
    return home


def test_show_tells_all_of_a_task_killed_this_moment(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though its process never came to write into the store, nothing that it had done is missing."""
    assert list((killed / "journal").glob("*.journal"))
    lines = shown(capsys, "show").splitlines()
    assert [re.split(r"(?<=\w)  ", line)[0] for line in lines[-4:]] == [
        "⚡ invoke_workflow answer",
        "└─ ⚡ invoke_agent helper",
        "   ├─ ✓ step search",
        "   └─ ⚡ execute_tool grep",
    ]
    assert list((killed / "journal").iterdir()) == []


def test_recover_says_what_it_brought_home(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The number of spans, once; then that there is nothing left."""
    assert shown(capsys, "recover") == "brought home 4 spans of dead processes\n"
    assert shown(capsys, "recover") == "no dead process has left anything\n"
    _kill_one(killed)
    assert json.loads(shown(capsys, "recover", "--json")) == {"recovered_spans": 4}


def test_recover_refuses_a_store_that_it_cannot_write(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with exit code 3; what was left stays for the next time."""
    (killed / "taskscope.db").mkdir()
    assert "taskscope.db" in told(capsys, "recover", code=3)
    assert list((killed / "journal").glob("*.journal"))
