"""What a killed agent leaves: the next one ends what still runs and removes the work tree."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coding_agent.workspace._folders import reserved_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGENT = """
import sys
from pathlib import Path
from coding_agent.records import Command
from coding_agent.tools import run_process
from coding_agent.workspace._folders import reserved_folder
child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
with reserved_folder(Path(sys.argv[1]), "t1", should_keep=sys.argv[2] == "keep") as tree:
    (tree / "file").touch()
    code = "import subprocess, sys; out = open(sys.argv[1], 'w')"
    code += f"; subprocess.run([sys.executable, '-c', {child!r}], stdout=out)"
    run_process(Command(argv=(sys.executable, "-c", code, sys.argv[3])), root=tree)
"""
"""An agent whose test run has a child of its own, which says its number in a pipe."""


@contextlib.contextmanager
def agent_at_work(home: Path, keep: str = "") -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """An agent with a work tree, in which a grandchild runs; the process and the grandchild's number."""
    pipe = home.parent / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen([sys.executable, "-c", _AGENT, str(home), keep, str(pipe)])
    try:
        with pipe.open() as said:
            yield process, int(said.readline())
    finally:
        process.kill()
        process.wait()
        pipe.unlink()


def is_running(number: int) -> bool:
    """Whether a process is there and not dead."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that may be shared with an agent that dies."""
    return tmp_path / "home"


needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc to look into")


@needs_proc
@pytest.mark.parametrize("keep", ["", "keep"])
def test_next_agent_ends_what_a_killed_one_left(home: Path, keep: str) -> None:
    """After SIGKILL, what ran goes on; the next task ends it, and removes the tree unless it is kept."""
    with agent_at_work(home, keep) as (agent, grandchild):
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        assert is_running(grandchild)
        with reserved_folder(home, "t2", should_keep=False):
            assert not is_running(grandchild)
            assert (home / "work" / "t1" / "file").exists() == bool(keep)
    assert [path.name for path in (home / "work").iterdir()] == (["t1"] if keep else [])


@needs_proc
@pytest.mark.parametrize("number", [None, signal.SIGSTOP])
def test_living_agent_is_left_alone(home: Path, number: signal.Signals | None) -> None:
    """Nothing of an agent that lives is touched, also while it is stopped."""
    with agent_at_work(home) as (agent, grandchild):
        if number is not None:
            agent.send_signal(number)
        with reserved_folder(home, "t1", should_keep=False) as folder:
            assert folder.name == "t1.2"
            assert is_running(grandchild)
            assert (home / "work" / "t1" / "file").exists()
        os.kill(grandchild, signal.SIGKILL)


@needs_proc
def test_shell_in_a_left_work_tree_lives_on(home: Path) -> None:
    """Only what the agent started is ended: not what a person runs in the folder."""
    with agent_at_work(home) as (agent, _):
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        shell = subprocess.Popen(["cat"], cwd=home / "work" / "t1", stdin=subprocess.PIPE)
        try:
            with reserved_folder(home, "t2", should_keep=False):
                assert is_running(shell.pid)
        finally:
            shell.kill()
            shell.communicate()


@pytest.mark.parametrize("text", [b"", b" kept", b"\xff\xfe", b"1-2"])
def test_any_marker_is_survived(home: Path, text: bytes) -> None:
    """A marker that says nothing of use, or whose folder is gone, is removed; no process is harmed."""
    marker = home / "work" / ".t1.owner"
    marker.parent.mkdir(parents=True)
    marker.write_bytes(text)
    with reserved_folder(home, "t2", should_keep=False):
        assert not marker.exists()


def test_without_a_marker_the_task_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk there is no marker, and a work tree all the same."""

    def fail(**_: object) -> tuple[int, str]:
        raise OSError

    monkeypatch.setattr(tempfile, "mkstemp", fail)
    with reserved_folder(home, "t1", should_keep=False) as folder:
        assert [path.name for path in folder.parent.iterdir()] == ["t1"]
    assert not any((home / "work").iterdir())
