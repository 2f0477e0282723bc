"""Every failure is one line on standard error and an exit code that scripts can tell apart."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from taskscope.cli import main
from tests.taskscope.cli import stores
from tests.taskscope.cli.stores import run_taskscope, shown, told

if TYPE_CHECKING:
    from pathlib import Path

READ_COMMANDS = ("history", "status", "show", "logs", "watch")


@pytest.mark.parametrize("command", READ_COMMANDS)
def test_no_store(home: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Without a store a read command cannot do it: exit code 3, and what to do."""
    line = told(capsys, command, code=3)
    assert line.startswith(f"no store at '{home}/taskscope.db'")
    assert not home.exists()


@pytest.mark.parametrize("command", READ_COMMANDS)
def test_a_store_of_a_newer_version(home: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """A store that a newer version has changed is left alone: exit code 3, both versions named."""
    stores.fill(home)
    with sqlite3.connect(home / "taskscope.db") as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert "schema version 999" in told(capsys, command, code=3)


@pytest.mark.parametrize("command", READ_COMMANDS)
def test_a_damaged_store(home: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """A file that is no database is a store that cannot be read: exit code 3."""
    home.mkdir()
    (home / "taskscope.db").write_bytes(b"no database, " * 1000)
    assert "taskscope.db" in told(capsys, command, code=3)


def test_a_damaged_body(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A span whose bytes are torn makes the store unreadable, in words: exit code 3."""
    stores.fill(home, *stores.make_repair())
    with sqlite3.connect(home / "taskscope.db") as connection:
        connection.execute("UPDATE span SET body = substr(body, 1, 20)")
    connection.close()
    assert "cannot read the store: torn message" in told(capsys, "show", code=3)


def test_no_such_task(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task that nobody knows is wrong use, and the latest ones are named."""
    stores.fill(home, *stores.make_repair())
    assert told(capsys, "show", "t-9", code=2) == f"no task 't-9'; the latest are: {stores.TASK_ID}"


def test_a_prefix_of_two_tasks(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A prefix that begins two ids is refused, with both."""
    other = stores.make_task((-10, -5), "failed", task_id="t-01KAAAAAAB", trace=bytes(15) + b"\x01")
    stores.fill(home, other, *stores.make_repair())
    line = told(capsys, "show", "t-01KAAAAAA", code=2)
    assert "t-01KAAAAAAA, t-01KAAAAAAB" in line
    assert shown(capsys, "show", "t-01KAAAAAAB").startswith("t-01KAAAAAAB  failed")


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["nope"], "No such command 'nope'; `taskscope --help` tells what it takes"),
        (["show", "--nope"], "No such option: --nope; `taskscope show --help` tells what it takes"),
        (["run"], "Missing argument 'TASK'; `taskscope run --help` tells what it takes"),
        (["history", "-n", "0"], "Invalid value for '--limit' / '-n': 0 is not in the range x>=1"),
        (["history", "-n", "x"], "Invalid value for '--limit' / '-n': 'x' is not a valid int"),
        (["run", "one", "two"], "Got unexpected extra argument"),
    ],
)
def test_wrong_use(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    """What typer refuses is one line, with the command whose help tells more: exit code 2."""
    assert told(capsys, *arguments, code=2).startswith(line)


def test_wrong_settings_all_at_once(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every wrong setting is named in the one line, before anything is done: exit code 2."""
    monkeypatch.setenv("METRICS_PORT", "many")
    monkeypatch.setenv("COST_CAP_DAILY", "-1")
    line = told(capsys, "run", "repair it", code=2)
    assert "metrics_port" in line
    assert "cost_cap_daily" in line
    assert not home.exists()


def test_odd_settings_are_warned_of(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line of `.env` that cannot be read is no reason to stop: one warning on standard error."""
    stores.fill(home)
    (home.parent / ".env").write_text("this is no assignment\n")
    assert main(["history"]) == 0
    assert capsys.readouterr().err.startswith("taskscope: warning: .env:1 was not read")


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command there is help; `--version` names the version."""
    assert shown(capsys) == shown(capsys, "--help") == shown(capsys, "-h")
    assert shown(capsys, "--version").startswith("taskscope 0.")


def test_help_has_each_command_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No sentence of the list of commands is cut off."""
    assert "..." not in shown(capsys, "--help").split("Commands:")[1]


def test_a_reader_that_goes(home: Path) -> None:
    """`taskscope history | head -1` is quiet: nothing on standard error, exit code 0."""
    tasks = [
        stores.make_task((n, n + 1), "failed", task_id=f"t-{n:04}", trace=n.to_bytes(16, "big"))
        for n in range(1, 3000)
    ]
    stores.fill(home, *tasks)
    command = [sys.executable, "-m", "taskscope", "history", "-n", "3000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("task ")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_ctrl_c(home: Path) -> None:
    """Ctrl-C ends a command with 130 and one line, without a traceback."""
    with stores.writing(home) as ingest:
        ingest.write(stores.make_begun())
        command = [sys.executable, "-m", "taskscope", "watch"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert "invoke_workflow repair" in process.stdout.readline()
            os.kill(process.pid, signal.SIGINT)
            assert process.stderr.read() == "taskscope: stopped by Ctrl-C\n"
    assert process.returncode == 130


def test_a_mistake_of_ours(home: Path) -> None:
    """What nobody foresaw is told with its traceback, and is not taken for wrong use: exit code 3."""
    stores.fill(home, *stores.make_repair())
    script = (
        "import sys, taskscope.cli.show as show; show.draw_tree = None; "
        "from taskscope.cli import main; sys.exit(main(['show']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "TypeError: 'NoneType' object is not callable" in done.stderr


def test_read_commands_load_nothing_heavy(home: Path) -> None:
    """`show` loads no SDK, exporter, rich, pydantic or YAML: its start has 300 ms for all."""
    stores.fill(home, *stores.make_repair())
    script = (
        "import sys; from taskscope.cli import main; main(['show']); "
        "heavy = 'opentelemetry', 'rich', 'pydantic', 'yaml', 'structlog', 'google', 'coding_agent'; "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_module_and_command_are_one(home: Path) -> None:
    """`python -m taskscope` answers like `taskscope`."""
    stores.fill(home)
    assert run_taskscope("history", home=home).stdout == "no tasks yet; `taskscope run TASK` makes one\n"
