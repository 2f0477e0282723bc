"""What a person without a fitting Go is told."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from stack.errors import StackError
from stack.places import ROOT
from stack.toolchain import find_go

if TYPE_CHECKING:
    from pathlib import Path


def test_without_go_the_docker_way_is_named(tmp_path: Path) -> None:
    """`make stack` on a machine without Go ends with one line that names what is needed and the other way."""
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "stack", "build"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "stack: `make stack` needs Go >= 1.26, and there is no go on PATH; install it, "
        "or go the Docker way: docker compose up\n"
    )
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("version,is_new_enough", [("1.25.9", False), ("1.26.0", True), ("2.0", True)])
def test_an_old_go_is_refused(
    version: str, is_new_enough: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Go before 1.26 is named with what it says of itself; a later one is taken."""
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho go version go{version} linux/amd64\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if is_new_enough:
        assert find_go().version == version
    else:
        with pytest.raises(StackError, match=rf"go{version}.*docker compose up"):
            find_go()
