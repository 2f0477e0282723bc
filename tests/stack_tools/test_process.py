"""Processes: known by id and start, ended by a deadline, and nobody else's are touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from stack.errors import StackError
from stack.process import Process, read_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAITS = "import signal; print('up', flush=True); signal.pause()"
IGNORES = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"
FOR_EVER = f"{IGNORES}\nwhile True: signal.pause()"
PATIENCE = 30.0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path, "waiter")
    yield made
    made.end(signal.SIGKILL, PATIENCE)


def test_a_started_program_runs_until_it_is_ended(process: Process, tmp_path: Path) -> None:
    """A program has a process id from its start to its end, and its words are in the log."""
    before = process.pid
    _start(process, tmp_path, WAITS)
    meanwhile = process.pid
    assert process.read_log_end() == "up"
    assert not process.end(signal.SIGTERM, PATIENCE)
    assert (before, process.pid) == (None, None)
    assert meanwhile is not None


def test_who_did_not_start_it_can_end_it(process: Process, tmp_path: Path) -> None:
    """Another starter on the same folder finds the program and ends it."""
    _start(process, tmp_path, WAITS)
    other = Process(tmp_path, "waiter")
    assert other.pid == process.pid
    other.end(signal.SIGTERM, PATIENCE)
    assert process.pid is None


def test_a_program_that_ignores_sigterm_is_killed(process: Process, tmp_path: Path) -> None:
    """After its time SIGKILL ends a program, and that is told."""
    _start(process, tmp_path, FOR_EVER)
    assert process.end(signal.SIGTERM, 0.2)
    assert process.pid is None


def test_a_program_that_ended_by_itself_does_not_run(process: Process, tmp_path: Path) -> None:
    """A child that nobody waited for is a zombie with an id, and still counts as ended."""
    _start(process, tmp_path, WAITS)
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert read_start(pid) is None
    assert process.pid is None


@pytest.mark.parametrize("field", ["started", "boot"])
def test_a_process_that_has_the_id_of_ours_is_left_alone(
    process: Process, tmp_path: Path, field: str
) -> None:
    """An id that was given out again, since ours ended or since the machine started, is not signalled."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        boot, _, ticks = str(read_start(stranger.pid)).partition("/")
        started = f"{boot}/{int(ticks) - 1}" if field == "started" else f"other/{ticks}"
        (tmp_path / "waiter.pid").write_text(json.dumps({"pid": stranger.pid, "started": started}))
        assert process.pid is None
        assert not process.send(signal.SIGKILL)
        assert not process.end(signal.SIGKILL, PATIENCE)
        assert stranger.poll() is None
        stranger.communicate(b"\n", timeout=PATIENCE)
        assert stranger.returncode == 0


def test_it_is_not_started_twice(process: Process, tmp_path: Path) -> None:
    """A second start names the process that runs."""
    _start(process, tmp_path, WAITS)
    with pytest.raises(StackError, match=f"runs already, as process {process.pid}"):
        process.start([sys.executable, "-c", WAITS], {}, tmp_path)


def test_a_long_log_is_set_aside(process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start of a program that wrote much begins a new log and keeps the old one."""
    monkeypatch.setattr("stack.process._LOG_BYTES", 3)
    process.log.write_text("much")
    _start(process, tmp_path, WAITS)
    assert process.log.with_suffix(".log.1").read_text() == "much"
    assert process.read_log_end() == "up"


@pytest.mark.parametrize("record", ["", "{", '{"pid": 1}', "[]", '{"pid": "x", "started": ""}'])
def test_a_broken_record_is_that_of_no_process(process: Process, tmp_path: Path, record: str) -> None:
    """A file that a full disk cut counts as none."""
    (tmp_path / "waiter.pid").write_text(record)
    assert process.pid is None


def _start(process: Process, folder: Path, code: str) -> None:
    process.start([sys.executable, "-c", code], {"PATH": os.environ["PATH"]}, folder)
    deadline = time.monotonic() + PATIENCE
    while "up" not in process.read_log_end() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "up" in process.read_log_end()
