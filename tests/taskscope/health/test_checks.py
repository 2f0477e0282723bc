"""Each check of our own, good and bad."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from taskscope.errors import SettingsError
from taskscope.health.checks import DiskCheck, ProbeCheck, SettingsCheck, StoreCheck, ToolCheck


def make_tool(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_store_that_is_not_there_is_made(tmp_path: Path) -> None:
    """A fresh home is well, and the store then is there."""
    path = tmp_path / "taskscope.db"
    assert StoreCheck(path=path).run().status == "pass"
    assert path.exists()


def test_a_store_that_is_none_fails_in_our_words(tmp_path: Path) -> None:
    """A damaged file is a failure that says what to do, not an exception."""
    path = tmp_path / "taskscope.db"
    path.write_text("no database")
    result = StoreCheck(path=path).run()
    assert result.status == "fail"
    assert "set AGENT_HOME" in result.detail


def test_a_database_of_another_program_fails(tmp_path: Path) -> None:
    """What is not ours is not touched."""
    path = tmp_path / "taskscope.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine(x)")
    connection.close()
    assert StoreCheck(path=path).run().status == "fail"


def test_records_that_wait_in_memory_warn(tmp_path: Path) -> None:
    """A store that answers but is not written is not quite well."""
    assert StoreCheck(path=tmp_path / "s.db", is_in_memory=lambda: True).run().status == "warn"


def test_disabled_telemetry_makes_no_store(tmp_path: Path) -> None:
    """It warns, and leaves no file behind."""
    assert StoreCheck(path=tmp_path / "s.db", is_disabled=True).run().status == "warn"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_fails(tmp_path: Path) -> None:
    """What is free has to be more than what is needed; both are said."""
    assert DiskCheck(home=tmp_path, needed_bytes=0).run().status == "pass"
    full = DiskCheck(home=tmp_path, needed_bytes=10**18).run()
    assert full.status == "fail"
    assert "1e+09 GB is needed" in full.detail


def test_settings_that_went_wrong_are_named_without_their_values() -> None:
    """The keys of wrong settings stand in the answer; warnings pass as they are."""

    def wrong() -> tuple[str, ...]:
        raise SettingsError({"metrics_port": "'hunter2' is not allowed"})

    assert SettingsCheck(load=wrong).run().detail == "wrong settings: metrics_port"
    assert SettingsCheck(load=lambda: ("odd",)).run().status == "warn"
    assert SettingsCheck(load=tuple).run().status == "pass"


def test_a_probe_that_finds_it_not_good_warns() -> None:
    """What the agent tells is shown as it is."""
    result = ProbeCheck(name="index", probe=lambda: (False, "nothing is indexed")).run()
    assert (result.status, result.detail) == ("warn", "nothing is indexed")


@pytest.mark.parametrize("required, status", [(True, "fail"), (False, "warn")])
def test_a_missing_tool(required: bool, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A required one fails, another one warns; both say so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    result = ToolCheck(name="x", program="no-such-tool", required=required).run()
    assert (result.status, result.detail) == (status, "no-such-tool is not installed")


def test_a_tool_is_asked_once_until_it_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The version is kept as long as the file is the same one."""
    folder = tmp_path / "bin"
    make_tool(folder, "tool-x", f'echo asked >> {tmp_path}/log; echo "tool-x 1.2.3 (abc)"')
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    check = ToolCheck(name="x", program="tool-x")
    assert [check.run().detail for _ in range(3)] == ["tool-x 1.2.3"] * 3
    assert (tmp_path / "log").read_text() == "asked\n"
    make_tool(folder, "tool-x", "echo tool-x 2.0")
    assert check.run().detail == "tool-x 2.0"


@pytest.mark.parametrize("script", ["echo tool 1.2; exit 3", "echo no number here"])
def test_a_tool_that_does_not_tell_its_version_raises(
    script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The monitor makes a failure of it; what the tool printed is not passed on."""
    make_tool(tmp_path / "bin", "tool-x", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(RuntimeError, match=r"^tool-x --version ended with exit code [03]$"):
        ToolCheck(name="x", program="tool-x").run()


def test_a_tool_that_hangs_is_killed_at_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its process is gone when the check gives up, so that no thread hangs on it."""
    make_tool(tmp_path / "bin", "tool-x", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "pid").touch()
    timeout = 0.05
    while not (pid := (tmp_path / "pid").read_text()):  # it was killed before it could say its number
        timeout *= 2
        with pytest.raises(subprocess.TimeoutExpired):
            ToolCheck(name="x", program="tool-x", timeout=timeout).run()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
