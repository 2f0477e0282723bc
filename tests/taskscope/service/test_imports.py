"""What the other commands need not load."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .services import environment

if TYPE_CHECKING:
    from pathlib import Path

_LOOK = (
    "import sys; from taskscope.cli import main; main(sys.argv[1:]); "
    "print(*({'fastapi', 'uvicorn', 'starlette', 'pydantic', 'prometheus_client'} & sys.modules.keys()), "
    "file=sys.stderr)"
)


@pytest.mark.parametrize("arguments", [["--help"], ["health", "--json"], ["history"], ["serve", "--help"]])
def test_only_serve_loads_the_server(arguments: list[str], tmp_path: Path) -> None:
    """No other command, nor the help of `serve`, imports FastAPI, uvicorn or the Prometheus client."""
    ended = subprocess.run(
        [sys.executable, "-c", _LOOK, *arguments],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr.splitlines()[-1] == ""


def test_without_the_extra_serve_names_it(tmp_path: Path) -> None:
    """Exit code 3 and the pip line, in one line."""
    hide = (
        "import sys; sys.modules['uvicorn'] = None; from taskscope.cli import main; sys.exit(main(['serve']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", hide],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert "pip install 'taskscope[service]'" in ended.stderr
