"""Taskscope's own commands, as a person runs them after the application has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import LoadError
from benchmarks.scene import ROOT

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from pathlib import Path

    from .stage import Stage

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_ENDS = range(4)
"""Exit codes of a command that did what it does; others are crashes."""


def run_command(
    stage: Stage, home: Path, *arguments: str, expected: Container[int] = (0,), **more: str
) -> tuple[int, str]:
    """Exit code and standard output of `taskscope ...`; LoadError when the code is another than expected."""
    done = subprocess.run(
        [sys.executable, "-m", "taskscope", *arguments],
        cwd=ROOT,
        env=stage.environment(home, **more),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in expected:
        msg = f"taskscope {' '.join(arguments)} ended with {done.returncode}: {done.stderr}"
        raise LoadError(msg)
    return done.returncode, done.stdout


def ship(stage: Stage, home: Path, url: str, *, rounds: int = 1, **more: str) -> int:
    """`taskscope ship --once`, so often at most, until nothing is left; the last exit code."""
    code = 3
    for _ in range(rounds):
        code, _ = run_command(stage, home, "ship", "--once", expected=_ENDS, **{ENDPOINT: url}, **more)
        if code in {0, 1}:
            break
    return code


def read_account(stage: Stage, home: Path, destination: str = "otlp") -> Mapping[str, Any]:
    """What `taskscope records --json` has of the traces at a destination.

    A program that ended before it came to send has no account there yet: then all is still to be sent.
    """
    _, out = run_command(stage, home, "records", "--json")
    accounts = {one["destination"]: one for one in json.loads(out) if one["signal"] == "traces"}
    untouched = {**accounts["store"], "delivered": 0, "pending": accounts["store"]["delivered"]}
    account: Mapping[str, Any] = accounts.get(destination, untouched)
    return account
